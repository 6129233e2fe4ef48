#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <remora/core/ids.hpp>

namespace remora {
namespace {

constexpr std::string_view base32 = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::size_t longest_task_id = 64;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alnum(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z');
}

/// The nearest legal id, or nothing.
std::string propose(std::string_view text) {
  std::string id;
  for (char c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (!is_alnum(c) && c != '.' && c != '_') c = '-';
    const bool doubled = !id.empty() && c == id.back() && !is_alnum(c);
    if (!doubled && (is_alnum(c) || !id.empty())) id += c;
  }
  id.resize(std::min(id.size(), longest_task_id));
  while (!id.empty() && !is_alnum(id.back())) id.pop_back();
  if (id.ends_with(".lock")) id.resize(id.size() - 5);
  return id;
}

std::string_view what_is_wrong(std::string_view text) {
  if (text.empty()) return "it is empty";
  if (text.size() > longest_task_id) return "it is longer than 64 characters";
  if (!is_alnum(text.front())) return "it must begin with a-z or 0-9";
  for (char c : text)
    if (!is_alnum(c) && c != '.' && c != '_' && c != '-')
      return "only a-z, 0-9, '.', '_' and '-' are allowed";
  if (text.find("..") != text.npos) return "it must not hold '..'";
  if (text.ends_with(".")) return "it must not end in '.'";
  if (text.ends_with(".lock")) return "it must not end in '.lock'";
  return {};
}

}  // namespace

result<run_id> run_id::parse(std::string_view text) {
  const auto digits = [&](std::size_t from, std::size_t count) {
    return std::ranges::all_of(text.substr(from, count), is_digit);
  };
  const bool ok = text.size() == 20 && text[8] == '-' && text[15] == '-' && digits(0, 8) &&
                  digits(9, 6) && text.find_first_not_of(base32, 16) == text.npos;
  if (!ok)
    return fail(errc::usage, fmt::format("'{}' is not a run id (YYYYMMDD-HHMMSS-xxxx)", text));
  return run_id(std::string(text));
}

run_id run_id::make(std::chrono::system_clock::time_point now, std::uint32_t random) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  std::string id = fmt::format("{:%Y%m%d-%H%M%S}-", seconds);
  for (int i = 0; i < 4; ++i, random >>= 5) id += base32[random & 31];
  return run_id(std::move(id));
}

result<task_id> task_id::parse(std::string_view text) {
  const std::string_view wrong = what_is_wrong(text);
  if (wrong.empty()) return task_id(std::string(text));
  const std::string proposal = propose(text);
  const std::string hint = proposal.empty() ? "" : fmt::format("; use '{}'", proposal);
  return fail(errc::usage, fmt::format("'{}' is not a task id: {}{}", text, wrong, hint));
}

}  // namespace remora
