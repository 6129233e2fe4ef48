#include "stream_json.hpp"

#include <boost/json/serialize.hpp>
#include <remora/core/text.hpp>

namespace remora::agent {
namespace json = boost::json;
namespace {

constexpr std::size_t final_bytes = 16 << 10;

bool is_own(const json::object& o) {
  return text_of(o, "parent_tool_use_id").empty();
}

/// How much of a tool call's input the model wrote.
std::size_t weight(const json::value& v) {
  if (const auto* s = v.if_string()) return s->size();
  std::size_t sum = 1;
  if (const auto* a = v.if_array())
    for (const json::value& item : *a) sum += weight(item);
  if (const auto* o = v.if_object())
    for (const auto& [key, item] : *o) sum += key.size() + weight(item);
  return sum;
}

}  // namespace

void stream_json::out_line(std::string_view line, std::vector<event>& events) {
  if (trim(line).empty()) return;
  const json::object* o = json_.parse(line);
  if (!o || !dispatch(*o, events)) events.emplace_back(unknown{raw_line(line)});
}

void stream_json::err_line(std::string_view line, std::vector<event>&) {
  err_.append(line);
}

bool stream_json::dispatch(const json::object& o, std::vector<event>& events) {
  const std::string_view type = text_of(o, "type");
  if (type == "assistant") return assistant(o, events);
  if (type == "user") return user(o, events);
  if (type == "stream_event") return stream_event(o, events);
  if (type == "result")
    result_line(o, events);
  else if (type == "system" && text_of(o, "subtype") == "init")
    init(o, events);
  else
    return !type.empty() && other_line(type, o, events);
  return true;
}

void stream_json::init(const json::object& o, std::vector<event>& events) {
  close_prompt(events);  // its result was lost
  session_started s;
  s.session_id = text_of(o, "session_id");
  s.model = text_of(o, "model");
  s.cwd = text_of(o, "cwd");
  tools_.set_cwd(s.cwd);
  // Claude repeats the line for every prompt.
  if (s.session_id != session_.session_id || s.model != session_.model || s.cwd != session_.cwd) {
    session_ = s;
    events.emplace_back(std::move(s));
  }
  open_prompt(events);
}

bool stream_json::assistant(const json::object& o, std::vector<event>& events) {
  const json::object* message = object_of(o, "message");
  if (!message) return false;
  const bool own = is_own(o);
  if (own && session_.session_id.empty() && !text_of(o, "session_id").empty()) {
    session_.session_id = text_of(o, "session_id");
    events.emplace_back(session_);
  }
  if (own && is_error_line(o, *message)) {
    open_prompt(events);
    return true;
  }
  if (own) begin_answer(text_of(*message, "id"), false, events);
  if (const json::array* blocks = array_of(*message, "content")) {
    for (const json::value& b : *blocks)
      if (const json::object* known = b.if_object()) block(*known, own, events);
  } else if (const std::string_view text = text_of(*message, "content"); own && !text.empty()) {
    say<agent::message>(spoken(text), streamed_text_, events);
  }
  meter(*message, own, events);
  if (own && ends_answer(*message)) {
    answer_over_ = true;
    end_turn_if_over(events);
  }
  return true;
}

void stream_json::block(const json::object& b, bool own, std::vector<event>& events) {
  const std::string_view type = text_of(b, "type");
  if (type == "text") {
    if (own) say<message>(spoken(text_of(b, "text")), streamed_text_, events);
  } else if (type == "thinking") {
    if (own) say<reasoning>(text_of(b, "thinking"), streamed_reasoning_, events);
  } else if (type.ends_with("tool_use")) {  // also what a server runs: server_tool_use
    if (const json::value* input = b.if_contains("input")) unmetered_bytes_ += weight(*input);
    tools_.call(b, own, events);
  } else if (type.ends_with("tool_result")) {
    tools_.result(b, nullptr, events);
  } else if (type != "redacted_thinking") {
    events.emplace_back(unknown{raw_line(json::serialize(b))});
  }
}

template <class Event>
void stream_json::say(std::string_view text, std::size_t& streamed, std::vector<event>& events) {
  const std::size_t already = std::exchange(streamed, 0);
  if (text.size() <= already) return;  // its pieces were told as they came
  text.remove_prefix(already);
  unmetered_bytes_ += text.size();
  events.emplace_back(Event{std::string(text), already > 0});
}

bool stream_json::user(const json::object& o, std::vector<event>& events) {
  const json::object* message = object_of(o, "message");
  if (!message) return false;
  const json::array* blocks = array_of(*message, "content");
  if (!blocks) return true;  // the prompt, or what a CLI tells its model
  const json::value* detail = blocks->size() == 1 ? o.if_contains("tool_use_result") : nullptr;
  for (const json::value& v : *blocks) {
    const json::object* b = v.if_object();
    if (!b || !text_of(*b, "type").ends_with("tool_result")) continue;
    tools_.result(*b, detail, events);
    if (is_own(o)) results_seen_ = true;
  }
  end_turn_if_over(events);
  return true;
}

bool stream_json::stream_event(const json::object& o, std::vector<event>& events) {
  const json::object* inner = object_of(o, "event");
  if (!inner) return false;
  if (!is_own(o)) return true;
  const std::string_view type = text_of(*inner, "type");
  if (type == "message_start") {
    const json::object* message = object_of(*inner, "message");
    begin_answer(message ? text_of(*message, "id") : std::string_view(), true, events);
  } else if (type == "content_block_start") {
    streamed_text_ = streamed_reasoning_ = 0;
  } else if (type == "content_block_delta") {
    if (const json::object* delta = object_of(*inner, "delta")) streamed(*delta, events);
  }
  note_stream_event(type, *inner, events);
  if (type == "message_stop") {
    answer_over_ = true;
    end_turn_if_over(events);
  }
  return true;
}

void stream_json::streamed(const json::object& delta, std::vector<event>& events) {
  const std::string_view text = text_of(delta, "text");
  const std::string_view thinking = text_of(delta, "thinking");
  if (!text.empty()) events.emplace_back(message{std::string(text), true});
  if (!thinking.empty()) events.emplace_back(reasoning{std::string(thinking), true});
  streamed_text_ += text.size();
  streamed_reasoning_ += thinking.size();
  unmetered_bytes_ += text.size() + thinking.size();
}

void stream_json::begin_answer(std::string_view id, bool certainly_new,
                               std::vector<event>& events) {
  open_prompt(events);
  const bool by_id = one_id_per_answer_ && !id.empty();
  const bool same = by_id ? id == answer_id_ : !answer_over_ && !results_seen_;
  if (brackets_.in_turn() && same && !certainly_new) return;
  brackets_.close_turn(events);
  brackets_.open_turn(events);
  answer_id_ = id;
  answer_over_ = false;
  results_seen_ = false;
}

void stream_json::expect_answer(std::vector<event>& events) {
  if (!results_seen_) return;
  answer_over_ = true;
  end_turn_if_over(events);
}

void stream_json::end_turn_if_over(std::vector<event>& events) {
  if (answer_over_ && !tools_.waiting()) brackets_.close_turn(events);
}

void stream_json::open_prompt(std::vector<event>& events) {
  if (!brackets_.in_prompt()) last_.reset();
  brackets_.open_prompt(events);
}

void stream_json::close_prompt(std::vector<event>& events) {
  tools_.abandon(events);
  brackets_.close_prompt(events);
  answer_id_.clear();
  answer_over_ = results_seen_ = false;
  streamed_text_ = streamed_reasoning_ = 0;
}

void stream_json::result_line(const json::object& o, std::vector<event>& events) {
  last_ = read_result(o, events);
  unmetered_bytes_ = 0;
  ++results_;
  if (last_->error) events.emplace_back(*last_->error);
  close_prompt(events);
  events.emplace_back(finished{last_->ok, std::string(head_bytes(last_->text, final_bytes))});
}

outcome stream_json::conclude(const exit_status& status, std::vector<event>& events) {
  before_end(events);
  close_prompt(events);
  return decide(status);
}

outcome stream_json::decide(const exit_status& status) const {
  const std::string err = err_.text();
  if (status.signal) return outcome_of_exit(status, last_ ? last_->text : err);
  if (last_) {
    if (!last_->budget.empty()) return make_outcome(verdict::budget, last_->budget, last_->text);
    if (last_->error) return outcome_of(*last_->error, status);
    if (last_->ok && status.success()) return make_outcome(verdict::completed, {}, last_->text);
    return outcome_of_exit(status, last_->text);
  }
  if (auto known = of_exit(status, err)) return *known;
  const agent_error said{classify_error(0, err), false, {}, err};
  if (status.code.value_or(0) != 0 && said.kind != error_kind::other)
    return outcome_of(said, status);
  return outcome_of_exit(status, err);
}

}  // namespace remora::agent
