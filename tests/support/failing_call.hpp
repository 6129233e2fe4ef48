// This program's `openat`, `pread` and `unlink`, made to fail: ours take the place of the C
// library's for everything that is linked in, libgit2 too.
#pragma once

#include <string>

namespace remora::test {

/// While it lives, this thread's calls of `call` on a path with that end fail with `error`, but
/// only so many.
class failing_call {
 public:
  failing_call(std::string call, std::string path_end, int error, int times);
  failing_call(const failing_call&) = delete;
  failing_call& operator=(const failing_call&) = delete;
  ~failing_call();

  /// Sets errno, where this call is to fail.
  bool fails(const char* call, const std::string& path);
  int left() const noexcept { return times_; }

 private:
  std::string call_, path_end_;
  int error_, times_;
};

}  // namespace remora::test
