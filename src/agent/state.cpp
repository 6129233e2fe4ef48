#include <agent/bounds.hpp>
#include <algorithm>
#include <limits>
#include <remora/agent/state.hpp>
#include <remora/core/text.hpp>

namespace remora::agent {
namespace {

using bounds::add;

/// The oldest of `list` that have to go, so that at most `count` of at most `bytes` are left; the
/// newest always stays.
template <class T, class Size>
std::size_t excess(const std::vector<T>& list, std::size_t count, std::size_t bytes, Size size) {
  std::size_t kept = 0, used = 0;
  for (auto it = list.rbegin(); it != list.rend() && kept < count; ++it, ++kept) {
    used += size(*it);
    if (used > bytes && kept > 0) break;
  }
  return list.size() - kept;
}

template <class T>
void drop_front(std::vector<T>& list, std::size_t n) {
  list.erase(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(n));
}

/// FNV-1a: it is stored, so it has to be the same everywhere.
std::uint64_t fnv(std::uint64_t hash, std::string_view bytes) {
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::size_t size_of(const attempt_record& a) {
  std::size_t size = 3 * bounds::record + json_size(a.agent) + json_size(a.adapter) +
                     json_size(a.model) + json_size(a.session_id) + a.started.size() +
                     a.ended.size();
  if (a.ended_with) size += json_size(a.ended_with->detail) + json_size(a.ended_with->text);
  return size;
}

std::size_t size_of(const file_change& f) {
  return bounds::record + json_size(f.path) + json_size(f.kind) + json_size(f.content.value_or(""));
}

/// What the agents' writing tools call the file that they write.
std::vector<std::string_view> input_paths(const boost::json::value& input) {
  std::vector<std::string_view> paths;
  const boost::json::object* fields = input.if_object();
  if (!fields) return paths;
  const auto take = [&](const boost::json::value& v) {
    if (v.is_string() && paths.size() < bounds::decision_files) paths.push_back(v.get_string());
  };
  for (const char* key : {"file_path", "path", "filePath", "filepath", "notebook_path", "file",
                          "filename", "target_file", "paths", "files"}) {
    const boost::json::value* v = fields->if_contains(key);
    if (!v) continue;
    take(*v);
    if (v->is_array())
      for (const boost::json::value& element : v->get_array()) take(element);
  }
  return paths;
}

const plan_item* find(const std::vector<plan_item>& items, std::string_view text) {
  const auto it = std::find_if(items.begin(), items.end(),
                               [&](const plan_item& item) { return item.text == text; });
  return it == items.end() ? nullptr : &*it;
}

}  // namespace

/// What an event does to the state: one overload for each.
struct state_fold {
  state& s;

  attempt_record* current() { return s.attempts_.empty() ? nullptr : &s.attempts_.back(); }
  std::uint32_t attempt() { return s.attempts_.empty() ? 0 : s.attempts_.back().number; }

  /// A message or thought that was streaming is whole.
  void end_text() {
    s.thought_open_ = false;
    if (s.open_message_ == 0) return;
    s.last_message_ = bounds::tail(tail_bytes(s.messages(), s.open_message_), bounds::long_text);
    s.said_ = true;
    s.open_message_ = 0;
  }

  static void append(text_tail& to, std::string_view text, bool paragraph) {
    if (paragraph && !to.str().empty()) to.append("\n\n");
    to.append(text);
  }

  void say(std::string text) {
    append(s.messages_, text, true);
    s.last_message_ = std::move(text);
    s.said_ = true;
  }

  /// Counts what has not been seen lately: an agent that goes round in a circle makes none.
  void progressed(char kind, std::string_view text) {
    const std::uint64_t hash = fnv(fnv(0xcbf29ce484222325, {&kind, 1}), text);
    if (std::find(s.seen_.begin(), s.seen_.end(), hash) != s.seen_.end()) return;
    if (s.seen_.size() >= bounds::seen) drop_front(s.seen_, s.seen_.size() - bounds::seen + 1);
    s.seen_.push_back(hash);
    ++s.progress_;
  }

  void decide(std::string text, std::string source) {
    auto& list = s.decisions_;
    list.push_back({std::move(text), std::move(source), {}, attempt()});
    s.decision_open_ = true;
    if (list.size() <= bounds::decisions) return;
    const auto weaker = [](const decision& d) {
      return d.source == "said" || d.source == "thought";
    };
    const auto first = std::find_if(list.begin(), list.end(), weaker);
    s.decision_open_ = first != std::prev(list.end());
    list.erase(first == list.end() ? list.begin() : first);
  }

