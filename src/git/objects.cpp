// Reading objects.
#include <fmt/format.h>

#include <remora/core/text.hpp>

#include "git/blob_size.hpp"
#include "git/look_twice.hpp"
#include "git/repository_impl.hpp"

namespace remora::git {
namespace {

error unreadable(int code, const oid& id, std::string_view kind) {
  return git_failure(code, fmt::format("cannot read {} {}", kind, id.hex()), errc::corrupt);
}

signature from_git(const git_signature* who) {
  if (who == nullptr) return {};
  return {who->name, who->email, who->when.time, who->when.offset};
}

tree_entry to_entry(const git_tree_entry* entry) {
  tree_entry out;
  out.name = git_tree_entry_name(entry);
  out.id = git::from_git(*git_tree_entry_id(entry));
  // Old trees hold 0100664: the canonical form is what git shows.
  out.mode = static_cast<git::mode>(git_tree_entry_filemode(entry));
  return out;
}

result<tree_handle> lookup_tree(const repository& repo, const oid& id) {
  const git_oid raw_id = to_git(id);
  git_tree* raw = nullptr;
  const int got = look_twice(repo, [&] { return git_tree_lookup(&raw, repo.raw(), &raw_id); });
  if (got != 0) return unreadable(got, id, "tree");
  return tree_handle(raw);
}

}  // namespace

result<std::uint64_t> blob_size(const repository& repo, const oid& id) {
  const git_oid raw_id = to_git(id);
  std::size_t size = 0;
  git_object_t type{};
  const int got =
      look_twice(repo, [&] { return git_odb_read_header(&size, &type, repo.odb(), &raw_id); });
  if (got != 0) return unreadable(got, id, "blob");
  return size;
}

bool repository::exists(const oid& id) const {
  const git_oid raw = to_git(id);
  const auto look_up = [&] { return git_odb_exists(odb(), &raw) == 1 ? 0 : int{GIT_ENOTFOUND}; };
  return look_twice(*this, look_up) == 0;
}

result<std::string> repository::read_blob(const oid& id) const {
  odb_object_handle object;
  if (const int got = read_object(*this, id, object); got != 0) return unreadable(got, id, "blob");
  const git_object_t type = git_odb_object_type(object.get());
  if (type != GIT_OBJECT_BLOB)
    return fail(errc::corrupt, fmt::format("object {} is a {}, not a blob", id.hex(),
                                           git_object_type2string(type)));
  return std::string(bytes_of(object));
}

result<std::vector<tree_entry>> repository::read_tree(const oid& id) const {
  REMORA_TRY(const tree_handle tree, lookup_tree(*this, id));
  std::vector<tree_entry> entries;
  const std::size_t count = git_tree_entrycount(tree.get());
  entries.reserve(count);
  for (std::size_t i = 0; i < count; ++i)
    entries.push_back(to_entry(git_tree_entry_byindex(tree.get(), i)));
  return entries;
}

result<commit_info> repository::read_commit(const oid& id) const {
  const git_oid raw_id = to_git(id);
  git_commit* raw = nullptr;
  const int got =
      look_twice(*this, [&] { return git_commit_lookup(&raw, impl_->repo.get(), &raw_id); });
  if (got != 0) return unreadable(got, id, "commit");
  const commit_handle commit(raw);
  commit_info info;
  info.tree = git::from_git(*git_commit_tree_id(raw));
  const unsigned parents = git_commit_parentcount(raw);
  for (unsigned i = 0; i < parents; ++i)
    info.parents.push_back(git::from_git(*git_commit_parent_id(raw, i)));
  info.author = from_git(git_commit_author(raw));
  if (const char* message = git_commit_message_raw(raw)) info.message = message;
  return info;
}

result<std::optional<tree_entry>> repository::find(const oid& tree, std::string_view path) const {
  oid at = tree;
  while (true) {
    REMORA_TRY(const tree_handle handle, lookup_tree(*this, at));
    const std::size_t slash = path.find('/');
    const std::string name(path.substr(0, slash));
    const git_tree_entry* entry = git_tree_entry_byname(handle.get(), name.c_str());
    if (entry == nullptr) return std::optional<tree_entry>();
    tree_entry found = to_entry(entry);
    if (slash == path.npos) return std::optional(std::move(found));
    if (found.mode != mode::directory) return std::optional<tree_entry>();
    at = found.id;
    path.remove_prefix(slash + 1);
  }
}

result<std::optional<std::string>> repository::read_path(const oid& tree,
                                                         std::string_view path) const {
  REMORA_TRY(const std::optional<tree_entry> entry, find(tree, path));
  if (!entry || entry->mode == mode::directory || entry->mode == mode::commit)
    return std::optional<std::string>();
  REMORA_TRY(std::string bytes, read_blob(entry->id));
  return std::optional(std::move(bytes));
}

}  // namespace remora::git
