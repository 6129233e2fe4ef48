// The envelope that Claude Code and Qwen Code share (`--output-format stream-json`): system,
// assistant, user, stream_event and result lines, one JSON object each. What differs is in the two
// files that derive from it.
#pragma once

#include <optional>
#include <remora/agent/adapter.hpp>
#include <remora/agent/failure.hpp>

#include "brackets.hpp"
#include "json_line.hpp"
#include "tail.hpp"
#include "tools.hpp"

namespace remora::agent {

/// What one `result` line said. A prompt has at most one.
struct prompt_result {
  bool ok = false;
  std::string text;
  std::string budget;  ///< `turns` or `cost`, when that ended it
  std::optional<agent_error> error;
};

class stream_json : public parser {
 public:
  void out_line(std::string_view line, std::vector<event>& events) final;
  void err_line(std::string_view line, std::vector<event>& events) final;
  outcome conclude(const exit_status& status, std::vector<event>& events) final;
  bool wants_stdin_closed() const final { return results_ > 0; }

 protected:
  /// `one_id_per_answer`: all blocks of an answer carry the same `message.id` (Claude); else each
  /// has its own, and the last one says that it is (Qwen).
  stream_json(const toolbox& box, bool one_id_per_answer)
      : tools_(box), one_id_per_answer_(one_id_per_answer) {}

  /// A line of another type, or a `system` line but `init`. False: not known.
  virtual bool other_line(std::string_view type, const boost::json::object& o,
                          std::vector<event>& events) = 0;
  /// True for an assistant line that the CLI made up to show an error: no answer, no turn.
  virtual bool is_error_line(const boost::json::object& o, const boost::json::object& message) = 0;
  /// Usage told by an assistant line; `own`: the agent's, not a subagent's.
  virtual void meter(const boost::json::object& message, bool own, std::vector<event>& events) = 0;
  /// True if this line is known to be the last of its answer.
  virtual bool ends_answer(const boost::json::object& message) const = 0;
  /// The text of a block, less what is not the model's.
  virtual std::string_view spoken(std::string_view text) const { return text; }
  /// A stream_event of the agent's own.
  virtual void note_stream_event(std::string_view type, const boost::json::object& inner,
                                 std::vector<event>& events) = 0;
  virtual prompt_result read_result(const boost::json::object& o, std::vector<event>& events) = 0;
  /// Before the last prompt is closed: an error or usage that no result has told.
  virtual void before_end(std::vector<event>& events) = 0;
  /// What an exit without any result means to this CLI; nothing: the general rule.
  virtual std::optional<outcome> of_exit(const exit_status& status, std::string_view err) const = 0;

  /// A request for the next answer is under way: where the tools have had their say, the turn is
  /// over.
  void expect_answer(std::vector<event>& events);

  /// Bytes that the model wrote since the last exact count of its tokens.
  std::size_t unmetered_bytes_ = 0;

 private:
  bool dispatch(const boost::json::object& o, std::vector<event>& events);
  void init(const boost::json::object& o, std::vector<event>& events);
  bool assistant(const boost::json::object& o, std::vector<event>& events);
  void block(const boost::json::object& b, bool own, std::vector<event>& events);
  bool user(const boost::json::object& o, std::vector<event>& events);
  bool stream_event(const boost::json::object& o, std::vector<event>& events);
  void streamed(const boost::json::object& delta, std::vector<event>& events);
  void result_line(const boost::json::object& o, std::vector<event>& events);
  void begin_answer(std::string_view id, bool certainly_new, std::vector<event>& events);
  void open_prompt(std::vector<event>& events);
  void close_prompt(std::vector<event>& events);
  void end_turn_if_over(std::vector<event>& events);
  template <class Event>
  void say(std::string_view text, std::size_t& streamed, std::vector<event>& events);
  outcome decide(const exit_status& status) const;

  json_line json_;
  brackets brackets_;
  tools tools_;
  const bool one_id_per_answer_;
  session_started session_;
  std::string answer_id_;
  bool answer_over_ = false;   ///< it is known that no block of it will follow
  bool results_seen_ = false;  ///< of the tools of this answer
  std::size_t streamed_text_ = 0, streamed_reasoning_ = 0;  ///< of the block under way
  std::uint64_t results_ = 0;
  std::optional<prompt_result> last_;  ///< of the last prompt, once it has ended
  complaint err_;
};

}  // namespace remora::agent
