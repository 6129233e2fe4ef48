#include <fmt/format.h>

#include <agent/sections.hpp>
#include <algorithm>
#include <remora/core/text.hpp>
#include <stdexcept>

namespace remora::agent {
namespace {

constexpr std::size_t longest_line = 400;
constexpr std::size_t digits = 20;  ///< of a count

std::string what_is_left_out(const section& s, std::size_t n) {
  return fmt::format("… {} {}\n", n, s.left_out);
}

}  // namespace

fence::fence(std::string word) : word_(std::move(word)) {
  if (word_.empty()) throw std::invalid_argument("a continuation needs a random word as its fence");
}

std::string fence::clean(std::string_view untrusted) const {
  std::string text = printable(untrusted);
  // The mark holds no letter: what it joins is never the word again.
  constexpr std::string_view mark = "…";
  for (std::size_t at = 0; (at = text.find(word_, at)) != text.npos; at += mark.size())
    text.replace(at, word_.size(), mark);
  return text;
}

std::string fence::around(std::string_view label, std::string_view cleaned) const {
  return fmt::format("<<<{} {}\n{}{}>>> {}\n", label, word_, cleaned,
                     cleaned.ends_with('\n') ? "" : "\n", word_);
}

std::size_t least(const section& s) {
  return s.lines.empty() && s.beyond == 0 ? 0 : what_is_left_out(s, 0).size() + digits;
}

std::string render(const section& s, const fence& f, std::size_t room) {
  if (s.lines.empty() && s.beyond == 0) return {};
  const std::string head = s.heading.empty() ? "" : s.heading + "\n";
  std::size_t whole = head.size() + f.around(s.label, "\n").size() - 1;
  const std::size_t frame = whole + least(s);
  for (const std::string& line : s.lines) whole += line.size() + 1;

  const std::size_t count = s.lines.size();
  std::size_t kept = whole <= room && s.beyond == 0 ? count : 0;
  if (kept == 0 && frame <= room) {
    std::size_t left = room - frame;
    const auto line = [&](std::size_t i) -> const std::string& {
      return s.lines[s.keep == keep::head ? i : count - 1 - i];
    };
    for (; kept < count && line(kept).size() < left; ++kept) left -= line(kept).size() + 1;
  }
  if (kept == 0) return what_is_left_out(s, count + s.beyond);
  std::string text;
  const std::size_t from = s.keep == keep::head ? 0 : count - kept;
  for (std::size_t i = from; i < from + kept; ++i) text += s.lines[i] + "\n";
  text = head + f.around(s.label, text);
  if (const std::size_t rest = count - kept + s.beyond; rest > 0) text += what_is_left_out(s, rest);
  return text;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  if (text.empty()) return lines;
  for (std::string_view line : split(text, '\n')) {
    while (line.size() > longest_line) {
      const std::string_view part = head_bytes(line, longest_line);
      lines.emplace_back(part);
      line.remove_prefix(part.size());
    }
    lines.emplace_back(line);
  }
  return lines;
}

}  // namespace remora::agent
