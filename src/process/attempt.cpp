#include "process/attempt.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <remora/core/text.hpp>
#include <utility>

#include "process/proc.hpp"
#include "process/shim_protocol.hpp"
#include "process/sockets.hpp"

namespace remora::process {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

constexpr auto drain_bound = 2s;
constexpr auto look_pause = 100ms;

template <class Number = int>
Number number_at(const std::vector<std::string_view>& words, std::size_t i) {
  Number n = 0;
  if (i < words.size()) std::from_chars(words[i].data(), words[i].data() + words[i].size(), n);
  return n;
}

bool we_are_subreaper() {
  int is = 0;
  return ::prctl(PR_GET_CHILD_SUBREAPER, &is) == 0 && is != 0;
}

}  // namespace

attempt::attempt(asio::any_io_executor executor, const spawn_spec& spec, launched_attempt made,
                 std::shared_ptr<orphanage> orphans, std::function<void(attempt&)> gone)
    : program_(to_utf8(spec.argv.front())),
      cwd_(spec.cwd),
      leaf_(std::move(made.leaf)),
      groups_(std::move(made.groups)),
      orphans_(std::move(orphans)),
      gone_(std::move(gone)),
      shim_pid_(made.shim_pid),
      shim_(std::move(made.shim)),
      control_(std::move(made.ends.control)),
      out_(std::move(made.ends.out_read), std::move(made.ends.out_file), budget_,
           {[this](std::string bytes) { report(out_bytes{std::move(bytes)}); },
            [this] { on_output_end(); }}),
      err_(std::move(made.ends.err_read), std::move(made.ends.err_file), budget_,
           {[this](std::string bytes) { report(err_bytes{std::move(bytes)}); },
            [this] { on_output_end(); }}),
      stdin_(std::move(made.ends.stdin_write)),
      events_(executor),
      answered_(executor),
      drained_(executor, [this] { finish(); }),
      look_again_(executor, [this] { look_again(); }),
      let_go_(executor, [this] { let_go(); }) {
  if (made.ends.requests) listen(executor, spec, std::move(made.ends.requests));
  if (!made.ends.unheard.empty()) report(unheard{std::move(made.ends.unheard)});
  watch_control();
  watch_shim();
}

void attempt::listen(asio::any_io_executor executor, const spawn_spec& spec, unique_fd socket) {
  requests_.emplace(
      std::move(executor), std::move(socket), spec.socket,
      request_socket::callbacks{.admits = [this](int pid) { return descends_from(pid, shim_pid_); },
                                .tell = [this](asked request) { report(std::move(request)); }});
}

asio::awaitable<result<void>> attempt::started() {
  while (!start_) co_await answered_.wait();
  co_return *start_;
}

asio::awaitable<child_event> attempt::next() {
  child_event event = co_await events_.next();
  std::size_t taken = 0;
  if (const auto* out = std::get_if<out_bytes>(&event)) taken = out->bytes.size();
  if (const auto* err = std::get_if<err_bytes>(&event)) taken = err->bytes.size();
  budget_.held -= taken;
  if (taken > 0 && !abandoned_) {
    out_.pump();
    err_.pump();
  }
  co_return event;
}

result<child_use> attempt::use() {
  child_use used;
  if (shim_ended_) return used;
  REMORA_TRY(const std::vector<int> tree, tree_of(shim_pid_));
  const auto of_leaf = contained_ ? cgroup_cpu_time(leaf_) : std::nullopt;
  if (of_leaf) {
    used.cpu = *of_leaf;
  } else {
    REMORA_TRY(used.cpu, cpu_time_of(tree));
  }
  used.bytes = tcp_bytes(tree);
  return used;
}

void attempt::abandon() {
  if (finished_) return;
  abandoned_ = true;
  requests_.reset();
  command("end");
  if (shim_.open()) ::syscall(SYS_pidfd_send_signal, shim_.get(), SIGCONT, nullptr, 0);
  out_.close();
  err_.close();
  stdin_.close();
  let_go_.set(std::chrono::steady_clock::now() + longest_end);
  settle();
  if (settled_) finish();
}

/// Its tree cannot be ended, or it cannot itself. The shim, alone from now on, goes on trying, and
/// holds the attempt's lock until nobody is left.
void attempt::let_go() {
  control_.close();
  shim_.close();
  finish();
}

// --- the control socket ---

void attempt::command(std::string text) {
  if (!control_.open()) return;
  commands_.push_back(std::move(text));
  if (commands_.size() == 1) flush_commands();
}

