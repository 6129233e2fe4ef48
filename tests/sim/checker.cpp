#include "sim/checker.hpp"

#include <algorithm>
#include <boost/json.hpp>

namespace remora::sim {
namespace {

namespace json = boost::json;

/// The value of `key` in a line of the journal, as it is written there; the first one.
std::string_view field(std::string_view line, std::string_view key) {
  const std::size_t at = line.find(key);
  if (at == line.npos) return {};
  std::string_view rest = line.substr(at + key.size());
  if (rest.starts_with('"')) rest.remove_prefix(1);
  return rest.substr(0, rest.find_first_of("\",}"));
}

std::uint32_t number(std::string_view text) {
  std::uint32_t n = 0;
  for (const char c : text) n = n * 10 + static_cast<std::uint32_t>(c - '0');
  return n;
}

std::string text(const json::object& o, std::string_view key) {
  const json::value* v = o.if_contains(key);
  return v && v->is_string() ? std::string(v->get_string()) : std::string();
}

}  // namespace

checker::checker(world& w) : w_(w), tasks_(w.plan.tasks.size()) {}

std::size_t checker::task_of(const std::string& name) const {
  return w_.index_of(name);
}

void checker::told(const run::record& r, const life* by) {
  if (r.type == "run_started") announced_ = true;
  account_told(r, by);
  const std::string name = text(r.payload, "task");
  if (w_.tracing && r.type != "run_started") w_.note("  {} {}", r.type, json::serialize(r.payload));
  if (name.empty()) return;
  task_facts& t = tasks_[task_of(name)];
  if (r.type == "slot_quarantined") {
    excuse_slot(text(r.payload, "slot"));
    for (const auto& p : w_.processes) p->stray |= p->slot == text(r.payload, "slot");
  }
  if (r.type == "checkpoint_saved") {
    const auto id = git::oid::parse(text(r.payload, "record"));
    const auto found = w_.disk.checkpoints.find(*id);
    if (found == w_.disk.checkpoints.end() || !found->second.durable)
      return w_.broken("a checkpoint was announced that is not durable");
    t.acknowledged |= found->second.work;
  }
}

/// Until its reset nobody is let start on a paused account, nor before a person has acted.
void checker::account_told(const run::record& r, const life* by) {
  const std::string account = text(r.payload, "account");
  if (r.type == "account_resumed") paused_.erase(account);
  if (r.type == "run_started" || r.type == "run_resumed")
    std::erase_if(paused_, [](const auto& p) { return p.second.until == wall_time::max(); });
  if (r.type == "account_paused")
    paused_[account] = {parse_iso8601(text(r.payload, "until")).value_or(wall_time::max()), by,
                        w_.time.now()};
  if (r.type != "decided" || text(r.payload, "fact") != "allowed" || account_excused_) return;
  if (w_.disk.owner != by) return;  // let start before it was stopped: it starts nobody any more
  const run::task_plan& task = w_.plan.tasks[task_of(text(r.payload, "task"))];
  std::string agent = text(r.payload, "because");
  agent = agent.starts_with("agent ") ? agent.substr(6) : task.agents.front();
  const auto found = paused_.find(run::account_of(w_.plan.agents.at(agent)));
  if (found == paused_.end()) return;
  const paused& p = found->second;
  const bool may_not_know = p.by != by && w_.time.now() - p.at < std::chrono::milliseconds(100);
  if (w_.time.wall() < p.until && !may_not_know)
    w_.broken(task.id.str() + " may start although its account is paused");
}

void checker::synced(std::string_view bytes) {
  line_ += bytes;
  std::string_view rest = line_;
  for (std::size_t end = rest.find('\n'); end != rest.npos; end = rest.find('\n')) {
    const std::string_view line = rest.substr(0, end);
    const std::string_view type = field(line, "\"type\":");
    if (type == "attempt_started" || type == "attempt_ended" || type == "task_resumed" ||
        type == "task_ended")
      learn(type, line);
    rest.remove_prefix(end + 1);
  }
  line_.erase(0, line_.size() - rest.size());
}

void checker::learn(std::string_view type, std::string_view line) {
  task_facts& t = tasks_[task_of(std::string(field(line, "\"task\":")))];
  if (type == "task_resumed") return t.outcome.clear();
  if (type == "task_ended") {
    t.outcome = field(line, "\"outcome\":");
    return;
  }
  const std::uint32_t n = number(field(line, "\"attempt\":"));
  if (type == "attempt_started")
    t.started.insert(n);
  else if (t.started.contains(n) && t.ended.insert(n).second &&
           field(line, "\"counted\":") == "true")
    ++t.counted;
}

void checker::writes(const life* who, const char* what) {
  if (w_.disk.owner != who)
    w_.broken(fmt::format("an orchestrator whose run was taken over {}", what));
}

void checker::starts(const virtual_process& p, const life* who) {
  if (p.what == program::agent) writes(who, "started an agent");
  for (const auto& other : w_.processes) {
    if (!other->alive || other.get() == &p || other->task != p.task) continue;
    if (other->slot == p.slot)
      w_.broken(fmt::format("{} starts in the worktree of {}, which lives", p.name, other->name));
    if (p.what == program::agent && other->what == program::agent && !other->stray)
      w_.broken(fmt::format("{} starts while {} lives", p.name, other->name));
  }
  const auto slot = w_.disk.slots.find(p.slot);
  if (slot == w_.disk.slots.end()) return w_.broken(p.name + " starts in no worktree");
  if (slot->second.half || slot->second.task != p.task)
    w_.broken(fmt::format("{} starts in worktree {}, which is not its task's", p.name, p.slot));
  if (p.what != program::agent) return;
  const task_facts& t = tasks_[p.task];
  const std::uint32_t n = number(std::string_view(p.name).substr(p.name.rfind('.') + 1));
  if (!t.started.contains(n)) w_.broken(p.name + " starts before its record is durable");
  if (t.ended.contains(n)) w_.broken(p.name + " starts again");
  if (t.counted >= w_.plan.tasks[p.task].limits.attempts)
    w_.broken(p.name + " starts although no attempts are left");
  if ((t.acknowledged & ~slot->second.work) != 0)
    w_.broken(fmt::format("{} starts without work {:b} that was acknowledged", p.name,
                          t.acknowledged & ~slot->second.work));
}

void checker::slot_goes(const std::string& name, const worktree& slot) {
  for (const auto& p : w_.processes)
    if (p->alive && p->slot == name)
      w_.broken(fmt::format("worktree {} is removed while {} lives in it", name, p->name));
  units kept = 0;
  for (const auto& [id, c] : w_.disk.checkpoints)
    if (c.task == slot.task && c.durable) kept |= c.work;
  if (slot.used && (slot.work & ~kept) != 0)
    w_.broken(fmt::format("worktree {} is removed with work {:b} that nothing else holds", name,
                          slot.work & ~kept));
}

void checker::result_made(std::size_t task, units work) {
  if ((tasks_[task].acknowledged & ~work) != 0)
    w_.broken(
        fmt::format("the result of {} lacks acknowledged work", w_.plan.tasks[task].id.str()));
  if ((w_.goals[task] & ~work) != 0)
    w_.broken(fmt::format("the result of {} is not whole", w_.plan.tasks[task].id.str()));
}

void checker::checkpoint_goes(std::size_t task) {
  const std::string& name = w_.plan.tasks[task].id.str();
  if (w_.disk.result[task].durable.is_zero())
    w_.broken("the checkpoint of " + name + " is removed before its result is durable");
  const auto recorded = w_.disk.record.tasks.find(name);
  if (recorded == w_.disk.record.tasks.end() || !recorded->second.durable)
    w_.broken("the checkpoint of " + name + " is removed before the run's record says its end");
}

void checker::run_goes() {
  if (announced_ && !w_.disk.record.ended_durable)
    w_.broken("the journal is removed before the run's record holds its end");
}

void checker::rerun_begins() {
  announced_ = false;
  line_.clear();
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    const task_id& id = w_.plan.tasks[i].id;
    task_facts& t = tasks_[i];
    t.in_run = w_.what.plan.find(id) != nullptr;
    if (!t.in_run) continue;
    const auto from = w_.what.records.find(id.str());
    const units held =
        from == w_.what.records.end() ? 0 : w_.disk.checkpoints.at(from->second).work;
    if (t.excused) t.acknowledged &= held;
    if ((t.acknowledged & ~held) != 0)
      w_.broken("the rerun of " + id.str() + " begins without acknowledged work");
    t = {.acknowledged = t.acknowledged, .outcome = {}, .started = {}, .ended = {}};
  }
}

