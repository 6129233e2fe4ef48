// A loop, a host and a directory for attempts; and what the tests ask of a child.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <loop.hpp>
#include <memory>
#include <remora/core/posix.hpp>
#include <remora/process/host.hpp>
#include <string>
#include <vector>

#include "process/proc.hpp"

namespace remora::testing {

namespace asio = boost::asio;
namespace process = remora::process;

class world {
 public:
  explicit world(bool use_cgroups = true) {
    process::prepare_this_process();
    std::string name = (std::filesystem::temp_directory_path() / "remora-process-XXXXXX").string();
    BOOST_REQUIRE(::mkdtemp(name.data()) != nullptr);
    root = name;
    host = process::make_host(loop.get_executor(), REMORA_SHIM,
                              process::host_options{.use_cgroups = use_cgroups});
  }
  ~world() {
    run(loop, host->join());
    std::filesystem::remove_all(root);
  }
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  /// The test's agent, told `words`.
  process::spawn_spec spec(std::vector<std::string> words) {
    process::spawn_spec s;
    s.argv = std::move(words);
    s.argv.insert(s.argv.begin(), REMORA_TARGET);
    s.environment = {{"PATH", "/usr/bin:/bin"}};
    s.cwd = root;
    const std::string number = std::to_string(++attempts_);
    s.attempt_dir = root / number;
    s.name = "test-" + std::to_string(::getpid()) + "." + number;
    return s;
  }

  /// Started, or the test ends here. (Words and not a list: g++ 12 cannot compile an initializer
  /// list beside `co_await`.)
  template <class... Words>
  asio::awaitable<std::unique_ptr<process::child>> start(Words... words) {
    return start_spec(spec({std::string(words)...}));
  }

  asio::awaitable<std::unique_ptr<process::child>> start_spec(process::spawn_spec s) {
    auto child = co_await host->start(std::move(s));
    if (!child) throw std::runtime_error(child.error().what);
    co_return std::move(*child);
  }

  asio::io_context loop;
  std::filesystem::path root;
  std::unique_ptr<process::host> host;

 private:
  int attempts_ = 0;
};

/// What a child reported, up to some event.
struct story {
  std::string out;
  std::string err;
  std::optional<exit_status> exit;
  bool out_of_memory = false;
  std::optional<process::emptied> empty;
  int frozen_whole = 0;
  int frozen_partly = 0;
  int thawed = 0;
  std::vector<std::string> asked;
  std::string unheard;
};

struct add_to {
  story& s;
  void operator()(process::out_bytes& e) const { s.out += e.bytes; }
  void operator()(process::err_bytes& e) const { s.err += e.bytes; }
  void operator()(process::frozen& e) const { ++(e.whole ? s.frozen_whole : s.frozen_partly); }
  void operator()(process::thawed&) const { ++s.thawed; }
  void operator()(process::exited& e) const {
    s.exit = e.status;
    s.out_of_memory = e.out_of_memory;
  }
  void operator()(process::emptied& e) const { s.empty = e; }
  void operator()(process::asked& e) const {
    s.asked.push_back(e.request);
    e.answer("told " + e.request);
  }
  void operator()(process::unheard& e) const { s.unheard = e.why; }
};

template <class Until>
asio::awaitable<void> follow(process::child& child, story& so_far, Until until) {
  while (!until(so_far)) {
    process::child_event event = co_await child.next();
    std::visit(add_to{so_far}, event);
  }
}

inline bool has_line(const story& s) {
  return s.out.find('\n') != std::string::npos;
}
inline bool has_exited(const story& s) {
  return s.exit.has_value();
}
inline bool is_empty(const story& s) {
  return s.empty.has_value();
}

/// Follows it to its end: kills what its exit leaves.
inline asio::awaitable<void> follow_to_the_end(process::child& child, story& so_far) {
  co_await follow(child, so_far, has_exited);
  child.kill();
  co_await follow(child, so_far, is_empty);
}

inline asio::awaitable<void> kill_and_follow(process::child& child, story& so_far) {
  child.kill();
  co_await follow(child, so_far, is_empty);
}

/// Until it is told whether it was frozen.
inline asio::awaitable<void> freeze_and_follow(process::child& child, story& so_far) {
  const auto answers = [](const story& s) { return s.frozen_whole + s.frozen_partly; };
  const int before = answers(so_far);
  child.freeze();
  co_await follow(child, so_far, [=](const story& now) { return answers(now) > before; });
}

/// Its shim's pid.
inline int shim_of(const process::child& child) {
  return process::read_stat(child.who().pid)->parent;
}

/// The number of the first line.
inline int pid_in(const story& s) {
  return std::stoi(s.out);
}

inline unique_fd watch(int pid) {
  return unique_fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}
/// Within `ms`; 0: it is dead already.
inline bool is_dead(const unique_fd& pidfd, int ms = 0) {
  pollfd p{pidfd.get(), POLLIN, 0};
  return ::poll(&p, 1, ms) == 1;
}

/// For a test in which there are no descriptors: without any, UBSan finds every virtual call wrong,
/// since it looks at memory through a pipe.
#ifdef REMORA_SANITIZE
constexpr bool may_lack_descriptors = false;
#else
constexpr bool may_lack_descriptors = true;
#endif

/// While it lives, this process gets no descriptor of this number or a higher one: EMFILE.
class descriptors_below {
 public:
  explicit descriptors_below(rlim_t number) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit now = before_;
    now.rlim_cur = number;
    BOOST_REQUIRE(::setrlimit(RLIMIT_NOFILE, &now) == 0);
  }
  descriptors_below(const descriptors_below&) = delete;
  descriptors_below& operator=(const descriptors_below&) = delete;
  ~descriptors_below() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

/// The one that is given out next: none below it is free.
inline rlim_t next_descriptor() {
  const unique_fd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  BOOST_REQUIRE(fd.get() >= 0);
  return static_cast<rlim_t>(fd.get());
}

inline asio::awaitable<void> turn_the_loop() {
  const auto executor = co_await asio::this_coro::executor;
  co_await asio::post(executor, asio::use_awaitable);
}

/// With the cgroup (where one can be made) and without.
inline void each_way(asio::awaitable<void> (*body)(world&)) {
  for (const bool use_cgroups : {true, false}) {
    BOOST_TEST_CONTEXT((use_cgroups ? "with cgroups" : "without cgroups")) {
      world w(use_cgroups);
      run(w.loop, body(w));
    }
  }
}

}  // namespace remora::testing
