// What is ours in `objects/pack`, told by its name alone: a file's bytes may be gone after a power
// cut when its name is not.
//
// `remora-<16 hex digits>.tmp`, `….idx.tmp`: in the making, and locked (flock) while its maker
// lives. git removes only temporary files whose names begin with `tmp_`, those in use too.
//
// `pack-72656d6f7261<28 hex digits>.{pack,idx}`: ours, `remora` in hexadecimal and a random number,
// so that no two are ever of one name, and every program takes it for a pack.
//
// `….keep` beside it, while checkpoints are alive: the user's `git gc` leaves the pack alone.
//
// `….aside` in place of the pack: it is being removed, and locked; a dead remover's is put back.
#pragma once

#include <time.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <remora/core/posix.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace remora::git {

/// A file of ours in the making, locked while its maker lives. Removed with this, unless it was
/// named.
class held_file {
 public:
  /// `ending`: `.tmp`, `.idx.tmp`. Errors: errno.
  static result<held_file> make(const std::filesystem::path& directory, std::string_view ending);
  held_file(held_file&& other) noexcept;
  held_file& operator=(held_file&&) = delete;
  ~held_file();

  int fd() const noexcept { return fd_.get(); }
  const std::filesystem::path& path() const noexcept { return path_; }

  result<void> sync() const;
  /// It stays there. Errors: errno.
  result<void> name(const std::filesystem::path& to);

 private:
  held_file(unique_fd fd, std::filesystem::path path);

  unique_fd fd_;
  std::filesystem::path path_;  ///< empty: it is not to be removed
};

bool is_held_name(std::string_view file);
/// Locks a file or directory until `fd` is closed; false: somebody else has. On a file system that
/// has no locks, or none on directories, nobody is kept out.
bool take_hold(int fd);
/// True if whoever made the file is no more; where that cannot be told, he lives.
bool is_abandoned(int fd);

/// `pack-72656d6f7261…`, without an ending; never the same twice.
std::string new_pack_stem();
bool is_our_stem(std::string_view stem);

/// The endings that our packs have in a directory.
struct our_files {
  std::string stem;
  bool pack = false;
  bool index = false;
  bool keep = false;
  bool aside = false;
};

constexpr const char* aside_ending = ".aside";

/// Sorted by stem. A directory that is not there has none.
std::vector<our_files> list_our_packs(const std::filesystem::path& directory);

/// `<directory>/<stem><ending>`.
std::filesystem::path pack_path(const std::filesystem::path& directory, std::string_view stem,
                                std::string_view ending);

/// Of a pack. A git that is about to write an object and finds it in a pack does without, and gives
/// the pack that time (`freshen_packed_object` of its object-file.c). Its first time is its
/// `.keep`'s.
struct pack_times {
  timespec now{};
  timespec first{};
  bool is_relied_on() const;  ///< by somebody, at `now`
};
/// Nothing: it is not there, or has no `.keep`.
std::optional<pack_times> read_pack_times(const std::filesystem::path& directory,
                                          std::string_view stem);
bool is_same(const timespec& a, const timespec& b);
/// By the machine's clock; so is what lies ahead.
bool is_younger(const timespec& time, std::chrono::minutes than);

/// Until it is closed every pack of ours that a listing shows can be opened. Waits for whoever is
/// taking some away, which is a few calls. Where directories cannot be locked, nobody is kept out.
unique_fd keep_packs(const std::filesystem::path& directory);
/// For who takes packs away whose objects are in others: waits for all who keep them.
unique_fd take_packs(const std::filesystem::path& directory);

/// Removes what is there of one of our packs. Index first: from then on nobody looks into the pack.
/// `.keep` last: who sweeps knows by it whose the rest is. No sync: what comes back after a power
/// cut is there twice, no more. Gives when somebody last relied on it.
std::optional<timespec> remove_pack(const std::filesystem::path& directory, std::string_view stem);

}  // namespace remora::git
