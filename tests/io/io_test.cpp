#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <boost/test/unit_test.hpp>
#include <condition_variable>
#include <csignal>
#include <loop.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <remora/io/deadline.hpp>
#include <remora/io/inbox.hpp>
#include <remora/io/pause.hpp>
#include <remora/io/run_on.hpp>
#include <remora/io/signals.hpp>
#include <remora/io/task_group.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace asio = boost::asio;
namespace io = remora::io;
using namespace std::chrono_literals;
using remora::testing::run;

namespace {

asio::awaitable<void> turn_the_loop() {
  const auto executor = co_await asio::this_coro::executor;
  co_await asio::post(executor, asio::use_awaitable);
}

asio::awaitable<void> take(io::inbox<int>& inbox, int count, std::vector<int>& into) {
  for (int i = 0; i < count; ++i) {
    const int event = co_await inbox.next();
    into.push_back(event);
  }
}

asio::awaitable<void> wait_for_ever(io::condition& never, bool& cancelled) {
  try {
    co_await never.wait();
  } catch (const boost::system::system_error& e) {
    cancelled = e.code() == asio::error::operation_aborted;
    throw;
  }
}

asio::awaitable<void> throw_bug() {
  throw std::logic_error("a bug");
  co_return;
}

struct probe {
  std::thread::id thread;
  std::unique_ptr<int> value;
};

probe where_am_i(std::unique_ptr<int> value) {
  return {std::this_thread::get_id(), std::move(value)};
}
int throw_on_pool() {
  throw std::domain_error("on the pool");
}
void set_flag(bool* flag) {
  *flag = true;
}

struct gate {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  void wait() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return open; });
  }
  void release() {
    const std::lock_guard lock(mutex);
    open = true;
    changed.notify_all();
  }
};
int pass(gate* g) {
  g->wait();
  return 7;
}

