#include "sim/world.hpp"

#include <algorithm>
#include <map>
#include <unordered_set>

#include "sim/checker.hpp"

namespace remora::sim {
namespace {

using namespace std::chrono_literals;

supervise::limits draw_limits(dice& d) {
  supervise::limits l;
  l.wall = d.between(3s, 60s);
  if (d.one_in(3)) l.idle = d.between(2s, 20s);
  if (d.one_in(4)) l.first_output = d.between(2s, 20s);
  if (d.one_in(3)) l.soft = l.wall / 5;
  l.grace = d.between(200ms, 5000ms);
  l.snapshot = d.between(500ms, 10'000ms);
  l.attempts = static_cast<std::uint32_t>(d.between(1, 6));
  l.checkpoints.interval = d.one_in(3) ? 0ms : d.between(1s, 30s);
  l.checkpoints.min_gap = d.between(0ms, 5000ms);
  return l;
}

run::task_plan draw_task(dice& d, const run::plan& p, std::size_t index) {
  run::task_plan t{.id = task_id::parse(fmt::format("t{}", index)).value(),
                   .title = {},
                   .prompt = "do it",
                   .base = {},
                   .base_task = {},
                   .after = {},
                   .agents = {d.one_in(2) ? "jsonl" : "text"},
                   .limits = draw_limits(d),
                   .verify = {},
                   .include = {}};
  if (index > 0 && d.one_in(2)) {
    const task_id& before = p.tasks[d.below(index)].id;
    t.after.push_back(before);
    if (d.one_in(2)) t.base_task = before;
  }
  if (d.one_in(4)) t.verify = run::command_spec{.argv = {"check"}, .timeout = 30s};
  t.limits.verifies = t.verify.has_value();
  t.branch = !d.one_in(4);
  if (d.one_in(3)) t.max_disk_bytes = d.below(4);
  return t;
}

run::plan draw_plan(dice& d, std::uint64_t most_tasks) {
  run::plan p;
  p.name = "simulated";
  p.parallel = static_cast<std::uint32_t>(d.between(1, 3));
  for (const char* adapter : {"jsonl", "text"})
    p.agents[adapter] = agent::agent_config{.name = adapter,
                                            .adapter = adapter,
                                            .command = {"agent", adapter},
                                            .args = {},
                                            .pass_env = {}};
  if (d.one_in(4)) p.workspace.setup = run::command_spec{.argv = {"setup"}, .timeout = 30s};
  if (d.one_in(4)) p.workspace.keep = run::keep_policy::never;
  p.workspace.copy.emplace();
  const std::uint64_t sizes[] = {1, 1, 1, 1, 2, 2, 3, 4};
  const std::uint64_t count = std::min(most_tasks, sizes[d.below(std::size(sizes))]);
  for (std::size_t i = 0; i < count; ++i) p.tasks.push_back(draw_task(d, p, i));
  return p;
}

/// A third of the seeds are quiet but for the disasters; the others have their own mix.
odds draw_odds(dice& d) {
  odds o;
  o.agent = d.one_in(3) ? 0 : d.between(1, 4);
  o.slow = d.one_in(2) ? 0 : d.between(10, 100);
  if (d.one_in(3)) return o;
  if (d.one_in(2)) o.fault = d.between(8, 80);
  if (d.one_in(4)) o.spawn = d.between(2, 10);
  if (d.one_in(8)) o.meddle = 1;
  if (d.one_in(20)) o.bug = d.between(10, 100);
  return o;
}

}  // namespace

world::world(std::uint64_t s, std::uint64_t most_tasks)
    : world(s, [&] {
        dice d(s);
        return draw_plan(d, most_tasks);
      }()) {
  odds = draw_odds(random);
  faults_left = static_cast<std::uint32_t>(random.between(1, 12));
}

world::world(std::uint64_t s, run::plan p)
    : seed(s),
      random(~s),
      plan(std::move(p)),
      what{.id = run_id::parse("20260102-000000-aaaa").value(),
           .plan = plan,
           .continues = {},
           .records = {}} {
  for (std::size_t i = 0; i < plan.tasks.size(); ++i)
    goals.push_back((units{1} << random.between(1, 5)) - 1);
  disk.wip.resize(plan.tasks.size());
  disk.result.resize(plan.tasks.size());
  disk.old_wip.resize(plan.tasks.size());
  check = std::make_unique<checker>(*this);
}

world::~world() = default;

void world::write_note(std::string text) {
  const auto ms = std::chrono::duration_cast<milliseconds>(time.now().time_since_epoch());
  trace.push_back(fmt::format("{:>9} {}", ms.count() - 3'600'000, text));
  if (trace.size() > 4000) trace.pop_front();
}

void world::broken(std::string how) {
  note("BROKEN: {}", how);
  if (violation.empty()) violation = std::move(how);
}

git::oid world::new_name() {
  unsigned char raw[20] = {2};
  const std::uint64_t n = ++disk.names;
  for (int i = 0; i < 8; ++i) raw[12 + i] = static_cast<unsigned char>(n >> (8 * i));
  return git::oid(raw);
}

std::size_t world::index_of(const std::string& task) const {
  for (std::size_t i = 0; i < plan.tasks.size(); ++i)
    if (plan.tasks[i].id.str() == task) return i;
  throw std::logic_error("no task " + task);
}

duration world::disk_time() {
  if (!calm && odds.slow > 0 && random.one_in(odds.slow))
    return random.one_in(8) ? random.between(100s, 150s) : random.between(500ms, 20'000ms);
  return random.between(0ms, 20ms);
}

bool world::goes_wrong(std::uint64_t one_in) {
  if (calm || faults_left == 0 || !random.one_in(one_in)) return false;
  --faults_left;
  return true;
}

virtual_process* world::living(const std::string& name) {
  for (const auto& p : processes)
    if (p->alive && p->name == name) return p.get();
  return nullptr;
}

void world::orphan(const life* owner) {
  for (const auto& p : processes) {
    if (!p->alive || p->owner != owner) continue;
    p->owner = nullptr;
    p->child = nullptr;
    const bool stuck = goes_wrong(20);
    if (stuck) p->stray = true;
    // Its shim sees that nobody is there: TERM, 2 s, KILL.
    time.after(stuck ? random.between(5s, 40s) : random.between(1ms, 2300ms), nullptr,
               [this, dead = p.get()] { end_tree(*this, *dead, true); });
    if (std::exchange(p->frozen, false)) thaw_tree(*this, *p);
  }
}

void world::meddle_with_refs() {
  const std::size_t task = random.below(plan.tasks.size());
  ref& r = disk.wip[task];
  r.visible = r.durable = random.one_in(2) ? git::oid() : new_name();
  check->excuse_ref(task);
  note("somebody moves the checkpoint ref of t{}", task);
}

void world::drop_unreachable() {
  std::unordered_set<git::oid> reached;
  const auto reach = [&](git::oid id) {
    for (auto at = disk.checkpoints.find(id); at != disk.checkpoints.end();
         at = disk.checkpoints.find(at->second.previous))
      if (!reached.insert(at->first).second) return;
  };
  for (const std::vector<ref>* refs : {&disk.wip, &disk.old_wip})
    for (const ref& r : *refs) {
      reach(r.visible);
      reach(r.durable);
    }
  // Somebody may have moved or deleted a ref: journals name the newest ones.
  std::map<std::pair<std::size_t, bool>, std::pair<std::uint64_t, git::oid>> newest;
  for (const auto& [id, c] : disk.checkpoints)
    if (auto& last = newest[{c.task, c.rerun}]; c.named > last.first) last = {c.named, id};
  for (const auto& [of, last] : newest) reach(last.second);
  std::erase_if(disk.checkpoints,
                [&](const auto& c) { return c.second.named != 0 && !reached.contains(c.first); });
}

void world::cut_power() {
  note("the power is cut");
  power_fails = false;
  boot += "'";
  for (const auto& p : processes) {
    p->alive = false;
    p->owner = nullptr;
  }
  const std::size_t kept = disk.synced + random.below(disk.journal.size() - disk.synced + 1);
  disk.journal.resize(kept);
  if (kept > disk.synced && random.one_in(3))
    disk.journal[disk.synced + random.below(kept - disk.synced)] = '\0';
  const auto settle = [&](ref& r) {
    if (random.one_in(2)) r.visible = r.durable;
    r.durable = r.visible;
  };
  for (std::vector<ref>* refs : {&disk.wip, &disk.old_wip})
    for (std::size_t i = 0; i < refs->size(); ++i) {
      ref& r = (*refs)[i];
      const bool deleted = r.visible.is_zero();
      settle(r);
      // Whoever deletes it again finds nothing to do, and nothing to sync: `prune` takes it.
      if (deleted && !r.visible.is_zero()) check->excuse_ref(i);
    }
  for (ref& r : disk.result) settle(r);
  std::erase_if(disk.checkpoints,
                [&](const auto& c) { return !c.second.durable && random.one_in(2); });
  for (auto& [id, c] : disk.checkpoints) c.durable = true;
  run_record& record = disk.record;
  record.started = record.started_durable || (record.started && random.one_in(2));
  record.ended = record.ended_durable || (record.ended && random.one_in(2));
  record.started_durable = record.started;
  record.ended_durable = record.ended;
  std::erase_if(record.tasks, [&](const auto& t) { return !t.second.durable && random.one_in(2); });
  for (auto& [task, ended] : record.tasks) ended.durable = true;
  for (auto slot = disk.slots.begin(); slot != disk.slots.end();) {
    if (random.one_in(2)) slot->second.work &= random.next();  // nobody had synced its files
    slot = random.one_in(16) ? disk.slots.erase(slot) : std::next(slot);
  }
  for (auto& [name, dir] : disk.attempts)
    if (random.one_in(2)) dir.out.resize(random.below(dir.out.size() + 1));
  if (!disk.removed_journal.empty() && random.one_in(4)) {
    disk.journal = std::exchange(disk.removed_journal, {});
    disk.synced = disk.journal.size();
    disk.journal_there = true;
  }
}

}  // namespace remora::sim
