// Temporary directories and hermetic repositories for the tests of all rooms.
//
// `git` runs without the machine's and the user's configuration and with fixed names and dates, so
// a test gives the same object ids everywhere.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <remora/git/oid.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

namespace remora::test {

/// What libgit2 and child processes of this program see of the world; set before `main`.
inline const bool hermetic_environment = [] {
  ::setenv("HOME", "/nonexistent", 1);
  ::setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
  ::setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
  ::unsetenv("XDG_CONFIG_HOME");
  for (const char* name : {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"})
    ::unsetenv(name);
  return true;
}();

/// A new directory that is removed with everything in it.
class temp_dir {
 public:
  temp_dir() {
    std::string name = (std::filesystem::temp_directory_path() / "remora-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    path_ = std::filesystem::canonical(name);
  }
  temp_dir(const temp_dir&) = delete;
  temp_dir& operator=(const temp_dir&) = delete;
  ~temp_dir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::filesystem::path& below) const {
    return path_ / below;
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_bytes(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

struct shell_output {
  int status = 0;  ///< exit code, 128 + signal
  std::string out;
};

/// `/bin/sh -c command` in `cwd`; standard output is returned, standard error is dropped.
inline shell_output shell(const std::filesystem::path& cwd, const std::string& command) {
  const std::string line = "cd '" + cwd.string() + "' && { " + command + "\n} 2>/dev/null";
  FILE* pipe = ::popen(line.c_str(), "re");
  if (pipe == nullptr) throw std::runtime_error("popen");
  shell_output result;
  char chunk[4096];
  while (const std::size_t n = std::fread(chunk, 1, sizeof chunk, pipe))
    result.out.append(chunk, n);
  const int status = ::pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

/// A repository with branch `main` and nothing in it, in a temporary directory of its own.
class test_repo {
 public:
  test_repo() {
    std::filesystem::create_directories(path_);
    git("init -q -b main .");
  }

  const std::filesystem::path& path() const { return path_; }
  /// Beside the repository, for worktrees and the like; gone with it.
  std::filesystem::path beside(const std::filesystem::path& name) const { return dir_ / name; }

  /// Standard output of `git <arguments>` (a shell line) without the last newline; throws if it
  /// fails.
  std::string git(const std::string& arguments) const { return git_in(path_, arguments); }
  std::string git_in(const std::filesystem::path& cwd, const std::string& arguments) const {
    shell_output ran = try_git(cwd, arguments);
    if (ran.status != 0)
      throw std::runtime_error("git " + arguments + " exited with " + std::to_string(ran.status));
    if (ran.out.ends_with('\n')) ran.out.pop_back();
    return std::move(ran.out);
  }
  static shell_output try_git(const std::filesystem::path& cwd, const std::string& arguments) {
    return shell(cwd,
                 "GIT_AUTHOR_NAME=Ada GIT_AUTHOR_EMAIL=ada@example.org "
                 "GIT_COMMITTER_NAME=Ada GIT_COMMITTER_EMAIL=ada@example.org "
                 "GIT_AUTHOR_DATE='1700000000 +0100' GIT_COMMITTER_DATE='1700000000 +0100' "
                 "git -c gc.auto=0 -c maintenance.auto=false -c protocol.file.allow=always " +
                     arguments);
  }

  void write(const std::string& name, std::string_view bytes) const {
    write_bytes(path_ / name, bytes);
  }
  std::string read(const std::string& name) const { return read_bytes(path_ / name); }

  /// Every object gets a file of its own, so that it can be damaged. True: there was a pack. Who
  /// has the repository open may still have that too.
  bool unpack() const {
    const std::filesystem::path packs = path_ / ".git/objects/pack";
    const auto aside = beside("unpacked");
    std::filesystem::remove_all(aside);
    std::filesystem::rename(packs, aside);
    std::filesystem::create_directory(packs);
    bool any = false;
    for (const auto& entry : std::filesystem::directory_iterator(aside))
      if (entry.path().extension() == ".pack") {
        git("unpack-objects -q < '" + entry.path().string() + "'");
        any = true;
      }
    return any;
  }

  /// Everything in the checkout, committed to the current branch.
  git::oid commit(const std::string& message) const {
    git("add -A");
    git("commit -q --allow-empty -m '" + message + "'");
    return id("HEAD");
  }
  /// The object that `spec` names.
  git::oid id(const std::string& spec) const {
    auto parsed = git::oid::parse(git("rev-parse --verify '" + spec + "'"));
    if (!parsed) throw std::runtime_error("rev-parse " + spec);
    return *parsed;
  }

 private:
  temp_dir dir_;
  std::filesystem::path path_ = dir_ / "repo";
};

}  // namespace remora::test
