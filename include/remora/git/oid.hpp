// The name of a git object: 20 bytes of SHA-1.
#pragma once

#include <array>
#include <compare>
#include <cstring>
#include <functional>
#include <remora/core/result.hpp>
#include <string>
#include <string_view>

namespace remora::git {

class oid {
 public:
  oid() = default;  ///< all zero: no object
  explicit oid(const unsigned char* raw) noexcept { std::memcpy(raw_.data(), raw, raw_.size()); }
  /// 40 hexadecimal digits. Errors: errc::corrupt.
  static result<oid> parse(std::string_view hex);

  std::string hex() const;
  const unsigned char* data() const noexcept { return raw_.data(); }
  bool is_zero() const noexcept { return *this == oid(); }
  auto operator<=>(const oid&) const = default;

 private:
  std::array<unsigned char, 20> raw_{};
};

}  // namespace remora::git

template <>
struct std::hash<remora::git::oid> {
  std::size_t operator()(const remora::git::oid& id) const noexcept {
    std::size_t h;
    std::memcpy(&h, id.data(), sizeof h);
    return h;
  }
};
