#include "git/index_file.hpp"

#include <fmt/format.h>
#include <git2.h>

#include <algorithm>
#include <remora/core/text.hpp>

#include "git/object_format.hpp"
#include "git/pack_format.hpp"

namespace remora::git {
namespace {

constexpr std::size_t head_bytes = 12, trailer_bytes = 20;
constexpr std::size_t stat_bytes = 40, mode_at_byte = 24, id_bytes = 20;
constexpr std::size_t flags_at = stat_bytes + id_bytes;
constexpr std::size_t path_at = flags_at + 2;  // two more where flags are extended
constexpr std::size_t most_names = std::size_t{256}
                                   << 20;     // cut short, a path can name all before it
constexpr std::size_t longest_prefix = 4096;  // a directory below it cannot be opened
constexpr std::uint16_t assume_valid = 0x8000, extended = 0x4000, stage_mask = 0x3000;
constexpr std::uint16_t skip_worktree = 0x4000, intent_to_add = 0x2000;

std::uint32_t word(std::string_view bytes, std::size_t at) {
  return read_number<std::uint32_t>(bytes, at);
}

std::int64_t time_at(std::string_view bytes, std::size_t at) {
  const auto seconds = static_cast<std::int32_t>(word(bytes, at));
  return std::int64_t{seconds} * 1'000'000'000 + word(bytes, at + 4);
}

error corrupt(std::string_view why) {
  return fail(errc::corrupt, fmt::format("the index cannot be read: {}", why));
}

std::string head_of(std::uint32_t version, std::uint32_t entries) {
  std::string head("DIRC");
  append_number(head, version);
  append_number(head, entries);
  return head;
}

/// Of version 4: how much of the path before goes (as offsets in a pack's deltas are written).
std::optional<std::size_t> read_strip(std::string_view bytes, std::size_t& at) {
  std::size_t n = 0;
  for (int i = 0; i < 5 && at < bytes.size(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    n = (n << 7) + (byte & 0x7f);
    if ((byte & 0x80) == 0) return n;
    ++n;
  }
  return std::nullopt;
}

}  // namespace

result<index_file> index_file::parse(std::string bytes) {
  index_file file;
  file.bytes_ = std::move(bytes);
  const std::string_view all = file.bytes_;
  if (all.size() < head_bytes + trailer_bytes || !all.starts_with("DIRC"))
    return corrupt("it does not begin as one");
  const std::uint32_t version = word(all, 4), count = word(all, 8);
  if (version < 2 || version > 4)
    return fail(errc::unsupported, fmt::format("the index has version {}", version));
  if (count > all.size() / path_at) return corrupt("it ends within an entry");
  file.rows_.reserve(count);
  std::size_t at = head_bytes;
  for (std::uint32_t i = 0; i < count; ++i) {
    REMORA_TRY(at, file.parse_entry(at, version));
  }
  REMORA_CHECK(file.check_extensions(at));
  REMORA_CHECK(file.check_order());
  return file;
}

/// Where the next one is.
result<std::size_t> index_file::parse_entry(std::size_t at, std::uint32_t version) {
  const std::string_view all(bytes_.data(), bytes_.size() - trailer_bytes);
  if (at + path_at + 2 > all.size()) return corrupt("it ends within an entry");
  const auto flags = read_number<std::uint16_t>(all, at + flags_at);
  const bool more = (flags & extended) != 0;
  if (more && version < 3) return corrupt("an entry has flags of a later version");
  std::size_t path = at + path_at + (more ? 2 : 0);
  row r{static_cast<std::uint32_t>(at), 0, 0};
  std::string_view kept;
  if (version == 4) {
    const std::string_view before = rows_.empty() ? "" : this->path(rows_.size() - 1);
    const auto strip = read_strip(all, path);
    if (!strip || *strip > before.size()) return corrupt("a path is cut short by too much");
    kept = before.substr(0, before.size() - *strip);
  }
  const std::size_t end = all.find('\0', path);
  if (end == all.npos) return corrupt("it ends within a path");
  if (version == 4) {
    r.path = static_cast<std::uint32_t>(names_.size());
    const std::string whole = std::string(kept).append(all.substr(path, end - path));
    if (names_.size() + whole.size() > most_names) return corrupt("its paths take too much room");
    names_ += whole;
    r.path_size = static_cast<std::uint32_t>(whole.size());
  } else {
    r.path = static_cast<std::uint32_t>(path);
    r.path_size = static_cast<std::uint32_t>(end - path);
  }
  const auto position = static_cast<std::uint32_t>(rows_.size());
  rows_.push_back(r);
  if ((flags & (assume_valid | extended | stage_mask)) != 0) flagged_.push_back(position);
  const std::size_t padded = at + ((end - at + 8) & ~std::size_t{7});
  const std::size_t next = version == 4 ? end + 1 : padded;
  if (next > all.size()) return corrupt("it ends within an entry");
  return next;
}

result<void> index_file::check_order() const {
  if (size() > 0 && path(0).empty()) return corrupt("an entry has no path");
  for (std::size_t i = 1; i < size(); ++i) {
    const int order = path(i - 1).compare(path(i));
    if (order > 0 || (order == 0 && at(i - 1).stage >= at(i).stage))
      return corrupt("its entries are out of order");
  }
  return {};
}

/// One whose name begins with a small letter changes what the entries mean.
result<void> index_file::check_extensions(std::size_t at) const {
  const std::string_view all(bytes_.data(), bytes_.size() - trailer_bytes);
  while (at < all.size()) {
    if (all.size() - at < 8) return corrupt("it ends within an extension");
    const std::string_view name = all.substr(at, 4);
    const std::size_t bytes = word(all, at + 4);
    if (bytes > all.size() - at - 8) return corrupt("it ends within an extension");
    if (name[0] < 'A' || name[0] > 'Z')
      return fail(errc::unsupported,
                  fmt::format("the index has the extension '{}', which is not understood{}",
                              printable(name),
                              name == "link"   ? " (it is split)"
                              : name == "sdir" ? " (it is sparse)"
                                               : ""));
    at += 8 + bytes;
  }
  return {};
}

std::string_view index_file::stat_at(std::size_t i) const noexcept {
  return std::string_view(bytes_).substr(rows_[i].at, stat_bytes);
}

bool index_file::is_intact() const {
  if (bytes_.empty()) return true;
  const std::string_view all = bytes_;
  const oid trailer(
      reinterpret_cast<const unsigned char*>(all.data() + all.size() - trailer_bytes));
  if (trailer.is_zero()) return true;
  sha1 sum;
  sum.add(all.substr(0, all.size() - trailer_bytes));
  return sum.finish() == trailer;
}

git::mode index_file::mode_at(std::size_t i) const noexcept {
  return static_cast<git::mode>(word(bytes_, rows_[i].at + mode_at_byte));
}

index_file::entry index_file::at(std::size_t i) const {
  const std::size_t at = rows_[i].at;
  const std::string_view all = bytes_;
  const auto flags = read_number<std::uint16_t>(all, at + flags_at);
  entry e;
  e.path = path(i);
  e.id = oid(reinterpret_cast<const unsigned char*>(all.data() + at + stat_bytes));
  e.mode = mode_at(i);
  e.stage = (flags & stage_mask) >> 12;
  e.assume_unchanged = (flags & assume_valid) != 0;
  if ((flags & extended) != 0) {
    const auto more = read_number<std::uint16_t>(all, at + path_at);
    e.skip_worktree = (more & skip_worktree) != 0;
    e.intent_to_add = (more & intent_to_add) != 0;
  }
  e.stamp = {word(all, at + 20), word(all, at + 36), time_at(all, at + 8), time_at(all, at)};
  e.whole_seconds = word(all, at + 4) == 0 && word(all, at + 12) == 0;
  return e;
}

std::size_t index_file::lower_bound(std::string_view wanted) const noexcept {
  const auto positions = std::views::iota(std::size_t{0}, size());
  const auto to_path = [this](std::size_t i) { return path(i); };
  const auto found = std::ranges::lower_bound(positions, wanted, {}, to_path);
  return static_cast<std::size_t>(found - positions.begin());
}

std::optional<index_file::entry> index_file::find(std::string_view wanted) const {
  const std::size_t i = lower_bound(wanted);
  if (i == size() || path(i) != wanted) return std::nullopt;
  const entry e = at(i);
  return e.stage == 0 ? std::optional(e) : std::nullopt;
}

const index_file::directory* index_file::below(const std::string& prefix) const {
  if (directories_.empty()) {
    std::size_t i = 0;
    hash_directory(i, "");
  }
  const auto found = directories_.find(prefix);
  return found == directories_.end() ? nullptr : &found->second;
}

std::vector<std::string_view> index_file::directories() const {
  std::vector<std::string_view> found;
  std::string_view last;  // the path before this one, whose directories are there
  for (std::size_t i = 0; i < size(); ++i) {
    const std::string_view all = path(i);
    for (std::size_t slash = all.find('/'); slash != all.npos; slash = all.find('/', slash + 1))
      if (const auto parent = all.substr(0, slash + 1); !last.starts_with(parent))
        found.push_back(parent);
    last = all;
  }
  return found;
}

/// Entries come in the order of a tree's, which sorts a directory as if its name ended in `/`.
oid index_file::hash_directory(std::size_t& i, const std::string& prefix) const {
  directory here{i, i, {}};
  bool is_tree = true;
  std::string bytes;
  while (i < size() && path(i).starts_with(prefix)) {
    const std::string_view rest = path(i).substr(prefix.size());
    const std::size_t slash = rest.find('/');
    if (prefix.size() > longest_prefix) {
      is_tree = false;
      ++i;
    } else if (slash == rest.npos) {
      const entry e = at(i++);
      is_tree = is_tree && e.stage == 0 && !e.intent_to_add;
      append_entry(bytes, e.mode, rest, e.id);
    } else {
      const oid tree = hash_directory(i, prefix + std::string(rest.substr(0, slash + 1)));
      is_tree = is_tree && !tree.is_zero();
      append_entry(bytes, mode::directory, rest.substr(0, slash), tree);
    }
  }
  here.end = i;
  if (is_tree) here.tree = hash_object(GIT_OBJECT_TREE, bytes);
  directories_.insert_or_assign(prefix, here);
  return here.tree;
}

// --- writing ---

std::string recorded_stat(const struct stat& st, git::mode m) {
  std::string bytes;
  const auto append = [&](auto number) {
    append_number(bytes, static_cast<std::uint32_t>(number));
  };
  for (const timespec& time : {st.st_ctim, st.st_mtim}) {
    append(time.tv_sec);
    append(time.tv_nsec);
  }
  append(st.st_dev);
  append(st.st_ino);
  append(m);
  append(st.st_uid);
  append(st.st_gid);
  append(st.st_size);
  return bytes;
}

void new_index::add(const index_entry& e, std::string_view stat) {
  const std::size_t at = bytes_.size();
  const bool more = e.skip_worktree || e.intent_to_add;
  constexpr std::size_t longest = 0xfff;  // a longer path's end is found by its zero byte
  auto flags = static_cast<unsigned>(std::min(e.path.size(), longest));
  flags |= static_cast<unsigned>(e.stage) << 12;
  if (e.assume_unchanged) flags |= assume_valid;
  if (more) flags |= extended;
  bytes_ += stat.empty() ? recorded_stat({}, e.mode) : stat;
  bytes_ += bytes_of(e.id);
  append_number(bytes_, static_cast<std::uint16_t>(flags));
  if (more)
    append_number(bytes_, static_cast<std::uint16_t>((e.skip_worktree ? skip_worktree : 0) |
                                                     (e.intent_to_add ? intent_to_add : 0)));
  bytes_ += e.path;
  bytes_.append(8 - (bytes_.size() - at) % 8, '\0');
  extended_ = extended_ || more;
  ++entries_;
}

std::string new_index::finish() && {
  bytes_.replace(0, head_bytes, head_of(extended_ ? 3 : 2, entries_));
  sha1 sum;
  sum.add(bytes_);
  bytes_ += git::bytes_of(sum.finish());
  return std::move(bytes_);
}

}  // namespace remora::git
