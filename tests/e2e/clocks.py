#!/usr/bin/env python3
"""A suspended machine, a stopped orchestrator and a clock that jumps end no agent and lose no order.

    tests/e2e/clocks.py --remora PROGRAM --false-clock LIBRARY [TEST …]

A suspend is played by a library that puts the clocks of remora forward (tests/e2e/false_clock.cpp).
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import main_job
from main_job import Job, wait_until

# Once it is told to, it says nothing for twice as long as it may.
QUIET = r"""
cat > /dev/null
echo $$ >> "$SEEN/pids.$REMORA_TASK"
echo '{"type":"turn_started"}'
touch "$SEEN/began"
until [ -e "$SEEN/quiet" ]; do sleep .1; done
sleep 6
echo '{"type":"finished","ok":true}'
"""

# More than a pipe holds: it waits until somebody reads.
BLOCKED = r"""
cat > /dev/null
echo $$ >> "$SEEN/pids.$REMORA_TASK"
echo '{"type":"turn_started"}'
touch "$SEEN/began"
until [ -e "$SEEN/quiet" ]; do sleep .1; done
touch "$SEEN/writes"
head -c 1000000 /dev/zero | tr '\0' x
echo
echo '{"type":"finished","ok":true}'
"""

YEAR = 365 * 24 * 3600
FALSE_CLOCK = ""


class Clocks(Job):
    def jsonl(self, script, limits):
        plan = Path(self.plan(["job"], f"defaults: {{limits: {{{limits}}}, checkpoint: {{interval: 300ms, min_gap: 50ms}}}}", script))
        plan.write_text(plan.read_text().replace("adapter: text", "adapter: jsonl"))
        return str(plan)

    def shift(self, boot, wall):
        new = self.dir / "shift.new"
        new.write_text(f"{boot} {wall}\n")
        new.rename(self.dir / "shift")

    def go(self, *args, false_clock=False):
        env = dict(self.env)
        if false_clock:
            self.shift(0, 0)
            env.update(LD_PRELOAD=FALSE_CLOCK, FALSE_CLOCK=str(self.dir / "shift"))
        with open(self.dir / "events", "w") as out:
            process = subprocess.Popen([main_job.REMORA, *args, "--json"], cwd=self.repo, env=env, stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=subprocess.DEVNULL)
        self.started.append(process)
        wait_until("the agent is at work", lambda: (self.seen / "began").exists())
        return process

    def journal(self):
        lines = (self.dir / "events").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def because(self):
        return [e["because"] for e in self.journal() if e["type"] == "decided"]

    def assert_one_life(self, process):
        self.assertEqual(process.wait(main_job.PATIENCE), 0)
        ends = [(e["verdict"], e["attempt"]) for e in self.journal() if e["type"] == "attempt_ended"]
        self.assertEqual(ends, [("completed", 1)])

    def test_T1_after_a_suspend_silence_ends_no_agent_for_a_minute(self):
        process = self.go("run", self.jsonl(QUIET, "idle: 3s"), false_clock=True)
        self.shift(7200, 7200)
        wait_until("it is noticed", lambda: "the machine was suspended" in self.because())
        (self.seen / "quiet").touch()
        self.assert_one_life(process)

    def test_O9_an_agent_that_waited_for_us_is_not_silent(self):
        process = self.go("run", self.jsonl(BLOCKED, "idle: 3s"))
        os.kill(process.pid, signal.SIGSTOP)
        (self.seen / "quiet").touch()
        wait_until("the agent writes", lambda: (self.seen / "writes").exists())
        time.sleep(6)  # is the fault itself
        os.kill(process.pid, signal.SIGCONT)
        self.assert_one_life(process)

    def test_T2_a_clock_that_jumps_by_a_year_changes_no_order_and_no_deadline(self):
        process = self.go("run", self.jsonl(QUIET, "idle: 30s"), false_clock=True)
        for wall in (YEAR, -YEAR, 0):
            seen = len(self.journal())
            self.shift(0, wall)
            [slot] = (self.dir / "state").glob("remora/*/slots/*")
            (slot / f"at.{wall}").touch()
            wait_until("a checkpoint", lambda: any(e["type"] == "checkpoint_saved" for e in self.journal()[seen:]))
        (self.seen / "quiet").touch()
        self.assert_one_life(process)
        journal = self.journal()
        self.assertEqual([e["seq"] for e in journal], sorted(e["seq"] for e in journal))
        years = {e["t"][:4] for e in journal}
        self.assertEqual(len(years), 3, years)
        [end] = [e for e in journal if e["type"] == "attempt_ended"]
        self.assertLess(end["duration_ms"], 1000 * main_job.PATIENCE)
        files = self.git("ls-tree", "--name-only", self.events(self.remora("results", "last", "--json"))[0]["branch"]).split()
        self.assertLessEqual({f"at.{wall}" for wall in (YEAR, -YEAR, 0)}, set(files))


def main():
    global FALSE_CLOCK
    parser = argparse.ArgumentParser()
    parser.add_argument("--remora", required=True)
    parser.add_argument("--false-clock", required=True)
    known, rest = parser.parse_known_args()
    main_job.REMORA = str(Path(known.remora).resolve())
    FALSE_CLOCK = str(Path(known.false_clock).resolve())
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
