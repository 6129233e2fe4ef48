#!/usr/bin/env python3
"""Agents that end as real ones do: signals that are ignored, wrappers that die alone, words and exits that are not true.

    tests/e2e/signals.py --remora PROGRAM [--as-user] [TEST …]

Each test is one way in which the command line agents were seen to end, or not to, played by a script. After each of them
no process of the run is left, not even a dead one that nobody has reaped: this program is who would inherit it.

With --as-user as an ordinary user, who may make no cgroup; without, as who starts it. Needs git and nothing else.
Every test has a repository and a state directory of its own.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import fake_agents
from fake_agents import IDLE, Ended
from main_job import PATIENCE, wait_until


class Signals(Ended):
    def test_agents_have_a_cgroup_where_one_can_be_made(self):
        self.lives(self.agents("import shutil\nshutil.copy('/proc/self/cgroup', SEEN + '/cgroup')\ndone()\n"))
        mine, its = [[line for line in Path(file).read_text().splitlines() if line.startswith("0::")]
                     for file in ("/proc/self/cgroup", self.seen / "cgroup")]
        mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup2 " in line]
        can = False
        if mounts and mine:
            leaf = Path(mounts[0][4] + mine[0][3:]) / f"test-{os.getpid()}"
            with contextlib.suppress(OSError):
                leaf.mkdir()
                leaf.rmdir()
                can = True
        print("with cgroups" if can else "without cgroups")
        self.assertEqual("/remora-" in its[0] if its else False, can)

    # --- signals that are ignored ---

    def test_P4_term_is_ignored(self):
        events = self.goes_on(self.agents("ignore(signal.SIGTERM, signal.SIGHUP)\nsay('on it')\nwait()\n", adapter="claude"), IDLE)
        self.assertEqual(self.told("ignored"), "SIGTERM\n")
        self.assertEqual(self.path(events)[:5], ["freezing", "grace", "emptying", "saving", "asking"])

    def test_P15_int_is_ignored(self):
        script = "ignore(signal.SIGINT)\nnote('ready', '')\nwait()\n"
        run = self.start("run", self.agents(script, limits="grace: 20s"))
        wait_until("the agent", lambda: self.told("ready") is not None)
        run.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(PATIENCE), 3)
        self.nobody_is_left()
        self.assertIsNone(self.told("ignored"), "Ctrl-C is remora's, and its agents are sent TERM")
        self.assertEqual(self.remora("show", "last/a", "--why").stdout.count("grace > emptying  exited"), 1)
        events = self.lives(None, ("resume",))
        self.assertEqual(self.verdicts(events), [("completed", "")])
        self.assertEqual(self.told("strays"), "")
        self.assertEqual(self.result("progress.txt"), "life 1\nlife 2\n")

    # --- who is signalled is not who works ---

    def test_P2_the_wrapper_dies_of_term_and_the_worker_writes_on(self):
        """Qwen: its worker holds the pipe, and goes on for seconds after TERM or for ever."""
        script = r"""
if sys.argv[1:] == ["worker"]:
    ignore(signal.SIGTERM)
    for n in range(1000000):
        with open("work.txt", "a") as file:
            file.write(f"{n}\n")
        note("diary", f"{n}\n")  # after it is done
        say(str(n))
        time.sleep(0.01)
itself("worker")
wait()
"""
        self.goes_on(self.agents(script, adapter="qwen", limits="wall: 2s, grace: 500ms"), ("timed_out", "wall"))
        self.assertEqual(self.told("ignored"), "SIGTERM\n")
        # All that it has done is in the result, the last line perhaps without its end.
        self.assertTrue(self.result("work.txt").startswith(self.told("diary")))

    def test_P2_the_parent_ignores_term_and_waits_for_its_worker(self):
        """Gemini: TERM to the parent alone does nothing; the worker that obeys it exits 0, and then its parent does."""
        script = r"""
