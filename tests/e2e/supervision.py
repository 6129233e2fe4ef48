#!/usr/bin/env python3
"""What ends an agent that would go on, and what lets none begin: budgets of tasks and of runs, accounts.

    tests/e2e/supervision.py --remora PROGRAM [TEST …]

Needs git and nothing else. Every test has a repository and a state directory of its own, and ends what it
started.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
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

# It has done one prompt, and goes on with the next.
AGAIN = r"""
cat > /dev/null
echo '{"type":"prompt_started"}'
echo '{"type":"finished","ok":true}'
echo '{"type":"prompt_started"}'
echo '{"type":"turn_started"}'
echo '{"type":"usage","input_tokens":600000,"output_tokens":400}'
exec sleep 987654
"""

# Its worktree, which nobody has saved yet, is gone before it tells what it used.
GONE = r"""
cat > /dev/null
here=$PWD
cd /
rm -rf "$here"
echo '{"type":"usage","input_tokens":600400}'
exec sleep 987654
"""

# Ends with the error in $SEEN/error.<its account>, where there is one: its account is the word that it is started with.
LIMITED = r"""
cat > "$SEEN/stdin.$REMORA_TASK.$REMORA_ATTEMPT"
echo "$1 $(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)" >> "$SEEN/starts.$REMORA_TASK"
if [ -e "$SEEN/error.$1" ]; then
  cat "$SEEN/error.$1"
  [ ! -e "$SEEN/once.$1" ] || rm "$SEEN/error.$1"
  exit 1
fi
echo '{"type":"turn_started"}'
echo "$1" > "$REMORA_TASK"
echo '{"type":"turn_ended"}'
echo '{"type":"finished","ok":true}'
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

    def test_who_is_done_with_one_prompt_and_goes_on_is_not_done(self):
        plan = self.plan(["a"], "defaults: {limits: {tokens: 3k}}", AGAIN)
        Path(plan).write_text(Path(plan).read_text().replace("adapter: text", "adapter: jsonl"))
        end = self.ended(self.remora("run", plan, "--json", status=3))["a"]
        self.assertEqual((end["verdict"], end["attempts"]), ("budget", 1))

    def test_F10_what_no_checkpoint_has_was_spent_all_the_same(self):
        plan = self.plan(["a"], "defaults: {limits: {tokens: 3k}}", GONE)
        Path(plan).write_text(Path(plan).read_text().replace("adapter: text", "adapter: jsonl"))
        for command in (("run", plan), ("resume",), ("resume",)):
            end = self.ended(self.remora(*command, "--json", status=3))["a"]
            self.assertEqual((end["verdict"], end["attempts"], end["usage"]["input_tokens"]), ("budget", 1, 600400))
        self.assertEqual(self.refs("refs/remora/wip"), [])

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


# Says that it tries again in four seconds, and is silent until then; without $SEEN/loop it then goes on.
RETRIES = r"""
cat > /dev/null
echo '{"type":"turn_started"}'
n=0
while [ -e "$SEEN/loop" ] && [ "$REMORA_ATTEMPT" = 1 ]; do
  n=$((n + 1))
  echo '{"type":"error","kind":"context","transient":false,"text":"too long, request '$n'"}'
  echo '{"type":"message","text":"compacting"}'
  sleep .02
done
echo '{"type":"error","kind":"overloaded","transient":true,"retry_at":"'$(date -u -d '4 seconds' +%Y-%m-%dT%H:%M:%SZ)'","text":"529"}'
[ -e "$SEEN/loop" ] || sleep 4
echo '{"type":"turn_ended"}'
echo '{"type":"finished","ok":true}'
"""


class Errors(Job):
    def run_it(self):
        plan = Path(self.plan(["job"], "defaults: {limits: {idle: 2s}}", RETRIES))
        plan.write_text(plan.read_text().replace("adapter: text", "adapter: jsonl"))
        return self.events(self.remora("run", str(plan), "--json"))

    def test_who_announces_a_retry_is_waited_for(self):
        events = self.run_it()
        self.assertEqual([e["verdict"] for e in events if e["type"] == "attempt_ended"], ["completed"])
        phases = [e["phase"] for e in events if e["type"] == "task_phase"]
        self.assertEqual([p for p in phases if p in ("running", "retrying")], ["running", "retrying", "running"])

    def test_who_meets_one_error_for_ever_is_ended_and_followed(self):
        (self.seen / "loop").touch()
        events = self.run_it()
        ends = [(e["verdict"], e["text"]) for e in events if e["type"] == "attempt_ended"]
        self.assertEqual([verdict for verdict, _ in ends], ["context_full", "completed"])
        self.assertIn("20 times the same error: too long", ends[0][1])
        self.assertIn("error loop", [e["reason"] for e in events if e["type"] == "checkpoint_saved"])


