// Writes a tree's files into a directory, where they are not there already.
#pragma once

#include <map>
#include <optional>
#include <remora/git/restore.hpp>
#include <set>

#include "git/checkout_filter.hpp"
#include "git/handles.hpp"
#include "git/scanner.hpp"

namespace remora::git {

/// For comparing only: nothing is stored.
class hash_sink final : public content_sink {
 public:
  result<oid> blob(std::string_view bytes) override;
  result<oid> blob_from(int fd, std::uint64_t size) override;
  result<oid> tree(std::vector<tree_entry> entries) override;
  void trust(const oid&) override {}
  bool is_durable(const oid&) const override { return true; }
  void adopt(const oid&) override {}
  std::uint64_t bytes_written() const override { return 0; }
};

using path_set = std::set<std::string, std::less<>>;

struct write_request {
  oid tree;
  const git::manifest* manifest = nullptr;
  const scan_result* now = nullptr;  ///< what is there, scanned against `tree`; null: nothing is
  /// Of a sparse checkout, with their ids: absent where the tree has the very id. A file that is
  /// marked and differs was there.
  std::map<std::string, oid, std::less<>> skipped;
  oid attributes;  ///< the tree whose attributes rule conversions; zero: none
};

class tree_writer {
 public:
  tree_writer(const repository& repo, int root, const write_request& request, std::stop_token stop);

  /// Directories and files, then links. Never follows one. Errors: errc::stopped, errno of writing.
  result<restore_report> run();

 private:
  struct link {
    std::string path;
    std::string target;
  };

  result<void> directory_at(int dir, const std::string& prefix, int depth, const oid& tree,
                            const directory* now);
  result<void> entry_at(int dir, const std::string& path, int depth, const tree_entry& e,
                        const directory* now);
  result<void> subdirectory(int dir, const std::string& path, int depth, const tree_entry& e,
                            const std::optional<record>& old, const directory* below);
  result<void> submodule(int dir, const std::string& path, const std::string& name);
  result<void> put_file(int dir, const std::string& path, const tree_entry& e,
                        const std::string& bytes, bool replaces);
  result<std::string> as_checked_out(const std::string& path, const oid& blob,
                                     std::string& unfiltered);
  result<std::optional<std::string>> content(const std::string& path, const tree_entry& e);
  result<void> links();

  bool is_skipped(const std::string& path, const tree_entry& e) const;
  result<bool> all_skipped(const std::string& path, const oid& tree) const;
  bool is_there(const std::string& path, const tree_entry& e,
                const std::optional<record>& old) const;
  bool clear_directory(int dir, const std::string& path, const std::string& name,
                       const directory* below);
  void refuse(const std::string& path, std::string_view why);

  const repository& repo_;
  int root_;
  const write_request& request_;
  std::stop_token stop_;
  path_set spared_;
  path_set converted_;      ///< to be written as a checkout does
  path_set converted_now_;  ///< of what is there
  path_set filled_;         ///< submodules whose files come afterwards
  std::vector<link> links_;
  std::optional<checkout_filter> filter_;  ///< opened by the first file that needs it
  restore_report report_;
};

/// Opens the directory `path` beneath `root`, making what is missing on the way.
result<unique_fd> make_path(int root, const std::string& path);

/// After the leftovers are gone: one of them may be where a directory was.
void make_empty_directories(int root, const manifest& wanted, restore_report& report);

/// Removes what a scan against the wanted tree found besides it, and `manifest` does not list, and
/// directories that are empty then. Nothing that is ignored is in a scan.
void remove_leftovers(const repository& repo, int root, const scan_result& now, const oid& tree,
                      const manifest& wanted, restore_report& report);

}  // namespace remora::git
