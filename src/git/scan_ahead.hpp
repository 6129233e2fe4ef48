// Looks at directories before a walk comes to them, on threads of its own: the walk's time is
// mostly that of the calls which list and stat.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "git/careful.hpp"
#include "git/index_view.hpp"

namespace remora::git {

class tree_watch;

/// All below `known` that were read.
std::vector<std::string> directories_in(const directory& known);
/// All that hold what the index tracks.
std::vector<std::string> directories_in(const index_view& index);

class scan_ahead {
 public:
  struct listing {
    dev_t device = 0;
    ino_t inode = 0;
    name_list names;
    std::vector<struct stat> stats;  ///< of the names; no mode: of a directory, or it failed
  };

  /// Goes through `directories` (below `root`, in the order of a walk) from the last one on, so
  /// that it and the walk meet. `watch` (or null) is asked to watch each before it is listed.
  /// Nothing starts where there are few, or one processor.
  scan_ahead(int root, std::vector<std::string> directories, tree_watch* watch);
  scan_ahead(const scan_ahead&) = delete;
  scan_ahead& operator=(const scan_ahead&) = delete;
  ~scan_ahead();  ///< waits for the directory that each is at

  /// What was seen of a directory since this was made. Nothing: the caller is to look himself.
  /// `st`: of the directory that the caller has opened.
  std::optional<listing> take(const std::string& prefix, const struct stat& st);

 private:
  enum class state { untouched, in_work, seen, given };
  struct place {
    std::string path;
    std::atomic<state> at{state::untouched};
    std::optional<listing> found;
  };

  void work();
  std::optional<listing> look(const std::string& path) const;

  int root_;
  tree_watch* watch_;
  std::vector<std::unique_ptr<place>> places_;
  std::unordered_map<std::string, place*> by_prefix_;
  std::atomic<std::size_t> left_{0};  ///< places that nobody has begun with, from the first on
  std::vector<std::jthread> threads_;
};

}  // namespace remora::git
