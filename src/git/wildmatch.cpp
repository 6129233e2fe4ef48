#include "git/wildmatch.hpp"

#include <cstddef>
#include <optional>

namespace remora::git {
namespace {

constexpr auto npos = std::string_view::npos;

/// ASCII only, in any locale; `space` is git's own: without form feed and vertical tab.
bool in_class(std::string_view name, unsigned char c, bool& known) {
  const bool lower = c >= 'a' && c <= 'z';
  const bool upper = c >= 'A' && c <= 'Z';
  const bool digit = c >= '0' && c <= '9';
  const bool graph = c > ' ' && c <= '~';
  known = true;
  if (name == "alnum") return lower || upper || digit;
  if (name == "alpha") return lower || upper;
  if (name == "blank") return c == ' ' || c == '\t';
  if (name == "cntrl") return c < ' ' || c == 0x7F;
  if (name == "digit") return digit;
  if (name == "graph") return graph;
  if (name == "lower") return lower;
  if (name == "print") return graph || c == ' ';
  if (name == "punct") return graph && !lower && !upper && !digit;
  if (name == "space") return c == ' ' || c == '\t' || c == '\n' || c == '\r';
  if (name == "upper") return upper;
  if (name == "xdigit") return digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  known = false;
  return false;
}

/// A `[…]` set whose `[` is at `at`. Moves `at` behind the `]`. Nothing: malformed, which matches
/// no text at all.
std::optional<bool> set_matches(std::string_view pattern, std::size_t& at, unsigned char c) {
  std::size_t p = at + 1;
  const auto peek = [&](std::size_t i) -> unsigned char {
    return i < pattern.size() ? static_cast<unsigned char>(pattern[i]) : 0;
  };
  const bool negated = peek(p) == '!' || peek(p) == '^';
  if (negated) ++p;
  bool matched = false;
  unsigned char previous = 0;  // the start of a range, if `-` follows
  for (bool first = true; first || peek(p) != ']'; first = false) {
    unsigned char ch = peek(p);
    if (ch == 0) return std::nullopt;
    if (ch == '-' && previous != 0 && peek(p + 1) != 0 && peek(p + 1) != ']') {
      ch = peek(++p);
      if (ch == '\\') ch = peek(++p);
      if (ch == 0) return std::nullopt;
      matched = matched || (c >= previous && c <= ch);
      previous = 0;
    } else if (ch == '[' && peek(p + 1) == ':') {
      const std::size_t name = p + 2;
      const std::size_t close = pattern.find(']', name);
      if (close == npos) return std::nullopt;
      if (close > name && pattern[close - 1] == ':') {
        bool known = false;
        matched = in_class(pattern.substr(name, close - 1 - name), c, known) || matched;
        if (!known) return std::nullopt;
        p = close;
        previous = 0;
      } else {
        matched = matched || c == '[';
        previous = '[';
      }
    } else {
      if (ch == '\\') ch = peek(++p);
      if (ch == 0) return std::nullopt;
      matched = matched || c == ch;
      previous = ch;
    }
    ++p;
  }
  at = p + 1;
  return matched != negated;
}

/// Where to go on after a star took one byte more.
struct restart {
  std::size_t pattern = npos;
  std::size_t text = 0;
  bool whole_components = false;  ///< `**/`: only at the start of a component
};

class matcher {
 public:
  matcher(std::string_view pattern, std::string_view text) : pattern_(pattern), text_(text) {}

  /// Two restarts are enough: a later `**` makes all earlier stars' choices irrelevant, and a `*`
  /// cannot leave its component, whose end is fixed by the slashes around it.
  bool run() {
    while (!broken_) {
      if (p_ == pattern_.size() && t_ == text_.size()) return true;
      if (p_ < pattern_.size() && step()) continue;
      if (!broken_ && !backtrack()) return false;
    }
    return false;
  }

 private:
  bool step() {
    if (pattern_[p_] == '*') return star();
    if (t_ == text_.size()) return false;
    const auto c = static_cast<unsigned char>(text_[t_]);
    if (pattern_[p_] == '?') {
      if (c == '/') return false;
      ++p_;
    } else if (pattern_[p_] == '[') {
      const auto matched = set_matches(pattern_, p_, c);
      broken_ = !matched;
      if (!matched || !*matched || c == '/') return false;
    } else {
      if (pattern_[p_] == '\\') ++p_;
      if (p_ == pattern_.size() || pattern_[p_] != text_[t_]) return false;
      ++p_;
    }
    ++t_;
    return true;
  }

  bool star() {
    const std::size_t first = p_;
    while (p_ < pattern_.size() && pattern_[p_] == '*') ++p_;
    const std::string_view rest = pattern_.substr(p_);
    const bool bounded = (first == 0 || pattern_[first - 1] == '/') &&
                         (rest.empty() || rest.front() == '/' || rest.starts_with("\\/"));
    if (p_ - first < 2 || !bounded) {
      one_ = {p_, t_, false};
      return true;
    }
    const bool components = !rest.empty() && rest.front() == '/';
    if (components) ++p_;
    many_ = {p_, t_, components};
    one_ = {};
    return true;
  }

  bool backtrack() {
    if (one_.pattern != npos && one_.text < text_.size() && text_[one_.text] != '/') {
      p_ = one_.pattern;
      t_ = ++one_.text;
      return true;
    }
    if (many_.pattern == npos) return false;
    one_ = {};
    do {
      if (many_.text == text_.size()) return false;
      ++many_.text;
    } while (many_.whole_components && text_[many_.text - 1] != '/');
    p_ = many_.pattern;
    t_ = many_.text;
    return true;
  }

  std::string_view pattern_;
  std::string_view text_;
  std::size_t p_ = 0;
  std::size_t t_ = 0;
  restart one_;
  restart many_;
  bool broken_ = false;
};

}  // namespace

bool wildmatch(std::string_view pattern, std::string_view text) {
  return matcher(pattern, text).run();
}

}  // namespace remora::git
