// The interpreter of one task: feeds the pure machine with facts and performs its actions. It
// decides nothing. Everything slow is a coroutine of its group that posts a fact when it is done;
// the loop itself awaits nothing but its inbox. Thread: the loop's.
#pragma once

#include <deque>
#include <map>
#include <remora/agent/adapter.hpp>
#include <remora/agent/prompt.hpp>
#include <remora/agent/repetition.hpp>
#include <remora/agent/state.hpp>
#include <remora/io/deadline.hpp>
#include <remora/io/inbox.hpp>
#include <remora/io/task_group.hpp>
#include <remora/process/line_framer.hpp>
#include <remora/supervise/task_machine.hpp>
#include <stop_token>

#include "run/agent_request.hpp"
#include "run/budget.hpp"
#include "run/command_runner.hpp"
#include "run/context.hpp"

namespace remora::run {

/// Of $REMORA_NOTES, its last bytes.
inline constexpr std::size_t notes_kept = 16u << 10;

class task_runner {
 public:
  task_runner(run_context& run, const task_plan& task, task_start start,
              std::unique_ptr<task_store> store);

  /// From `begin` to `finish`. Everything it started has ended when it returns, or throws: what
  /// escaped from a part of it.
  boost::asio::awaitable<supervise::task_outcome> run();
  void stop(supervise::stop_kind kind, bool insist);
  /// The run's.
  void tell(const supervise::over_budget& spent) { post(spent); }
  /// The result's commit, once it has succeeded.
  const git::oid& result_commit() const noexcept { return result_commit_; }

 private:
  /// An attempt that was given up may still report: its events are nobody's.
  struct child_told {
    std::shared_ptr<process::child> child;
    process::child_event event;
  };
  struct open_call {
    time_point since;
    bool mutates = false;
  };
  struct sighting {
    time_point at;
    process::child_use use;
  };
  /// Of an agent that asked for one; `token`: of the first that began after that.
  struct awaited_checkpoint {
    std::optional<std::uint64_t> token;
    std::function<void(std::string)> answer;
  };
  struct part_failed {};  ///< an exception escaped: its group knows it
  using message = std::variant<supervise::fact, child_told, part_failed>;

  // task_runner.cpp: the loop
  boost::asio::awaitable<void> work();
  void take_spent();
  boost::asio::awaitable<void> end_parts();
  void hear(const supervise::fact& f);
  void feed(const supervise::fact& f);
  void step(const supervise::fact& f);
  void perform(const supervise::action& a);
  void post(supervise::fact f);
  void phase(std::string_view name);
  void warn(std::string text);
  boost::json::object about(boost::json::object payload) const;
  void end_attempt(const supervise::end_attempt& e);
  void learn_limit(const agent::outcome& o);
  void quarantine();
  /// `slot`, of `start_`, keeps its files and gives up the branch.
  void give_up(std::string& slot);

  // task_prepare.cpp: a slot, setup
  boost::asio::awaitable<void> prepare();
  void tell_unprepared(const error& why, bool may_pass);
  boost::asio::awaitable<result<void>> lend_slot();
  boost::asio::awaitable<result<void>> set_up();
  boost::asio::awaitable<result<void>> settle_orphan();
  boost::asio::awaitable<bool> await_predecessors();
  boost::asio::awaitable<result<void>> fold_orphan();
  void fold_output(std::string_view bytes, bool err);
  boost::asio::awaitable<void> save_left(supervise::save what);
  boost::asio::awaitable<void> save_orphan();
  slot_request make_slot_request() const;
  process::spawn_spec child_spec(const std::string& name,
                                 const std::vector<std::string>& pass_env) const;

  // task_attempt.cpp: the agent
  boost::asio::awaitable<void> spawn(std::uint32_t number);
  void take_worktree();
  void give_up_start();
  void ask(std::uint32_t first);
  void use_agent(const std::string& name);
  const std::string& account() const { return run_.accounts.at(agent_->name); }
  spending so_far() const { return spent_by(mind_, run_.what, task_) + forgotten_; }
  boost::asio::awaitable<result<std::string>> make_prompt();
  boost::asio::awaitable<void> pump(std::shared_ptr<process::child> child);
  void on_child(const child_told& told);
  void on_output(std::string_view bytes, bool err);
  void on_event(const agent::event& e);
  void on_error(const agent::agent_error& e);
  void watch_budget(bool next_turn);
  void look_for_life();
  void ask_for_note(std::chrono::milliseconds left);
  bool has_handed_over(const agent::event& e);
  std::vector<std::string> tell_limits_met(const process::emptied& end, std::string_view whose);
  void flush_exit();

  // task_requests.cpp: what the agent asks
  void on_asked(const process::asked& asked);
  std::string take_note(const std::string& text);
  std::string take_plan(const agent::plan& plan);
  std::string tell_left() const;
  void ask_for_checkpoint(const std::string& note, std::function<void(std::string)> answer);
  error being_ended() const;
  void begin_awaited(std::uint64_t token);
  void answer_awaited(std::uint64_t token, const std::string& answer);
  std::string checkpoint_answer(checkpoint_no before) const;

