// zlib in the two ways that a pack needs it.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <string_view>

namespace remora::git {

constexpr std::uint64_t most_zlib_counts = 1 << 30;  ///< it has 32 bits for what is in and out

/// `level`: zlib's. One for many objects: what zlib allocates is more than most objects are.
class deflater {
 public:
  explicit deflater(int level = Z_BEST_SPEED) {
    if (::deflateInit(&stream_, level) != Z_OK) throw std::bad_alloc();
  }
  deflater(const deflater&) = delete;
  deflater& operator=(const deflater&) = delete;
  ~deflater() { ::deflateEnd(&stream_); }

  void begin() { ::deflateReset(&stream_); }

  /// Appends to `out` what comes of `bytes`; with `last` also what was held back.
  void add(std::string_view bytes, bool last, std::string& out) {
    do {
      const std::string_view part = bytes.substr(0, most_zlib_counts);
      bytes.remove_prefix(part.size());
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(part.data()));
      stream_.avail_in = static_cast<uInt>(part.size());
      run(last && bytes.empty() ? Z_FINISH : Z_NO_FLUSH, out);
    } while (!bytes.empty());
  }

 private:
  void run(int flush, std::string& out) {
    constexpr std::size_t least_room = 64;
    do {
      const std::size_t filled = out.size();
      const std::size_t room = ::deflateBound(&stream_, stream_.avail_in);
      out.resize(filled + std::max(room, least_room));
      stream_.next_out = reinterpret_cast<Bytef*>(out.data() + filled);
      stream_.avail_out = static_cast<uInt>(out.size() - filled);
      ::deflate(&stream_, flush);
      out.resize(out.size() - stream_.avail_out);
    } while (stream_.avail_out == 0);
  }

  z_stream stream_{};
};

/// Inflates an object of a known size; the stream comes in pieces, and the object goes in pieces.
class inflater {
 public:
  explicit inflater(std::uint64_t size) : left_(size) {
    if (::inflateInit(&stream_) != Z_OK) throw std::bad_alloc();
  }
  inflater(const inflater&) = delete;
  inflater& operator=(const inflater&) = delete;
  ~inflater() { ::inflateEnd(&stream_); }

  /// More of the stream, once `take` has given all that came of the piece before.
  void add(std::string_view bytes) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    added_ += bytes.size();
  }
  /// The number of bytes put into `room`; 0: it needs more of the stream, or no more. At the
  /// object's end it wants room for a byte more, in which it would notice a longer one.
  std::size_t take(std::span<char> room) {
    if (state_ != Z_OK) return 0;
    const auto most = std::min<std::uint64_t>(room.size(), most_zlib_counts);
    stream_.next_out = reinterpret_cast<Bytef*>(room.data());
    stream_.avail_out = static_cast<uInt>(most);
    const int state = ::inflate(&stream_, Z_NO_FLUSH);
    if (state != Z_BUF_ERROR) state_ = state;  // it could do nothing: that is no damage
    const std::uint64_t made = most - stream_.avail_out;
    if (made > left_) state_ = Z_DATA_ERROR;
    left_ -= std::min(made, left_);
    return made;
  }

  bool wants_more() const noexcept { return state_ == Z_OK; }
  /// The stream came to its end, and the object was of that size.
  bool is_whole() const noexcept { return state_ == Z_STREAM_END && left_ == 0; }
  /// How much of what was added belongs to the stream.
  std::uint64_t used() const noexcept { return added_ - stream_.avail_in; }

 private:
  z_stream stream_{};
  std::uint64_t left_, added_ = 0;
  int state_ = Z_OK;
};

}  // namespace remora::git
