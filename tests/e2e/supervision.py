#!/usr/bin/env python3
"""What ends an agent that would go on: budgets of tasks and of runs.

    tests/e2e/supervision.py --remora PROGRAM [TEST …]

Needs git and nothing else. Every test has a repository and a state directory of its own, and ends what it
started.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import main_job
from main_job import Job, wait_until

# A turn costs 1,000 tokens and $0.10. After so many turns as $SEEN/turns says, in all lives, it has finished if it may,
# and else waits for ever. Where there is a gate, it waits there before it begins.
SPENDER = r"""
cat > /dev/null
echo $$ >> "$SEEN/pids.$REMORA_TASK"
[ ! -p "$SEEN/gate.$REMORA_TASK" ] || read -r _ < "$SEEN/gate.$REMORA_TASK"
n=$(cat n 2> /dev/null || echo 0)
while [ "$n" -lt "$(cat "$SEEN/turns")" ]; do
  n=$((n + 1))
  echo "$n" > n
  echo '{"type":"turn_started"}'
  echo '{"type":"usage","input_tokens":600,"output_tokens":400,"cached_tokens":50000,"cost_usd":'"${COST:-0.1}"'}'
  echo '{"type":"turn_ended"}'
done
touch "$SEEN/spent.$REMORA_TASK"
[ -e "$SEEN/release" ] || [ -e "$SEEN/release.$REMORA_TASK" ] || exec sleep 987654
echo '{"type":"finished","ok":true}'
"""

# All that it tells of its tokens comes once it is done.
LATE = r"""
cat > /dev/null
echo done > done
echo '{"type":"finished","ok":true}'
echo '{"type":"usage","input_tokens":600000,"output_tokens":400}'
"""


class Budgets(Job):
    def spend(self, tasks, more, turns):
        (self.seen / "turns").write_text(str(turns))
        plan = Path(self.plan(tasks, more, SPENDER))
        plan.write_text(plan.read_text().replace("adapter: text", "adapter: jsonl").replace("[SEEN]", "[SEEN, COST]"))
        return str(plan)

    def ended(self, done):
        return {e["task"]: e for e in self.events(done) if e["type"] == "task_ended"}

    def test_a_task_without_tokens_left_is_interrupted_and_goes_on_with_more(self):
        plan = self.spend(["a"], "defaults: {limits: {tokens: 3k}}", 3)
        done = self.remora("run", plan, "--json", status=3)
        end = self.ended(done)["a"]
        self.assertEqual((end["outcome"], end["verdict"], end["detail"], end["attempts"]),
                         ("interrupted", "budget", "tokens", 1))
        self.assertIn("3.0k of 3.0k tokens are used: 'remora resume ", end["why"])
        self.assertIn("--set limits.tokens=", self.remora("show", "last/a").stdout)
        self.assertEqual(end["usage"]["cached_tokens"], 150000)

        end = self.ended(self.remora("resume", "--json", status=3))["a"]
        self.assertEqual((end["verdict"], end["attempts"]), ("budget", 1), "no other attempt began")

        self.assertIn("--set limits.tokens=many: ", self.remora("resume", "--set", "limits.tokens=many", status=2).stderr)
        (self.seen / "turns").write_text("4")
        end = self.ended(self.remora("resume", "--json", "--set", "limits.tokens=4k", status=3))["a"]
        self.assertEqual((end["verdict"], end["attempts"]), ("budget", 2))
        end = self.ended(self.remora("resume", "--json", status=3))["a"]
        self.assertIn("4.0k of 4.0k tokens", end["why"], "what was set stays")

        (self.seen / "turns").write_text("5")
        (self.seen / "release").touch()
        end = self.ended(self.remora("resume", "--json", "--set", "limits.tokens=1M"))["a"]
        self.assertEqual((end["outcome"], end["attempts"]), ("succeeded", 3))
        self.assertEqual(self.git("show", end["branch"] + ":n"), "5\n")

    def test_as_many_turns_as_it_may_have_and_no_more(self):
        (self.seen / "release").touch()
        end = self.ended(self.remora("run", self.spend(["a"], "defaults: {limits: {turns: 3}}", 3), "--json"))["a"]
        self.assertEqual(end["outcome"], "succeeded")
        (self.seen / "release").unlink()
        end = self.ended(self.remora("run", self.spend(["a"], "defaults: {limits: {turns: 3}}", 4), "--json", status=3))["a"]
        self.assertEqual((end["verdict"], end["detail"]), ("budget", "turns"))
        (self.seen / "release").touch()
        end = self.ended(self.remora("rerun", "last", "--set", "limits.turns=9", "--json"))["a"]
        self.assertEqual(end["outcome"], "succeeded")

    def test_who_completes_with_the_last_of_it_has_completed(self):
        plan = self.plan(["a"], "defaults: {limits: {tokens: 3k}}", LATE)
        Path(plan).write_text(Path(plan).read_text().replace("adapter: text", "adapter: jsonl"))
        end = self.ended(self.remora("run", plan, "--json"))["a"]
        self.assertEqual((end["outcome"], end["usage"]["input_tokens"]), ("succeeded", 600000))

    def test_the_budget_of_a_run_is_all_of_its_tasks(self):
        plan = Path(self.spend(["a", "b", "c"], "budget: {cost_usd: 0.5}", 3))
        plan.write_text(plan.read_text().replace("parallel: 8", "parallel: 1"))
        (self.seen / "release.a").touch()
        ended = self.ended(self.remora("run", str(plan), "--json", status=3))
        self.assertEqual([(e["outcome"], e["verdict"], e["detail"], e["attempts"]) for e in ended.values()],
                         [("succeeded", "completed", "", 1), ("interrupted", "budget", "cost", 1), ("interrupted", "budget", "cost", 0)])
        self.assertIn("--set budget.cost_usd=", ended["b"]["why"])
        (self.seen / "release").touch()
        self.remora("resume", "--set", "budget.cost_usd=10")

    def test_X1_what_a_run_spent_before_a_crash_counts_after_it(self):
        os.mkfifo(self.seen / "gate.b")
        (self.seen / "release.a").touch()
        process = self.start("run", self.spend(["a", "b"], "budget: {cost_usd: 0.5}", 3))
        wait_until("one is done, and the other at its gate",
                   lambda: (self.seen / "pids.b").exists() and
                   [run["succeeded"] for run in self.events(self.remora("list", "--json"))] == [1])
        process.kill()
        process.wait()
        (self.seen / "gate.b").unlink()
        ended = self.ended(self.remora("resume", "--json", status=3))
        self.assertEqual([(e["task"], e["verdict"], e["detail"]) for e in ended.values()], [("b", "budget", "cost")])

    def test_P13_what_an_agent_spent_unseen_counts_in_the_next_life(self):
        os.mkfifo(self.seen / "gate.a")
        process = self.start("run", self.spend(["a"], "defaults: {limits: {tokens: 3k}}", 3))
        wait_until("the agent", lambda: (self.seen / "pids.a").exists())
        process.send_signal(signal.SIGSTOP)
        (self.seen / "gate.a").write_text("go on\n")
        wait_until("it has spent all", lambda: (self.seen / "spent.a").exists())
        process.kill()
        process.wait()
        end = self.ended(self.remora("resume", "--json", status=3))["a"]
        self.assertEqual((end["verdict"], end["detail"], end["attempts"]), ("budget", "tokens", 1))

    def test_what_an_agent_does_not_tell_of_its_cost_is_estimated(self):
        self.env["COST"] = "0"
        plan = Path(self.spend(["a"], "defaults: {limits: {cost_usd: 0.02}}", 3))
        plan.write_text(plan.read_text().replace("    pass_env", "    prices: {input: 5, output: 10, cached: 0.02}\n    pass_env"))
        end = self.ended(self.remora("run", str(plan), "--json", status=3))["a"]
        self.assertEqual((end["verdict"], end["detail"]), ("budget", "cost"))
        self.assertIn("$0.02 of $0.02 are spent (estimated from the tokens)", end["why"])
        self.assertTrue(end["usage"]["estimated"])
        self.assertAlmostEqual(end["usage"]["cost_usd"], 3 * 0.008)


if __name__ == "__main__":
    main_job.main()