  // task_save.cpp: checkpoints
  void enqueue(const supervise::save& s);
  boost::asio::awaitable<void> save_all();
  /// What an attempt left to be saved is: its worktree, number and output are not the next one's.
  boost::asio::awaitable<void> await_saves();
  boost::asio::awaitable<result<supervise::saved>> save_once(supervise::save what);
  std::string state_as_of(const supervise::save& what);
  save_request make_save_request(const supervise::save& what);
  void tell_left_out(const std::vector<git::omission>& left_out);
  void tell_given_up(const checkpoint::prepared& first);
  void free_given_up();
  boost::asio::awaitable<void> remove_given_up();

  // task_finish.cpp: verification, result, end
  boost::asio::awaitable<void> verify();
  boost::asio::awaitable<void> publish();
  boost::asio::awaitable<result<void>> publish_steps();
  boost::asio::awaitable<std::vector<std::string>> new_branches();
  boost::asio::awaitable<void> free_slot(bool for_others);
  bool holds_only_copy();
  bool publishes_only() const noexcept {
    return start_.result_is_due || !start_.published.is_zero();
  }
  boost::asio::awaitable<result<void>> prune_published(bool whole);
  boost::asio::awaitable<void> finish(supervise::finish f);
  agent::usage total_usage() const;
  boost::json::object ended_payload(supervise::task_outcome outcome, const agent::outcome& last);

  /// Its directory's name, of the attempt with this number.
  std::string attempt_name(std::uint32_t number) const {
    return task_.id.str() + '.' + std::to_string(number);
  }
  std::string branch() const;  ///< `refs/heads/remora/<run>/<task>`
  std::string aside() const;   ///< `refs/remora/foreign/<run>/<task>/`

  run_context& run_;
  const task_plan& task_;
  const std::size_t index_;           ///< of the task, in the plan
  const agent::agent_config* agent_;  ///< of this attempt, or of the last one
  const agent::adapter* adapter_;     ///< its
  task_start start_;
  std::unique_ptr<task_store> store_;

  supervise::task_machine machine_;
  io::inbox<message> inbox_;
  io::task_group work_;
  io::task_group starts_;  ///< of an agent whose exec hangs, the start never ends by itself
  io::task_group pumps_;   ///< of an agent that could not be ended, the pump never ends by itself
  io::deadline wake_;
  std::stop_source stop_work_;  ///< for jobs of the store under way when the task finishes
  std::optional<supervise::finish> finished_;
  bool failed_ = false;  ///< a part of it, by an exception
  duration asleep_;      ///< `timers::suspended` when a fact was heard last

  // the slot
  std::optional<std::filesystem::path> slot_;
  bool in_place_ = false;
  std::string head_note_;
  bool unsaved_ = false;               ///< the worktree may hold what no checkpoint has
  std::vector<std::string> branches_;  ///< of the user, before the task began

  // the attempt
  agent::state mind_;
  spending forgotten_;  ///< told by agents, and not in `mind_`
  attempt_no attempt_;
  std::shared_ptr<process::child> child_;
  std::unique_ptr<agent::parser> parser_;
  process::line_framer out_lines_, err_lines_;
  std::string prompt_;
  time_point attempt_began_{};
  std::optional<wall_time> ends_at_;  ///< when its end was decided, and first saved
  std::uint64_t out_bytes_ = 0, err_bytes_ = 0;
  bool native_ = false;         ///< this attempt resumes a session
  bool native_failed_ = false;  ///< and that did not work: the next one starts a fresh one
  std::string times_;
  std::map<std::string, open_call> calls_;  ///< by their ids, which may come again
  std::optional<sighting> looked_;          ///< at the look before, in the same silence
  std::optional<exit_status>
      exit_;  ///< told by the host, not yet by us: its last output is still to come
  bool out_of_memory_ = false;   ///< and the kernel ended it for that
  bool finished_whole_ = false;  ///< so it says; its exit is still to come
  bool troubled_ = false;        ///< by an error that its CLI does not go on from
  bool retrying_ = false;        ///< its CLI does, so it said last
  agent::repetition repetition_;
  struct asked_note {
    std::string before;  ///< the notes, when it heard of it
    bool heard;          ///< with the result of a tool
  };
  std::optional<asked_note> note_asked_;
  std::optional<time_point> exited_at_;
  io::deadline start_limit_, drain_;
  agent::outcome last_outcome_;
  command_runner commands_;

  // checkpoints
  std::deque<supervise::save> saves_;
  bool saving_ = false;
  io::condition saves_ended_;
  std::vector<awaited_checkpoint> awaited_;
  std::optional<git::oid> record_;  ///< the newest
  git::oid files_;                  ///< its files commit
  checkpoint_no number_;
  std::uint64_t chain_bytes_ = 0;  ///< what those of the newest chain added on the disk
  bool disk_full_ = false;         ///< so the next one gives up those before it
  bool given_up_ = false;          ///< what older chains took may not be free yet
  bool removing_ = false;
  std::uint64_t out_saved_ = 0, err_saved_ = 0;
  std::string state_saved_;
  std::uint64_t progress_saved_ = 0;
  std::vector<git::omission> left_out_;

  // the end
  time_point began_{};
  git::oid result_commit_;
  std::optional<result_made> made_;
  boost::json::object ended_;
};

}  // namespace remora::run
