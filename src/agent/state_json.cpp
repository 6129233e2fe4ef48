#include <fmt/format.h>

#include <agent/bounds.hpp>
#include <agent/state_writer.hpp>
#include <boost/json.hpp>
#include <charconv>
#include <iterator>
#include <remora/agent/state.hpp>

namespace remora::agent {
namespace {

namespace json = boost::json;

constexpr std::string_view schema_prefix = "remora.state/";
constexpr std::string_view schema = "remora.state/1";

/// Reads the fields of one object; remembers the first that is missing or of another type.
class reader {
 public:
  reader(const json::value& v, std::string& wrong, std::string_view where)
      : wrong_(wrong), where_(where) {
    if (v.is_object())
      fields_ = &v.get_object();
    else
      note("");
  }

  std::string text(std::string_view key) {
    const json::value* v = get(key);
    if (v && v->is_string()) return std::string(v->get_string());
    note(key);
    return {};
  }
  std::optional<std::string> text_or_null(std::string_view key) {
    const json::value* v = get(key);
    if (v && v->is_null()) return std::nullopt;
    return text(key);
  }
  bool flag(std::string_view key) {
    const json::value* v = get(key);
    if (v && v->is_bool()) return v->get_bool();
    note(key);
    return false;
  }
  std::optional<bool> flag_or_null(std::string_view key) {
    const json::value* v = get(key);
    if (v && v->is_null()) return std::nullopt;
    return flag(key);
  }
  template <class Number = std::uint64_t>
  Number number(std::string_view key) {
    json::error_code ec;
    if (const json::value* v = get(key)) {
      const auto n = v->to_number<Number>(ec);
      if (!ec) return n;
    }
    note(key);
    return {};
  }
  const json::value& child(std::string_view key) {
    static const json::value nothing;
    if (const json::value* v = get(key)) return *v;
    note(key);
    return nothing;
  }
  template <class Read>
  auto list(std::string_view key, Read read) {
    std::vector<decltype(read(child(key)))> all;
    const json::value& v = child(key);
    if (!v.is_array()) {
      note(key);
      return all;
    }
    for (const json::value& element : v.get_array()) all.push_back(read(element));
    return all;
  }
  /// One of `values`, by name.
  template <class Enum>
  Enum one_of(std::string_view key, std::initializer_list<Enum> values) {
    const std::string said = text(key);
    for (const Enum e : values)
      if (name(e) == said) return e;
    note(key);
    return *values.begin();
  }
  void note(std::string_view key) {
    if (wrong_.empty()) wrong_ = fmt::format("{}{}{}", where_, key.empty() ? "" : ".", key);
  }

 private:
  const json::value* get(std::string_view key) const {
    return fields_ ? fields_->if_contains(key) : nullptr;
  }

  const json::object* fields_ = nullptr;
  std::string& wrong_;
  std::string_view where_;
};

usage read_usage(const json::value& v, std::string& wrong) {
  reader r(v, wrong, "usage");
  usage u{r.number("input_tokens"),     r.number("output_tokens"),    r.number("cached_tokens"),
          r.number("reasoning_tokens"), r.number<double>("cost_usd"), r.flag("estimated")};
  u.cost_usd = bounds::cost(u.cost_usd);
  return u;
}

std::optional<outcome> read_outcome(const json::value& v, std::string& wrong) {
  if (v.is_null()) return std::nullopt;
  reader r(v, wrong, "outcome");
  outcome o;
  if (const auto known = parse_verdict(r.text("verdict")))
    o.verdict = *known;
  else
    r.note("verdict");
  o.detail = r.text("detail");
  o.text = r.text("text");
  return o;
}

attempt_record read_attempt(const json::value& v, std::string& wrong) {
  reader r(v, wrong, "attempts");
  attempt_record a;
  a.number = r.number<std::uint32_t>("number");
  a.agent = r.text("agent");
  a.adapter = r.text("adapter");
  a.model = r.text("model");
  a.session_id = r.text("session_id");
  a.started = r.text("started");
  a.ended = r.text("ended");
  a.ended_with = read_outcome(r.child("outcome"), wrong);
  a.turns = r.number("turns");
  a.used = read_usage(r.child("usage"), wrong);
  return a;
}

plan_item read_plan_item(const json::value& v, std::string& wrong) {
  reader r(v, wrong, "plan");
  using enum plan_status;
  return {r.text("text"), r.one_of("status", {pending, in_progress, done, dropped})};
}

std::vector<std::string> read_texts(reader& r, std::string_view key) {
  return r.list(key, [&](const json::value& v) {
    if (v.is_string()) return std::string(v.get_string());
    r.note(key);
    return std::string();
  });
}

decision read_decision(const json::value& v, std::string& wrong) {
  reader r(v, wrong, "decisions");
  return {r.text("text"), r.text("source"), read_texts(r, "files"),
          r.number<std::uint32_t>("attempt")};
}

tool_use read_tool(const json::value& v, std::string& wrong) {
  reader r(v, wrong, "tools");
  return {r.text("id"),     r.text("name"),       r.text("input"),
          r.text("result"), r.flag_or_null("ok"), r.number<std::uint32_t>("attempt")};
}

file_change read_change(const json::value& v, std::string& wrong) {
  reader r(v, wrong, "proposed");
  return {r.text("path"), r.text("kind"), false, r.text_or_null("content")};
}

std::optional<verification> read_verification(const json::value& v, std::string& wrong) {
  if (v.is_null()) return std::nullopt;
  reader r(v, wrong, "verification");
  return verification{r.flag("ok"), r.text("command"), r.text("output"),
                      r.number<std::uint32_t>("attempt")};
}

agent_error read_error(const json::value& v, std::string& wrong) {
  reader r(v, wrong, "errors");
  using enum error_kind;
  return {r.one_of("kind", {rate_limited, overloaded, auth, error_kind::context,
                            error_kind::network, refused, other}),
          r.flag("transient"), r.text_or_null("retry_at"), r.text("text")};
}

std::string write_hashes(const std::vector<std::uint64_t>& hashes) {
  std::string text;
  for (const std::uint64_t h : hashes) fmt::format_to(std::back_inserter(text), "{:016x}", h);
  return text;
}

std::vector<std::uint64_t> read_hashes(const std::string& text) {
  std::vector<std::uint64_t> hashes;
  for (std::size_t i = 0; i + 16 <= text.size(); i += 16) {
    std::uint64_t h = 0;
    if (std::from_chars(&text[i], &text[i] + 16, h, 16).ec == std::errc()) hashes.push_back(h);
  }
  return hashes;
}

}  // namespace

struct state_codec {
  static void read_fold(state& s, const json::value& v, std::string& wrong) {
    reader r(v, wrong, "fold");
    s.cwd_ = r.text("cwd");
    s.open_message_ = std::min(r.number<std::size_t>("open_message"), s.messages().size());
    s.newest_thought_ = std::min(r.number<std::size_t>("newest_thought"), s.thoughts().size());
    s.thought_open_ = r.flag("thought_open");
    s.said_ = r.flag("said");
    s.noted_ = r.flag("noted");
    s.decision_open_ = r.flag("decision_open");
    s.seen_ = read_hashes(r.text("seen"));
  }

