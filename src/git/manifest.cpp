#include <fmt/format.h>

#include <boost/json.hpp>
#include <charconv>
#include <remora/core/text.hpp>
#include <remora/git/manifest.hpp>

namespace remora::git {
namespace {

namespace json = boost::json;

error malformed(std::string_view what) {
  return fail(errc::corrupt, fmt::format("not as remora writes it: {}", what));
}

/// A path alone: a string, or where it is not UTF-8 an object with its exact bytes.
json::value path_value(std::string_view path) {
  if (is_utf8(path)) return json::string(path);
  json::object o;
  path_to_json(o, "path", path);
  return o;
}

result<std::string> path_of(const json::value& v) {
  std::string path;
  if (v.is_string()) path = v.get_string();
  if (v.is_object()) path = path_from_json(v.get_object(), "path");
  if (path.empty()) return malformed("a path is missing");
  return path;
}

json::array paths_to_json(const std::vector<std::string>& paths) {
  json::array list;
  for (const std::string& path : paths) list.push_back(path_value(path));
  return list;
}

/// Null where `key` is absent. Errors: errc::corrupt, not a list.
result<const json::array*> list_at(const json::object& o, std::string_view key) {
  const json::value* v = o.if_contains(key);
  if (v == nullptr) return nullptr;
  if (!v->is_array()) return malformed(fmt::format("{} is not a list", key));
  return &v->get_array();
}

result<std::vector<std::string>> paths_from_json(const json::object& o, std::string_view key) {
  REMORA_TRY(const json::array* const list, list_at(o, key));
  std::vector<std::string> paths;
  if (list == nullptr) return paths;
  for (const json::value& v : *list) {
    REMORA_TRY(std::string path, path_of(v));
    paths.push_back(std::move(path));
  }
  return paths;
}

std::string text_at(const json::object& o, std::string_view key) {
  const json::value* v = o.if_contains(key);
  return v && v->is_string() ? std::string(v->get_string()) : std::string();
}

bool flag_at(const json::object& o, std::string_view key) {
  const json::value* v = o.if_contains(key);
  return v && v->is_bool() && v->get_bool();
}

result<git::mode> mode_of(const std::string& octal) {
  std::uint32_t bits = 0;
  const auto [end, ec] = std::from_chars(octal.data(), octal.data() + octal.size(), bits, 8);
  const auto mode = static_cast<git::mode>(bits);
  if (ec != std::errc() || end != octal.data() + octal.size()) return malformed("a mode");
  switch (mode) {
    case mode::directory:
    case mode::file:
    case mode::executable:
    case mode::symlink:
    case mode::commit:
      return mode;
  }
  return malformed("a mode that git does not have");
}

json::object entry_to_json(const index_entry& e) {
  json::object o;
  path_to_json(o, "path", e.path);
  if (e.stage != 0) o["stage"] = e.stage;
  o["mode"] = fmt::format("{:06o}", static_cast<std::uint32_t>(e.mode));
  o["id"] = e.id.hex();
  if (e.intent_to_add) o["intent_to_add"] = true;
  if (e.skip_worktree) o["skip_worktree"] = true;
  if (e.assume_unchanged) o["assume_unchanged"] = true;
  return o;
}

result<index_entry> entry_from_json(const json::value& v) {
  if (!v.is_object()) return malformed("an index entry");
  const json::object& o = v.get_object();
  index_entry e;
  REMORA_TRY(e.path, path_of(v));
  if (const json::value* stage = o.if_contains("stage")) {
    if (!stage->is_int64() || stage->get_int64() < 0 || stage->get_int64() > 3)
      return malformed("a stage outside 0 to 3");
    e.stage = static_cast<int>(stage->get_int64());
  }
  REMORA_TRY(e.mode, mode_of(text_at(o, "mode")));
  REMORA_TRY(e.id, oid::parse(text_at(o, "id")));
  e.intent_to_add = flag_at(o, "intent_to_add");
  e.skip_worktree = flag_at(o, "skip_worktree");
  e.assume_unchanged = flag_at(o, "assume_unchanged");
  return e;
}

json::object nested_to_json(const nested_repository& n) {
  json::object o;
  path_to_json(o, "path", n.path);
  o["mode"] = fmt::format("{:06o}", static_cast<std::uint32_t>(n.mode));
  o["id"] = n.id.hex();
  o["empty_directories"] = paths_to_json(n.empty_directories);
  return o;
}

result<nested_repository> nested_from_json(const json::value& v) {
  if (!v.is_object()) return malformed("an entry of nested");
  const json::object& o = v.get_object();
  nested_repository n;
  REMORA_TRY(n.path, path_of(v));
  REMORA_TRY(n.mode, mode_of(text_at(o, "mode")));
  REMORA_TRY(n.id, oid::parse(text_at(o, "id")));
  REMORA_TRY(n.empty_directories, paths_from_json(o, "empty_directories"));
  if (n.mode != mode::directory && n.mode != mode::file) return malformed("a mode of nested");
  return n;
}

json::object submodule_to_json(const submodule_files& s) {
  json::object o;
  path_to_json(o, "path", s.path);
  o["files"] = s.files.hex();
  return o;
}

result<submodule_files> submodule_from_json(const json::value& v) {
  if (!v.is_object()) return malformed("an entry of submodules");
  submodule_files s;
  REMORA_TRY(s.path, path_of(v));
  REMORA_TRY(s.files, oid::parse(text_at(v.get_object(), "files")));
  return s;
}

}  // namespace

std::vector<std::string> unreadable_paths(const std::vector<omission>& left_out) {
  std::vector<std::string> paths;
  for (const omission& o : left_out)
    if (o.reason == unreadable) paths.push_back(o.path);
  return paths;
}

json::object to_json(const manifest& m) {
  json::array left_out;
  for (const omission& one : m.left_out) {
    json::object o;
    path_to_json(o, "path", one.path);
    o["reason"] = one.reason;
    left_out.push_back(std::move(o));
  }
  json::object o;
  o["left_out"] = std::move(left_out);
  json::array nested;
  for (const nested_repository& n : m.nested) nested.push_back(nested_to_json(n));
  o["nested"] = std::move(nested);
  json::array submodules;
  for (const submodule_files& s : m.submodules) submodules.push_back(submodule_to_json(s));
  o["submodules"] = std::move(submodules);
  o["empty_directories"] = paths_to_json(m.empty_directories);
  o["converted"] = paths_to_json(m.converted);
  o["head_torn"] = m.head_torn;
  return o;
}

result<manifest> manifest_from_json(const json::object& o) {
  manifest m;
  REMORA_TRY(const json::array* const left_out, list_at(o, "left_out"));
  for (std::size_t i = 0; left_out && i < left_out->size(); ++i) {
    const json::value& v = (*left_out)[i];
    if (!v.is_object()) return malformed("an entry of left_out");
    REMORA_TRY(std::string path, path_of(v));
    m.left_out.push_back({std::move(path), text_at(v.get_object(), "reason")});
  }
  REMORA_TRY(const json::array* const nested, list_at(o, "nested"));
  for (std::size_t i = 0; nested && i < nested->size(); ++i) {
    REMORA_TRY(nested_repository n, nested_from_json((*nested)[i]));
    m.nested.push_back(std::move(n));
  }
  REMORA_TRY(const json::array* const submodules, list_at(o, "submodules"));
  for (std::size_t i = 0; submodules && i < submodules->size(); ++i) {
    REMORA_TRY(submodule_files s, submodule_from_json((*submodules)[i]));
    m.submodules.push_back(std::move(s));
  }
  REMORA_TRY(m.empty_directories, paths_from_json(o, "empty_directories"));
  REMORA_TRY(m.converted, paths_from_json(o, "converted"));
  m.head_torn = flag_at(o, "head_torn");
  return m;
}

json::object to_json(const index_state& s) {
  json::object o;
  o["known"] = s.known;
  if (!s.note.empty()) o["note"] = to_utf8(s.note);
  json::array entries;
  for (const index_entry& e : s.entries) entries.push_back(entry_to_json(e));
  o["entries"] = std::move(entries);
  o["removed"] = paths_to_json(s.removed);
  return o;
}

result<index_state> index_from_json(const json::object& o) {
  index_state s;
  s.known = flag_at(o, "known");
  s.note = text_at(o, "note");
  REMORA_TRY(const json::array* const entries, list_at(o, "entries"));
  for (std::size_t i = 0; entries && i < entries->size(); ++i) {
    REMORA_TRY(index_entry e, entry_from_json((*entries)[i]));
    s.entries.push_back(std::move(e));
  }
  REMORA_TRY(s.removed, paths_from_json(o, "removed"));
  return s;
}

}  // namespace remora::git
