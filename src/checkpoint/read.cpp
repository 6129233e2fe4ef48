// Reading what a checkpoint holds.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <remora/checkpoint/store.hpp>

#include "checkpoint/damage.hpp"
#include "checkpoint/mind_tree.hpp"

namespace remora::checkpoint {
namespace {

error of_checkpoint(const record& r, const error& e) {
  return within(fmt::format("checkpoint {} of {} ({})", r.number.value(), r.task.str(),
                            r.commit.hex().substr(0, 12)),
                e);
}

/// Calls `take(number, bytes)` for each piece of a stream, in order.
template <class Take>
result<void> each_piece(const git::repository& repo, const git::oid& mind, attempt_no attempt,
                        std::string_view stream, Take take) {
  REMORA_TRY(const piece_list pieces, list_pieces(repo, mind, attempt, stream));
  for (const auto& [number, id] : pieces) {
    auto bytes = repo.read_blob(id);
    if (!bytes)
      return damage(
          within(fmt::format("piece {} of transcript/{}/{}", number, attempt.value(), stream),
                 bytes.error()));
    take(number, std::move(*bytes));
  }
  return {};
}

/// All of one attempt: what belongs together has one number.
result<std::vector<transcript_piece>> read_pieces(const git::repository& repo, const git::oid& mind,
                                                  attempt_no attempt) {
  std::map<std::uint32_t, transcript_piece> found;
  const auto read = [&](std::string_view stream, std::string transcript_piece::* part) {
    return each_piece(repo, mind, attempt, stream, [&](std::uint32_t number, std::string bytes) {
      found[number].*part = std::move(bytes);
    });
  };
  REMORA_CHECK(read("out", &transcript_piece::out));
  REMORA_CHECK(read("err", &transcript_piece::err));
  REMORA_CHECK(read("times", &transcript_piece::times));
  std::vector<transcript_piece> pieces;
  for (auto& [number, p] : found) {
    p.attempt = attempt;
    pieces.push_back(std::move(p));
  }
  return pieces;
}

result<mind> read_whole(const git::repository& repo, const git::oid& tree) {
  mind m;
  REMORA_TRY(m.state, read_file(repo, tree, "state.json"));
  REMORA_TRY(m.prompt, read_file(repo, tree, "prompt.md"));
  auto answer = repo.read_path(tree, "result");
  if (!answer) return damage(within("result", answer.error()));
  m.result = std::move(*answer);
  REMORA_TRY(const auto attempts, list_attempts(repo, tree));
  for (const attempt_no attempt : attempts) {
    REMORA_TRY(auto pieces, read_pieces(repo, tree, attempt));
    std::move(pieces.begin(), pieces.end(), std::back_inserter(m.transcript));
  }
  return m;
}

}  // namespace

result<std::string> store::read_state(const record& r) const {
  auto bytes = read_file(repo_, r.mind, "state.json");
  if (!bytes) return of_checkpoint(r, bytes.error());
  return bytes;
}

result<std::string> store::read_transcript(const record& r, attempt_no attempt,
                                           std::string_view stream) const {
  if (stream != "out" && stream != "err" && stream != "times")
    return fail(errc::usage,
                fmt::format("a transcript has out, err and times, and no '{}'", stream));
  std::string all;
  const auto read = each_piece(repo_, r.mind, attempt, stream,
                               [&](std::uint32_t, const std::string& bytes) { all += bytes; });
  if (!read) return of_checkpoint(r, read.error());
  return all;
}

result<mind> store::read_mind(const record& r) const {
  auto m = read_whole(repo_, r.mind);
  if (!m) return of_checkpoint(r, m.error());
  return m;
}

result<git::snapshot> store::read_snapshot(const record& r) const {
  auto s = read_worktree_state(repo_, r.mind);
  if (!s) return of_checkpoint(r, s.error());
  s->tree = r.files_tree;
  return s;
}

}  // namespace remora::checkpoint
