#include "git/object_format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <remora/core/text.hpp>
#include <remora/git/object_writer.hpp>

#include "git/handles.hpp"

namespace remora::git {
namespace {

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

/// The name without the code points that HFS+ ignores in comparisons (`next_hfs_char` in git's
/// utf8.c).
std::string without_hfs_ignored(std::string_view name) {
  std::string kept;
  while (!name.empty()) {
    const bool general = name.starts_with("\xE2\x80") && name.size() > 2;
    const bool joiner = general && ((name[2] >= '\x8C' && name[2] <= '\x8F') ||
                                    (name[2] >= '\xAA' && name[2] <= '\xAE'));
    const bool shaping =
        name.starts_with("\xE2\x81") && name.size() > 2 && name[2] >= '\xAA' && name[2] <= '\xAF';
    if (joiner || shaping || name.starts_with("\xEF\xBB\xBF")) {
      name.remove_prefix(3);
      continue;
    }
    kept += name.front();
    name.remove_prefix(1);
  }
  return kept;
}

/// What NTFS opens as `name`: up to a stream's colon, without trailing dots and spaces.
std::string_view as_ntfs_opens(std::string_view name) {
  name = name.substr(0, name.find(':'));
  while (!name.empty() && (name.back() == '.' || name.back() == ' ')) name.remove_suffix(1);
  return name;
}

std::string sort_key(const tree_entry& entry) {
  return entry.mode == mode::directory ? entry.name + '/' : entry.name;
}

std::string format_signature(std::string_view role, const signature& who) {
  const auto clean = [](std::string text) {
    std::erase_if(text, [](char c) { return c == '<' || c == '>' || c == '\n' || c == '\0'; });
    return text;
  };
  const int offset = std::abs(who.offset_minutes);
  return fmt::format("{} {} <{}> {} {}{:02}{:02}\n", role, clean(who.name), clean(who.email),
                     who.seconds, who.offset_minutes < 0 ? '-' : '+', offset / 60, offset % 60);
}

}  // namespace

bool is_tree_name(std::string_view name) {
  if (name.empty() || name == "." || name == "..") return false;
  if (name.find('/') != name.npos || name.find('\0') != name.npos) return false;
  const std::string_view ntfs = as_ntfs_opens(name);
  return !equals_ignoring_case(ntfs, ".git") && !equals_ignoring_case(ntfs, "git~1") &&
         !equals_ignoring_case(without_hfs_ignored(name), ".git");
}

void append_entry(std::string& tree, mode m, std::string_view name, const oid& id) {
  std::array<char, 12> octal{};  // of 32 bits
  const auto [end, failed] =
      std::to_chars(octal.data(), octal.data() + octal.size(), static_cast<std::uint32_t>(m), 8);
  tree.append(octal.data(), end).push_back(' ');
  tree.append(name).push_back('\0');
  tree.append(reinterpret_cast<const char*>(id.data()), 20);
}

result<std::string> format_tree(std::vector<tree_entry> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const tree_entry& a, const tree_entry& b) { return sort_key(a) < sort_key(b); });
  std::vector<std::string_view> names;
  std::string bytes;
  for (const tree_entry& entry : entries) {
    if (!is_tree_name(entry.name))
      return fail(errc::usage,
                  fmt::format("git refuses the name '{}' in a tree", printable(entry.name)));
    names.push_back(entry.name);
    append_entry(bytes, entry.mode, entry.name, entry.id);
  }
  // A file and a directory of one name need not be neighbours in git's order.
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end())
    return fail(errc::usage, fmt::format("the name '{}' is twice in one tree", printable(*twice)));
  return bytes;
}

std::string format_commit(const oid& tree, std::span<const oid> parents, const signature& who,
                          std::string_view message) {
  std::string bytes = fmt::format("tree {}\n", tree.hex());
  for (const oid& parent : parents) bytes += fmt::format("parent {}\n", parent.hex());
  bytes += format_signature("author", who);
  bytes += format_signature("committer", who);
  bytes += '\n';
  bytes += message;
  return bytes;
}

result<oid> hash_object(std::string_view bytes, git_object_t type) {
  git_oid raw;
  if (const int code = git_odb_hash(&raw, bytes.data(), bytes.size(), type); code != 0)
    return git_failure(code, "cannot hash an object");
  return from_git(raw);
}

result<oid> hash_file(int fd) {
  git_oid raw;
  const std::string name = fmt::format("/proc/self/fd/{}", fd);
  if (const int code = git_odb_hashfile(&raw, name.c_str(), GIT_OBJECT_BLOB); code != 0)
    return git_failure(code, "cannot hash a file");
  return from_git(raw);
}

}  // namespace remora::git
