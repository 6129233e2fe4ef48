#include "checkpoint/tree_editor.hpp"

#include <algorithm>
#include <remora/core/text.hpp>

#include "checkpoint/damage.hpp"

namespace remora::checkpoint {
namespace {

constexpr std::size_t path_limit = 4096;  // bounds the depth: trees are written recursively

bool tree_can_hold(std::string_view path) {
  if (path.size() > path_limit) return false;
  const auto parts = split(path, '/');
  return std::all_of(parts.begin(), parts.end(), git::is_tree_name);
}

}  // namespace

result<tree_editor::directory*> tree_editor::open(directory& in, std::string_view name) {
  const auto [at, is_new] = in.entries.try_emplace(std::string(name));
  entry& e = at->second;
  if (is_new) {
    e.mode = git::mode::directory;
    e.opened = std::make_unique<directory>();
  }
  if (e.mode != git::mode::directory) return nullptr;
  if (e.opened) return e.opened.get();
  auto there = repo_.read_tree(e.id);
  if (!there) return damage(there.error());
  e.opened = std::make_unique<directory>();
  for (git::tree_entry& t : *there)
    e.opened->entries.emplace(std::move(t.name), entry{t.id, t.mode, nullptr});
  return e.opened.get();
}

result<bool> tree_editor::add(std::string_view path, const git::oid& id, git::mode mode) {
  if (!tree_can_hold(path)) return false;
  directory* at = &root_;
  for (std::size_t slash; (slash = path.find('/')) != path.npos; path.remove_prefix(slash + 1)) {
    REMORA_TRY(at, open(*at, path.substr(0, slash)));
    if (at == nullptr) return false;
  }
  return at->entries.emplace(std::string(path), entry{id, mode, nullptr}).second;
}

result<git::oid> tree_editor::write(const directory& d, git::object_writer& objects) {
  std::vector<git::tree_entry> entries;
  entries.reserve(d.entries.size());
  for (const auto& [name, e] : d.entries) {
    git::oid id = e.id;
    if (e.opened) {
      REMORA_TRY(id, write(*e.opened, objects));
    }
    entries.push_back({name, id, e.mode});
  }
  return objects.tree(std::move(entries));
}

result<git::oid> tree_editor::write(git::object_writer& objects) const {
  return write(root_, objects);
}

}  // namespace remora::checkpoint