  /// The agent's last words before it changes something are its reason, where it left no notes.
  void mutates(const std::vector<std::string>& files) {
    if (!s.noted_) {
      if (s.said_)
        decide(bounds::tail(s.last_message_, bounds::piece), "said");
      else if (s.newest_thought_ > 0)
        decide(bounds::tail(tail_bytes(s.thoughts(), s.newest_thought_), bounds::piece), "thought");
    }
    s.said_ = false;
    s.newest_thought_ = 0;
    if (!s.decision_open_ || s.decisions_.empty()) return;
    auto& known = s.decisions_.back().files;
    std::size_t used = 0;
    for (const std::string& file : known) used += json_size(file) + 3;
    for (const std::string& file : files) {
      used += json_size(file) + 3;
      if (known.size() == bounds::decision_files || used > bounds::decision_files_bytes) return;
      if (std::find(known.begin(), known.end(), file) == known.end()) known.push_back(file);
    }
  }

  /// As in the worktree; empty for what cannot be a path that we keep.
  std::string path(std::string_view raw) {
    std::string text = bounds::whole(raw, bounds::path);
    if (!s.cwd_.empty() && text.size() > s.cwd_.size() && text.starts_with(s.cwd_) &&
        text[s.cwd_.size()] == '/')
      text.erase(0, s.cwd_.size() + 1);
    return text;
  }

  void touch(const std::string& file) {
    const auto size = [](const std::string& f) { return json_size(f) + 3; };
    if (std::erase(s.files_, file) == 0) s.files_size_ += size(file);
    s.files_.push_back(file);
    if (s.files_.size() <= bounds::files && s.files_size_ <= bounds::files_bytes) return;
    // A tenth at once, so that a long list is not moved for each file.
    std::size_t n = 0;
    while (s.files_.size() - n > bounds::files / 10 * 9 ||
           s.files_size_ > bounds::files_bytes / 10 * 9)
      s.files_size_ -= size(s.files_[n++]);
    drop_front(s.files_, n);
  }

  void operator()(const session_started& e) {
    end_text();
    s.cwd_ = bounds::whole(e.cwd, bounds::path);
    while (s.cwd_.ends_with('/')) s.cwd_.pop_back();
    attempt_record* a = current();
    if (!a) return;
    a->session_id = bounds::whole(e.session_id, bounds::word);
    if (!e.model.empty()) a->model = bounds::head(e.model, bounds::word);
  }

  void operator()(const prompt_started&) { end_text(); }
  void operator()(const turn_started&) { end_text(); }
  void operator()(const prompt_ended&) { end_text(); }

  void operator()(const turn_ended&) {
    end_text();
    add(current() ? current()->turns : s.earlier_.turns, 1);
  }

  void operator()(const message& e) {
    if (!e.delta) end_text();
    std::string text = bounds::tail(e.text, bounds::long_text);
    if (trim(text).empty() && s.open_message_ == 0) return;
    if (!e.delta) return say(std::move(text));
    append(s.messages_, text, s.open_message_ == 0);
    s.open_message_ = std::min(s.open_message_ + text.size(), s.messages().size());
  }

  void operator()(const reasoning& e) {
    const std::string text = bounds::tail(e.text, bounds::long_text);
    const bool goes_on = e.delta && s.thought_open_;
    if (text.empty() || (!goes_on && trim(text).empty())) return;
    append(s.thoughts_, text, !goes_on);
    s.newest_thought_ =
        std::min((goes_on ? s.newest_thought_ : 0) + text.size(), s.thoughts().size());
    s.thought_open_ = e.delta;
  }

  void operator()(const tool_call& e) {
    end_text();
    const std::string name = bounds::head(e.name, bounds::tool_name);
    const bool room =
        s.tool_counts_.contains(name) || s.tool_counts_.size() + 1 < bounds::tool_names;
    add(s.tool_counts_[room ? name : "(other)"], 1);
    s.tools_.push_back({bounds::head(e.id, bounds::word), name, bounds::input(e.input), "",
                        std::nullopt, attempt()});
    if (s.tools_.size() > bounds::tools) drop_tool();
    if (!e.mutates) return;
    std::vector<std::string> files;
    for (const std::string_view raw : input_paths(e.input)) {
      std::string file = path(raw);
      if (file.empty()) continue;
      touch(file);
      files.push_back(std::move(file));
    }
    mutates(files);
  }

  /// The oldest of which the end is known, or that an earlier attempt began.
  void drop_tool() {
    const auto it = std::find_if(s.tools_.begin(), s.tools_.end(), [&](const tool_use& t) {
      return t.ok.has_value() || t.attempt != attempt();
    });
    s.tools_.erase(it == s.tools_.end() ? s.tools_.begin() : it);
  }

  void operator()(const tool_result& e) {
    progressed('r', e.text);
    const std::string id = bounds::head(e.id, bounds::word);
    const auto it = std::find_if(s.tools_.rbegin(), s.tools_.rend(), [&](const tool_use& t) {
      return t.id == id && t.attempt == attempt() && !t.ok;
    });
    if (it == s.tools_.rend()) return;
    it->ok = e.ok;
    it->result = bounds::tail(e.text, bounds::piece);
  }

