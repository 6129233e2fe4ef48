#include "git/merge_packs.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>

#include "git/handles.hpp"
#include "git/look_twice.hpp"
#include "git/pack_delta.hpp"
#include "git/transfer.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;

constexpr unsigned longest_chain = 15;
constexpr std::uint64_t most_in_memory = 1 << 20;  // larger ones are copied as they are

struct loaded {
  git_object_t type{};
  std::string bytes;
};

/// Whose hash is right. Nothing: it is copied as it is, which tells why.
std::optional<loaded> load(const repository& repo, const oid& id) {
  odb_object_handle object;
  if (read_object(repo, id, object) != 0) {
    git_error_clear();
    return std::nullopt;
  }
  return loaded{git_odb_object_type(object.get()), std::string(bytes_of(object))};
}

/// Entries of a tree.
class names {
 public:
  explicit names(const std::vector<tree_entry>& of) {
    for (const tree_entry& e : of) entries_.emplace(e.name, &e);
  }
  const tree_entry* find(const tree_entry& with_the_name) const {
    const auto found = entries_.find(with_the_name.name);
    return found == entries_.end() ? nullptr : found->second;
  }
  bool operator()(const tree_entry& e) const { return find(e) != nullptr; }

 private:
  std::unordered_map<std::string_view, const tree_entry*> entries_;
};

bool is_small(const entry_start& start) {
  return !start.base && start.size <= most_in_memory;
}

}  // namespace

bool is_damage(const error& e) {
  return e.is(errc::corrupt) || e.is(errc::vanished);
}

result<std::vector<pack_entry>> list_entries(const fs::path& directory, std::string_view stem) {
  REMORA_TRY(const indexed_pack indexed, read_pack_index(pack_path(directory, stem, ".idx")));
  const fs::path path = pack_path(directory, stem, ".pack");
  std::error_code ec;
  const std::uint64_t bytes = fs::file_size(path, ec);
  if (ec == std::errc::no_such_file_or_directory) return os_error(ENOENT, path.string());
  if (ec || bytes < pack_trailer_bytes) return fail(errc::corrupt, path.string() + " is cut");
  std::vector<pack_entry> entries;
  entries.reserve(indexed.objects.size());
  for (std::size_t i = 0; i < indexed.objects.size(); ++i) {
    const packed_object& o = indexed.objects[i];
    const bool last = i + 1 == indexed.objects.size();
    const std::uint64_t end = last ? bytes - pack_trailer_bytes : indexed.objects[i + 1].offset;
    if (end <= o.offset) return fail(errc::corrupt, path.string() + " is damaged");
    entries.push_back({o.id, o.offset, end - o.offset, o.crc});
  }
  return entries;
}

result<pack_merger> pack_merger::begin(const repository& repo) {
  const fs::path directory = repo.common_dir() / "objects" / "pack";
  REMORA_TRY(new_pack into, new_pack::begin(directory, Z_DEFAULT_COMPRESSION));
  return pack_merger(repo, std::move(into));
}

result<void> pack_merger::add(const fs::path& directory, std::string stem,
                              std::vector<pack_entry> entries) {
  REMORA_TRY(unique_fd pack, open_file(pack_path(directory, stem, ".pack"), O_RDONLY));
  sources_.push_back({std::move(stem), std::move(pack), std::move(entries)});
  return {};
}

std::optional<pack_merger::item> pack_merger::read_item(std::uint32_t number,
                                                        std::uint32_t entry) const {
  const source& from = sources_[number];
  const pack_entry& e = from.entries[entry];
  std::array<char, most_entry_head + 2> bytes;  // and the first two of zlib's stream
  const auto want = std::min<std::uint64_t>(bytes.size(), e.packed);
  const auto got = read_at(from.pack.get(), std::span(bytes).first(want), e.offset);
  const auto start = got ? read_entry_head({bytes.data(), *got}) : std::nullopt;
  if (!start || start->bytes + 2 > *got) return std::nullopt;
  // The level of RFC 1950 is 0 where it was the fastest.
  const bool fast = static_cast<unsigned char>(bytes[start->bytes + 1]) >> 6 == 0;
  return item{number, entry, *start, fast};
}

result<void> pack_merger::run(const std::stop_token& stop) {
  for_each_entry([this](std::uint32_t number, std::uint32_t entry) {
    if (const auto found = read_item(number, entry))
      items_.try_emplace(id_at(number, entry), *found);
  });
  find_versions();
  result<void> done;
  for_each_entry([&](std::uint32_t number, std::uint32_t entry) {
    const oid& id = id_at(number, entry);
    if (!done || into_.find(id)) return;
    if (stop.stop_requested()) {
      done = fail(errc::stopped, "asked to stop while packs were merged");
      return;
    }
    if (!items_.contains(id))  // a copy before this one was damaged
      if (const auto found = read_item(number, entry)) items_.emplace(id, *found);
    done = put(id);
    if (!into_.find(id)) sources_[number].sound = false;
  });
  return done;
}

std::vector<std::string> pack_merger::merged() const {
  std::vector<std::string> stems;
  for (const source& s : sources_)
    if (s.sound) stems.push_back(s.stem);
  return stems;
}

// --- versions ---

