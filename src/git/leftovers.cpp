// Removing what a restored worktree has and its snapshot had not.
#include <fcntl.h>
#include <unistd.h>

#include <remora/git/left_out.hpp>

#include "git/remove_tree.hpp"
#include "git/tree_writer.hpp"

namespace remora::git {
namespace {

class cleaner {
 public:
  cleaner(const repository& repo, int root, const oid& tree, const manifest& wanted,
          restore_report& report)
      : repo_(repo), root_(root), tree_(tree), report_(report) {
    for (const omission& o : wanted.left_out) spared_.insert(o.path);
    empty_.insert(wanted.empty_directories.begin(), wanted.empty_directories.end());
  }

  void files(const std::string& prefix, const directory& now) {
    for (const record& r : now.records()) {
      const std::string path = prefix + std::string(r.name);
      const directory* below = now.child(r);
      // A subtree that is still the wanted one has no file too many.
      const bool untouched = r.in_base && r.written == 0 && !r.id.is_zero();
      if (r.gone || untouched) continue;
      if (r.mode == mode::directory) {
        if (below) files(path + '/', *below);
      } else if (!r.in_base) {
        remove(path, false);
      }
    }
  }

  /// What a scan does not capture: a FIFO, a socket, ...
  void others(const manifest& now) {
    for (const omission& o : now.left_out) {
      const bool ours = o.path.starts_with(".git/") || o.path == ".git";
      if (ours || !is_spared(o.reason)) continue;
      // It was written a moment ago; that it cannot be read now does not make it a leftover.
      if (const auto entry = repo_.find(tree_, o.path); !entry || *entry) continue;
      if (o.reason == "other file system")
        report_.not_restored.push_back(o);
      else
        remove(o.path, true);
    }
  }

  void directories(const std::vector<std::string>& found) {
    for (const std::string& path : found) upwards(path);
  }

 private:
  void remove(const std::string& path, bool whole) {
    if (spared_.contains(path)) return;
    const std::size_t slash = path.rfind('/');
    const std::string parent = slash == path.npos ? "." : path.substr(0, slash);
    const std::string name = path.substr(slash == path.npos ? 0 : slash + 1);
    const auto dir = open_beneath(root_, parent, O_RDONLY | O_DIRECTORY);
    const bool done = dir && (whole ? remove_tree(dir->get(), name).has_value()
                                    : ::unlinkat(dir->get(), name.c_str(), 0) == 0);
    if (!done) {
      report_.not_restored.push_back({path, "cannot be removed"});
      return;
    }
    ++report_.files_removed;
    if (slash != path.npos) upwards(parent);
  }

  /// Removes `path` and what is above it while they are empty and nobody wants them.
  void upwards(std::string path) {
    while (!path.empty() && !is_wanted(path)) {
      const std::size_t slash = path.rfind('/');
      const auto dir = open_beneath(root_, slash == path.npos ? "." : path.substr(0, slash),
                                    O_RDONLY | O_DIRECTORY);
      const std::string name = path.substr(slash == path.npos ? 0 : slash + 1);
      if (!dir || ::unlinkat(dir->get(), name.c_str(), AT_REMOVEDIR) != 0) return;
      path.resize(slash == path.npos ? 0 : slash);
    }
  }

  bool is_wanted(const std::string& path) const {
    if (spared_.contains(path) || empty_.contains(path)) return true;
    const auto below = empty_.lower_bound(path + '/');
    return below != empty_.end() && below->starts_with(path + '/');
  }

  const repository& repo_;
  int root_;
  const oid& tree_;
  restore_report& report_;
  path_set spared_;
  path_set empty_;
};

}  // namespace

void remove_leftovers(const repository& repo, int root, const scan_result& now, const oid& tree,
                      const manifest& wanted, restore_report& report) {
  cleaner clean(repo, root, tree, wanted, report);
  clean.files("", *now.root);
  clean.others(now.manifest);
  clean.directories(now.manifest.empty_directories);
}

}  // namespace remora::git