if sys.argv[1:] == ["worker"]:
    if TASK == "obeys":
        signal.signal(signal.SIGTERM, lambda *_: (note("worker", "term\n"), os._exit(0)))
    else:
        ignore(signal.SIGTERM)
    wait()
ignore(signal.SIGTERM, signal.SIGINT)
worker = itself("worker")
worker.wait()
sys.exit(0)
"""
        tasks = ("obeys", "ignores")
        events = self.goes_on(self.agents(script, tasks, limits="idle: 1500ms, grace: 2s"), IDLE, tasks=tasks)
        self.assertEqual(self.told("worker", "obeys"), "term\n")
        facts = {e["task"]: e["fact"] for e in events if e["type"] == "decided" and (e["from"], e["to"]) == ("grace", "emptying")}
        self.assertEqual(facts, {"obeys": "exited", "ignores": "deadline"})

    def test_P1_tools_in_sessions_of_their_own(self):
        """A tool is in a session of its own, may have forked twice, ignores what it is sent, and may know nothing of its environment."""
        script = r"""
quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
deaf = "trap '' TERM INT HUP; echo >> %s/up; while :; do sleep 1000; done" % SEEN
start("setsid", "sh", "-c", deaf, **quiet)
start("setsid", "sh", "-c", "setsid sh -c \"%s\" &" % deaf, **quiet)
start("env", "-i", "setsid", "sh", "-c", deaf, **quiet)
start("env", "-i", "setsid", "sh", "-c", "setsid sh -c \"%s\" & exit" % deaf, **quiet)
while not os.path.exists(SEEN + "/up") or os.path.getsize(SEEN + "/up") < 4:
    time.sleep(0.01)
if TASK == "fails":
    sys.exit(1)
if TASK == "crashes":
    os.kill(os.getpid(), signal.SIGKILL)
