// One run has one owner: it holds a lock on `<run>/lock` for its life, and the file says who it is.
// The lock is the kernel's and goes with its holder; the text is for people, and for telling
// whether the holder lives. A holder that is stopped, and so neither works nor goes, can be
// replaced: a file of the next generation, held by us, is renamed to the lock's path. The old one
// holds a file that is nowhere any more, finds so before its next append, change of a ref or start
// of an agent, and ends (docs/journal.md).
#pragma once

#include <remora/process/survivors.hpp>
#include <remora/run/layout.hpp>
#include <string>

namespace remora::run {

/// What a lock file says.
struct lock_holder {
  std::uint64_t generation = 0;  ///< counts the owners of the run
  process::identity who;
  std::string host;
  std::string since;  ///< RFC 3339
  /// It took the run from a stopped one, which has the journal open still.
  bool journal_shared = false;

  /// `process 17 on box since 2026-11-21T17:03:59Z`.
  std::string text() const;
};

/// `unknown`: it cannot be seen from here (another machine or container), or the file says nothing.
enum class holder_life { running, stopped, unknown };

/// A look that takes nothing and keeps nobody out.
struct lock_look {
  bool held = false;
  holder_life life = holder_life::unknown;  ///< where it is held
  std::optional<lock_holder> holder;        ///< also of a dead one
};
lock_look look_at_lock(const run_layout& layout);
/// True if some process holds the run's lock.
bool is_live(const run_layout& layout);
/// Removes directories of runs whose makers died before they had a name.
void sweep_unnamed(const std::filesystem::path& runs);

class run_lock {
 public:
  /// Makes the run's directory where it is not there. Errors: errc::held, naming the holder and
  /// what to do; errno.
  static result<run_lock> take(const run_layout& layout);
  /// Takes the run from a holder that is stopped, or that is gone. What it was writing at that
  /// moment goes nowhere: the journal goes on in a file of its own. Errors: errc::held (the holder
  /// runs, or cannot be seen from here), errno.
  static result<run_lock> replace_stopped(const run_layout& layout);

  /// True while the file that we hold is still the one at its path.
  bool still_ours() const;
  /// The same as a result. Thread: any. Errors: errc::held, saying that nothing was touched.
  result<void> check() const;
  std::uint64_t generation() const noexcept { return generation_; }
  /// True for a file that was written after the lock was taken: no dead owner of the run left it.
  bool is_younger(const std::filesystem::path& file) const;

 private:
  run_lock(unique_fd fd, std::filesystem::path path, std::uint64_t generation)
      : fd_(std::move(fd)), path_(std::move(path)), generation_(generation) {}
  static result<std::optional<run_lock>> make(const run_layout& layout);
  static result<run_lock> claim(unique_fd fd, const run_layout& layout, std::uint64_t generation);
  static result<run_lock> follow(unique_fd fd, const run_layout& layout);

  unique_fd fd_;
  std::filesystem::path path_;
  std::uint64_t generation_;
};

}  // namespace remora::run
