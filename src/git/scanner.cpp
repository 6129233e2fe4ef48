// Directories and names. What is in files is scan_content.cpp's, what was before scan_known.cpp's.
#include "git/scanner.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <remora/core/text.hpp>
#include <remora/git/left_out.hpp>

#include "git/submodule.hpp"
#include "git/tree_watch.hpp"

namespace remora::git {
namespace {

std::string_view kind_of(mode_t m) {
  if (S_ISFIFO(m)) return "fifo";
  if (S_ISSOCK(m)) return "socket";
  return "device";
}

bool has_name(const name_list& names, std::string_view wanted) {
  std::size_t low = 0;
  for (std::size_t high = names.size(); low < high;) {
    const std::size_t middle = (low + high) / 2;
    if (names.name(middle) < wanted)
      low = middle + 1;
    else
      high = middle;
  }
  return low < names.size() && names.name(low) == wanted;
}

}  // namespace

scanner::scanner(const repository& repo, content_sink& sink, const index_view& index,
                 const scan_rules& rules, std::uint32_t number, std::stop_token stop)
    : repo_(repo),
      sink_(sink),
      index_(index),
      rules_(rules),
      number_(number),
      stop_(std::move(stop)) {}

directory_ptr scanner::base_root(const oid& tree) {
  auto root = std::make_shared<directory>();
  record r;
  r.mode = mode::directory;
  r.id = tree;
  r.in_base = true;
  root->add("", r, nullptr);
  return root;
}

result<scan_result> scanner::run(int root, const std::filesystem::path& git_dir,
                                 const directory_ptr& before) {
  struct stat st{};
  if (::fstat(root, &st) != 0) return os_error(errno, "cannot stat the worktree");
  device_ = st.st_dev;
  git_dir_ = git_dir;
  // File times are of the kernel's coarse clock: what changes from here on is not older than this.
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  started_ns_ = nanoseconds(now);

  const bool first = before->size() == 1 && before->name(0).empty();
  const bool complete = !rules_.changed || rules_.changed->has_new_rules("");
  if (complete)
    ahead_ = std::make_unique<scan_ahead>(
        root, first ? directories_in(index_) : directories_in(*before), rules_.watch);
  directory_ptr known = before;
  if (first) {
    const oid tree = before->at(0).id;
    known = std::make_shared<directory>();
    if (!tree.is_zero()) {
      REMORA_TRY(known, load_base(tree, ""));
    }
  }
  place top{level(nullptr, *rules_.ignore, root, ""), 0, false, rules_.convert.everywhere,
            complete};
  if (complete) {
    REMORA_TRY(const scan_ahead::listing seen, list(root, "", st));
    REMORA_TRY(out_.root, scan(top, seen, known));
  } else {
    REMORA_TRY(out_.root, scan_changed(top, known));
  }
  if (top.rules.unread()) return *top.rules.unread();
  if (fault_) return *fault_;
  std::sort(out_.manifest.left_out.begin(), out_.manifest.left_out.end());
  std::sort(out_.manifest.nested.begin(), out_.manifest.nested.end());
  std::sort(out_.manifest.submodules.begin(), out_.manifest.submodules.end());
  std::sort(out_.manifest.empty_directories.begin(), out_.manifest.empty_directories.end());
  std::sort(out_.manifest.converted.begin(), out_.manifest.converted.end());
  return std::move(out_);
}

/// The names in a directory, and what was seen of them already.
result<scan_ahead::listing> scanner::list(int fd, const std::string& prefix,
                                          const struct stat& st) {
  if (rules_.watch) rules_.watch->add(fd, prefix);
  if (ahead_)
    if (auto seen = ahead_->take(prefix, st)) return std::move(*seen);
  scan_ahead::listing now;
  REMORA_CHECK(now.names.read(fd));
  return now;
}

result<directory_ptr> scanner::scan(place& here, const scan_ahead::listing& seen,
                                    const directory_ptr& before) {
  const name_list& names = seen.names;
  if (stop_.stop_requested()) return fail(errc::stopped, "the snapshot was stopped");
  auto now = std::make_shared<directory>();
  const std::size_t known = before ? before->size() : 0;
  now->reserve(std::max(names.size(), known));
  here.attributes = here.attributes || has_name(names, ".gitattributes") ||
                    (before && before->find(".gitattributes"));

  std::string path = here.rules.prefix();
  const std::size_t prefix = path.size();
  for (std::size_t i = 0, j = 0; i < names.size() || j < known;) {
    const auto old = j < known ? std::optional(before->at(j)) : std::nullopt;
    const int order = !old ? -1 : i == names.size() ? 1 : names.name(i).compare(old->name);
    const std::string_view name = order <= 0 ? names.name(i) : old->name;
    path.resize(prefix);
    path.append(name);
    const unsigned char type = order <= 0 ? names.type(i) : static_cast<unsigned char>(DT_UNKNOWN);
    found at{path,         std::string_view(path).substr(prefix),
             type,         order >= 0 ? old : std::nullopt,
             before.get(), *now};
    if (order >= 0) ++j;
    if (order > 0) {
      absent(at);
      continue;
    }
    if (!seen.stats.empty() && seen.stats[i].st_mode != 0) at.seen = &seen.stats[i];
    ++i;
    REMORA_CHECK(visit(here, at));
  }
  if (rules_.keep_skipped && !index_.skipped().empty()) {
    REMORA_CHECK(visit_skipped(here, before, *now));
  }
  REMORA_CHECK(name_tree(*now, before.get()));
  return directory_ptr(std::move(now));
}

/// A sparse checkout's absent files are not deletions (W16): their entries are the index's.
result<void> scanner::visit_skipped(place& here, const directory_ptr& before, directory& now) {
  const std::string& prefix = here.rules.prefix();
  const auto& skipped = index_.skipped();
  const auto from = [&](auto first, const std::string& path) {
    return std::ranges::lower_bound(first, skipped.end(), path, {}, &index_entry::path);
  };
  directory more;
  for (auto at = from(skipped.begin(), prefix);
       at != skipped.end() && at->path.starts_with(prefix);) {
    const index_entry& e = *at++;
    const std::string_view rest = std::string_view(e.path).substr(prefix.size());
    const std::size_t slash = rest.find('/');
    const std::string path = prefix + std::string(rest.substr(0, slash));
    const std::string_view name = std::string_view(path).substr(prefix.size());
    if (slash != rest.npos) at = from(at, path + static_cast<char>('/' + 1));  // all of it is below
    if (now.find(name)) continue;
    const auto old = before ? before->find(name) : std::nullopt;
    found here_at{path, name, DT_UNKNOWN, old, before.get(), more};
    if (slash == rest.npos) {
      record r;
      r.mode = e.mode;
      r.id = e.id;
      r.in_base = old && old->in_base;
      const bool same = old && old->id == r.id;
      r.written = same ? old->written : number_;
      if (!same && repo_.exists(r.id)) sink_.adopt(r.id);
      emit(here_at, r);
    } else {
      REMORA_CHECK(enter(here, here_at, unique_fd(), {}));
    }
  }
  for (const record& r : more.records()) now.add(r.name, r, more.share_child(r));
  now.sort();
  return {};
}

result<void> scanner::visit(place& here, found& at) {
  if (at.name == ".git" && !rules_.opaque) {
    std::string above = here.rules.prefix();
    if (above.empty()) return {};  // the worktree's own
    above.pop_back();
    out_.manifest.nested.push_back({std::move(above), {}, {}, {}});
    return {};
  }
  if (rules_.opaque && at.name.ends_with(".lock")) {
    leave_out(at, "lock");
    return {};
  }
  if (at.path.size() > max_path_bytes) {
    leave_out_kept(at, "path too long");
    return {};
  }
  if (!is_known(at) && !is_safe_name(at.name, false)) {
    leave_out(at, "name refused by git");
    return {};
  }
  constexpr int tries = 3;
  for (int i = 0; i < tries; ++i) {
    REMORA_TRY(const bool done, visit_once(here, at));
    if (done) return {};
    at.type = DT_UNKNOWN;  // it became something else between two calls (W2)
  }
  leave_out_kept(at, torn);
  return {};
}

result<bool> scanner::visit_once(place& here, found& at) {
  if (at.type == DT_DIR) return visit_directory(here, at);
  struct stat st{};
  if (at.seen)
    st = *std::exchange(at.seen, nullptr);
  else if (::fstatat(here.fd(), at.c_name(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return cannot_open(at, os_error(errno, to_utf8(at.path)));
  if (S_ISDIR(st.st_mode)) return visit_directory(here, at);
  if (is_linked(st) &&
      !(at.was_there() && at.before->linked && at.before->stamp.inode == st.st_ino))
    out_.linked_anew = true;
  if (!wanted(here, at, false)) return true;
  if (S_ISREG(st.st_mode)) {
    REMORA_TRY(const bool done, visit_file(here, at, st));
    if (done && (st.st_mode & (S_ISUID | S_ISGID)) != 0) leave_out(at, special_bits);
    return done;
  }
  if (S_ISLNK(st.st_mode)) return visit_link(here, at, st);
  leave_out_kept(at, kind_of(st.st_mode));
  return true;
}

result<bool> scanner::visit_directory(place& here, found& at) {
  if (is_gitlink(at)) return visit_submodule(here, at);
  if (!wanted(here, at, true)) return true;
  if (here.depth + 1 > max_depth) {
    leave_out_kept(at, "directories nested too deeply");
    return true;
  }
  auto fd = open_directory(here.fd(), std::string(at.name));
  if (!fd) return cannot_open(at, fd.error());
  struct stat st{};
  if (::fstat(fd->get(), &st) != 0) return cannot_open(at, os_error(errno, to_utf8(at.path)));
  if (st.st_dev != device_) {
    leave_out_kept(at, "other file system");
    return true;
  }
  return enter(here, at, std::move(*fd), st);
}

/// `fd`: none where a sparse checkout has left the directory out.
result<bool> scanner::enter(place& here, found& at, unique_fd fd, const struct stat& st) {
  REMORA_TRY(const directory_ptr before, children_before(at));
  const std::string prefix = at.path + '/';
  const bool complete = here.complete || at.changed || !fd || !was_listed(at) ||
                        rules_.changed->has_new_rules(prefix);
  scan_ahead::listing seen;
  if (fd && complete) {
    auto listed = list(fd.get(), prefix, st);
    if (!listed) return cannot_open(at, listed.error());
    seen = std::move(*listed);
  }
  bool included = here.included;
  if (const auto verdict = rules_.include->match(at.path, true);
      verdict != ignore_list::verdict::none)
    included = verdict == ignore_list::verdict::ignored;
  place below{level(&here.rules, *rules_.ignore, fd.get(), prefix), here.depth + 1, included,
              here.attributes, complete};
  auto& empty = out_.manifest.empty_directories;
  const std::size_t listed_before = empty.size();
  REMORA_TRY(directory_ptr child,
             complete ? scan(below, seen, before) : scan_changed(below, before));
  if (below.rules.unread()) return *below.rules.unread();
  if (fd && child->tree.is_zero() && empty.size() == listed_before && !below.rules.is_ignored())
    empty.push_back(at.path);
  record r;
  r.mode = mode::directory;
  r.id = child->tree;
  r.written = child->written;
  r.in_base = at.before && at.before->in_base;
  emit(at, r, std::move(child));
  return true;
}

result<bool> scanner::visit_submodule(place& here, found& at) {
  const oid* in_index = index_.gitlink(at.path);
  record r;
  r.mode = mode::commit;
  r.id = in_index ? *in_index : at.before->id;
  r.in_base = at.before && at.before->in_base;
  if (const auto fd = open_directory(here.fd(), std::string(at.name))) {
    const auto state = read_submodule(repo_, git_dir_, fd->get());
    if (!state) return cannot_open(at, state.error());
    if (!state->head.is_zero()) r.id = state->head;
    if (state->has_content) out_.manifest.submodules.push_back({at.path, {}});
  } else if (is_lack(fd.error())) {
    return fd.error();
  } else {
    leave_out(at, unreadable);
  }
  emit(at, r);
  return true;
}

bool scanner::is_gitlink(const found& at) const {
  if (!index_.known()) return at.was_there() && at.before->mode == mode::commit;
  return index_.gitlink(at.path) != nullptr;
}

bool scanner::is_skipped(const std::string& path) const {
  if (!rules_.keep_skipped || index_.skipped().empty()) return false;
  const auto& skipped = index_.skipped();
  const auto at = std::ranges::lower_bound(skipped, path, {}, &index_entry::path);
  if (at != skipped.end() && path == at->path) return true;
  const std::string below = path + '/';
  const auto first = std::ranges::lower_bound(skipped, below, {}, &index_entry::path);
  return first != skipped.end() && first->path.starts_with(below);
}

/// A name that was there before and is not now.
void scanner::absent(found& at) {
  if (!at.before || !at.before->in_base || is_skipped(at.path)) return;
  if (rules_.keep_skipped && index_.may_be_sparse()) {
    leave_out_kept(at, "absent, and the index cannot be read");
    return;
  }
  record r = *at.before;
  r.gone = true;
  emit(at, r);
}

bool scanner::is_known(const found& at) const noexcept {
  return at.before && (at.before->in_base || (at.was_there() && !rules_.forget_untracked));
}

bool scanner::wanted(place& here, const found& at, bool is_directory) {
  if (rules_.opaque || is_known(at) || !here.rules.ignores(at.path, is_directory)) return true;
  if (index_.tracks(at.path, is_directory)) return true;
  const auto verdict = rules_.include->match(at.path, is_directory);
  if (verdict == ignore_list::verdict::ignored) return true;
  if (verdict == ignore_list::verdict::none && here.included) return true;
  return is_directory && rules_.include->may_match_below(at.path);
}

/// By the last scan, so that it has been watched since.
bool scanner::was_listed(const found& at) {
  const directory* below = at.below();
  return at.was_there() && !at.before->kept && below && !below->unread;
}

/// What an open or stat that failed means for the path; an error only where nothing can be read.
result<bool> scanner::cannot_open(found& at, error e) {
  if (is_lack(e)) return e;
  for (const int swapped : {ELOOP, ENOTDIR, ENXIO})
    if (e.is_errno(swapped)) return false;
  if (e.is_errno(ENOENT))
    absent(at);
  else if (e.is_errno(EACCES) || e.is_errno(EPERM))
    leave_out_kept(at, unreadable);
  else
    cannot_read(at, std::move(e));
  return true;
}

/// An error of the disk or of what stands for it may pass: the scan that meets it first fails, at
/// its end, so that the next one knows all of them.
void scanner::cannot_read(found& at, error e) {
  if (rules_.faults && rules_.faults->insert(at.path).second && !fault_)
    fault_ = within(to_utf8(at.path), std::move(e));
  leave_out_kept(at, unreadable);
}

void scanner::leave_out(const found& at, std::string_view reason) {
  out_.manifest.left_out.push_back({at.path, std::string(reason)});
}

/// Left out, and what was captured there before stays.
void scanner::leave_out_kept(found& at, std::string_view reason) {
  leave_out(at, reason);
  if (!at.was_there()) return;
  record r = *at.before;
  r.stamp = {};
  r.kept = true;
  adopt_below(r, at.below());
  emit(at, r, known_below(at));
}

void scanner::emit(found& at, const record& r, directory_ptr below) {
  if (!below && at.before && at.before->in_base) below = known_below(at);
  if (r.converted && !r.gone) out_.manifest.converted.push_back(at.path);
  at.now.add(at.name, r, std::move(below));
}

}  // namespace remora::git
