#include <fmt/format.h>

#include <remora/core/result.hpp>
#include <stdexcept>

namespace remora {
namespace {

class category final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "remora"; }
  std::string message(int code) const override {
    switch (static_cast<errc>(code)) {
      case errc::usage:
        return "usage";
      case errc::no_match:
        return "no match";
      case errc::ambiguous:
        return "ambiguous";
      case errc::repository:
        return "repository";
      case errc::environment:
        return "environment";
      case errc::held:
        return "held by another process";
      case errc::ref_moved:
        return "ref moved";
      case errc::foreign:
        return "foreign value";
      case errc::corrupt:
        return "corrupt";
      case errc::too_large:
        return "too large";
      case errc::timed_out:
        return "timed out";
      case errc::stopped:
        return "stopped";
      case errc::vanished:
        return "vanished";
      case errc::unsupported:
        return "unsupported";
      case errc::killed:
        return "killed";
    }
    return "unknown";
  }
};

}  // namespace

const boost::system::error_category& remora_category() noexcept {
  static const category instance;
  return instance;
}

boost::system::error_code make_error_code(errc code) noexcept {
  return {static_cast<int>(code), remora_category()};
}

bool error::is_errno(int e) const noexcept {
  return code.category() == boost::system::generic_category() && code.value() == e;
}

error fail(errc code, std::string what) {
  return {make_error_code(code), std::move(what)};
}

error os_error(int errno_value, std::string_view what) {
  const boost::system::error_code code(errno_value, boost::system::generic_category());
  return {code, fmt::format("{}: {}", what, code.message())};
}

error within(std::string_view where, error inner) {
  inner.what = fmt::format("{}: {}", where, inner.what);
  return inner;
}

void throw_exception_from_error(const error& e, const boost::source_location&) {
  throw std::logic_error("value() of an error: " + e.what);
}

}  // namespace remora
