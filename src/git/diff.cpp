#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <remora/core/text.hpp>
#include <remora/git/diff.hpp>
#include <utility>

#include "git/blob_size.hpp"
#include "git/handles.hpp"
#include "git/tree_changes.hpp"

namespace remora::git {
namespace {

constexpr std::uint64_t largest_text = 16 << 20;  ///< more is no text that anybody reads
constexpr std::size_t binary_probe = 8000;        ///< as git's `buffer_is_binary`

struct content {
  std::string bytes;
  bool binary = false;
};

bool is_file(mode m) {
  return m == mode::file || m == mode::executable;
}

char status_of(const tree_change& change) {
  if (!change.from) return 'A';
  if (!change.to) return 'D';
  const bool same_kind = change.from->mode == change.to->mode ||
                         (is_file(change.from->mode) && is_file(change.to->mode));
  return same_kind ? 'M' : 'T';
}

/// A checkout may have put the carriage returns there, or taken them away.
void crlf_to_lf(std::string& text) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] != '\r' || i + 1 == text.size() || text[i + 1] != '\n') text[kept++] = text[i];
  text.resize(kept);
}

result<content> read_side(const repository& repo, const std::optional<tree_entry>& entry) {
  content side;
  if (!entry) return side;
  if (entry->mode == mode::commit) {
    side.bytes = fmt::format("Subproject commit {}\n", entry->id.hex());
    return side;
  }
  const auto size = blob_size(repo, entry->id);
  // What a partial clone has not fetched has no lines to show (G22); what is damaged is an error.
  side.binary = size ? *size > largest_text : !repo.exists(entry->id);
  if (side.binary) return side;
  if (!size) return size.error();
  REMORA_TRY(side.bytes, repo.read_blob(entry->id));
  side.binary = std::string_view(side.bytes).substr(0, binary_probe).find('\0') != side.bytes.npos;
  if (is_file(entry->mode)) crlf_to_lf(side.bytes);
  return side;
}

/// The line differences of one file. Without `lines` nothing differs but the mode, or a side is
/// binary.
struct comparison {
  std::unique_ptr<std::array<content, 2>> sides;  ///< `lines` points into them
  patch_handle lines;
  bool binary = false;
};

result<comparison> compare(const repository& repo, const std::optional<tree_entry>& from,
                           const std::optional<tree_entry>& to) {
  comparison out;
  if (from && to && from->id == to->id) return out;
  out.sides = std::make_unique<std::array<content, 2>>();
  auto& [before, after] = *out.sides;
  REMORA_TRY(before, read_side(repo, from));
  REMORA_TRY(after, read_side(repo, to));
  out.binary = before.binary || after.binary;
  if (out.binary) return out;
  git_diff_options options{};
  git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
  options.flags = GIT_DIFF_FORCE_TEXT;
  git_patch* raw = nullptr;
  const int made =
      git_patch_from_buffers(&raw, before.bytes.data(), before.bytes.size(), nullptr,
                             after.bytes.data(), after.bytes.size(), nullptr, &options);
  if (made != 0) return git_failure(made, "cannot compare two files", errc::corrupt);
  out.lines.reset(raw);
  return out;
}

result<void> count(const repository& repo, const std::optional<tree_entry>& from,
                   const std::optional<tree_entry>& to, changed_file& file) {
  REMORA_TRY(const comparison compared, compare(repo, from, to));
  file.binary = file.binary || compared.binary;
  if (!compared.lines) return {};
  std::size_t context = 0, added = 0, removed = 0;
  git_patch_line_stats(&context, &added, &removed, compared.lines.get());
  file.insertions += added;
  file.deletions += removed;
  return {};
}

