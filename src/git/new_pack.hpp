// A pack in the making: objects are deflated into one file as they come, and can be read from it.
// Nobody else sees them before `publish`, which makes them durable; a pack that is not published is
// gone with this.
#pragma once

#include <git2.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <remora/core/posix.hpp>
#include <remora/git/oid.hpp>
#include <string>
#include <string_view>
#include <unordered_map>

#include "git/deflate.hpp"
#include "git/pack_files.hpp"

namespace remora::git {

/// Thread: one at a time. Cost of an object: one deflate, one write.
class new_pack {
 public:
  struct object {
    std::uint64_t offset = 0;
    std::uint64_t packed = 0;  ///< bytes in the pack, its head too
    std::uint64_t size = 0;
    std::uint32_t head = 0;
    std::uint32_t crc = 0;
    std::uint32_t depth = 0;  ///< how many others it takes to make it
    git_object_t type{};      ///< `GIT_OBJECT_REF_DELTA`: it is stored as a difference
  };

  /// `directory`: `objects/pack`. `level`: zlib's. Errors: errno.
  static result<new_pack> begin(const std::filesystem::path& directory, int level = Z_BEST_SPEED);
  /// Nothing happens if it is there. After an error the pack is as it was before.
  result<void> add(const oid& id, git_object_t type, std::string_view bytes);
  /// A blob of the first `size` bytes of `fd`, in constant memory; it stays in the pack if `wanted`
  /// says so of its id. Errors: errc::vanished (the file holds fewer), errno.
  result<oid> add_file(int fd, std::uint64_t size, const std::function<bool(const oid&)>& wanted);
  /// An object as its difference to one that is there.
  result<void> add_delta(const oid& id, const oid& base, std::string_view delta);
  /// An entry of another pack, as it is there. Errors: errc::corrupt (its bytes do not have this
  /// CRC, or it is a difference to what is not here), errc::vanished (the pack is shorter), errno.
  result<void> copy(const oid& id, int pack, std::uint64_t offset, std::uint64_t packed,
                    std::uint32_t crc);

  const object* find(const oid& id) const;
  std::size_t size() const noexcept { return objects_.size(); }
  /// Fills `into` with the bytes of an object that is stored whole; it has room for one more than
  /// `o.size`. Errors: errno, errc::corrupt.
  result<void> read(const object& o, char* into) const;

  struct published {
    std::string stem;
    std::uint64_t bytes = 0;  ///< of pack and index
  };
  /// Gives the pack its names, durably. Once. `relied_on`: when somebody's git last did without
  /// writing what is in it (`pack_times`). Errors: errno; then it may have them, or not, and
  /// nothing of it may be counted on.
  result<published> publish(const std::optional<timespec>& relied_on = {});

 private:
  struct entry;  // one that is being written

  new_pack(held_file file, std::filesystem::path directory, int level);
  result<void> write(const oid& id, std::string_view bytes, entry& e);
  result<oid> write_file(entry& e, int from, std::uint64_t size);
  void keep(const oid& id, const entry& e);
  result<void> copy_entry(entry& e, int pack, std::uint64_t offset, std::uint64_t packed);
  void cut();
  result<oid> finish();
  result<held_file> write_index(const oid& trailer) const;

  held_file file_;
  std::filesystem::path directory_;
  std::unique_ptr<deflater> deflate_;
  std::string buffer_;
  std::unordered_map<oid, object> objects_;
  std::uint64_t end_;
};

}  // namespace remora::git