  static void write_state(const state& s, state_writer& w) {
    const auto earlier = [&](state_writer& to) {
      to.put_object("count", s.earlier_.count, "turns", s.earlier_.turns, "usage", s.earlier_.used);
    };
    const auto fold = [&](state_writer& to) {
      to.put_object("cwd", s.cwd_, "open_message", s.open_message_, "newest_thought",
                    s.newest_thought_, "thought_open", s.thought_open_, "said", s.said_, "noted",
                    s.noted_, "decision_open", s.decision_open_, "seen", write_hashes(s.seen_));
    };
    w.put_lines("schema", schema, "run", s.run_, "task", s.task_, "prompt", s.prompt_, "attempts",
                s.attempts_, "earlier_attempts", earlier, "plan", s.plan_, "decisions",
                s.decisions_, "tools", s.tools_, "tool_counts", s.tool_counts_, "messages",
                s.messages(), "thoughts", s.thoughts(), "last_message", s.last_message_, "notes",
                s.notes_, "files_touched", s.files_, "proposed", s.proposed_, "verification",
                s.verification_, "errors", s.errors_, "unknown_events", s.unknown_, "progress",
                s.progress_, "fold", fold);
  }

  static void read_counts(state& s, const json::value& v, std::string& wrong) {
    reader r(v, wrong, "tool_counts");
    if (!v.is_object()) return;
    for (const auto& field : v.get_object()) s.tool_counts_[field.key()] = r.number(field.key());
  }

  static void read_earlier(state& s, const json::value& v, std::string& wrong) {
    reader r(v, wrong, "earlier_attempts");
    s.earlier_ = {r.number("count"), r.number("turns"), read_usage(r.child("usage"), wrong)};
  }

  static void read_state(state& s, reader& r, std::string& wrong) {
    const auto with = [&](auto read) {
      return [&wrong, read](const json::value& v) { return read(v, wrong); };
    };
    s.attempts_ = r.list("attempts", with(read_attempt));
    read_earlier(s, r.child("earlier_attempts"), wrong);
    s.plan_ = r.list("plan", with(read_plan_item));
    s.decisions_ = r.list("decisions", with(read_decision));
    s.tools_ = r.list("tools", with(read_tool));
    read_counts(s, r.child("tool_counts"), wrong);
    s.messages_.append(r.text("messages"));
    s.thoughts_.append(r.text("thoughts"));
    s.last_message_ = r.text("last_message");
    s.notes_ = r.text("notes");
    s.files_ = read_texts(r, "files_touched");
    for (const std::string& file : s.files_) s.files_size_ += json_size(file) + 3;
    s.proposed_ = r.list("proposed", with(read_change));
    s.verification_ = read_verification(r.child("verification"), wrong);
    s.errors_ = r.list("errors", with(read_error));
    s.unknown_ = r.number("unknown_events");
    s.progress_ = r.number("progress");
    read_fold(s, r.child("fold"), wrong);
  }
};

std::string state::to_json() const {
  std::string text;
  state_writer w(text);
  state_codec::write_state(*this, w);
  return text;
}

result<state> state::from_json(std::string_view text) {
  const auto corrupt = [](std::string_view what) {
    return fail(errc::corrupt, fmt::format("state.json {}: use an older checkpoint", what));
  };
  if (text.size() > bounds::state_bytes) return corrupt("is larger than any that was written");
  json::error_code ec;
  const json::value v = json::parse(text, ec);
  if (ec) return corrupt(fmt::format("is not JSON ({})", ec.message()));
  std::string wrong;
  reader r(v, wrong, "state");
  const std::string version = r.text("schema");
  if (version != schema && version.starts_with(schema_prefix))
    return fail(errc::unsupported,
                fmt::format("state.json has the schema {}; this remora reads {}", version, schema));
  state s(r.text("run"), r.text("task"), r.text("prompt"));
  state_codec::read_state(s, r, wrong);
  if (version != schema) wrong = "state.schema";
  if (!wrong.empty()) return corrupt(fmt::format("lacks a sound '{}'", wrong));
  return s;
}

}  // namespace remora::agent
