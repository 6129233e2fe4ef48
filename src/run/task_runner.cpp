#include "run/task_runner.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/this_coro.hpp>
#include <boost/json.hpp>
#include <remora/core/text.hpp>
#include <remora/core/units.hpp>
#include <remora/io/run_on.hpp>

namespace remora::run {
namespace asio = boost::asio;
namespace json = boost::json;
namespace {

template <class... F>
struct overloaded : F... {
  using F::operator()...;
};

std::uint64_t jitter_seed(const run_id& run, const task_id& task) {
  return std::hash<std::string>{}(run.str() + task.str());
}

agent::state fresh_mind(const run_context& run, const task_plan& task) {
  return agent::state(run.id.str(), task.id.str(), task.prompt);
}

}  // namespace

task_runner::task_runner(run_context& run, const task_plan& task, task_start start,
                         git_worker* worker)
    : run_(run),
      task_(task),
      agent_(run.what.agents.at(task.agent)),
      adapter_(*agent::find_adapter(agent_.adapter).value()),
      start_(std::move(start)),
      worker_(worker),
      machine_(task.limits, jitter_seed(run.id, task.id)),
      inbox_(run.loop),
      work_(run.loop),
      starts_(run.loop),
      pumps_(run.loop),
      wake_(run.loop, [this] { post(supervise::deadline()); }),
      mind_(start_.mind ? *start_.mind : fresh_mind(run, task)),
      attempt_(start_.made),
      start_limit_(run.loop, [this] { give_up_start(); }),
      drain_(run.loop, [this] { flush_exit(); }),
      commands_(run.host),
      record_(start_.record),
      number_(start_.number),
      progress_saved_(mind_.progress()) {}

asio::awaitable<supervise::task_outcome> task_runner::run() {
  began_ = run_.time.now();
  run_.tell("task_started",
            about({{"base", start_.base.hex()}, {"branch", branch()}, {"agent", task_.agent}}));
  if (auto there = co_await io::run_on(worker_->pool, user_branches, worker_))
    branches_ = std::move(*there);
  if (publishes_only()) {
    work_.spawn("publish", publish());
  } else {
    feed(supervise::begin{start_.counted, start_.made, start_.changed});
  }
  while (!finished_) {
    const message m = co_await inbox_.next();
    if (const auto* fact = std::get_if<supervise::fact>(&m))
      feed(*fact);
    else
      on_child(std::get<child_told>(m));
  }
  wake_.set(std::nullopt);
  stop_work_.request_stop();
  commands_.kill();
  co_await starts_.join();
  co_await work_.join();
  child_.reset();
  pumps_.cancel();
  co_await pumps_.join();
  co_await finish(*finished_);
  co_return finished_->outcome;
}

// Not inlined: g++ 12 then takes the alternatives that a moved variant does not hold for
// uninitialised.
[[gnu::noinline]] void task_runner::post(supervise::fact f) {
  inbox_.post(message(std::move(f)));
}

void task_runner::stop(supervise::stop_kind kind, bool insist) {
  post(supervise::stop{kind, insist});
}

void task_runner::feed(const supervise::fact& f) {
  const supervise::step next = machine_.on(f, run_.time.now());
  wake_.set(next.wake_at);
  for (const supervise::action& a : next.actions) perform(a);
}

void task_runner::perform(const supervise::action& a) {
  std::visit(
      overloaded{
          [&](const supervise::prepare&) { work_.spawn("prepare", prepare()); },
          [&](const supervise::spawn& s) { starts_.spawn("spawn", spawn(s.attempt)); },
          [&](const supervise::freeze&) {
            if (child_) child_->freeze();
          },
          [&](const supervise::thaw&) {
            if (child_) child_->thaw();
          },
          [&](const supervise::send_signal&) {
            if (child_) child_->signal(adapter_.first_signal());
          },
          [&](const supervise::kill&) {
            if (child_) child_->kill();
          },
          [&](const supervise::save& s) { enqueue(s); },
          [&](const supervise::quarantine&) {
            run_.tell("slot_quarantined", about({{"slot", where_->tree.root.string()}}));
            warn(fmt::format("{} is not used again: processes of its agent could not be ended",
                             where_->tree.root.string()));
            start_.abandoned = std::exchange(start_.slot, {});
          },
          [&](const supervise::end_attempt& e) { end_attempt(e); },
          [&](const supervise::back_off&) { phase("backoff"); },
          [&](const supervise::verify&) { work_.spawn("verify", verify()); },
          [&](const supervise::publish&) { work_.spawn("publish", publish()); },
          [&](const supervise::finish& f) { finished_ = f; },
      },
      a);
}

void task_runner::phase(std::string_view name) {
  run_.tell("task_phase", about({{"phase", name}}));
}

void task_runner::warn(std::string text) {
  run_.tell("warning", about({{"text", std::move(text)}}));
}

json::object task_runner::about(json::object payload) const {
  payload["task"] = task_.id.str();
  if (attempt_.value() > 0) payload["attempt"] = attempt_.value();
  return payload;
}

void task_runner::end_attempt(const supervise::end_attempt& e) {
  last_outcome_ = e.outcome;
  const auto lasted =
      std::chrono::duration_cast<std::chrono::milliseconds>(run_.time.now() - attempt_began_);
  if (native_ && e.outcome.verdict != agent::verdict::completed)
    native_failed_ =
        out_bytes_ == 0 || e.outcome.text.find("No conversation found") != std::string::npos;
  mind_.end_attempt(e.outcome, run_.time.wall());
  run_.tell("attempt_ended", about({{"verdict", agent::name(e.outcome.verdict)},
                                    {"detail", e.outcome.detail},
                                    {"text", e.outcome.text},
                                    {"counted", e.counted},
                                    {"duration_ms", lasted.count()}}));
  child_.reset();
  parser_.reset();
}

std::string task_runner::branch() const {
  return checkpoint::task_branch(run_.id, task_.id);
}

std::string task_runner::aside() const {
  return fmt::format("refs/remora/foreign/{}/{}/", run_.id.str(), task_.id.str());
}

std::string read_agent_file(const std::filesystem::path& path, std::size_t limit) {
  const auto fd = open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  struct stat st{};
  if (!fd || ::fstat(fd->get(), &st) != 0 || !S_ISREG(st.st_mode)) return {};
  const auto size = static_cast<std::size_t>(st.st_size);
  if (size > limit) ::lseek(fd->get(), static_cast<off_t>(size - limit), SEEK_SET);
  auto bytes = read_fd(fd->get(), 2 * limit);
  return bytes ? std::move(*bytes) : std::string();
}

}  // namespace remora::run