# A stand-in for Claude Code, which takes a message while it works. $SEEN/manner says what it does with one.
SPOKEN_TO = r"""
import json, os, sys, time
seen = os.environ["SEEN"]
with open(f"{seen}/pids.job", "a") as pids:
    print(os.getpid(), file=pids)

def read():
    return json.loads(sys.stdin.readline())["message"]["content"][0]["text"]

def say(**line):
    print(json.dumps(line), flush=True)

def block(**content):
    say(type="assistant", session_id="s", message={"id": "m", "content": [content]})

def result(tool):
    say(type="user", session_id="s", message={"content": [{"type": "tool_result", "tool_use_id": tool, "content": "ok"}]})

def end(text):
    block(type="text", text=text)
    say(type="result", subtype="success", is_error=False, result=text, session_id="s", num_turns=1)
    sys.stdin.read()
    sys.exit(0)

with open(f"{seen}/prompt.{os.environ['REMORA_ATTEMPT']}", "w") as prompt:
    prompt.write(read())
say(type="system", subtype="init", session_id="s", cwd=os.getcwd(), tools=[], model="m")
if os.environ["REMORA_ATTEMPT"] != "1":
    end("done")
block(type="tool_use", id="t1", name="Bash", input={"command": "make"})
request = read()
with open(f"{seen}/request", "w") as out:
    out.write(request)
manner = open(f"{seen}/manner").read()
if manner == "file":
    with open(os.environ["REMORA_NOTES"], "a") as notes:
        print("of its own accord", file=notes)
    result("t1")
    time.sleep(1)  # a model's answer takes its time
    block(type="tool_use", id="t2", name="Bash", input={"command": "make note"})
    with open(os.environ["REMORA_NOTES"], "a") as notes:
        print("the lexer is done, the parser is not", file=notes)
    result("t2")
    time.sleep(987654)
end("Hand-off note\nthe lexer is done, the parser is not" if manner == "answer" else "all is done")
"""


class Notes(Job):
    def run_it(self, manner, adapter="claude"):
        (self.seen / "manner").write_text(manner)
        plan = Path(self.plan(["job"], "defaults: {limits: {wall: 60s, soft: 58s}}", SPOKEN_TO))
        plan.write_text(plan.read_text().replace("adapter: text", f"adapter: {adapter}").replace("command: [sh,", f"command: [{sys.executable},"))
        return self.events(self.remora("run", str(plan), "--json"))

    def ends(self, events):
        return [(e["verdict"], e["detail"]) for e in events if e["type"] == "attempt_ended"]

    def test_who_can_be_spoken_to_is_asked_for_a_note_that_its_successor_reads_first(self):
        for manner, label in (("file", "notes"), ("answer", "messages")):
            with self.subTest(manner):
                events = self.run_it(manner)
                self.assertEqual(self.ends(events), [("timed_out", "soft"), ("completed", "no_changes")])
                self.assertIn(str(self.repo), (self.seen / "request").read_text())
                prompt = (self.seen / "prompt.2").read_text()
                note = prompt.index("the lexer is done, the parser is not")
                self.assertLess(prompt.index(f"<<<{label}"), note)
                self.assertLess(note, prompt.index("Bash"))
                self.assertIn("it had been asked to hand over", prompt)

    def test_who_is_done_when_it_is_asked_has_completed(self):
        self.assertEqual(self.ends(self.run_it("done")), [("completed", "no_changes")])


# Somebody else ends it, eleven seconds after its start.
ENDED = r"""
cat > /dev/null
echo $$ >> "$SEEN/pids.job"
echo "$REMORA_ATTEMPT" >> lives
[ "$REMORA_ATTEMPT" = 4 ] || exec sleep 987654
"""


