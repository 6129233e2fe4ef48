// One walk over a worktree: from what was known before, and the disk, to what is known now.
#pragma once

#include <algorithm>
#include <ctime>
#include <limits>
#include <remora/git/manifest.hpp>
#include <set>
#include <stop_token>

#include "git/careful.hpp"
#include "git/change_set.hpp"
#include "git/ignore_rules.hpp"
#include "git/index_view.hpp"
#include "git/scan_ahead.hpp"
#include "git/stat_cache.hpp"

namespace remora::git {

/// Where content goes: into the object database, or nowhere but through the hash.
class content_sink {
 public:
  virtual ~content_sink() = default;
  virtual result<oid> blob(std::string_view bytes) = 0;
  /// Errors: errc::vanished if the file is shorter than `size`; errc::unsupported if it cannot be
  /// read; all others are of where it goes to.
  virtual result<oid> blob_from(int fd, std::uint64_t size) = 0;
  virtual result<oid> tree(std::vector<tree_entry> entries) = 0;
  /// `id` is of the base, and need not be made durable.
  virtual void trust(const oid& id) = 0;
  /// An object named in an earlier scan may be named again as it is.
  virtual bool is_durable(const oid& id) const = 0;
  /// An object that is named without having been read.
  virtual void adopt(const oid& id) = 0;
  /// Of objects that were new, since the sink was made.
  virtual std::uint64_t bytes_written() const = 0;
};

/// What could make a checkout's bytes differ from the object's.
struct conversions {
  bool everywhere = false;  ///< `core.autocrlf`, or attributes from outside of the tree
  bool programs = false;    ///< a filter program other than git-lfs: the size says nothing
  /// Read once, when no agent has had the configuration yet.
  static conversions of(const repository& repo);
};

struct scan_rules {
  const shared_rules* ignore = nullptr;
  const ignore_list* include = nullptr;
  conversions convert;
  std::uint64_t max_file_bytes = 0;
  std::uint64_t max_bytes = std::numeric_limits<std::uint64_t>::max();  ///< that the sink may write
  /// False: what is larger than an eighth of what is left of them is not taken, so that one large
  /// file leaves room for many small ones.
  bool takes_all = true;
  bool forget_untracked = false;  ///< only the base counts as known: rules apply to all the rest
  bool opaque = false;  ///< a git directory: nothing is ignored, and locks are nobody's by then
  bool keep_skipped = true;  ///< entries of a sparse checkout stay, though their files are absent
  /// Paths that could not be read before, with an error that may pass. One that is not among them
  /// joins them and fails the scan; null: it is left out at once.
  std::set<std::string>* faults = nullptr;
  tree_watch* watch = nullptr;  ///< is asked to watch every directory that is listed
  /// What changed since the last scan, and its manifest; null: everything is looked at.
  const change_set* changed = nullptr;
  const git::manifest* last = nullptr;
  shared_trees* shared = nullptr;  ///< or nothing is shared

  /// Whether so many bytes more may go into `sink`.
  bool has_room(std::uint64_t bytes, const content_sink& sink) const {
    const std::uint64_t left = max_bytes - std::min(max_bytes, sink.bytes_written());
    return bytes <= (takes_all ? left : left / 8);
  }
};

struct scan_result {
  directory_ptr root;
  git::manifest manifest;
  std::uint64_t files_scanned = 0;
  std::uint64_t files_read = 0;
  bool linked_anew = false;  ///< a name was told of that may be another one of any file
};

class scanner {
 public:
  static constexpr std::size_t max_path_bytes = 4095;  ///< PATH_MAX without its zero byte
  static constexpr int max_depth = 256;                ///< each level holds a descriptor

  /// `number`: this scan's, growing, from 1. `repo` gives the base's trees and git directories of
  /// submodules.
  scanner(const repository& repo, content_sink& sink, const index_view& index,
          const scan_rules& rules, std::uint32_t number, std::stop_token stop);

  /// `root`: the worktree. `before`: the last scan's result, or `base_root`.
  /// Errors: errc::stopped, errno of the sink and of a lack of descriptors or memory; what an
  /// unreadable path that is new to `faults` gave.
  result<scan_result> run(int root, const std::filesystem::path& git_dir,
                          const directory_ptr& before);

