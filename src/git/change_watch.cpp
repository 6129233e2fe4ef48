#include <remora/git/change_watch.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <mutex>
#include <remora/core/posix.hpp>
#include <unordered_map>
#include <utility>

#include "git/tree_watch.hpp"

namespace remora::git {
namespace {

/// The last two: a file that was opened for writing and mapped; and the permissions of one.
constexpr std::uint32_t changes =
    IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB;
constexpr std::size_t usual_limit = 8192;  // before Linux 5.11

/// Half of what the user may have: his editors watch as well.
std::size_t fair_share() {
  std::size_t most = usual_limit;
  if (const auto text = read_file("/proc/sys/fs/inotify/max_user_watches", 64))
    std::from_chars(text->data(), text->data() + text->size(), most);
  return most / 2;
}

}  // namespace

/// What is known of a worktree, under the lock of the one instance.
struct tree_watch::state {
  change_set changed;
  bool unknown = true;  ///< nobody has asked yet, or events were lost
  bool watched = true;  ///< false: given up
};

struct change_watch::impl {
  struct place {
    tree_watch::state* tree;
    std::string directory;
  };

  impl(unique_fd opened, std::size_t limit) : fd(std::move(opened)), most(limit) {}

  void read_events();
  void take_event(const inotify_event& e, std::string_view name);
  void forget(const tree_watch::state* tree);

  std::mutex lock;
  unique_fd fd;
  std::size_t most;
  std::unordered_map<int, place> places;
  std::set<tree_watch::state*> trees;
};

void change_watch::impl::read_events() {
  alignas(inotify_event) std::array<char, 64 << 10> room;
  for (;;) {
    const ssize_t got = ::read(fd.get(), room.data(), room.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    for (const char* at = room.data(); at < room.data() + got;) {
      const auto& e = *reinterpret_cast<const inotify_event*>(at);
      take_event(e, e.len > 0 ? std::string_view(e.name) : std::string_view());
      at += sizeof(inotify_event) + e.len;
    }
  }
}

void change_watch::impl::take_event(const inotify_event& e, std::string_view name) {
  if ((e.mask & (IN_Q_OVERFLOW | IN_UNMOUNT)) != 0)
    for (tree_watch::state* tree : trees) tree->unknown = true;
  const auto at = places.find(e.wd);
  if (at == places.end()) return;
  if ((e.mask & IN_IGNORED) != 0)
    places.erase(at);
  else if (!name.empty() && !at->second.tree->unknown)
    at->second.tree->changed.add(at->second.directory, name);
}

void change_watch::impl::forget(const tree_watch::state* tree) {
  std::erase_if(places, [&](const auto& one) {
    if (one.second.tree != tree) return false;
    ::inotify_rm_watch(fd.get(), one.first);
    return true;
  });
}

change_watch::change_watch(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
change_watch::~change_watch() = default;

result<std::shared_ptr<change_watch>> change_watch::open() {
  return open(fair_share());
}

result<std::shared_ptr<change_watch>> change_watch::open(std::size_t most) {
  unique_fd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd) return os_error(errno, "cannot watch worktrees for changes");
  return std::shared_ptr<change_watch>(
      new change_watch(std::make_unique<impl>(std::move(fd), most)));
}

tree_watch::tree_watch(std::shared_ptr<change_watch> with)
    : with_(std::move(with)), state_(std::make_unique<state>()) {
  change_watch::impl& all = with_->inside();
  const std::lock_guard held(all.lock);
  all.trees.insert(state_.get());
}

tree_watch::~tree_watch() {
  change_watch::impl& all = with_->inside();
  const std::lock_guard held(all.lock);
  all.forget(state_.get());
  all.trees.erase(state_.get());
}

void tree_watch::add(int fd, const std::string& directory) {
  change_watch::impl& all = with_->inside();
  const std::lock_guard held(all.lock);
  if (!state_->watched) return;
  // The descriptor, not the path: an agent may exchange what that leads to.
  const std::string name = fmt::format("/proc/self/fd/{}", fd);
  const int wd = all.places.size() < all.most
                     ? ::inotify_add_watch(all.fd.get(), name.c_str(), changes | IN_ONLYDIR)
                     : -1;
  if (wd < 0) {
    state_->watched = false;
    all.forget(state_.get());
    return;
  }
  // One that was moved, even here from another worktree, keeps its number.
  auto& place =
      all.places.try_emplace(wd, change_watch::impl::place{state_.get(), {}}).first->second;
  if (place.tree != state_.get()) place.tree->unknown = true;
  place = {state_.get(), directory};
}

std::optional<change_set> tree_watch::take() {
  change_watch::impl& all = with_->inside();
  const std::lock_guard held(all.lock);
  all.read_events();
  change_set changed = std::exchange(state_->changed, {});
  if (std::exchange(state_->unknown, false) || !state_->watched) return std::nullopt;
  return changed;
}

}  // namespace remora::git
