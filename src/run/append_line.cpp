#include "run/append_line.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <remora/core/posix.hpp>
#include <remora/core/text.hpp>

namespace remora::run {

result<void> append_line(const std::filesystem::path& file, std::string_view text) {
  const std::string name = to_utf8(file.string());
  // An agent may have made anything of it.
  REMORA_TRY(const unique_fd fd,
             open_file(file, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK));
  struct stat is{};
  if (::fstat(fd.get(), &is) != 0) return os_error(errno, name);
  if (!S_ISREG(is.st_mode)) return fail(errc::environment, name + " is not a regular file");
  char last = '\n';
  if (is.st_size > 0 && ::pread(fd.get(), &last, 1, is.st_size - 1) < 0)
    return os_error(errno, "cannot read " + name);
  const std::string line = fmt::format("{}{}\n", last == '\n' ? "" : "\n", text);
  const ssize_t n = ::write(fd.get(), line.data(), line.size());
  if (n < 0) return os_error(errno, "cannot write to " + name);
  if (static_cast<std::size_t>(n) != line.size())
    return os_error(ENOSPC, fmt::format("only a part of it is in {}", name));
  return {};
}

}  // namespace remora::run