  /// What is known before the first scan: the tree of a base, unread.
  static directory_ptr base_root(const oid& tree);

  // For the files this class is split into.
  struct place;  // a directory being scanned
  struct found;  // a name in it

 private:
  result<directory_ptr> scan(place& here, const scan_ahead::listing& seen,
                             const directory_ptr& before);
  result<scan_ahead::listing> list(int fd, const std::string& prefix, const struct stat& st);
  result<directory_ptr> scan_changed(place& here, const directory_ptr& before);
  static bool is_untold(const record& r);
  bool is_restless(const found& at, const record& r) const;
  result<void> visit_changed(place& here, found& at);
  void carry_over(const place& here, const change_set::names& looked_at);
  result<void> visit_skipped(place& here, const directory_ptr& before, directory& now);
  result<void> visit(place& here, found& at);
  result<bool> visit_once(place& here, found& at);
  result<bool> visit_directory(place& here, found& at);
  result<bool> enter(place& here, found& at, unique_fd fd, const struct stat& st);
  result<bool> visit_submodule(place& here, found& at);
  result<bool> visit_file(place& here, found& at, const struct stat& st);
  result<bool> visit_link(place& here, found& at, const struct stat& st);
  result<bool> read_file(place& here, found& at);
  result<bool> capture(int fd, found& at);
  result<std::optional<oid>> read_once(int fd, const found& at, const struct stat& st,
                                       bool last_try);
  void absent(found& at);

  bool wanted(place& here, const found& at, bool is_directory);
  bool is_gitlink(const found& at) const;
  bool is_skipped(const std::string& path) const;
  std::optional<record> still_valid(const place& here, const found& at, const struct stat& st);
  result<directory_ptr> load_base(const oid& tree, const std::string& prefix);
  directory_ptr load_base(const index_file::directory& here, const std::string& prefix) const;
  record base_record(const oid& id, mode m, const index_file::entry* in_index) const;
  result<directory_ptr> children_before(const found& at);
  static directory_ptr known_below(const found& at);
  bool is_known(const found& at) const noexcept;
  static bool was_listed(const found& at);
  result<void> name_tree(directory& now, const directory* before);

  void leave_out(const found& at, std::string_view reason);
  void leave_out_kept(found& at, std::string_view reason);
  void adopt_below(const record& r, const directory* below);
  void emit(found& at, const record& r, directory_ptr below = nullptr);
  result<bool> cannot_open(found& at, error e);
  void cannot_read(found& at, error e);
  bool is_racy(const stamp& s) const;
  /// A program that has mapped it may change it, and leave the stamp as it is.
  bool may_be_mapped(const stamp& s) const;
  bool may_name(const oid& id, std::uint32_t written) const;

  const repository& repo_;
  content_sink& sink_;
  const index_view& index_;
  scan_rules rules_;
  std::uint32_t number_;
  std::stop_token stop_;
  std::int64_t started_ns_ = 0;
  dev_t device_ = 0;
  std::filesystem::path git_dir_;
  std::string buffer_;
  std::optional<error> fault_;  ///< the first that is new
  std::unique_ptr<scan_ahead> ahead_;
  scan_result out_;
};

/// Descriptors are kept on the way down only: `max_depth` of them at most.
struct scanner::place {
  level rules;
  int depth;
  bool included;    ///< a pattern of the plan's `include` names this directory or one above
  bool attributes;  ///< a checkout may have converted files here
  bool complete;    ///< all here and below is looked at, not what changed alone

  int fd() const noexcept { return rules.fd(); }
};

struct scanner::found {
  const std::string& path;
  std::string_view name;  ///< its last component, ended by a zero byte
  unsigned char type;     ///< as `d_type`
  std::optional<record> before;
  const directory* before_in;  ///< holds `before`
  directory& now;
  bool changed = false;               ///< as `scan_rules::changed` says of the name itself
  const struct stat* seen = nullptr;  ///< since the scan began; for the first look at it

  const char* c_name() const noexcept { return name.data(); }
  bool was_there() const noexcept { return before && !before->gone; }
  const directory* below() const noexcept { return before ? before_in->child(*before) : nullptr; }
};

}  // namespace remora::git