wait()
"""
        tasks = ("waits", "fails", "crashes")
        # One at a time: each looks for four of its own.
        for task, verdict in zip(tasks, (IDLE, ("failed", "1"), ("crashed", "SIGKILL"))):
            (self.seen / "up").unlink(missing_ok=True)
            self.goes_on(self.agents(script, [task]), verdict, tasks=[task])

    def test_P1_a_daemon_is_left_by_one_that_succeeds(self):
        """cline's hub: in a session of its own, and here it holds the output, too."""
        script = r"""
start("setsid", "sh", "-c", "trap '' TERM HUP; sleep 1000 & echo $! > $SEEN/daemon; wait")
while not os.path.exists(SEEN + "/daemon"):
    time.sleep(0.01)
done()
"""
        events = self.lives(self.agents(script, limits="idle: 60s"))
        self.assertEqual(self.verdicts(events), [("completed", "")])
        self.assertEqual(self.result("progress.txt"), "life 1\n")

    # --- how it ends ---

    def test_P16_an_exit_of_0_is_no_success(self):
        """Qwen tells of a refused login as of a success, pi exits 0 after every error; of a program that tells nothing a
        verification knows."""
        qwen = "say({0!r})\ndone(result={0!r})\n"
        for adapter, script, verdict in (
                ("qwen", qwen.format("[API Error: 400 prompt is too long: 250000 tokens > 200000 maximum]"), ("context_full", "")),
                ("jsonl", "tell(type='error', kind='context', text='prompt is too long')\nsys.exit(0)\n", ("context_full", "")),
                ("jsonl", "tell(type='finished', ok=False, text='no server')\nsys.exit(0)\n", ("failed", "0")),
                ("jsonl", "sys.exit(0)\n", ("crashed", "no_result")),
                ("claude", "say('I was ended')\nsys.exit(0)\n", ("crashed", "no_result"))):
            with self.subTest(adapter=adapter, verdict=verdict):
                (self.seen / "strays.a").unlink(missing_ok=True)
                self.goes_on(self.agents(script, adapter=adapter), verdict)
        plan = Path(self.agents("sys.exit(0)\n", adapter="text"))
        plan.write_text(plan.read_text() + "    verify: 'grep -q 2 progress.txt'\n")
        (self.seen / "strays.a").unlink()
        self.goes_on(str(plan), ("verify_failed", ""))
        events = self.lives(self.agents(qwen.format("[API Error: 401 Incorrect API key]"), adapter="qwen"), status=3)
        self.assertEqual(self.verdicts(events), [("auth_failed", "")])

    def test_P16_success_with_an_error_and_exit_1(self):
        """Claude Code: `"subtype":"success","is_error":true`."""
        words = "API Error: 400 prompt is too long: 250000 tokens > 200000 maximum"
        script = f"done(1, is_error=True, api_error_status=400, result={words!r})\n"
        self.goes_on(self.agents(script, adapter="claude"), ("context_full", ""))
        script = "done(1, is_error=True, api_error_status=401, result='Failed to authenticate. API Error: 401')\n"
        events = self.lives(self.agents(script, adapter="claude"), status=3)
        self.assertEqual(self.verdicts(events), [("auth_failed", "")])

    def test_P16_success_is_told_and_then_it_ends_by_a_signal(self):
        """Claude Code under TERM: one more request, what the tool left, success, exit 143."""
        script = r"""
def ends(*_):
    with open("late.txt", "w") as file:
        file.write("after TERM\n")
    done(143)
signal.signal(signal.SIGTERM, ends)
if TASK == "itself":
    os.kill(os.getpid(), signal.SIGTERM)  # by somebody else
wait()
"""
        tasks = ("ended", "itself")
        self.goes_on(self.agents(script, tasks, adapter="claude"), IDLE, ("failed", "143"), tasks=tasks)
        for task in tasks:
            self.assertEqual(self.result("late.txt", task), "after TERM\n")

    def test_P4_exits_after_term(self):
        """By the signal, with 143 (Claude, pi), 130 (Qwen's worker), 0 (Gemini's), 1 (Codex): it was ended all the same."""
        script = r"""
code = int(TASK)
if code < 256:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(code))
wait()
"""
        tasks = ("999", "143", "130", "0", "1")
        self.goes_on(self.agents(script, tasks, limits="idle: 1500ms, grace: 20s"), IDLE, tasks=tasks)

    def test_P16_exits_by_itself(self):
        """With the status of an HTTP error (Gemini: 401, 400, 429 modulo 256), as if by a signal, and by one."""
        script = "if TASK.startswith('sig'): os.kill(os.getpid(), int(TASK[3:]))\nsys.exit(int(TASK))\n"
        tasks = ("145", "173", "143", "130", "sig15", "sig11")
        ends = [("failed", task) for task in tasks[:4]] + [("crashed", "SIGTERM"), ("crashed", "SIGSEGV")]
        self.goes_on(self.agents(script, tasks), *ends, tasks=tasks)

    # --- silence ---

    def test_P14_quiet_for_long(self):
        """In a retry nothing is told for minutes: `idle` is longer. An open tool call may be silent for as long as `tool`."""
        script = r"""
if TASK != "retries":
    tell(type="assistant", message={"id": "1", "role": "assistant",
                                    "content": [{"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "make"}}]})
time.sleep(1 if TASK == "retries" else 3 if TASK == "builds" else 1000)
if TASK == "builds":
    tell(type="user", message={"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]})
done()
"""
        events = self.lives(self.agents(script, ["retries"], adapter="claude", limits="idle: 8s"))
        self.assertEqual(self.verdicts(events, "retries"), [("completed", "")])
        events = self.lives(self.agents(script, ["builds"], adapter="claude", limits="idle: 1s"))
        self.assertEqual(self.verdicts(events, "builds"), [("completed", "")])
        self.goes_on(self.agents(script, ["hangs"], adapter="claude", limits="idle: 1s, tool: 2s"), IDLE, tasks=["hangs"])

    # --- its pipes ---

    def test_O10_stdin_is_waited_on_for_ever(self):
        """Codex, opencode, pi and cline read it to its end before they begin. Claude Code's stays open until its result, so
        one that waits there for more is a silent one."""
        script = "ended = sys.stdin.read()\nnote('stdin', repr(ended))\ndone()\n"
        events = self.lives(self.agents(script))
        self.assertEqual((self.verdicts(events), self.told("stdin")), ([("completed", "")], "''"))
        (self.seen / "stdin.a").unlink()
        self.goes_on(self.agents(script, adapter="claude"), IDLE)
        self.assertIsNone(self.told("stdin"))
        (self.seen / "strays.a").unlink()
        script = "tell(type='result', subtype='success', is_error=False, result='done')\nnote('stdin', repr(sys.stdin.read()))\n"
        events = self.lives(self.agents(script, adapter="claude", limits="idle: 60s"))
        self.assertEqual((self.verdicts(events), self.told("stdin")), ([("completed", "")], "''"))

    def test_O1_stdout_is_closed_and_the_work_goes_on(self):
        script = r"""
print("that is all", flush=True)
for fd in (0, 1, 2):
    os.close(fd)
time.sleep(1)
with open("late.txt", "w") as file:
    file.write("without a word\n")
os._exit(0)
"""
        events = self.lives(self.agents(script, adapter="text", limits="idle: 60s"))
        self.assertEqual(self.verdicts(events), [("completed", "")])
        self.assertEqual(self.result("late.txt"), "without a word\n")

    # --- whom it signals ---

    def test_P4_it_signals_its_own_group(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
            with self.subTest(number=number.name):
                (self.seen / "strays.a").unlink(missing_ok=True)
                script = f"signal.signal(signal.SIGINT, signal.SIG_DFL)\nstart('setsid', 'sleep', '1000')\nos.kill(0, {int(number)})\nwait()\n"
                self.goes_on(self.agents(script), ("crashed", number.name))

    # --- what it writes meanwhile ---

    def test_what_it_writes_while_it_is_ended_is_whole(self):
        """Two files, generation after generation in large pieces, the second one after the first. Frozen they are as they
        were at one moment; and so are they once it is dead."""
        script = r"""
ignore(signal.SIGTERM)
n = 0
while True:
    n += 1
    for name in ("first", "second"):
        with open(name, "wb", buffering=0) as file:
            for piece in range(16):
                file.write(b"%07d\n" % n * 16384)
    if n == 3:
        note("ready", "")
"""
        for turn in range(2):
            plan = self.agents(script, limits="grace: 300ms")
            (self.seen / "ready.a").unlink(missing_ok=True)
            run = self.start("run", plan)
            wait_until("it writes", lambda: self.told("ready") is not None)
            run.send_signal(signal.SIGINT)
            self.assertEqual(run.wait(PATIENCE), 3)
            self.nobody_is_left()
            shown = self.events(self.remora("show", "last/a", "--why", "--json"))
            saved = [e for e in shown if e["type"] == "checkpoint_saved"]
            self.assertEqual([e["reason"] for e in saved[-2:]], ["interrupted", "interrupted"])
            for checkpoint in saved[-2:]:
                self.assertEqual(checkpoint["left_out"], 0)
                self.consistent(checkpoint["commit"])

    def consistent(self, commit):
        """A state that the writer could have made: a part of one generation, and all of the one before."""
        files = [subprocess.run(["git", "show", f"{commit}:{name}"], cwd=self.repo, env=self.env, capture_output=True, check=True,
                                timeout=PATIENCE).stdout for name in ("first", "second")]
        whole = 16 * 16384 * 8
        n = [int(text[:8]) if len(text) >= 8 else None for text in files]
        for text, of in zip(files, n):
            self.assertEqual(text, (b"%07d\n" % (of or 0) * (16 * 16384))[:len(text)])
        first, second = [len(text) for text in files]
        if first < whole:
            self.assertEqual(second, whole)
            self.assertIn(n[0], (None, n[1] + 1))
        elif second == whole:
            self.assertIn(n[0] - n[1], (0, 1))
        else:
            self.assertIn(n[1], (None, n[0]))


if __name__ == "__main__":
    fake_agents.main()
