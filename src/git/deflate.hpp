// zlib in the two ways that a pack needs it.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>

namespace remora::git {

constexpr std::uint64_t most_zlib_counts = 1 << 30;  ///< it has 32 bits for what is in and out

/// At the fastest level. One for many objects: what zlib allocates is more than most objects are.
class deflater {
 public:
  deflater() {
    if (::deflateInit(&stream_, Z_BEST_SPEED) != Z_OK) throw std::bad_alloc();
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

class inflater {
 public:
  /// `into`: room for `size` bytes and one more, which zlib wants at the end of a stream.
  inflater(char* into, std::uint64_t size) : into_(into), size_(size) {
    if (::inflateInit(&stream_) != Z_OK) throw std::bad_alloc();
  }
  inflater(const inflater&) = delete;
  inflater& operator=(const inflater&) = delete;
  ~inflater() { ::inflateEnd(&stream_); }

  void add(std::string_view bytes) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    while (state_ == Z_OK) {
      const auto room = std::min(size_ + 1 - filled_, most_zlib_counts);
      stream_.next_out = reinterpret_cast<Bytef*>(into_ + filled_);
      stream_.avail_out = static_cast<uInt>(room);
      state_ = ::inflate(&stream_, Z_NO_FLUSH);
      filled_ += room - stream_.avail_out;
      if (state_ == Z_OK && stream_.avail_in == 0 && stream_.avail_out > 0) break;
    }
  }

  /// The stream came to its end, and was of that size.
  bool is_whole() const noexcept { return state_ == Z_STREAM_END && filled_ == size_; }

 private:
  z_stream stream_{};
  char* into_;
  std::uint64_t size_;
  std::uint64_t filled_ = 0;
  int state_ = Z_OK;
};

}  // namespace remora::git
