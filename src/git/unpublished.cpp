#include "git/unpublished.hpp"

#include <git2/sys/odb_backend.h>

#include "git/handles.hpp"
#include "git/new_pack.hpp"

namespace remora::git {
namespace {

constexpr int before_packs_and_loose_files = 3;  // libgit2 gives those 2 and 1

struct backend {
  git_odb_backend base;  // first: libgit2 knows no more than this
  std::shared_ptr<const unpublished> what;

  const new_pack::object* find(const git_oid* id) const {
    return what->pack ? what->pack->find(from_git(*id)) : nullptr;
  }
};

const backend* from_base(const git_odb_backend* base) {
  return reinterpret_cast<const backend*>(base);
}

int exists(git_odb_backend* base, const git_oid* id) noexcept {
  return from_base(base)->find(id) ? 1 : 0;
}

int read_header(std::size_t* size, git_object_t* type, git_odb_backend* base,
                const git_oid* id) noexcept {
  const new_pack::object* found = from_base(base)->find(id);
  if (!found) return GIT_ENOTFOUND;
  *size = found->size;
  *type = found->type;
  return 0;
}

int read(void** data, std::size_t* size, git_object_t* type, git_odb_backend* base,
         const git_oid* id) noexcept {
  const new_pack::object* found = from_base(base)->find(id);
  if (!found) return GIT_ENOTFOUND;
  auto* into = static_cast<char*>(git_odb_backend_data_alloc(base, found->size + 1));
  if (!into) return -1;
  if (auto done = from_base(base)->what->pack->read(*found, into); !done) {
    git_odb_backend_data_free(base, into);
    git_error_set_str(GIT_ERROR_ODB, done.error().what.c_str());
    return -1;
  }
  into[found->size] = '\0';  // libgit2's parsers look for it
  *data = into;
  *size = found->size;
  *type = found->type;
  return 0;
}

void free_backend(git_odb_backend* base) noexcept {
  delete reinterpret_cast<backend*>(base);
}

}  // namespace

result<void> read_unpublished(git_odb* odb, std::shared_ptr<const unpublished> what) {
  auto made = std::make_unique<backend>();
  git_odb_init_backend(&made->base, GIT_ODB_BACKEND_VERSION);
  made->base.exists = exists;
  made->base.read_header = read_header;
  made->base.read = read;
  made->base.free = free_backend;
  made->what = std::move(what);
  if (const int code = git_odb_add_backend(odb, &made->base, before_packs_and_loose_files);
      code != 0)
    return git_failure(code, "cannot read from the object database");
  (void)made.release();  // libgit2 frees it with the database
  return {};
}

}  // namespace remora::git