asio::awaitable<void> keep_value(asio::thread_pool& pool, gate& g, int& value) {
  value = co_await io::run_on(pool, pass, &g);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(inbox)

asio::awaitable<void> post_then_take() {
  io::inbox<int> inbox(co_await asio::this_coro::executor);
  for (int i = 0; i < 3; ++i) inbox.post(i);
  std::vector<int> got;
  co_await take(inbox, 3, got);
  BOOST_TEST((got == std::vector{0, 1, 2}));
  BOOST_TEST(inbox.empty());
}
BOOST_AUTO_TEST_CASE(events_posted_before_anybody_waits_come_in_order) {
  asio::io_context loop;
  run(loop, post_then_take());
}

asio::awaitable<void> take_then_post() {
  const auto executor = co_await asio::this_coro::executor;
  io::inbox<int> inbox(executor);
  io::task_group group(executor);
  std::vector<int> got;
  group.spawn("taker", take(inbox, 3, got));
  co_await turn_the_loop();
  inbox.post(1);
  inbox.post(2);
  co_await turn_the_loop();
  inbox.post(3);
  co_await group.join();
  BOOST_TEST((got == std::vector{1, 2, 3}));
}
BOOST_AUTO_TEST_CASE(a_waiter_is_woken_by_a_post) {
  asio::io_context loop;
  run(loop, take_then_post());
}

asio::awaitable<void> cancel_with_a_post() {
  const auto executor = co_await asio::this_coro::executor;
  io::inbox<int> inbox(executor);
  io::task_group group(executor);
  std::vector<int> got;
  group.spawn("taker", take(inbox, 1, got));
  co_await turn_the_loop();
  inbox.post(5);
  group.cancel();
  co_await group.join();
  BOOST_TEST(got.size() + inbox.size() == 1u);
  if (got.empty()) co_await take(inbox, 1, got);
  BOOST_TEST((got == std::vector{5}));
}
BOOST_AUTO_TEST_CASE(an_event_that_arrives_with_a_cancellation_is_not_lost) {
  asio::io_context loop;
  run(loop, cancel_with_a_post());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(task_group)

asio::awaitable<void> cancel_all() {
  const auto executor = co_await asio::this_coro::executor;
  io::condition never(executor);
  io::task_group group(executor);
  bool cancelled = false;
  group.spawn("waiter", wait_for_ever(never, cancelled));
  co_await turn_the_loop();
  BOOST_TEST(group.size() == 1u);
  group.cancel();
  co_await group.join();
  BOOST_TEST(cancelled);
  BOOST_TEST(group.size() == 0u);
}
BOOST_AUTO_TEST_CASE(cancel_ends_what_waits_and_join_is_silent_about_it) {
  asio::io_context loop;
  run(loop, cancel_all());
}

asio::awaitable<void> join_a_failure(std::string& text, bool& nested) {
  const auto executor = co_await asio::this_coro::executor;
  io::task_group group(executor);
  group.spawn("stdout of t1", throw_bug());
  group.spawn("fine", turn_the_loop());
  try {
    co_await group.join();
  } catch (const std::runtime_error& e) {
    text = e.what();
    try {
      std::rethrow_if_nested(e);
    } catch (const std::logic_error&) {
      nested = true;
    }
  }
  BOOST_TEST(group.size() == 0u);
  co_await group.join();  // told once
}
BOOST_AUTO_TEST_CASE(join_rethrows_the_first_exception_with_the_name_of_its_task) {
  asio::io_context loop;
  std::string text;
  bool nested = false;
  run(loop, join_a_failure(text, nested));
  BOOST_TEST(text == "stdout of t1: a bug");
  BOOST_TEST(nested);
}

asio::awaitable<void> learn_of_a_failure(int& told) {
  const auto executor = co_await asio::this_coro::executor;
  io::condition never(executor), failed(executor);
  bool cancelled = false;
  io::task_group group(executor, [&] {
    ++told;
    failed.notify();
  });
  group.spawn("waits for ever", wait_for_ever(never, cancelled));
  group.spawn("one", throw_bug());
  group.spawn("two", throw_bug());
  while (told == 0) co_await failed.wait();
  BOOST_TEST(group.size() > 0u);  // told although one of them goes on
  group.cancel();
  bool thrown = false;
  try {
    co_await group.join();
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  BOOST_TEST(thrown);
}
BOOST_AUTO_TEST_CASE(the_first_exception_is_told_once_while_others_go_on) {
  asio::io_context loop;
  int told = 0;
  run(loop, learn_of_a_failure(told));
  BOOST_TEST(told == 1);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(pauses)

/// Calls back when it is told to.
class hand_timers final : public io::timers {
 public:
  remora::time_point now() const override { return clock_.now(); }
  remora::duration suspended() const override { return remora::duration(0); }
  std::unique_ptr<io::timer> make() override { return std::make_unique<one>(*this); }
  void pass(remora::duration d) {
    clock_.advance(d);
    if (at_ && *at_ <= now()) std::exchange(expired_, {})();
  }

 private:
  class one final : public io::timer {
   public:
    explicit one(hand_timers& owner) : owner_(owner) {}
    ~one() override { cancel(); }
    void set(remora::time_point at, std::function<void()> expired) override {
      owner_.at_ = at;
      owner_.expired_ = std::move(expired);
    }
    void cancel() override { owner_.at_.reset(); }

   private:
    hand_timers& owner_;
  };
  remora::manual_clock clock_;
  std::optional<remora::time_point> at_;
  std::function<void()> expired_;
};

asio::awaitable<void> pause_and_tell(hand_timers& timers, bool& over) {
  co_await io::pause(timers, 20ms);
  over = true;
}

asio::awaitable<void> pause_by_hand() {
  hand_timers timers;
  bool over = false;
  io::task_group group(co_await asio::this_coro::executor);
  group.spawn("pause", pause_and_tell(timers, over));
  co_await turn_the_loop();
  timers.pass(19ms);
  co_await turn_the_loop();
  BOOST_TEST(!over);
  timers.pass(1ms);
  co_await group.join();
  BOOST_TEST(over);
}
BOOST_AUTO_TEST_CASE(a_pause_lasts_as_long_as_its_timers_say) {
  asio::io_context loop;
  run(loop, pause_by_hand());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(deadline)

asio::awaitable<void> past_deadline(int& calls) {
  const auto executor = co_await asio::this_coro::executor;
  io::condition fired(executor);
  io::deadline d(executor, [&] {
    ++calls;
    fired.notify();
  });
  d.set(std::chrono::steady_clock::now() - 1s);
  BOOST_TEST(calls == 0);  // not inside set
  BOOST_TEST(d.at().has_value());
  co_await fired.wait();
  BOOST_TEST(calls == 1);
  BOOST_TEST(!d.at());
}
BOOST_AUTO_TEST_CASE(a_time_that_has_passed_calls_back_once_and_not_inside_set) {
  asio::io_context loop;
  int calls = 0;
  run(loop, past_deadline(calls));
  loop.poll();
  BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_CASE(a_due_deadline_that_was_replaced_or_taken_away_does_not_call_back) {
  asio::io_context loop;
  int wrong = 0;
  const auto past = std::chrono::steady_clock::now() - 1h;
  io::deadline replaced(loop.get_executor(), [&] { ++wrong; });
  auto gone = std::make_unique<io::deadline>(loop.get_executor(), [&] { ++wrong; });
  bool called = false;
  // All three are due in the same turn of the loop, this one first.
  io::deadline first(loop.get_executor(), [&] {
    called = true;
    replaced.set(std::nullopt);
    gone.reset();
  });
  replaced.set(past + 1s);
  gone->set(past + 2s);
  first.set(past);
  loop.run_for(1min);
  BOOST_TEST(called);
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_CASE(a_callback_may_set_the_next_deadline_or_destroy_it) {
  asio::io_context loop;
  int calls = 0;
  std::unique_ptr<io::deadline> d;
  d = std::make_unique<io::deadline>(loop.get_executor(), [&] {
    if (++calls < 3)
      d->set(std::chrono::steady_clock::now());
    else
      d.reset();
  });
  d->set(std::chrono::steady_clock::now());
  loop.run_for(1min);
  BOOST_TEST(calls == 3);
  BOOST_TEST(!d);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(run_on)

asio::awaitable<void> on_the_pool() {
  asio::thread_pool pool(1);
  const probe there = co_await io::run_on(pool, where_am_i, std::make_unique<int>(3));
  BOOST_TEST((there.thread != std::this_thread::get_id()));
  BOOST_TEST(*there.value == 3);
  bool flag = false;
  co_await io::run_on(pool, set_flag, &flag);
  BOOST_TEST(flag);
  bool thrown = false;
  try {
    co_await io::run_on(pool, throw_on_pool);
  } catch (const std::domain_error&) {
    thrown = true;
  }
  BOOST_TEST(thrown);
  pool.join();
}
BOOST_AUTO_TEST_CASE(values_and_exceptions_come_back_to_the_loop) {
  asio::io_context loop;
  run(loop, on_the_pool());
}

asio::awaitable<void> cancel_while_on_pool() {
  const auto executor = co_await asio::this_coro::executor;
  asio::thread_pool pool(1);
  gate g;
  int value = 0;
  io::task_group group(executor);
  group.spawn("worker", keep_value(pool, g, value));
  co_await turn_the_loop();
  group.cancel();
  co_await turn_the_loop();
  BOOST_TEST(group.size() == 1u);
  g.release();
  co_await group.join();
  BOOST_TEST(value == 7);
  pool.join();
}
BOOST_AUTO_TEST_CASE(a_cancelled_caller_waits_for_the_function_and_keeps_its_value) {
  asio::io_context loop;
  run(loop, cancel_while_on_pool());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(signals)

asio::awaitable<void> raise_three(std::vector<std::pair<int, int>>& got) {
  const auto executor = co_await asio::this_coro::executor;
  io::condition came(executor);
  io::signals watch(executor, [&](int signal, int count) {
    got.emplace_back(signal, count);
    came.notify();
  });
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const auto before = got.size();
    ::raise(signal);
    while (got.size() == before) co_await came.wait();
  }
}
BOOST_AUTO_TEST_CASE(interrupt_terminate_and_hangup_are_told_and_counted) {
  asio::io_context loop;
  std::vector<std::pair<int, int>> got;
  run(loop, raise_three(got));
  BOOST_TEST((got == std::vector<std::pair<int, int>>{{SIGINT, 1}, {SIGTERM, 2}, {SIGHUP, 3}}));
}

BOOST_AUTO_TEST_SUITE_END()