class OuterLimits(Job):
    def test_a_limit_that_somebody_else_keeps_is_learnt(self):
        plan = Path(self.plan(["job"], "", ENDED))
        plan.write_text(plan.read_text().replace("command: [sh,", "command: [timeout, '11', sh,"))
        events = self.events(self.remora("run", str(plan), "--json"))
        ends = [(e["verdict"], e["detail"]) for e in events if e["type"] == "attempt_ended"]
        self.assertEqual(ends, [("timed_out", "external")] * 2 + [("timed_out", "wall"), ("completed", "")])
        [learnt] = [e for e in events if e["type"] == "limit_learnt"]
        self.assertEqual((learnt["agent"], learnt["wall_ms"] // 1000), ("sh", 9))


class Accounts(Job):
    def job(self, tasks, agents, more="", parallel=8):
        plan = Path(self.plan(tasks, more, LIMITED))
        text = plan.read_text()
        head, rest = text.split("agents:\n", 1)
        rest = rest[rest.index("tasks:"):] if not more else more + "\n" + rest[rest.index("tasks:"):]
        names = "".join("  %s: {adapter: jsonl, command: [sh, %s, %s], pass_env: [SEEN], account: %s}\n" %
                        (name, self.dir / "agent.sh", name, name) for name in ("one", "two"))
        plan.write_text(head.replace("parallel: 8", f"parallel: {parallel}") + "agents:\n" + names +
                        rest.replace("please.\n", f"please.\n    agent: {agents}\n"))
        return str(plan)

    def error(self, account, kind, seconds=None):
        at = "" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        (self.seen / f"error.{account}").write_text(json.dumps({"type": "error", "kind": kind, "text": f"no {kind}", "retry_at": at}) + "\n")

    def starts(self, task):
        file = self.seen / f"starts.{task}"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def ended(self, done):
        return {e["task"]: e for e in self.events(done) if e["type"] == "task_ended"}

    def test_nothing_starts_on_a_paused_account_before_its_reset(self):
        self.error("one", "rate_limited", 3)
        (self.seen / "once.one").touch()
        done = self.remora("run", self.job(["a", "b", "c"], "one", parallel=1), "--json")
        events = self.events(done)
        [paused] = [e for e in events if e["type"] == "account_paused"]
        self.assertEqual((paused["account"], paused["verdict"], paused["text"]), ("one", "rate_limited", "no rate_limited"))
        self.assertEqual([e["account"] for e in events if e["type"] == "account_resumed"], ["one"])
        self.assertEqual([len(self.starts(t)) for t in "abc"], [2, 1, 1])
        for task, life in (("a", 1), ("b", 0), ("c", 0)):
            self.assertGreaterEqual(self.starts(task)[life][1], paused["until"])
        self.assertEqual([e["counted"] for e in events if e["type"] == "attempt_ended"][0], False)

    def test_the_next_agent_of_the_list_takes_over_at_once(self):
        for kind in ("rate_limited", "auth"):
            with self.subTest(kind=kind):
                for file in self.seen.iterdir():
                    file.unlink()
                self.error("one", kind, 40000 if kind == "rate_limited" else None)
                end = self.ended(self.remora("run", self.job(["a"], "[one, two]"), "--json"))["a"]
                self.assertEqual((end["outcome"], end["attempts"]), ("succeeded", 2))
                self.assertEqual([name for name, _ in self.starts("a")], ["one", "two"])
                self.assertEqual(self.git("show", end["branch"] + ":a"), "two\n")
                self.assertIn("allowed: agent two", self.remora("show", "last/a", "--why").stdout)
                shutil.rmtree(self.dir / "state/remora/accounts")

    def test_who_refuses_is_not_asked_again(self):
        self.error("one", "refused")
        done = self.remora("run", self.job(["a"], "[one, two]"), "--json")
        self.assertEqual([name for name, _ in self.starts("a")], ["one", "two"])
        self.error("two", "refused")
        end = self.ended(self.remora("run", self.job(["a"], "[one, two]"), "--json", status=1))["a"]
        self.assertEqual((end["outcome"], end["verdict"], end["attempts"]), ("failed", "refused", 2))

    def test_a_refused_login_ends_the_run_with_whose_it_is_and_resume_goes_on(self):
        self.error("one", "auth")
        done = self.remora("run", self.job(["a", "b", "c"], "one", parallel=1), "--json", status=3)
        ended = self.ended(done)
        self.assertEqual([(e["outcome"], e["verdict"], e["attempts"]) for e in ended.values()],
                         [("interrupted", "auth_failed", 1), ("interrupted", "auth_failed", 0), ("interrupted", "auth_failed", 0)])
        run = next(e["run"] for e in self.events(done) if e["type"] == "run_started")
        self.assertEqual(self.starts("b"), [])
        told = [e["text"] for e in self.events(done) if e["type"] == "warning"]
        self.assertEqual(len(told), 1, told)
        self.assertRegex(told[0], f"the login of account 'one' is refused since .*Z: no auth; log in again, then 'remora resume {run}'")
        self.assertEqual(ended["c"]["why"], told[0])

        # Who goes on has acted: one tries it. It is refused again, and nobody else starts.
        self.assertEqual(self.remora("resume", status=3).stderr.count("the login of account 'one' is refused"), 1)
        self.assertEqual([len(self.starts(t)) for t in "abc"], [2, 0, 0])
        (self.seen / "error.one").unlink()
        self.remora("resume")
        self.assertEqual([len(self.starts(t)) for t in "abc"], [3, 1, 1])

    def test_what_one_run_learnt_another_one_knows(self):
        self.error("one", "rate_limited", 40000)
        self.remora("run", self.job(["a"], "one"), status=3)
        other = self.dir / "other"
        self.git("clone", "-q", str(self.repo), str(other), cwd=self.dir)
        plan = Path(self.job(["b"], "one"))
        plan.write_text(plan.read_text().replace(f"repo: {self.repo}", f"repo: {other}"))
        done = self.remora("run", str(plan), "--json", cwd=other, status=3)
        self.assertEqual(self.starts("b"), [])
        self.assertEqual(self.ended(done)["b"]["verdict"], "rate_limited")
        self.assertEqual(len(self.git("worktree", "list", cwd=other).splitlines()), 1)

    def test_who_waits_for_a_quota_keeps_no_place_from_others_and_stops_at_once(self):
        self.error("one", "rate_limited", 10000)
        plan = Path(self.job(["a", "b", "c"], "one", parallel=1))
        plan.write_text(plan.read_text().replace("Do c, please.\n    agent: one", "Do c, please.\n    agent: two"))
        process = self.start("run", str(plan))
        wait_until("c is done", lambda: self.starts("c") and
                   [run["succeeded"] for run in self.events(self.remora("list", "--json"))] == [1])
        self.assertEqual((len(self.starts("a")), len(self.starts("b"))), (1, 0))
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(20), 3)

    def test_a_spent_run_does_not_wait_for_an_account(self):
        self.error("one", "rate_limited", 10000)
        plan = Path(self.job(["a", "b", "c"], "one", more="budget: {tokens: 10}"))
        plan.write_text(plan.read_text().replace("Do b, please.\n    agent: one", "Do b, please.\n    agent: two"))
        (self.dir / "agent.sh").write_text(LIMITED.replace("echo '{\"type\":\"turn_ended\"}'", "echo '{\"type\":\"usage\",\"input_tokens\":20}'"))
        ended = self.ended(self.remora("run", str(plan), "--json", status=3))
        self.assertEqual([ended[t]["verdict"] for t in "ac"], ["budget", "budget"])

    def test_a_login_that_is_refused_after_a_fruitless_attempt_fails_nothing(self):
        self.error("one", "other")
        process = self.start("run", self.job(["a"], "one"))
        wait_until("an attempt failed", lambda: len(self.starts("a")) == 1)
        self.error("one", "auth")
        self.assertEqual(process.wait(60), 3)

    @unittest.skipUnless(os.geteuid() == 0, "mounting a small file system needs root")
    def test_an_old_file_that_cannot_be_replaced_opens_nothing(self):
        accounts = self.dir / "state/remora/accounts"
        accounts.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(accounts)], check=True)
        self.mounted.append(accounts)
        (accounts / "one.json").write_text('{"schema":"remora.pause/1","account":"one","verdict":"rate_limited","since":"2026-01-01T00:00:00Z",'
                                           '"until":"2026-01-01T00:00:01Z","row":0}')
        subprocess.run(["mount", "-o", "remount,ro", str(accounts)], check=True)
        self.error("one", "rate_limited", 40000)
        self.remora("run", self.job(["a"], "one"), status=3)
        self.assertEqual(len(self.starts("a")), 1)

    def test_a_pause_that_cannot_be_read_or_written_pauses_all_the_same(self):
        accounts = self.dir / "state/remora/accounts"
        accounts.parent.mkdir(parents=True)
        accounts.write_text("a file in its place\n")
        self.error("one", "auth")
        self.remora("run", self.job(["a", "b"], "one", parallel=1), status=3)
        self.assertEqual((len(self.starts("a")), len(self.starts("b"))), (1, 0))
        accounts.unlink()
        accounts.mkdir()
        for name, text in (("one", "{"), ("two", '{"schema":"remora.pause/9"}'), ("..", "{}")):
            (accounts / f"{name}.json").write_text(text)
        (self.seen / "error.one").unlink()
        self.remora("resume")


if __name__ == "__main__":
    main_job.main()
