#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <remora/core/text.hpp>
#include <remora/git/repository.hpp>
#include <stdexcept>

#include "git/handles.hpp"

namespace remora::git {
namespace {

/// libgit2 clears errno once it has put its text at the end of the message (`git_error_vset`), so
/// the text is all that is left of it.
int errno_of(const git_error& last) {
  if (last.klass != GIT_ERROR_OS || last.message == nullptr) return 0;
  const std::string_view message = last.message;
  constexpr int highest_errno = 133;
  for (int e = 1; e <= highest_errno; ++e)
    if (message.ends_with(fmt::format(": {}", std::strerror(e)))) return e;
  return 0;
}

void must(int code, const char* what) {
  if (code < 0) throw std::logic_error(fmt::format("libgit2 refused {}", what));
}

}  // namespace

error git_failure(int code, std::string_view doing, errc otherwise) {
  const git_error* last = git_error_last();
  const std::string text =
      last && last->message ? to_utf8(last->message) : fmt::format("libgit2 returned {}", code);
  error e = fail(otherwise, fmt::format("{}: {}", doing, text));
  if (const int number = last ? errno_of(*last) : 0; number != 0)
    e.code = {number, boost::system::generic_category()};
  git_error_clear();
  return e;
}

void initialise() {
  static std::once_flag once;
  std::call_once(once, [] {
    must(git_libgit2_init(), "to start");
    // All releases up to 1.9.7 read it when a refdb opens: it comes before every repository.
    must(git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1), "GIT_OPT_ENABLE_FSYNC_GITDIR");
    must(git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 1), "GIT_OPT_SET_OWNER_VALIDATION");
    // A cached object "exists" after another process pruned it.
    must(git_libgit2_opts(GIT_OPT_ENABLE_CACHING, 0), "GIT_OPT_ENABLE_CACHING");
    // Not GIT_OPT_SET_MWINDOW_FILE_LIMIT: all releases up to 1.9 then close a pack that another
    // thread may free meanwhile (`git_mwindow_file_register`). That we merge packs bounds them.
    // Neither changes what objects and refs are; without them 1.5.1 refuses the repository.
    std::array<const char*, 2> extensions{"worktreeconfig", "partialclone"};
    must(git_libgit2_opts(GIT_OPT_SET_EXTENSIONS, extensions.data(), extensions.size()),
         "GIT_OPT_SET_EXTENSIONS");
  });
}

}  // namespace remora::git