void attempt::flush_commands() {
  while (!commands_.empty() && control_.open()) {
    const std::string& text = commands_.front();
    const ssize_t n = ::send(control_.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return control_.when_writable([this] { flush_commands(); });
    if (n < 0 && errno == EINTR) continue;
    commands_.pop_front();  // sent; or the shim is gone, and its end will tell
  }
}

void attempt::watch_control() {
  control_.when_readable([this] {
    read_control();
    if (control_.open()) watch_control();
  });
}

void attempt::read_control() {
  while (control_.open()) {
    char text[shim::message_bytes];
    const ssize_t n = ::recv(control_.get(), text, sizeof text, MSG_DONTWAIT);
    // It ended with a command of ours unread: told once, before what it said (unix_release_sock).
    if (n < 0 && (errno == EINTR || errno == ECONNRESET)) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return control_.close();
    on_message(std::string_view(text, static_cast<std::size_t>(n)));
  }
}

void attempt::on_message(std::string_view text) {
  const std::vector<std::string_view> words = split(text, ' ');
  if (words[0] == "started" || words[0] == "exec_failed") {
    on_start_message(words);
  } else if (words[0] == "frozen") {
    drain_pipes();
    report(frozen{number_at(words, 2) == 1});
  } else if (words[0] == "thawed") {
    report(thawed{});
  } else if (words[0] == "exited" && words.size() >= 3) {
    const int n = number_at(words, 2);
    const bool oom = words.size() == 4 && words[3] == "oom";
    report_exit(words[1] == "code" ? exit_status::exited(n) : exit_status::killed(n), oom);
  } else if (words[0] == "empty") {
    said_empty_ = true;
    oom_kills_ = number_at<std::uint64_t>(words, 1);
    refused_forks_ = number_at<std::uint64_t>(words, 2);
  }
}

void attempt::on_start_message(const std::vector<std::string_view>& words) {
  if (words[0] == "started") {
    who_ = {number_at(words, 1), number_at<std::uint64_t>(words, 2), boot_id()};
    contained_ = number_at(words, 3) == 1;
    limited_ = number_at(words, 4) == 1;
    start_ = result<void>();
    out_.pump();
    err_.pump();
  } else if (words.back() == "chdir") {
    start_ = fail(errc::environment,
                  os_error(number_at(words, 1), fmt::format("cannot enter {} to start {}",
                                                            to_utf8(cwd_.string()), program_))
                      .what);
  } else {
    start_ = os_error(number_at(words, 1), fmt::format("cannot start {}", program_));
  }
  answered_.notify();
}

// --- the end ---

void attempt::watch_shim() {
  shim_.when_readable([this] {
    siginfo_t info{};
    const auto id = static_cast<id_t>(shim_pid_);
    const int failed = ::waitid(P_PID, id, &info, WEXITED | WNOHANG | WNOWAIT);
    if (failed == 0 && info.si_pid == 0) return watch_shim();
    forget_shim(shim_pid_);
    ::waitid(P_PID, id, &info, WEXITED | WNOHANG);
    on_shim_end(to_exit_status(info.si_code, info.si_status));
  });
}

void attempt::on_shim_end(exit_status status) {
  shim_.close();
  requests_.reset();
  read_control();  // what it said last
  control_.close();
  commands_.clear();
  shim_status_ = status;
  shim_ended_ = true;
  if (!said_empty_) {
    if (contained_) kill_cgroup(leaf_);
    orphans_->end_all();
  }
  settle();
}

void attempt::on_orphan_reaped(int pid, exit_status status) {
  if (pid == who_.pid && shim_ended_) report_exit(status);
}

void attempt::settle() {
  if (settled_ || !shim_ended_) return;
  if (!said_empty_ && !abandoned_) {
    if (orphans_->blind()) return look_again_.set(std::chrono::steady_clock::now() + look_pause);
    if (!orphans_->empty()) return;
  }
  settled_ = true;
  if (!said_empty_)
    for (const std::filesystem::path& group : groups_) ::rmdir(group.c_str());
  stdin_.close();
  if (!start_) fail_start();
  if (abandoned_ || !*start_) return finish();
  report_exit(exit_status::killed(SIGKILL));  // unless it was: its parent-death signal
  drain_pipes();
  if (out_.ended() && err_.ended()) return finish();
  out_.pump();
  err_.pump();
  drained_.set(std::chrono::steady_clock::now() + drain_bound);
}

void attempt::look_again() {
  orphans_->end_all();
  settle();
}

/// Told only now: the agent may have been started without word of it, and who is told starts the
/// next one.
void attempt::fail_start() {
  const std::string how = fmt::format("{} before it had started {}", shim_status_.text(), program_);
  start_ =
      shim_status_.signal
          ? fail(errc::killed, "the shim was " + how)
          : fail(errc::environment,
                 fmt::format("the shim {}; is remora-shim of the same version as remora?", how));
  answered_.notify();
}

void attempt::on_output_end() {
  if (settled_ && out_.ended() && err_.ended()) finish();
}

void attempt::finish() {
  if (finished_) return;
  finished_ = true;
  drained_.set(std::nullopt);
  let_go_.set(std::nullopt);
  look_again_.set(std::nullopt);
  out_.close();
  err_.close();
  report(emptied{.proven = said_empty_ || we_are_subreaper(),
                 .unsaved_bytes = out_.unsaved_bytes() + err_.unsaved_bytes(),
                 .oom_kills = oom_kills_,
                 .refused_forks = refused_forks_});
  gone_(*this);
}

void attempt::report(child_event event) {
  if (!abandoned_) events_.post(std::move(event));
}

void attempt::report_exit(exit_status status, bool out_of_memory) {
  if (std::exchange(agent_exited_, true)) return;
  drain_pipes();
  report(exited{status, out_of_memory});
}

void attempt::drain_pipes() {
  out_.drain();
  err_.drain();
}

}  // namespace remora::process
