// The part of a start that blocks is not the loop's, and whatever is cancelled within a start
// leaves nobody and nothing open.
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>

#include "world.hpp"

using namespace remora;
using namespace remora::testing;

namespace {

/// A spec whose start is held up until somebody reads from the FIFO in the place of its `out`.
struct held_up {
  explicit held_up(world& w) : spec(w.spec({"wait"})), fifo(spec.attempt_dir / "out") {
    std::filesystem::create_directories(spec.attempt_dir);
    BOOST_REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  }
  /// The start goes on. Open until the end of the test: the agent's output goes there.
  void let_go() { reader.reset(::open(fifo.c_str(), O_RDWR | O_CLOEXEC)); }

  process::spawn_spec spec;
  std::filesystem::path fifo;
  unique_fd reader;
};

/// A start that can be cancelled, and how it ended.
struct cancellable {
  explicit cancellable(world& w, process::spawn_spec spec) {
    const auto begin = [](process::host& host, process::spawn_spec s) -> asio::awaitable<void> {
      const auto child = co_await host.start(std::move(s));
      if (!child) throw std::runtime_error(child.error().what);
    };
    asio::co_spawn(
        w.loop, begin(*w.host, std::move(spec)),
        asio::bind_cancellation_slot(signal.slot(), [e = end](std::exception_ptr failed) {
          e->reached = true;
          e->failed = failed;
        }));
  }
  void cancel() { signal.emit(asio::cancellation_type::terminal); }
  bool ended() const { return end->reached; }
  bool cancelled() const {
    try {
      if (end->failed) std::rethrow_exception(end->failed);
    } catch (const boost::system::system_error& e) {
      return e.code() == asio::error::operation_aborted;
    }
    return false;
  }

  struct state {
    bool reached = false;
    std::exception_ptr failed;
  };
  std::shared_ptr<state> end = std::make_shared<state>();
  asio::cancellation_signal signal;
};

asio::awaitable<void> turns(int count) {
  for (int i = 0; i < count; ++i) co_await turn_the_loop();
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// Within ten seconds.
bool await_file(const std::filesystem::path& file) {
  for (int i = 0; i < 1000 && !std::filesystem::exists(file); ++i) ::poll(nullptr, 0, 10);
  return std::filesystem::exists(file);
}

std::vector<int> our_children() {
  return process::children_of(::getpid()).value();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(launch)

BOOST_AUTO_TEST_CASE(the_loop_goes_on_while_a_start_is_held_up) {
  world w;
  held_up slow(w);
  cancellable start(w, slow.spec);
  run(w.loop, turns(1000));
  BOOST_TEST(!start.ended());
  slow.let_go();
  run(w.loop, w.host->join());
  BOOST_TEST(start.ended());
  BOOST_TEST(!start.cancelled());
}

BOOST_AUTO_TEST_CASE(a_start_that_is_cancelled_while_it_is_held_up_is_ended_and_joined) {
  world w;
  const std::size_t before = open_descriptors();
  held_up slow(w);
  cancellable start(w, slow.spec);
  run(w.loop, turns(10));
  BOOST_REQUIRE(await_file(slow.spec.attempt_dir / "lock"));
  start.cancel();
  run(w.loop, turns(1000));
  BOOST_TEST(!start.ended());  // it has nothing yet that it could end
  slow.let_go();
  run(w.loop, w.host->join());
  BOOST_TEST(start.ended());
  BOOST_TEST(start.cancelled());
  BOOST_TEST(our_children().empty());
  BOOST_TEST(!process::inspect_attempt(slow.spec.attempt_dir).value().alive);
  slow.reader.reset();
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_CASE(a_start_that_is_cancelled_while_it_waits_for_another_one_makes_nothing) {
  world w;
  held_up slow(w);
  cancellable first(w, slow.spec);
  process::spawn_spec spec = w.spec({"wait"});
  spec.attempt_dir += ".second";
  cancellable second(w, spec);
  run(w.loop, turns(10));
  second.cancel();
  slow.let_go();
  run(w.loop, w.host->join());
  BOOST_TEST(!first.cancelled());
  BOOST_TEST(second.cancelled());
  BOOST_TEST(!std::filesystem::exists(spec.attempt_dir));
}

BOOST_AUTO_TEST_CASE(a_start_can_be_cancelled_at_any_moment) {
  world w;
  // What a first start makes for good is not counted.
  run(w.loop, [](world& of) -> asio::awaitable<void> { co_await of.start("wait"); }(w));
  run(w.loop, w.host->join());
  const std::size_t before = open_descriptors();
  int cancelled = 0;
  for (int count = 1; count < 5'000; count += 1 + count / 8) {
    const auto spec = w.spec({"wait"});
    cancellable start(w, spec);
    run(w.loop, turns(count));
    start.cancel();
    run(w.loop, w.host->join());
    BOOST_TEST(start.ended());
    cancelled += start.cancelled();
    BOOST_TEST(our_children().empty());
    BOOST_TEST(!process::inspect_attempt(spec.attempt_dir).value().alive);
    BOOST_TEST(open_descriptors() == before);
  }
  BOOST_TEST(cancelled > 0);
}

BOOST_AUTO_TEST_CASE(a_host_that_goes_in_the_midst_of_a_start_leaves_nobody) {
  world w;
  const std::size_t before = open_descriptors();
  held_up slow(w);
  {
    asio::io_context loop;
    const auto host = process::make_host(loop.get_executor(), REMORA_SHIM);
    const auto begin = [](process::host& h, process::spawn_spec s) -> asio::awaitable<void> {
      const auto child = co_await h.start(std::move(s));
    };
    asio::co_spawn(loop, begin(*host, slow.spec), [](std::exception_ptr) {});
    loop.poll();
    BOOST_REQUIRE(await_file(slow.spec.attempt_dir / "lock"));
    slow.let_go();
  }
  // Nobody waits for it any more: it ends as after our death, and is reaped here.
  const std::vector<int> shims = our_children();
  BOOST_REQUIRE(shims.size() == 1u);
  BOOST_TEST(is_dead(watch(shims.front()), 10'000));
  BOOST_TEST(::waitpid(shims.front(), nullptr, 0) == shims.front());
  BOOST_TEST(our_children().empty());
  BOOST_TEST(!process::inspect_attempt(slow.spec.attempt_dir).value().alive);
  slow.reader.reset();
  BOOST_TEST(open_descriptors() == before);
}

asio::awaitable<void> kill_one_and_start_another(world& w) {
  for (int i = 0; i < 50; ++i) {
    const auto first = co_await w.start("wait");
    ::kill(shim_of(*first), SIGKILL);
    const auto second = co_await w.start("wait");
    story s, t;
    co_await follow(*first, s, is_empty);
    BOOST_TEST(!is_dead(watch(second->who().pid)));
    co_await kill_and_follow(*second, t);
    BOOST_TEST((t.exit == exit_status::killed(SIGKILL)));
  }
}
BOOST_AUTO_TEST_CASE(a_shim_that_is_being_started_is_not_taken_for_an_orphan) {
  world w(false);
  run(w.loop, kill_one_and_start_another(w));
}

BOOST_AUTO_TEST_SUITE_END()
