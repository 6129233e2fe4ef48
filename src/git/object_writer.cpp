#include <fmt/format.h>

#include <remora/core/plant.hpp>
#include <remora/core/text.hpp>
#include <remora/git/object_writer.hpp>

#include "git/handles.hpp"
#include "git/look_twice.hpp"
#include "git/object_files.hpp"
#include "git/object_format.hpp"
#include "git/pack_files.hpp"
#include "git/pending_objects.hpp"
#include "git/repository_impl.hpp"
#include "git/transfer.hpp"
#include "git/tree_changes.hpp"

namespace remora::git {
namespace {

using id_set = std::unordered_set<oid>;

constexpr std::size_t copied_below = 64 << 20;

}  // namespace

struct object_writer::impl {
  explicit impl(repository& r)
      : repo(r),
        files(r.common_dir() / "objects"),
        pending(r),
        durable_since_(r.inside().removed) {}

  bool is_wanted(const oid& id);
  result<oid> put(std::string_view bytes, git_object_t type);
  result<void> force(const oid& id, std::string_view bytes, git_object_t type);
  result<oid> stream(int fd, std::uint64_t size);
  void wrote(const oid& id, std::uint64_t size);
  result<bool> copy(const oid& id);
  result<void> take_over(std::span<const oid> ids);
  result<void> make_durable();
  void adopt(const oid& id) {
    if (!durable().contains(id) && !written.contains(id)) adopted.insert(id);
  }
  /// Once something was removed, only what is in a pack of ours: another's file may be in the place
  /// of what is not.
  id_set& durable() {
    if (is_same(durable_since_, repo.inside().removed)) return durable_;
    durable_since_ = repo.inside().removed;
    const std::vector<oid> known(durable_.begin(), durable_.end());
    for (const oid& id : files.not_in_our_packs(known)) durable_.erase(id);
    return durable_;
  }

  repository& repo;
  object_files files;
  pending_objects pending;
  id_set written;   ///< by us, since the last barrier
  id_set adopted;   ///< since the last barrier
  id_set doubtful;  ///< a sync of them failed: what is in the page cache may be nowhere else (F4)
  std::uint64_t bytes = 0;
  std::uint64_t packed_bytes = 0;

