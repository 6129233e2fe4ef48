#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <remora/core/posix.hpp>
#include <thread>

namespace remora {
namespace {

/// A signal every millisecond, without a restart of what it meets.
class interruptions {
 public:
  interruptions() {
    struct sigaction action{};
    action.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &action, &old_);
    tell({0, 1000});
  }
  ~interruptions() {
    tell({0, 0});
    ::sigaction(SIGALRM, &old_, nullptr);
  }

 private:
  static void tell(timeval every) {
    const itimerval timer{every, every};
    ::setitimer(ITIMER_REAL, &timer, nullptr);
  }
  struct sigaction old_{};
};

BOOST_AUTO_TEST_SUITE(posix)

// A pipe takes what fits, and a signal ends the wait for more: then a write is short.
BOOST_AUTO_TEST_CASE(F9_interrupted_and_short_writes_lose_nothing) {
  int ends[2];
  BOOST_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const unique_fd in(ends[0]);
  unique_fd out(ends[1]);
  std::string bytes(8 << 20, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31 >> 3);
  result<std::string> got = std::string();
  sigset_t alarm, before;
  ::sigemptyset(&alarm);
  ::sigaddset(&alarm, SIGALRM);
  ::pthread_sigmask(SIG_BLOCK, &alarm, &before);  // of the reader: the signals are the writer's
  std::thread reader([&] { got = read_fd(in.get(), bytes.size()); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  {
    const interruptions often;
    BOOST_TEST(write_all(out.get(), bytes).has_value());
  }
  out.reset();
  reader.join();
  BOOST_REQUIRE(got.has_value());
  BOOST_TEST((*got == bytes));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace remora
