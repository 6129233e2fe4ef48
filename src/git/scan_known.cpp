// What was known before a scan, the base's trees among it, and when an old name may be used again.
#include "git/scanner.hpp"

namespace remora::git {
namespace {

bool in_tree(const record& r) {
  return !r.gone && !r.id.is_zero();
}

/// The next record from `i` on that the tree holds.
std::size_t next_entry(const directory& d, std::size_t i) {
  while (i < d.records.size() && !in_tree(d.records[i])) ++i;
  return i;
}

bool same_entries(const directory& a, const directory& b) {
  std::size_t i = next_entry(a, 0);
  std::size_t j = next_entry(b, 0);
  while (i < a.records.size() && j < b.records.size()) {
    const record& x = a.records[i];
    const record& y = b.records[j];
    if (x.id != y.id || x.mode != y.mode || a.name(x) != b.name(y)) return false;
    i = next_entry(a, i + 1);
    j = next_entry(b, j + 1);
  }
  return i == a.records.size() && j == b.records.size();
}

}  // namespace

/// What is known of the directory that is, or in the base was, at this path.
directory_ptr scanner::known_below(const found& at) {
  if (!at.before) return nullptr;
  const record& r = *at.before;
  if (r.child != record::no_child) return at.before_in->children[r.child];
  if (r.mode != mode::directory || r.id.is_zero()) return nullptr;
  auto stub = std::make_shared<directory>();
  stub->tree = r.id;
  stub->written = r.written;
  stub->unread = true;
  return stub;
}

result<directory_ptr> scanner::children_before(const found& at) {
  const directory_ptr known = known_below(at);
  if (known && known->unread) return load_base(known->tree, at.path + '/');
  return known;
}

/// The base's records, with stamps from the index for what it says is unchanged since checkout.
result<directory_ptr> scanner::load_base(const oid& tree, const std::string& prefix) {
  REMORA_TRY(const std::vector<tree_entry> entries, repo_.read_tree(tree));
  auto made = std::make_shared<directory>();
  made->tree = tree;
  made->records.reserve(entries.size());
  std::string path = prefix;
  for (const tree_entry& e : entries) {
    record r;
    r.mode = e.mode;
    r.id = e.id;
    r.in_base = true;
    if (e.mode != mode::directory && e.mode != mode::commit) {
      path.resize(prefix.size());
      path += e.name;
      const git_index_entry* in_index = index_.find(path);
      if (in_index && from_git(in_index->id) == e.id &&
          static_cast<git::mode>(in_index->mode) == e.mode)
        if (const auto known = index_.stamp_of_entry(*in_index)) {
          r.stamp = *known;
          r.from_index = true;
        }
    }
    made->add(e.name, r, nullptr);
  }
  made->sort();
  return directory_ptr(std::move(made));
}

result<void> scanner::name_tree(directory& now, const directory* before) {
  for (const record& r : now.records) {
    const directory* below = now.child(r);
    now.any_kept = now.any_kept || r.kept || (below && below->any_kept);
    now.restless =
        now.restless || r.kept || (r.mode == mode::commit && !r.gone) || (below && below->restless);
  }
  if (before && !before->tree.is_zero() && may_name(before->tree, before->written) &&
      same_entries(now, *before)) {
    now.tree = before->tree;
    now.written = before->written;
    return {};
  }
  std::vector<tree_entry> entries;
  for (const record& r : now.records)
    if (in_tree(r)) entries.push_back({std::string(now.name(r)), r.id, r.mode});
  if (entries.empty()) return {};
  REMORA_TRY(now.tree, sink_.tree(std::move(entries)));
  now.written = number_;
  return {};
}

void scanner::adopt_below(const record& r, const directory* below) {
  if (!r.id.is_zero() && r.mode != mode::commit && !may_name(r.id, r.written)) sink_.adopt(r.id);
  if (!below || r.mode != mode::directory) return;
  for (const record& inner : below->records)
    if (!inner.gone) adopt_below(inner, below->child(inner));
}

bool scanner::may_name(const oid& id, std::uint32_t written) const {
  return written == 0 || written == number_ || sink_.is_durable(id);
}

}  // namespace remora::git