/// As git's `quote_c_style`, but bytes above 0x7f stay: they are what the reader wrote.
std::string quoted(std::string_view prefix, std::string_view path) {
  std::string out = fmt::format("{}{}", prefix, path);
  const auto is_special = [](unsigned char c) {
    return c < 0x20 || c == 0x7f || c == '"' || c == '\\';
  };
  if (std::none_of(out.begin(), out.end(), is_special)) return out;
  const std::string plain = std::exchange(out, "\"");
  for (const char c : plain) {
    if (c == '"' || c == '\\')
      out += fmt::format("\\{}", c);
    else if (is_special(static_cast<unsigned char>(c)))
      out += fmt::format("\\{:03o}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out + '"';
}

/// A tab ends a name with spaces, as git has it: patch(1) takes what follows one for a date.
std::string name_line(std::string_view sign, std::string_view prefix, std::string_view path,
                      bool there) {
  if (!there) return fmt::format("{} /dev/null\n", sign);
  const std::string name = quoted(prefix, path);
  return fmt::format("{} {}{}\n", sign, name, name.find(' ') == name.npos ? "" : "\t");
}

unsigned bits(const tree_entry& entry) {
  return static_cast<unsigned>(entry.mode);
}

std::string header(const tree_change& change, const comparison& compared) {
  const std::string a = quoted("a/", change.path);
  const std::string b = quoted("b/", change.path);
  std::string out = fmt::format("diff --git {} {}\n", a, b);
  if (!change.from)
    out += fmt::format("new file mode {:06o}\n", bits(*change.to));
  else if (!change.to)
    out += fmt::format("deleted file mode {:06o}\n", bits(*change.from));
  else if (change.from->mode != change.to->mode)
    out += fmt::format("old mode {:06o}\nnew mode {:06o}\n", bits(*change.from), bits(*change.to));
  if (compared.binary) out += fmt::format("Binary files {} and {} differ\n", a, b);
  if (compared.lines && git_patch_num_hunks(compared.lines.get()) > 0) {
    out += name_line("---", "a/", change.path, change.from.has_value());
    out += name_line("+++", "b/", change.path, change.to.has_value());
  }
  return out;
}

/// Appends whole pieces while they fit.
class bounded_text {
 public:
  explicit bounded_text(std::size_t limit) : limit_(limit) {}

  bool add(std::string_view piece) {
    if (out.truncated || piece.size() > limit_ - out.text.size()) out.truncated = true;
    if (!out.truncated) out.text += piece;
    return !out.truncated;
  }

  diff_text out;

 private:
  std::size_t limit_;
};

/// One line of a hunk, with the remark that follows it when the file ends without a newline.
std::string hunk_line(git_patch* patch, std::size_t hunk, std::size_t count, std::size_t& at) {
  const git_diff_line* line = nullptr;
  std::string out;
  if (git_patch_get_line_in_hunk(&line, patch, hunk, at++) != 0) return out;
  out += line->origin;
  out.append(line->content, line->content_len);
  while (at < count && git_patch_get_line_in_hunk(&line, patch, hunk, at) == 0 &&
         (line->origin == GIT_DIFF_LINE_CONTEXT_EOFNL || line->origin == GIT_DIFF_LINE_ADD_EOFNL ||
          line->origin == GIT_DIFF_LINE_DEL_EOFNL)) {
    out.append(line->content, line->content_len);
    ++at;
  }
  return out;
}

void add_hunks(git_patch* patch, bounded_text& text) {
  for (std::size_t i = 0; i < git_patch_num_hunks(patch); ++i) {
    const git_diff_hunk* hunk = nullptr;
    std::size_t lines = 0;
    if (git_patch_get_hunk(&hunk, &lines, patch, i) != 0) return;
    if (!text.add({hunk->header, hunk->header_len})) return;
    for (std::size_t at = 0; at < lines;)
      if (!text.add(hunk_line(patch, i, lines, at))) return;
  }
}

result<void> add_file(const repository& repo, const tree_change& change, bounded_text& text) {
  REMORA_TRY(const comparison compared, compare(repo, change.from, change.to));
  const bool mode_differs = !change.from || !change.to || change.from->mode != change.to->mode;
  const bool has_hunks = compared.lines && git_patch_num_hunks(compared.lines.get()) > 0;
  // Line ends only: nothing that a reader would see.
  if (!mode_differs && !compared.binary && !has_hunks) return {};
  if (text.add(header(change, compared)) && has_hunks) add_hunks(compared.lines.get(), text);
  return {};
}

}  // namespace

result<diff_summary> diff_trees(const repository& repo, const oid& from, const oid& to,
                                bool count_lines) {
  REMORA_TRY(const std::vector<tree_change> changes, tree_changes(repo, from, to));
  diff_summary summary;
  for (const tree_change& change : changes) {
    changed_file file{change.path, status_of(change), 0, 0, false};
    if (count_lines && file.status == 'T') {  // a file and a link share no lines
      REMORA_CHECK(count(repo, change.from, std::nullopt, file));
      REMORA_CHECK(count(repo, std::nullopt, change.to, file));
    } else if (count_lines) {
      REMORA_CHECK(count(repo, change.from, change.to, file));
    }
    summary.added += file.status == 'A';
    summary.deleted += file.status == 'D';
    summary.modified += file.status == 'M' || file.status == 'T';
    summary.insertions += file.insertions;
    summary.deletions += file.deletions;
    summary.files.push_back(std::move(file));
  }
  return summary;
}

result<diff_text> diff_patch(const repository& repo, const oid& from, const oid& to,
                             std::size_t limit_bytes) {
  REMORA_TRY(const std::vector<tree_change> changes, tree_changes(repo, from, to));
  bounded_text text(limit_bytes);
  for (const tree_change& change : changes) {
    if (text.out.truncated) break;
    if (status_of(change) != 'T') {
      REMORA_CHECK(add_file(repo, change, text));
      continue;
    }
    REMORA_CHECK(add_file(repo, {change.path, change.from, std::nullopt}, text));
    REMORA_CHECK(add_file(repo, {change.path, std::nullopt, change.to}, text));
  }
  return std::move(text.out);
}

}  // namespace remora::git
