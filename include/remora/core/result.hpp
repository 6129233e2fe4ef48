// Expected failures are values. `result<T>` is a T or an `error`; an `error` is a code that
// programs act on and one sentence that a person acts on: what went wrong, where, and what to do.
// Exceptions are for bugs, allocation and cancellation only.
#pragma once

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>
#include <string>
#include <string_view>

namespace remora {

/// What a caller can act on. The front maps these to exit statuses (docs/cli.md).
enum class errc {
  usage = 1,    ///< the command line, a plan or a selector is wrong
  no_match,     ///< a selector or a name matches nothing
  ambiguous,    ///< a selector matches several
  repository,   ///< the repository is missing, broken or clashes with ours
  environment,  ///< the machine: a missing program, a directory that cannot be written
  held,         ///< another process holds the lock
  ref_moved,    ///< a compare-and-swap found another value
  foreign,      ///< a ref of ours holds something that we did not write
  corrupt,      ///< stored bytes do not check out
  too_large,    ///< over a stated limit
  timed_out,    ///< a deadline passed
  stopped,      ///< asked to stop between two steps; nothing was published
  vanished,     ///< a worktree or slot is not what it was
  unsupported,  ///< understood, and not done
  killed,       ///< a signal ended what was to do it: another try may succeed
};

const boost::system::error_category& remora_category() noexcept;
boost::system::error_code make_error_code(errc code) noexcept;

struct error {
  boost::system::error_code code;  ///< `errc`, or errno in the generic category
  std::string what;                ///< a whole sentence without a trailing period

  bool is(errc c) const noexcept { return code == make_error_code(c); }
  /// True for errno `e` (of `os_error`).
  bool is_errno(int e) const noexcept;
};

error fail(errc code, std::string what);

/// `what: <text of errno>`. Pass errno at once: any call may change it.
error os_error(int errno_value, std::string_view what);

/// `where: what` — adds the path or id once, where it is known.
error within(std::string_view where, error inner);

template <class T = void>
using result = boost::system::result<T, error>;

/// `result::value()` on an error is a bug of the caller: it throws std::logic_error.
[[noreturn]] void throw_exception_from_error(const error& e, const boost::source_location& where);

}  // namespace remora

template <>
struct boost::system::is_error_code_enum<remora::errc> : std::true_type {};

/// Binds `var` to the value of `expr`, or returns its error. One statement; not in a coroutine
/// (there `co_await` first, then test the named result).
#define REMORA_CONCAT_(a, b) a##b
#define REMORA_CONCAT(a, b) REMORA_CONCAT_(a, b)
#define REMORA_TRY_(tmp, var, expr)        \
  auto tmp = (expr);                       \
  if (!tmp) return std::move(tmp).error(); \
  var = std::move(*tmp)
#define REMORA_TRY(var, expr) REMORA_TRY_(REMORA_CONCAT(remora_try_, __LINE__), var, expr)
#define REMORA_CHECK(expr) \
  if (auto remora_checked = (expr); !remora_checked) return std::move(remora_checked).error()
