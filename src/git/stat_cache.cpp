#include "git/stat_cache.hpp"

#include <algorithm>
#include <numeric>

#include "git/shared_trees.hpp"

namespace remora::git {

std::string_view directory::name(std::size_t i) const noexcept {
  const listing::item& item = listing_->items[i];
  return {listing_->names.data() + item.name_offset, item.name_size};
}

record directory::at(std::size_t i) const noexcept {
  const listing::item& item = listing_->items[i];
  const state& s = states_[i];
  record r;
  r.name = name(i);
  r.stamp = s.stamp;
  r.id = item.id;
  r.mode = item.mode;
  r.child = s.child;
  r.written = s.written;
  r.in_base = s.in_base != 0;
  r.gone = s.gone != 0;
  r.racy = s.racy != 0;
  r.from_index = s.from_index != 0;
  r.converted = s.converted != 0;
  r.kept = s.kept != 0;
  r.linked = s.linked != 0;
  return r;
}

std::optional<record> directory::find(std::string_view wanted) const noexcept {
  const auto positions = std::views::iota(std::size_t{0}, size());
  const auto name_at = [this](std::size_t i) { return name(i); };
  const auto found = std::ranges::lower_bound(positions, wanted, {}, name_at);
  if (found == positions.end() || name(*found) != wanted) return std::nullopt;
  return at(*found);
}

void directory::reserve(std::size_t records) {
  listing_->items.reserve(records);
  states_.reserve(records);
}

void directory::add(std::string_view name, const record& r, directory_ptr below) {
  listing& l = *listing_;
  l.items.push_back({static_cast<std::uint32_t>(l.names.size()),
                     static_cast<std::uint32_t>(name.size()), r.mode, r.id});
  l.names.append(name);
  state s{};
  s.stamp = r.stamp;
  s.child = record::no_child;
  s.written = r.written & ((1u << 25) - 1);
  s.in_base = r.in_base;
  s.gone = r.gone;
  s.racy = r.racy;
  s.from_index = r.from_index;
  s.converted = r.converted;
  s.kept = r.kept;
  s.linked = r.linked;
  if (below) {
    s.child = static_cast<std::uint32_t>(children_.size());
    children_.push_back(std::move(below));
  }
  states_.push_back(s);
}

void directory::sort() {
  const auto before = [this](std::size_t a, std::size_t b) { return name(a) < name(b); };
  std::vector<std::size_t> order(size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (std::is_sorted(order.begin(), order.end(), before)) return;
  std::sort(order.begin(), order.end(), before);
  std::vector<listing::item> items;
  std::vector<state> states;
  for (const std::size_t i : order) {
    items.push_back(listing_->items[i]);
    states.push_back(states_[i]);
  }
  listing_->items = std::move(items);
  states_ = std::move(states);
}

void directory::settle(shared_trees* others) {
  states_.shrink_to_fit();
  children_.shrink_to_fit();
  listing_->names.shrink_to_fit();
  listing_->items.shrink_to_fit();
  if (!others || tree.is_zero()) return;
  if (std::ranges::all_of(records(), [](const record& r) { return r.is_held(); }))
    listing_ = others->of_tree(tree, std::move(listing_));
}

std::optional<record> find_record(const directory& root, std::string_view path) noexcept {
  const directory* at = &root;
  while (at) {
    const std::size_t slash = path.find('/');
    const auto r = at->find(path.substr(0, slash));
    if (!r || slash == path.npos) return r;
    at = r->gone || r->mode != mode::directory ? nullptr : at->child(*r);
    path.remove_prefix(slash + 1);
  }
  return std::nullopt;
}

}  // namespace remora::git
