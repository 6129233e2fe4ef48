// git's index file (gitformat-index(5), versions 2 to 4), from bytes that an agent may have
// written. Ours, because libgit2 makes an allocation an entry and hashes all of the file: it takes
// longer than all else that a first snapshot does, and half of what a restore does.
#pragma once

#include <optional>
#include <remora/git/manifest.hpp>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "git/stat_cache.hpp"

namespace remora::git {

class index_file {
 public:
  struct entry {
    std::string_view path;
    oid id;
    git::mode mode{};
    int stage = 0;
    bool assume_unchanged = false;
    bool skip_worktree = false;
    bool intent_to_add = false;
    git::stamp stamp;            ///< as `truncated` makes one
    bool whole_seconds = false;  ///< of both times

    bool is_flagged() const noexcept {
      return stage != 0 || assume_unchanged || skip_worktree || intent_to_add;
    }
  };

  /// The entries below one directory, and the tree that they are.
  struct directory {
    std::size_t begin = 0, end = 0;
    oid tree;  ///< zero: of an entry that no tree holds, a conflict or an intent to add
  };

  index_file() = default;  ///< an absent index: no entries
  /// Errors: errc::corrupt; errc::unsupported for a split or sparse one, and what else git says
  /// must be understood.
  static result<index_file> parse(std::string bytes);

  /// The checksum is right, or git was told to write none (`index.skipHash`).
  bool is_intact() const;

  std::size_t size() const noexcept { return rows_.size(); }
  std::string_view path(std::size_t i) const noexcept {
    return {text().data() + rows_[i].path, rows_[i].path_size};
  }
  entry at(std::size_t i) const;
  git::mode mode_at(std::size_t i) const noexcept;
  /// As `recorded_stat` makes it.
  std::string_view stat_at(std::size_t i) const noexcept;
  /// The first that is not before `path`.
  std::size_t lower_bound(std::string_view path) const noexcept;
  /// Stage 0, or nothing.
  std::optional<entry> find(std::string_view path) const;

  /// Hashes all trees, at the first call. `prefix` is empty or ends in `/`. Null: no entries are
  /// below it.
  const directory* below(const std::string& prefix) const;
  /// Of all entries, each once and ended by `/`, in the order of the entries.
  std::vector<std::string_view> directories() const;
  /// Positions of flagged entries.
  std::span<const std::uint32_t> flagged() const noexcept { return flagged_; }

 private:
  struct row {
    std::uint32_t at = 0;  ///< of the entry, in the file
    std::uint32_t path = 0, path_size = 0;
  };

  result<std::size_t> parse_entry(std::size_t at, std::uint32_t version);
  result<void> check_order() const;
  result<void> check_extensions(std::size_t at) const;
  oid hash_directory(std::size_t& i, const std::string& prefix) const;
  const std::string& text() const noexcept { return names_.empty() ? bytes_ : names_; }

  std::string bytes_;
  std::string names_;  ///< of version 4, whose paths are cut short
  std::vector<row> rows_;
  std::vector<std::uint32_t> flagged_;
  mutable std::unordered_map<std::string, directory> directories_;
};

/// What an entry says of how its file looks, the mode among it. Of a `st` that is all zero: git
/// must read the file.
std::string recorded_stat(const struct stat& st, git::mode m);

/// An index in the making, of version 2, or 3 where an entry needs it.
class new_index {
 public:
  /// In the order of paths, and of stages. `stat`: a `recorded_stat`; empty: git must look.
  void add(const index_entry& e, std::string_view stat);
  /// The file's bytes.
  std::string finish() &&;

 private:
  std::string bytes_ = std::string(12, '\0');  ///< the head comes last
  std::uint32_t entries_ = 0;
  bool extended_ = false;
};

}  // namespace remora::git
