// What was known before a scan, the base's trees among it, and when an old name may be used again.
#include "git/scanner.hpp"

namespace remora::git {
namespace {

/// The next record from `i` on that the tree holds.
std::size_t next_entry(const directory& d, std::size_t i) {
  while (i < d.size() && !d.at(i).is_held()) ++i;
  return i;
}

bool same_entries(const directory& a, const directory& b) {
  std::size_t i = next_entry(a, 0);
  std::size_t j = next_entry(b, 0);
  while (i < a.size() && j < b.size()) {
    const record x = a.at(i), y = b.at(j);
    if (x.id != y.id || x.mode != y.mode || x.name != y.name) return false;
    i = next_entry(a, i + 1);
    j = next_entry(b, j + 1);
  }
  return i == a.size() && j == b.size();
}

}  // namespace

/// What is known of the directory that is, or in the base was, at this path.
directory_ptr scanner::known_below(const found& at) {
  if (!at.before) return nullptr;
  const record& r = *at.before;
  if (r.child != record::no_child) return at.before_in->share_child(r);
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

/// As `in_index` says, if it vouches for a file.
record scanner::base_record(const oid& id, mode m, const index_file::entry* in_index) const {
  record r;
  r.mode = m;
  r.id = id;
  r.in_base = true;
  if (!in_index || m == mode::directory || m == mode::commit) return r;
  if (const auto known = index_.stamp_of_entry(*in_index)) {
    r.stamp = *known;
    r.from_index = true;
  }
  return r;
}

/// The base's records, with stamps from the index for what it says is unchanged since checkout.
result<directory_ptr> scanner::load_base(const oid& tree, const std::string& prefix) {
  const index_file* index = index_.file();
  const index_file::directory* same = index ? index->below(prefix) : nullptr;
  if (same && same->tree == tree && repo_.exists(tree)) return load_base(*same, prefix);
  REMORA_TRY(const std::vector<tree_entry> entries, repo_.read_tree(tree));
  auto made = std::make_shared<directory>();
  made->tree = tree;
  made->reserve(entries.size());
  for (const tree_entry& e : entries) {
    auto in_index = index ? index->find(prefix + e.name) : std::nullopt;
    if (in_index && (in_index->id != e.id || in_index->mode != e.mode)) in_index.reset();
    made->add(e.name, base_record(e.id, e.mode, in_index ? &*in_index : nullptr), nullptr);
  }
  made->sort();
  return directory_ptr(std::move(made));
}

/// Where the index has just what the tree has: that need not be read.
directory_ptr scanner::load_base(const index_file::directory& here,
                                 const std::string& prefix) const {
  const index_file& index = *index_.file();
  auto made = std::make_shared<directory>();
  made->tree = here.tree;
  for (std::size_t i = here.begin; i < here.end;) {
    const std::string_view rest = index.path(i).substr(prefix.size());
    const std::size_t slash = rest.find('/');
    if (slash == rest.npos) {
      const index_file::entry e = index.at(i++);
      made->add(rest, base_record(e.id, e.mode, &e), nullptr);
      continue;
    }
    const index_file::directory& below =
        *index.below(prefix + std::string(rest.substr(0, slash + 1)));
    made->add(rest.substr(0, slash), base_record(below.tree, mode::directory, nullptr), nullptr);
    i = below.end;
  }
  made->sort();
  return made;
}

result<void> scanner::name_tree(directory& now, const directory* before) {
  for (const record& r : now.records()) {
    const directory* below = now.child(r);
    now.any_kept = now.any_kept || r.kept || (below && below->any_kept);
    now.restless = now.restless || is_untold(r) || (below && below->restless);
  }
  if (before && !before->tree.is_zero() && may_name(before->tree, before->written) &&
      same_entries(now, *before)) {
    now.tree = before->tree;
    now.written = before->written;
    now.settle(rules_.shared);
    return {};
  }
  std::vector<tree_entry> entries;
  for (const record& r : now.records())
    if (r.is_held()) entries.push_back({std::string(r.name), r.id, r.mode});
  if (!entries.empty()) {
    REMORA_TRY(now.tree, sink_.tree(std::move(entries)));
    now.written = number_;
  }
  now.settle(rules_.shared);
  return {};
}

void scanner::adopt_below(const record& r, const directory* below) {
  if (!r.id.is_zero() && r.mode != mode::commit && !may_name(r.id, r.written)) sink_.adopt(r.id);
  if (!below || r.mode != mode::directory) return;
  for (const record& inner : below->records())
    if (!inner.gone) adopt_below(inner, below->child(inner));
}

bool scanner::may_name(const oid& id, std::uint32_t written) const {
  return written == 0 || written == number_ || sink_.is_durable(id);
}

}  // namespace remora::git
