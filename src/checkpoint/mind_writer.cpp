#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <remora/core/text.hpp>

#include "checkpoint/mind_tree.hpp"
#include "checkpoint/tree_editor.hpp"

namespace remora::checkpoint {
namespace {

constexpr std::uint32_t pieces_per_directory = 100;

class mind_writer {
 public:
  mind_writer(const git::repository& repo, git::object_writer& objects)
      : repo_(repo), objects_(objects), tree_(repo) {}

  result<void> file(std::string_view path, std::string_view bytes);
  result<void> transcript(const git::oid& before, const std::vector<transcript_piece>& pieces);
  result<void> staged(const git::oid& before, const std::vector<git::index_entry>& entries);
  result<void> nested(const git::manifest& m);
  /// The names that a tree cannot hold go into `left_out`.
  result<void> operation(const std::vector<std::pair<std::string, std::string>>& files,
                         std::vector<git::omission>& left_out);
  result<git::oid> write() const { return tree_.write(objects_); }

 private:
  result<void> piece(const transcript_piece& p, std::uint32_t number);

  const git::repository& repo_;
  git::object_writer& objects_;
  tree_editor tree_;
};

result<void> mind_writer::file(std::string_view path, std::string_view bytes) {
  REMORA_TRY(const git::oid id, objects_.blob(bytes));
  REMORA_CHECK(tree_.add(path, id));
  return {};
}

/// One above the highest number that any stream of the attempt has: `out`, `err` and `times` of one
/// number belong together.
result<std::uint32_t> next_piece(const git::repository& repo, const git::oid& before,
                                 attempt_no attempt) {
  std::uint32_t next = 0;
  for (const char* stream : {"out", "err", "times"}) {
    REMORA_TRY(const piece_list there, list_pieces(repo, before, attempt, stream));
    if (!there.empty()) next = std::max(next, there.back().first + 1);
  }
  return next;
}

result<void> mind_writer::piece(const transcript_piece& p, std::uint32_t number) {
  const auto add = [&](std::string_view stream, std::string_view bytes) -> result<void> {
    if (bytes.empty()) return {};
    return file(fmt::format("transcript/{}/{}/{:02}/{:02}", p.attempt.value(), stream,
                            number / pieces_per_directory, number % pieces_per_directory),
                bytes);
  };
  REMORA_CHECK(add("out", p.out));
  REMORA_CHECK(add("err", p.err));
  return add("times", p.times);
}

result<void> mind_writer::transcript(const git::oid& before,
                                     const std::vector<transcript_piece>& pieces) {
  if (!before.is_zero()) {
    REMORA_TRY(const auto there, repo_.find(before, "transcript"));
    if (there) REMORA_CHECK(tree_.add("transcript", there->id, git::mode::directory));
  }
  std::map<attempt_no, std::uint32_t> next;
  for (const transcript_piece& p : pieces) {
    if (p.out.empty() && p.err.empty() && p.times.empty()) continue;
    const auto [at, is_new] = next.try_emplace(p.attempt, 0);
    if (is_new && !before.is_zero()) {
      REMORA_TRY(at->second, next_piece(repo_, before, p.attempt));
    }
    REMORA_CHECK(piece(p, at->second++));
  }
  return {};
}

result<void> mind_writer::staged(const git::oid& before,
                                 const std::vector<git::index_entry>& entries) {
  std::unordered_set<git::oid> blobs;  // known to be blobs: not read again at each checkpoint
  if (!before.is_zero() && !entries.empty()) {
    REMORA_TRY(blobs, staged_blobs(repo_, before));
  }
  for (const git::index_entry& e : entries) {
    if (!e.has_blob()) continue;
    // An agent can stage the id of anything, which would break the user's `gc`.
    if (!blobs.contains(e.id) && !repo_.read_blob(e.id)) continue;
    objects_.adopt(e.id);
    const bool known = e.mode == git::mode::executable || e.mode == git::mode::symlink;
    const git::mode mode = known ? e.mode : git::mode::file;
    REMORA_TRY(const bool added,
               tree_.add(fmt::format("index/{}/{}", e.stage, e.path), e.id, mode));
    if (!added) REMORA_CHECK(tree_.add(fmt::format("index/by-id/{}", e.id.hex()), e.id));
  }
  return {};
}

/// So they stay reachable: where they belong, the manifest says.
result<void> mind_writer::nested(const git::manifest& m) {
  for (std::size_t i = 0; i < m.nested.size(); ++i)
    REMORA_CHECK(tree_.add(fmt::format("nested/{}", i), m.nested[i].id, m.nested[i].mode));
  for (std::size_t i = 0; i < m.submodules.size(); ++i)
    REMORA_CHECK(
        tree_.add(fmt::format("submodules/{}", i), m.submodules[i].files, git::mode::directory));
  return {};
}

result<void> mind_writer::operation(const std::vector<std::pair<std::string, std::string>>& files,
                                    std::vector<git::omission>& left_out) {
  for (const auto& [name, bytes] : files) {
    REMORA_TRY(const git::oid id, objects_.blob(bytes));
    REMORA_TRY(const bool added, tree_.add(fmt::format("gitdir/{}", name), id));
    if (!added) left_out.push_back({fmt::format(".git/{}", name), "name refused by git"});
  }
  return {};
}

boost::json::value hex_or_null(const git::oid& id) {
  return id.is_zero() ? boost::json::value() : boost::json::value(id.hex());
}

boost::json::array hex_list(const std::vector<git::oid>& ids) {
  boost::json::array list;
  for (const git::oid& id : ids) list.emplace_back(id.hex());
  return list;
}

std::string index_json(const git::snapshot& s, const std::vector<git::oid>& unreadable) {
  boost::json::object head;
  head["commit"] = hex_or_null(s.head.commit);
  path_to_json(head, "ref", s.head.ref);
  boost::json::object o;
  o["schema"] = "remora.index/1";
  o["head"] = std::move(head);
  o["stashes"] = hex_list(s.stashes);
  o["unreadable"] = hex_list(unreadable);
  git::index_state index = s.index;
  // Only a broken index has one, and its reader refuses the whole list.
  std::erase_if(index.entries, [](const git::index_entry& e) { return e.path.empty(); });
  for (const auto& member : git::to_json(index)) o[member.key()] = member.value();
  return boost::json::serialize(o) + "\n";
}

std::string manifest_json(const git::manifest& m) {
  boost::json::object o;
  o["schema"] = "remora.manifest/1";
  for (const auto& member : git::to_json(m)) o[member.key()] = member.value();
  return boost::json::serialize(o) + "\n";
}

}  // namespace

result<git::oid> write_mind(const git::repository& repo, git::object_writer& objects,
                            const request& r, const std::optional<git::oid>& before,
                            const std::vector<git::oid>& unreadable) {
  mind_writer w(repo, objects);
  git::manifest manifest = r.files.manifest;
  REMORA_CHECK(w.transcript(before.value_or(git::oid()), r.mind.transcript));
  REMORA_CHECK(w.staged(before.value_or(git::oid()), r.files.index.entries));
  REMORA_CHECK(w.nested(manifest));
  REMORA_CHECK(w.operation(r.files.operation, manifest.left_out));
  REMORA_CHECK(w.file("state.json", r.mind.state));
  REMORA_CHECK(w.file("prompt.md", r.mind.prompt));
  if (r.mind.result) REMORA_CHECK(w.file("result", *r.mind.result));
  REMORA_CHECK(w.file("manifest.json", manifest_json(manifest)));
  REMORA_CHECK(w.file("index.json", index_json(r.files, unreadable)));
  return w.write();
}

}  // namespace remora::checkpoint
