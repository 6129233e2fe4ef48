// The fenced parts of a continuation, and how they are made to fit.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace remora::agent {

/// What comes from a checkpoint, made fit for a prompt: printable, and without the word that
/// closes the fence.
class fence {
 public:
  /// `word`: random. An empty one is a bug of the caller: std::invalid_argument.
  explicit fence(std::string word);

  std::string clean(std::string_view untrusted) const;
  /// `<<<label word`, the text, `>>> word`: each on lines of its own.
  std::string around(std::string_view label, std::string_view cleaned) const;
  const std::string& word() const noexcept { return word_; }

 private:
  std::string word_;
};

enum class keep { head, tail };

/// One part: a heading of ours over a fenced list of lines.
struct section {
  std::string heading = {};             ///< may be empty
  std::string_view label = {};          ///< of the fence
  std::vector<std::string> lines = {};  ///< cleaned; with none and nothing beyond it is no section
  std::size_t beyond = 0;               ///< lines that are not even listed here
  agent::keep keep = agent::keep::head;
  std::string left_out = {};  ///< after «… N »: `more lines of the diff: git diff a b`
};

/// At most `room` bytes: whole if it fits; else as many lines as do, and one that says how many do
/// not. At the least that one line.
std::string render(const section& s, const fence& f, std::size_t room);

/// What `render` takes at the least; nothing for no section.
std::size_t least(const section& s);

/// `text` as lines, none longer than 400 bytes.
std::vector<std::string> lines_of(std::string_view text);

}  // namespace remora::agent