  void operator()(const plan& e) {
    std::vector<plan_item> items = bounds::plan(e.items);
    for (const plan_item& item : items) {
      const plan_item* before = find(s.plan_, item.text);
      if (before && before->status == item.status) continue;
      if (item.status == plan_status::done) progressed('p', item.text);
      if (item.status == plan_status::dropped && before)
        decide("dropped from the plan: " + item.text, "plan");
    }
    s.plan_ = std::move(items);
  }

  void operator()(const file_change& e) {
    end_text();
    const std::string file = path(e.path);
    if (file.empty()) return;
    auto& open = s.proposed_;
    std::erase_if(open, [&](const file_change& f) { return f.path == file; });
    if (e.applied) {
      touch(file);
      return mutates({file});
    }
    file_change kept{file, bounds::head(e.kind, bounds::word), false, std::nullopt};
    if (e.content) kept.content = bounds::head(*e.content, bounds::proposed_content);
    open.push_back(std::move(kept));
    drop_front(open, excess(open, bounds::proposed, bounds::proposed_bytes,
                            [](const file_change& f) { return size_of(f); }));
  }

  void operator()(const note& e) {
    std::string text = bounds::head(e.text, bounds::piece);
    if (trim(text).empty()) return;
    progressed('n', e.text);
    decide(std::move(text), "note");
    s.noted_ = true;
  }

  void operator()(const usage& e) { add(current() ? current()->used : s.earlier_.used, e); }

  void operator()(const agent_error& e) {
    agent_error kept{e.kind, e.transient, std::nullopt, bounds::head(e.text, bounds::error_text)};
    if (e.retry_at) kept.retry_at = bounds::whole(*e.retry_at, bounds::word);
    auto& list = s.errors_;
    // A storm of retries is one error.
    if (!list.empty() && list.back().kind == kept.kind && list.back().text == kept.text)
      list.pop_back();
    list.push_back(std::move(kept));
    if (list.size() > bounds::errors) drop_front(list, list.size() - bounds::errors);
  }

  /// Its text mostly repeats the last message; of a failure it is the outcome's.
  void operator()(const finished& e) {
    end_text();
    std::string text = bounds::tail(e.text, bounds::long_text);
    if (e.ok && !trim(text).empty() && trim(text) != trim(s.last_message_)) say(std::move(text));
  }

  void operator()(const unknown&) { add(s.unknown_, 1); }

  void trim_attempts() {
    auto& list = s.attempts_;
    const std::size_t n = excess(list, bounds::attempts, bounds::attempts_bytes,
                                 [](const attempt_record& a) { return size_of(a); });
    for (std::size_t i = 0; i < n; ++i) {
      add(s.earlier_.count, 1);
      add(s.earlier_.turns, list[i].turns);
      add(s.earlier_.used, list[i].used);
    }
    drop_front(list, n);
  }
};

state::state(std::string run, std::string task, std::string prompt)
    : run_(bounds::head(run, bounds::word)),
      task_(bounds::head(task, bounds::word)),
      prompt_(bounds::head(prompt, bounds::long_text)),
      messages_(bounds::long_text),
      thoughts_(bounds::long_text) {}

void state::begin_attempt(std::uint32_t number, const agent_config& agent, wall_time at) {
  state_fold fold{*this};
  fold.end_text();
  attempt_record a;
  a.number = number;
  a.agent = bounds::head(agent.name, bounds::word);
  a.adapter = bounds::head(agent.adapter, bounds::word);
  a.started = iso8601(at);
  attempts_.push_back(std::move(a));
  fold.trim_attempts();
  cwd_.clear();
  newest_thought_ = 0;
  said_ = noted_ = decision_open_ = false;
}

void state::apply(const event& e) {
  std::visit(state_fold{*this}, e);
}

void state::end_attempt(const outcome& o, wall_time at) {
  state_fold fold{*this};
  fold.end_text();
  if (attempts_.empty()) return;
  attempt_record& a = attempts_.back();
  a.ended = iso8601(at);
  a.ended_with = outcome{o.verdict, bounds::head(o.detail, bounds::word),
                         bounds::head(o.text, bounds::attempt_words)};
  fold.trim_attempts();
}

void state::set_notes(std::string_view text) {
  std::string kept = bounds::tail(text, bounds::long_text);
  if (kept == notes_) return;
  notes_ = std::move(kept);
  if (notes_.empty()) return;
  noted_ = true;
  state_fold{*this}.progressed('f', notes_);
}

void state::set_verification(verification v) {
  v.command = bounds::head(v.command, bounds::piece);
  v.output = bounds::tail(v.output, bounds::verification_output);
  verification_ = std::move(v);
}

usage state::total_usage() const {
  usage sum = earlier_.used;
  for (const attempt_record& a : attempts_) add(sum, a.used);
  return sum;
}

std::uint64_t state::turns() const {
  std::uint64_t sum = earlier_.turns;
  for (const attempt_record& a : attempts_) add(sum, a.turns);
  return sum;
}

std::string state::session_id() const {
  return attempts_.empty() ? std::string() : attempts_.back().session_id;
}

}  // namespace remora::agent