int checker::expected_exit() const {
  int status = 0;
  for (const task_facts& t : tasks_) {
    if (!t.in_run) continue;
    if (t.outcome.empty() || t.outcome == "interrupted") return 3;
    if (t.outcome != "succeeded") status = 1;
  }
  return status;
}

void checker::ended(const run::run_summary& summary, const life* who) {
  for (const auto& p : w_.processes)
    if (p->alive && p->owner == who && !p->stray)
      w_.broken(fmt::format("{} lives on after its orchestrator's end", p->name));
  if (summary.exit_status() != expected_exit())
    w_.broken(fmt::format("exit status {} in place of {}", summary.exit_status(), expected_exit()));
}

void checker::task_over(std::size_t i) {
  const sim::disk& d = w_.disk;
  const task_facts& t = tasks_[i];
  const std::string& name = w_.plan.tasks[i].id.str();
  if (t.in_run && !d.record.tasks.contains(name))
    w_.broken("the run's record lacks the end of " + name);
  if (!t.in_run || t.outcome == "succeeded") {
    if (d.result[i].durable.is_zero()) return w_.broken("the result of " + name + " is lost");
    result_made(i, d.results.at(d.result[i].durable));
    const bool gone = d.wip[i].visible.is_zero() && d.old_wip[i].visible.is_zero();
    if (t.in_run && !gone && !t.excused) w_.broken("a checkpoint of " + name + " is left over");
  } else if (t.acknowledged != 0 && !t.excused) {
    const ref& newest = d.wip[i].durable.is_zero() ? d.old_wip[i] : d.wip[i];
    const auto kept = d.checkpoints.find(newest.durable);
    if (kept == d.checkpoints.end() || (t.acknowledged & ~kept->second.work) != 0)
      w_.broken("acknowledged work of " + name + " is lost");
  }
}

void checker::over() {
  const sim::disk& d = w_.disk;
  if (!d.record.ended_durable) w_.broken("the run's record does not hold its end");
  for (std::size_t i = 0; i < tasks_.size(); ++i) task_over(i);
  // One that was made when nothing could be told any more is swept by the next run.
  for (const auto& [slot, what] : d.slots)
    if (what.half)
      w_.broken("worktree " + slot + " was set aside, and is left over");
    else if (tasks_[what.task].outcome == "succeeded" && what.used && !what.detached &&
             !excused_slots_.contains(slot))
      w_.broken("worktree " + slot + " is left over");
}

}  // namespace remora::sim
