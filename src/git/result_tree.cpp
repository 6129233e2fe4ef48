#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <map>
#include <remora/core/text.hpp>
#include <remora/git/result_tree.hpp>
#include <set>

#include "git/blob_size.hpp"
#include "git/clean_filter.hpp"
#include "git/tree_changes.hpp"

namespace remora::git {
namespace {

/// What the result has at a path where it is not HEAD's entry; nothing: no entry.
using edits = std::map<std::string, std::optional<tree_entry>>;

constexpr std::array secret_names{
    ".env",  ".env.*", "*.pem",  "*.key",  "id_rsa*",          "id_ed25519*",     "id_ecdsa*",
    "*.p12", "*.pfx",  ".netrc", ".npmrc", "credentials.json", ".git-credentials"};

bool is_secret(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string name = slash == path.npos ? path : path.substr(slash + 1);
  return std::any_of(secret_names.begin(), secret_names.end(), [&](const char* pattern) {
    return ::fnmatch(pattern, name.c_str(), FNM_CASEFOLD) == 0;
  });
}

bool is_file(const tree_entry& entry) {
  return entry.mode == mode::file || entry.mode == mode::executable;
}

/// Paths, or directories with all that is in them.
class path_set {
 public:
  explicit path_set(const std::vector<omission>& omitted) {
    for (const omission& one : omitted) paths_.emplace(one.path);
  }

  bool covers(const std::string& path) const {
    for (std::size_t end = path.find('/'); end != path.npos; end = path.find('/', end + 1))
      if (paths_.contains(std::string_view(path).substr(0, end))) return true;
    return paths_.contains(path);
  }

 private:
  std::set<std::string, std::less<>> paths_;
};

/// Decides, path by path, what of the checkpoint's files goes into the result.
class selection {
 public:
  selection(const repository& repo, object_writer& objects, clean_filter filter, const manifest& m,
            const result_rules& rules)
      : repo_(repo),
        objects_(objects),
        filter_(std::move(filter)),
        omitted_(m.left_out),
        converted_(m.converted.begin(), m.converted.end()),
        rules_(rules) {}

  result<void> decide(const tree_change& change) {
    if (!change.to) {
      // What a snapshot could not take was not deleted.
      if (!omitted_.covers(change.path)) chosen[change.path] = std::nullopt;
      return {};
    }
    const bool is_new = !change.from && is_file(*change.to);
    if (is_new && is_secret(change.path)) {
      left_out.push_back({change.path, "secret name"});
      return {};
    }
    bool large = false;
    if (is_new) {
      REMORA_TRY(large, is_large(*change.to));
    }
    if (large) {  // then a pointer travels, or nothing
      REMORA_TRY(const bool has_pointer, filter_.is_lfs(change.path));
      if (!has_pointer) return leave_out(change.path);
    }
    REMORA_TRY(tree_entry entry, stored(change));
    if (large) {
      REMORA_TRY(const bool still, is_large(entry));
      if (still) return leave_out(change.path);
    }
    chosen[change.path] = std::move(entry);
    return {};
  }

  /// What git-lfs has stored is durable.
  result<void> sync() const { return filter_.sync(); }

  edits chosen;
  std::vector<omission> left_out;

 private:
  result<void> leave_out(const std::string& path) {
    left_out.push_back({path, "larger than result.max_file"});
    return {};
  }

  result<bool> is_large(const tree_entry& entry) const {
    REMORA_TRY(const std::uint64_t size, blob_size(repo_, entry.id));
    return size > rules_.max_file_bytes;
  }

  /// The entry as `git add` would have stored it.
  result<tree_entry> stored(const tree_change& change) {
    tree_entry entry = *change.to;
    if (is_file(entry) && !converted_.contains(change.path) &&
        !(change.from && change.from->id == entry.id)) {
      REMORA_TRY(const clean_filter::outcome cleaned,
                 filter_.apply(change.path, entry.id, change.from));
      if (!cleaned.not_done.empty()) left_out.push_back({change.path, cleaned.not_done});
      if (cleaned.bytes) {
        REMORA_TRY(entry.id, objects_.blob(*cleaned.bytes));
      }
    }
    if (entry.mode != mode::commit) objects_.adopt(entry.id);
    return entry;
  }

  const repository& repo_;
  object_writer& objects_;
  clean_filter filter_;
  path_set omitted_;
  std::set<std::string> converted_;
  result_rules rules_;
};

using edit_range = std::pair<edits::const_iterator, edits::const_iterator>;

/// The tree `base` with the edits of one directory (`prefix`) applied; zero if nothing is left.
result<oid> rebuild(const repository& repo, object_writer& objects, const oid& base,
                    const std::string& prefix, edit_range range) {
  std::map<std::string, tree_entry> entries;
  if (!base.is_zero()) {
    REMORA_TRY(std::vector<tree_entry> old, repo.read_tree(base));
    for (tree_entry& entry : old) entries.emplace(entry.name, std::move(entry));
  }
  std::map<std::string, oid> subtrees;  // as they were: a file may take a directory's name
  for (const auto& [name, entry] : entries)
    if (entry.mode == mode::directory) subtrees[name] = entry.id;
  std::vector<std::pair<std::string, edit_range>> below;
  for (auto at = range.first; at != range.second;) {
    const std::string rest = at->first.substr(prefix.size());
    const std::size_t slash = rest.find('/');
    if (slash == rest.npos) {
      const auto old = entries.find(rest);
      if (at->second)
        entries.insert_or_assign(rest, *at->second);
      else if (old != entries.end() && old->second.mode != mode::directory)
        entries.erase(old);
      ++at;
      continue;
    }
    const std::string name = rest.substr(0, slash);
    const std::string directory = prefix + name + '/';
    const auto first = at;
    while (at != range.second && at->first.starts_with(directory)) ++at;
    below.emplace_back(name, edit_range(first, at));
  }
  for (const auto& [name, edited] : below) {
    REMORA_TRY(const oid tree, rebuild(repo, objects, subtrees[name], prefix + name + '/', edited));
    const auto now = entries.find(name);
    const bool is_other = now != entries.end() && now->second.mode != mode::directory;
    if (is_other) continue;  // a file took its place
    if (tree.is_zero())
      entries.erase(name);
    else
      entries.insert_or_assign(name, tree_entry{name, tree, mode::directory});
  }
  if (entries.empty()) return oid();
  std::vector<tree_entry> list;
  for (auto& [name, entry] : entries) list.push_back(std::move(entry));
  return objects.tree(std::move(list));
}

}  // namespace

result<result_tree> make_result_tree(const repository& repo, object_writer& objects,
                                     const oid& files, const oid& head, const manifest& m,
                                     const result_rules& rules) {
  oid head_tree;
  if (!head.is_zero()) {
    REMORA_TRY(const commit_info commit, repo.read_commit(head));
    head_tree = commit.tree;
  }
  REMORA_TRY(const std::vector<tree_change> changes, tree_changes(repo, head_tree, files));
  REMORA_TRY(clean_filter filter, clean_filter::make(repo, files));
  selection chosen(repo, objects, std::move(filter), m, rules);
  for (const tree_change& change : changes) REMORA_CHECK(chosen.decide(change));
  REMORA_CHECK(chosen.sync());
  const edit_range all(chosen.chosen.begin(), chosen.chosen.end());
  REMORA_TRY(oid tree, rebuild(repo, objects, head_tree, "", all));
  if (tree.is_zero()) {
    REMORA_TRY(tree, objects.tree({}));
  }
  return result_tree{tree, std::move(chosen.left_out)};
}

}  // namespace remora::git