/// By the commits that are there with their parents: an object, and what has its path in the next
/// tree.
void pack_merger::find_versions() {
  std::vector<version> all;
  std::unordered_map<oid, commit_info> commits;
  std::unordered_set<oid> has_next;
  for_each_entry([&](std::uint32_t number, std::uint32_t entry) {
    const auto found = items_.find(id_at(number, entry));
    if (found == items_.end() || found->second.start.type != GIT_OBJECT_COMMIT) return;
    if (commits.contains(found->first)) return;
    if (auto commit = repo_.read_commit(found->first))
      commits.emplace(found->first, std::move(*commit));
  });
  for (const auto& [id, commit] : commits)
    for (const oid& parent : commit.parents) {
      const auto before = commits.find(parent);
      if (before == commits.end() || !are_alike(before->second.tree, commit.tree)) continue;
      all.push_back({before->second.tree, commit.tree});
      has_next.insert(parent);
    }
  for (const auto& [id, commit] : commits)
    if (!has_next.contains(id)) keep_whole(commit.tree);
  for (const version& v : all) pair_trees(v.tree, v.next_tree);
}

/// With all below it that is here: what is not was not changed by any of these commits.
void pack_merger::keep_whole(const oid& tree) {
  if (!items_.contains(tree) || !last_.insert(tree).second) return;
  const auto entries = repo_.read_tree(tree);
  if (!entries) return;
  for (const tree_entry& e : *entries)
    if (e.mode == mode::directory)
      keep_whole(e.id);
    else if (items_.contains(e.id))
      last_.insert(e.id);
}

/// One may be the other's parent for reasons of its own, as a mind and its files.
bool pack_merger::are_alike(const oid& older, const oid& newer) const {
  if (older == newer) return true;
  const auto of_older = repo_.read_tree(older), of_newer = repo_.read_tree(newer);
  if (!of_older || !of_newer) return false;
  const names before(*of_older);
  return 2 * std::ranges::count_if(*of_newer, before) >= std::ssize(*of_newer);
}

bool pack_merger::may_differ(const oid& older, const oid& newer) const {
  const auto was = items_.find(older), is = items_.find(newer);
  return was != items_.end() && is != items_.end() && older != newer &&
         is_small(was->second.start) && is->second.start.size <= most_in_memory &&
         !last_.contains(older) && !last_.contains(newer);
}

/// Where the older one is a difference already, so is what is below it.
void pack_merger::pair_trees(const oid& older, const oid& newer) {
  const auto found = items_.find(older);
  if (found == items_.end() || found->second.start.base || older == newer) return;
  if (!paired_.insert(older).second) return;
  const auto of_older = repo_.read_tree(older), of_newer = repo_.read_tree(newer);
  if (!of_older || !of_newer) return;
  if (may_differ(older, newer)) newer_.emplace(older, newer);
  const names before(*of_older);
  for (const tree_entry& now : *of_newer) {
    const tree_entry* was = before.find(now);
    const bool is_tree = now.mode == mode::directory;
    if (!was || is_tree != (was->mode == mode::directory)) continue;
    if (is_tree)
      pair_trees(was->id, now.id);
    else if (may_differ(was->id, now.id))
      newer_.emplace(was->id, now.id);
  }
}

// --- writing ---

const oid* pack_merger::base_of(const oid& id, const item& of) const {
  if (last_.contains(id)) return nullptr;
  if (of.start.base) return &*of.start.base;
  const auto found = newer_.find(id);
  return found == newer_.end() ? nullptr : &found->second;
}

/// What others are stored as differences to comes first. Where two are versions of each other, the
/// one that was asked for is whole.
result<void> pack_merger::put(const oid& wanted) {
  std::vector<oid> waiting{wanted};
  while (!waiting.empty()) {
    const oid id = waiting.back();
    const auto found = items_.find(id);
    if (found != items_.end() && !into_.find(id)) {
      const oid* base = base_of(id, found->second);
      if (base && !into_.find(*base) && begun_.insert(id).second) {
        waiting.push_back(*base);
        continue;
      }
      REMORA_CHECK(put_one(id, found->second));
    }
    waiting.pop_back();
  }
  return {};
}

result<void> pack_merger::put_one(const oid& id, const item& i) {
  const oid* base = base_of(id, i);
  const new_pack::object* at = base ? into_.find(*base) : nullptr;
  const bool near = at && at->depth < longest_chain;
  if (near && !i.start.base) {
    REMORA_TRY(const bool done, put_difference(id, *base));
    if (done) return {};
  }
  if (i.start.base ? !near : i.fast && is_small(i.start)) {
    if (const auto object = load(repo_, id)) return into_.add(id, object->type, object->bytes);
  }
  const source& from = sources_[i.source];
  const pack_entry& e = from.entries[i.entry];
  auto copied = into_.copy(id, from.pack.get(), e.offset, e.packed, e.crc);
  if (copied || !is_damage(copied.error())) return copied;
  items_.erase(id);
  return {};
}

/// False: it is none, or saves too little, as git sees it.
result<bool> pack_merger::put_difference(const oid& id, const oid& base) {
  const auto older = load(repo_, id), newer = load(repo_, base);
  if (!older || !newer || older->type != newer->type) return false;
  const std::string delta = make_delta(newer->bytes, older->bytes);
  if (delta.size() + sizeof(git_oid) >= older->bytes.size() / 2) return false;
  if (apply_delta(newer->bytes, delta) != older->bytes) return false;
  REMORA_CHECK(into_.add_delta(id, base, delta));
  return true;
}

}  // namespace remora::git
