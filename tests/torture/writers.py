#!/usr/bin/env python3
"""Eight writers publish checkpoints in one repository at once: no update fails, whoever packs refs beside them.

    tests/torture/writers.py [--writers PROGRAM | --remora PROGRAM] [--updates N] [--budget-seconds S] [--seed N] [--json FILE]

Three rounds: eight threads on tasks of their own, eight processes on tasks of their own, and eight threads that all
believe to own one task's ref (G3). Beside each somebody runs `git pack-refs --all --prune` over and over and holds
packed-refs.lock for a moment (G6). Afterwards plain git must find every ref at its writer's last checkpoint, all of it
readable. --updates is the sum of a round; by default as many rounds of 1,000 as fit into the budget. The program is
remora-writers, beside the tests of the build that --remora is from.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import processes
from objects import Damaged, Objects, git, refs

WRITERS = 8
PATIENCE = 600
LOCK_HELD = 0.2  # less than the second for which a locked ref is retried
ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "LANG": "C.UTF-8"}
WHO = ("-c", "user.name=A Person", "-c", "user.email=person@example.org", "-c", "gc.auto=0")


class PackRefs:
    """Somebody's git beside the writers."""

    def __init__(self, repo):
        self.repo, self.stop, self.packed = repo, threading.Event(), 0
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def run(self):
        lock = self.repo / ".git/packed-refs.lock"
        while not self.stop.is_set():
            subprocess.run(["git", "-C", str(self.repo), "pack-refs", "--all", "--prune"], env=ENV, capture_output=True, timeout=PATIENCE)
            self.packed += 1
            try:
                os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            self.stop.wait(LOCK_HELD)
            lock.unlink()
            self.stop.wait(LOCK_HELD)


class Round:
    def __init__(self, program, name, updates):
        self.program, self.name, self.updates = program, name, updates
        self.done = self.failed = self.set_aside = 0
        self.said = []

    def command(self, repo):
        each = str(-(-self.updates // WRITERS))
        if self.name == "processes":
            return [[self.program, str(repo), "--updates", each, "--threads", "1", "--first", str(n)] for n in range(1, WRITERS + 1)]
        return [[self.program, str(repo), "--updates", each, "--threads", str(WRITERS)] + (["--same"] if self.name == "one ref" else [])]

    def run(self, below):
        repo = Path(below)
        git(repo, "init", "-q", "-b", "main", ".", env=ENV)
        git(repo, *WHO, "commit", "-q", "--allow-empty", "-m", "base", env=ENV)
        began = time.monotonic()
        with PackRefs(repo) as packer:
            started = [subprocess.Popen(c, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        preexec_fn=processes.die_with_parent) for c in self.command(repo)]
            for process in started:
                out, err = process.communicate(timeout=PATIENCE)
                counts = [int(word) for word in out.split()] or [0, 1, 0, 0]
                self.done += counts[0]
                self.failed += max(counts[1], process.returncode != 0)
                self.set_aside += counts[2]
                self.said += err.splitlines()
        self.seconds, self.packed = time.monotonic() - began, packer.packed
        self.check(repo)

    def check(self, repo):
        named = refs(repo, "refs/remora", env=ENV)
        held = Objects(repo, sorted(set(named.values())), env=ENV)
        wip = {name: value for name, value in named.items() if name.startswith("refs/remora/wip/")}
        if len(wip) != (1 if self.name == "one ref" else WRITERS):
            raise Damaged(f"{self.name}: the refs are {sorted(wip)}")
        each = -(-self.updates // WRITERS)
        for name, value in wip.items():
            number = int(held.commit(value)[2]["Checkpoint"])
            if self.name != "one ref" and number != each:
                raise Damaged(f"{name} holds checkpoint {number} of {each}")
        left = [str(p) for p in (repo / ".git/refs").rglob("*.lock")]
        if left:
            raise Damaged(f"locks are left: {left}")

    def line(self):
        return (f"{self.name}: {self.done} updates, {self.done / max(self.seconds, 0.001):.0f} a second, {self.failed} failures, "
                f"{self.set_aside} values of others kept aside, refs packed {self.packed} times")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--remora")
    parser.add_argument("--writers")
    parser.add_argument("--updates", type=int)
    parser.add_argument("--budget-seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1, help="taken and not needed: the moments are the scheduler's")
    parser.add_argument("--json")
    o = parser.parse_args()
    program = o.writers or str(Path(o.remora).resolve().parents[2] / "tests/remora-writers")
    processes.ended_by_signals()
    began, details, failures, points = time.monotonic(), [], 0, 0
    while True:
        for name in ("threads", "processes", "one ref"):
            updates = (o.updates or 1000) // (10 if name == "one ref" else 1)  # each keeps what the others had put there
            one = Round(program, name, updates)
            with tempfile.TemporaryDirectory(prefix="remora-writers-") as below:
                try:
                    one.run(below)
                except Damaged as damage:
                    one.failed += 1
                    one.said.append(str(damage))
            print(f"writers: {one.line()}", flush=True)
            details += [f"{name}: {text}" for text in one.said]
            failures += one.failed
            points += one.done
        if o.updates or time.monotonic() - began > o.budget_seconds / 2:
            break
    for text in details:
        print(text, file=sys.stderr)
    seconds = time.monotonic() - began
    print(f"writers: {points} updates, {failures} failures, {seconds:.0f} s")
    if o.json:
        Path(o.json).write_text(json.dumps({"instrument": "writers", "points": points, "failures": failures,
                                            "seconds": round(seconds, 1), "details": details}) + "\n")
    sys.exit(1 if failures or not points else 0)


if __name__ == "__main__":
    main()