 private:
  id_set durable_;
  timespec durable_since_;
};

/// Whether it is to be written. What the database has from somebody else is written all the same:
/// it may be an empty file since a power cut, and until a ref names it a `git repack -ad` that has
/// begun already drops it. An object that is there twice does no harm.
bool object_writer::impl::is_wanted(const oid& id) {
  if (written.contains(id)) return false;
  return !durable().contains(id) || !repo.exists(id);
}

void object_writer::impl::wrote(const oid& id, std::uint64_t size) {
  durable().erase(id);
  doubtful.erase(id);
  adopted.erase(id);
  written.insert(id);
  bytes += size;
}

result<void> object_writer::impl::force(const oid& id, std::string_view content,
                                        git_object_t type) {
  REMORA_CHECK(pending.write(id, content, type));
  wrote(id, content.size());
  return {};
}

result<oid> object_writer::impl::put(std::string_view content, git_object_t type) {
  REMORA_TRY(const oid id, hash_object(content, type));
  if (is_wanted(id)) REMORA_CHECK(force(id, content, type));
  return id;
}

result<oid> object_writer::impl::stream(int fd, std::uint64_t size) {
  bool is_new = false;
  REMORA_TRY(const oid id, pending.write_file(fd, size, [&](const oid& found) {
    return is_new = is_wanted(found);
  }));
  if (is_new) wrote(id, size);
  return id;
}

/// Copies what somebody else's git wrote, for the reasons of `is_wanted`. Nothing for a large one,
/// which is not to be held in memory: that is only synced where it is.
result<bool> object_writer::impl::copy(const oid& id) {
  const git_oid raw_id = to_git(id);
  std::size_t size = 0;
  git_object_t type = GIT_OBJECT_INVALID;
  int code =
      look_twice(repo, [&] { return git_odb_read_header(&size, &type, repo.odb(), &raw_id); });
  if (code == 0 && size > copied_below && !doubtful.contains(id)) return false;
  odb_object_handle object;
  if (code == 0) code = read_object(repo, id, object);
  if (code == GIT_ENOTFOUND)
    return fail(errc::corrupt, fmt::format("object {} is missing from the repository: it was "
                                           "pruned, or never written",
                                           id.hex()));
  if (code != 0)
    return git_failure(code, fmt::format("cannot read object {}", id.hex()), errc::corrupt);
  REMORA_CHECK(force(id, bytes_of(object), git_odb_object_type(object.get())));
  return true;
}

/// Copies now what is somebody else's, so that what cannot be read is told at once, to who can do
/// without.
result<void> object_writer::impl::take_over(std::span<const oid> ids) {
  std::vector<oid> unknown;
  for (const oid& id : ids)
    if (!durable().contains(id) && !written.contains(id)) unknown.push_back(id);
  if (!planted("agent-sync"))
    for (const oid& id : files.not_in_our_packs(unknown)) REMORA_CHECK(copy(id));
  for (const oid& id : unknown) adopt(id);
  return {};
}

result<void> object_writer::impl::make_durable() {
  const std::vector<oid> named(adopted.begin(), adopted.end());
  std::vector<oid> large;
  const std::vector<oid> others = files.not_in_our_packs(named);
  if (!planted("agent-sync"))
    for (const oid& id : others) {
      REMORA_TRY(const bool copied, copy(id));
      if (!copied) large.push_back(id);
    }
  REMORA_TRY(const std::uint64_t packed, pending.settle());
  packed_bytes += packed;
  // What was in a pack of ours already was synced before that had its name: now the name is.
  if (others.size() < named.size() && packed == 0) REMORA_CHECK(files.sync_names());
  return files.sync(large);
}

object_writer::object_writer(repository& repo) : impl_(std::make_unique<impl>(repo)) {}
object_writer::~object_writer() = default;

result<oid> object_writer::blob(std::string_view bytes) {
  return impl_->put(bytes, GIT_OBJECT_BLOB);
}

result<oid> object_writer::blob_from(int fd, std::uint64_t size) {
  if (size >= read_whole_below) return impl_->stream(fd, size);
  std::string content(static_cast<std::size_t>(size), '\0');
  const auto got = read_at(fd, content, 0);
  if (!got) return fail(errc::unsupported, got.error().what);
  if (*got < content.size()) return shrunk(size);
  return impl_->put(content, GIT_OBJECT_BLOB);
}

result<oid> object_writer::tree(std::vector<tree_entry> entries) {
  REMORA_TRY(const std::string bytes, format_tree(std::move(entries)));
  return impl_->put(bytes, GIT_OBJECT_TREE);
}

result<oid> object_writer::commit(const oid& tree, std::span<const oid> parents,
                                  const signature& who, std::string_view message) {
  return impl_->put(format_commit(tree, parents, who, message), GIT_OBJECT_COMMIT);
}

void object_writer::trust(const oid& id) {
  impl_->adopted.erase(id);
  impl_->durable().insert(id);
}

bool object_writer::is_durable(const oid& id) const {
  return impl_->durable().contains(id);
}

void object_writer::adopt(const oid& id) {
  impl_->adopt(id);
}

result<void> object_writer::adopt_commits(const oid& tip, const oid& durable_base) {
  const repository& repo = impl_->repo;
  constexpr auto all = static_cast<std::size_t>(-1);
  REMORA_TRY(const std::vector<oid> commits, repo.commits_between(durable_base, tip, all));
  std::vector<oid> named;
  for (const oid& id : commits) {
    REMORA_TRY(const commit_info commit, repo.read_commit(id));
    oid before;
    // The walk has read all parents but those that a shallow clone has not.
    if (!commit.parents.empty())
      if (const auto parent = repo.read_commit(commit.parents.front())) before = parent->tree;
    named.push_back(id);
    REMORA_CHECK(
        new_objects(repo, before, commit.tree, [&](const oid& made) { named.push_back(made); }));
  }
  return impl_->take_over(named);
}

result<void> object_writer::barrier() {
  auto made = impl_->make_durable();
  if (!made) impl_->pending.drop();
  id_set& settled = made ? impl_->durable() : impl_->doubtful;
  settled.merge(impl_->written);
  settled.merge(impl_->adopted);
  impl_->written.clear();
  impl_->adopted.clear();
  return made;
}

std::uint64_t object_writer::bytes_written() const noexcept {
  return impl_->bytes;
}

std::uint64_t object_writer::bytes_packed() const noexcept {
  return impl_->packed_bytes;
}

result<void> sync_object_database(const repository& repo) {
  return object_files(repo.common_dir() / "objects").sync_everything();
}

}  // namespace remora::git
