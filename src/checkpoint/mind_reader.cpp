#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <remora/core/text.hpp>

#include "checkpoint/damage.hpp"
#include "checkpoint/mind_tree.hpp"

namespace remora::checkpoint {
namespace {

namespace json = boost::json;

/// Entries of the tree at `path` below `mind`; none where it is not there.
result<std::vector<git::tree_entry>> entries_at(const git::repository& repo, const git::oid& mind,
                                                const std::string& path) {
  auto at = repo.find(mind, path);
  if (!at) return damage(within(path, at.error()));
  if (!*at) return std::vector<git::tree_entry>();
  auto entries = repo.read_tree((*at)->id);
  if (!entries) return damage(within(path, entries.error()));
  return entries;
}

/// A name that is all digits.
result<std::uint32_t> number_of(const std::string& path, std::string_view name) {
  std::uint32_t value = 0;
  const char* end = name.data() + name.size();
  const auto [stop, problem] = std::from_chars(name.data(), end, value);
  if (problem == std::errc() && stop == end) return value;
  return fail(errc::corrupt, fmt::format("{}/{} is not a number", path, to_utf8(name)));
}

/// `remora.<what>/1` of a JSON file of the mind.
result<json::object> read_json(const git::repository& repo, const git::oid& mind,
                               const std::string& name, std::string_view what) {
  REMORA_TRY(const std::string text, read_file(repo, mind, name));
  boost::system::error_code bad;
  json::value value = json::parse(text, bad);
  if (bad || !value.is_object())
    return fail(errc::corrupt, fmt::format("{} is not a JSON object", name));
  const json::value* schema = value.get_object().if_contains("schema");
  const std::string expected = fmt::format("remora.{}/1", what);
  if (!schema || !schema->is_string())
    return fail(errc::corrupt, fmt::format("{} names no schema", name));
  if (std::string_view(schema->get_string()) != expected)
    return fail(errc::unsupported,
                fmt::format("{} has the schema {}, and this remora reads {}: use a newer remora",
                            name, std::string_view(schema->get_string()), expected));
  return std::move(value.get_object());
}

result<git::oid> id_of(const json::value& v) {
  if (v.is_string()) return git::oid::parse(v.get_string());
  return fail(errc::corrupt, "index.json: not an object id");
}

result<git::head_state> head_of(const json::object& index) {
  const json::value* head = index.if_contains("head");
  if (!head || !head->is_object()) return fail(errc::corrupt, "index.json has no head");
  git::head_state state;
  const json::value* commit = head->get_object().if_contains("commit");
  if (commit && !commit->is_null()) {
    REMORA_TRY(state.commit, id_of(*commit));
  }
  state.ref = path_from_json(head->get_object(), "ref");
  return state;
}

result<std::vector<git::oid>> stashes_of(const json::object& index) {
  std::vector<git::oid> ids;
  const json::value* list = index.if_contains("stashes");
  if (!list || !list->is_array()) return fail(errc::corrupt, "index.json has no stashes");
  for (const json::value& v : list->get_array()) {
    REMORA_TRY(const git::oid id, id_of(v));
    ids.push_back(id);
  }
  return ids;
}

/// What was staged from an object that the database never had cannot be staged again: git would
/// refuse the whole index.
result<void> drop_unrestorable(const git::repository& repo, const git::oid& mind,
                               git::index_state& index) {
  REMORA_TRY(const auto kept, staged_blobs(repo, mind));
  const std::size_t dropped = std::erase_if(index.entries, [&](const git::index_entry& e) {
    return e.needs_object() && !kept.contains(e.id);
  });
  if (dropped > 0)
    index.note += fmt::format("{}{} staged paths whose objects are missing are left at HEAD",
                              index.note.empty() ? "" : "; ", dropped);
  return {};
}

result<void> collect_blobs(const git::repository& repo, const git::oid& tree,
                           std::unordered_set<git::oid>& ids) {
  auto entries = repo.read_tree(tree);
  if (!entries) return damage(within("index", entries.error()));
  for (const git::tree_entry& e : *entries) {
    if (e.mode == git::mode::directory) {
      REMORA_CHECK(collect_blobs(repo, e.id, ids));
    } else {
      ids.insert(e.id);
    }
  }
  return {};
}

result<void> read_operation(const git::repository& repo, const git::oid& tree,
                            const std::string& below,
                            std::vector<std::pair<std::string, std::string>>& files) {
  auto entries = repo.read_tree(tree);
  if (!entries) return damage(within("gitdir/" + to_utf8(below), entries.error()));
  for (const git::tree_entry& e : *entries) {
    const std::string name = below + e.name;
    if (e.mode == git::mode::directory) {
      REMORA_CHECK(read_operation(repo, e.id, name + "/", files));
      continue;
    }
    auto bytes = repo.read_blob(e.id);
    if (!bytes) return damage(within("gitdir/" + to_utf8(name), bytes.error()));
    files.emplace_back(name, std::move(*bytes));
  }
  return {};
}

}  // namespace

result<std::string> read_file(const git::repository& repo, const git::oid& mind,
                              std::string_view name) {
  auto bytes = repo.read_path(mind, name);
  if (!bytes) return damage(within(name, bytes.error()));
  if (!*bytes) return fail(errc::corrupt, fmt::format("{} is missing", name));
  return std::move(**bytes);
}

result<git::snapshot> read_worktree_state(const git::repository& repo, const git::oid& mind) {
  git::snapshot s;
  REMORA_TRY(const json::object manifest, read_json(repo, mind, "manifest.json", "manifest"));
  auto m = git::manifest_from_json(manifest);
  if (!m) return damage(within("manifest.json", m.error()));
  s.manifest = std::move(*m);
  REMORA_TRY(const json::object index, read_json(repo, mind, "index.json", "index"));
  auto staged = git::index_from_json(index);
  if (!staged) return damage(within("index.json", staged.error()));
  s.index = std::move(*staged);
  REMORA_CHECK(drop_unrestorable(repo, mind, s.index));
  REMORA_TRY(s.head, head_of(index));
  REMORA_TRY(s.stashes, stashes_of(index));
  const auto gitdir = repo.find(mind, "gitdir");
  if (!gitdir) return damage(within("gitdir", gitdir.error()));
  if (*gitdir) REMORA_CHECK(read_operation(repo, (*gitdir)->id, "", s.operation));
  return s;
}

result<std::unordered_set<git::oid>> staged_blobs(const git::repository& repo,
                                                  const git::oid& mind) {
  std::unordered_set<git::oid> ids;
  auto index = repo.find(mind, "index");
  if (!index) return damage(within("index", index.error()));
  if (*index) REMORA_CHECK(collect_blobs(repo, (*index)->id, ids));
  return ids;
}

result<piece_list> list_pieces(const git::repository& repo, const git::oid& mind,
                               attempt_no attempt, std::string_view stream) {
  const std::string path = fmt::format("transcript/{}/{}", attempt.value(), stream);
  REMORA_TRY(const auto hundreds, entries_at(repo, mind, path));
  piece_list pieces;
  for (const git::tree_entry& h : hundreds) {
    REMORA_TRY(const std::uint32_t hundred, number_of(path, h.name));
    const std::string below = fmt::format("{}/{}", path, h.name);
    auto entries = repo.read_tree(h.id);
    if (!entries) return damage(within(below, entries.error()));
    for (const git::tree_entry& e : *entries) {
      REMORA_TRY(const std::uint32_t one, number_of(below, e.name));
      pieces.emplace_back(hundred * 100 + one, e.id);
    }
  }
  std::sort(pieces.begin(), pieces.end());  // git sorts 100 before 99
  return pieces;
}

result<std::vector<attempt_no>> list_attempts(const git::repository& repo, const git::oid& mind) {
  REMORA_TRY(const auto entries, entries_at(repo, mind, "transcript"));
  std::vector<attempt_no> attempts;
  for (const git::tree_entry& e : entries) {
    REMORA_TRY(const std::uint32_t number, number_of("transcript", e.name));
    attempts.emplace_back(number);
  }
  std::sort(attempts.begin(), attempts.end());
  return attempts;
}

}  // namespace remora::checkpoint
