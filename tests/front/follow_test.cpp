#include <boost/test/unit_test.hpp>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <ostream>
#include <remora/run/layout.hpp>
#include <remora/run/plan.hpp>
#include <remora/run/view.hpp>
#include <thread>

#include "world.hpp"

namespace remora::front {
namespace {

namespace json = boost::json;

/// An output whose reader can wait for what it wants to see.
class awaited_output final : public std::streambuf {
 public:
  void wait_for(std::string_view text) {
    std::unique_lock lock(mutex_);
    const bool seen =
        changed_.wait_for(lock, std::chrono::minutes(1), [&] { return holds(text_, text); });
    if (!seen) throw std::runtime_error("not printed within a minute: " + std::string(text));
  }
  std::string text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  std::streamsize xsputn(const char* bytes, std::streamsize n) override {
    const std::lock_guard lock(mutex_);
    text_.append(bytes, static_cast<std::size_t>(n));
    changed_.notify_all();
    return n;
  }
  int_type overflow(int_type c) override {
    const char byte = traits_type::to_char_type(c);
    xsputn(&byte, 1);
    return c;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
};

void append(const std::filesystem::path& file, std::string_view bytes) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::app | std::ios::binary) << bytes;
}

/// A run that some process works on, as its files say.
class living_run {
 public:
  living_run() {
    git::initialise();
    tell("run_started", {{"schema", run::run_schema},
                         {"run", id.str()},
                         {"name", "ad hoc"},
                         {"plan", run::to_json(plan)}});
  }

  void tell(std::string type, json::object payload) {
    const run::record r{++seq_, "2026-01-02T03:04:05.000Z", std::move(type), std::move(payload)};
    append(layout.journal(), run::journal_line(r, 0, "boot", 0));
  }
  void begin(int attempt) {
    tell("attempt_started", {{"task", task}, {"attempt", attempt}, {"agent", "text"}});
  }
  void end(int attempt, const char* verdict) {
    tell("attempt_ended", {{"task", task}, {"attempt", attempt}, {"verdict", verdict}});
  }
  void print(int attempt, std::string_view bytes) {
    append(layout.attempt(task + "." + std::to_string(attempt)) / "out", bytes);
  }
  /// `log --follow` in a thread of its own.
  std::thread follow(std::vector<std::string> more = {}) {
    return std::thread([this, more] {
      std::vector<std::string> arguments{
          "remora", "-C", world_.repo.path().string(), "log", id.str() + "/" + task, "--follow"};
      arguments.insert(arguments.end(), more.begin(), more.end());
      std::vector<const char*> argv;
      for (const std::string& a : arguments) argv.push_back(a.c_str());
      std::istringstream in;
      std::ostream to(&out);
      std::ostringstream err;
      status = cli(static_cast<int>(argv.size()), argv.data(), in, to, err);
    });
  }

 private:
  world world_;

 public:
  run_id id = run_id::make(machine_clock().wall(), 7);
  run::run_layout layout{world_.repo.path() / ".git", id};
  std::optional<run::run_lock> lock = *run::run_lock::take(layout);
  run::plan plan = *run::ad_hoc_plan("text", "Do it.", world_.repo.path());
  std::string task = plan.tasks.front().id.str();
  awaited_output out;
  int status = -1;

 private:
  run::sequence seq_ = 0;
};

BOOST_AUTO_TEST_SUITE(follow)

BOOST_AUTO_TEST_CASE(a_log_goes_on_as_the_agents_do_and_ends_with_the_task) {
  living_run r;
  r.begin(1);
  r.print(1, "first\nha");
  std::thread reader = r.follow();
  r.out.wait_for("--- attempt 1 (text)\nfirst\n");
  r.print(1, "lf\n");
  r.out.wait_for("half\n");
  r.end(1, "crashed");
  r.begin(2);
  r.out.wait_for("--- attempt 2 (text)\n");
  r.print(2, "second\nno newline");
  r.tell("task_ended", {{"task", r.task}, {"outcome", "succeeded"}});
  reader.join();
  BOOST_TEST(r.status == 0);
  BOOST_TEST(r.out.text() ==
             "--- attempt 1 (text)\nfirst\nhalf\n--- attempt 2 (text)\nsecond\nno newline\n");
}

BOOST_AUTO_TEST_CASE(a_log_of_one_attempt_waits_for_it_and_ends_with_it) {
  living_run r;
  r.begin(1);
  std::thread reader = r.follow({"--attempt", "2", "--raw"});
  r.print(1, "not this\n");
  r.end(1, "failed");
  r.begin(2);
  r.print(2, "this");
  r.out.wait_for("this");
  r.end(2, "failed");
  reader.join();
  BOOST_TEST(r.status == 0);
  BOOST_TEST(r.out.text() == "this");
}

BOOST_AUTO_TEST_CASE(a_log_ends_when_nobody_works_on_the_run_any_more) {
  living_run r;
  r.begin(1);
  r.print(1, "last words\n");
  std::thread reader = r.follow();
  r.out.wait_for("last words\n");
  r.lock.reset();
  reader.join();
  BOOST_TEST(r.status == 0);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace remora::front
