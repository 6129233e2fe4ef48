#!/usr/bin/env python3
"""Kills at random, for hours: remora, agents, shims; then `resume`, over and over, in one growing repository.

    tests/torture/soak.py --remora PROGRAM [--minutes M | --budget-seconds S] [--seed N] [--json FILE] [--keep PREFIX]

In each life of remora something happens at a moment drawn by the seed: SIGKILL or SIGTERM to remora, a pause of it
(SIGSTOP, SIGCONT), SIGKILL to agents or to a shim. What follows is `remora resume`, sometimes at once, while the last
life's agents may still be ending; every few lives the agents are let finish, and a new run, or a rerun of an
interrupted one, begins. Between two lives nothing announced may be missing, and after a run's end nothing may be left
of it but its results: no process, lock, slot, checkpoint or run directory. A run that was killed before it was told of
is gone on with as well. What an agent's git leaves locked when it is killed is its user's, or an older run's: it is
removed here, as `remora doctor` says, and counted. Old runs are dropped, so disk and processes
stay bounded: more of either is a failure. One line a minute while it runs, a summary at the end.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import processes
from objects import Damaged, fsck
from orchestrator import Failure, Ledger, World
from scene import copy_all

TASKS = ("steady", "hasty", "packer", "other")
MOST_PROCESSES = 120
MOST_BYTES = 600 << 20
KEPT_RUNS = 3
INTERRUPTED, REFUSED = 3, 4


class Soak:
    def __init__(self, o, below):
        self.o, self.below, self.random = o, below, random.Random(o.seed)
        self.world = World(o.remora, below, below / "outside")
        self.world.make(TASKS)
        self.counts, self.details = collections.Counter(), []
        self.began = self.told = time.monotonic()
        self.most_processes = self.most_bytes = 0

    def over(self):
        return time.monotonic() - self.began > self.seconds()

    def seconds(self):
        return self.o.minutes * 60 if self.o.minutes else self.o.budget_seconds

    def run(self):
        while not self.over():
            try:
                self.one_run()
            except (Failure, Damaged) as failure:
                self.counts["failures"] += 1
                self.details.append(f"life {self.counts['lives']}: {failure}")
                print(self.details[-1], file=sys.stderr, flush=True)
                processes.end_tree()
                if self.o.keep:
                    copy_all(self.below, f"{self.o.keep}-{self.counts['failures']}")
                if self.counts["failures"] >= 5:
                    return
                self.start_over()

    def start_over(self):
        """The next runs are not to be blamed for what this one left."""
        for name in ("repo", "state"):
            shutil.rmtree(self.below / name, ignore_errors=True)
        self.world.make(TASKS)

    def one_run(self):
        self.world.release(False)
        ledger, command = Ledger(TASKS), ["run", str(self.world.plan)]
        for _ in range(self.random.randint(1, 5)):
            self.one_life(ledger, command)
            if ledger.run:
                command = ["resume", ledger.run]
            if self.over():
                break
        self.world.finish(ledger, command)
        self.counts["runs"] += 1
        self.finish_untold(ledger)
        self.remove_agents_locks(ledger)
        self.check_nothing_left()
        self.drop_old_runs()
        self.tell()

    def one_life(self, ledger, command):
        """Until something happens to it."""
        before = ledger.count
        life = self.world.start(ledger, *command)
        self.counts["lives"] += 1
        what = self.random.choice(("kill", "kill", "term", "pause", "agents", "shim"))
        self.counts[what] += 1
        if self.random.random() < 0.8 and not life.wait_for(lambda: life.every_task_saved(TASKS)):
            raise Failure(f"{command[0]}: not every task announced a checkpoint; {life.saved} {life.said()} {ledger.warnings[-5:]}")
        life.wait_for(lambda: False, self.random.uniform(0, 0.4))
        self.measure()
        self.happen(life, what)
        status = life.finish()
        if what == "term" and status != INTERRUPTED and (life.heard or status != -signal.SIGTERM):
            raise Failure(f"SIGTERM ends it with {status}, not with {INTERRUPTED}: {life.said()}")
        if self.random.random() < 0.5:
            processes.end_tree()  # else `resume` meets the shims and agents of this life
        self.counts["checkpoints"] += ledger.count - before
        if ledger.run:
            if lost := ledger.lost(self.world):
                raise Failure(f"after {what}: {lost}")
            ledger.note_work(self.world)
        self.tell()

    def happen(self, life, what):
        pid = life.process.pid
        if what == "term":
            life.process.terminate()
            return
        if what == "pause":
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                time.sleep(self.random.uniform(0, 0.3))
                os.kill(pid, signal.SIGCONT)
        elif what in ("agents", "shim"):
            shims = [p for p in processes.children(pid) if processes.name_of(p) == "remora-shim"]
            victims = shims if what == "shim" else [p for s in shims for p in processes.children(s)]
            if victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.random.choice(victims), signal.SIGKILL)
            life.wait_for(lambda: False, self.random.uniform(0, 0.3))
        life.process.kill()

    def finish_untold(self, ledger):
        """What was killed between its first record and its first word is known to `remora list` alone."""
        for directory in (self.world.repo / ".git/remora/runs").glob("*"):
            if directory.name != ledger.run:
                self.world.finish(Ledger(TASKS), ["resume", directory.name])
                self.counts["untold"] += 1

    def remove_agents_locks(self, ledger):
        git_dir = self.world.repo / ".git"
        for lock in git_dir.rglob("*.lock"):
            if not lock.is_relative_to(git_dir / "remora") and ledger.run not in str(lock):
                lock.unlink(missing_ok=True)
                self.counts["locks"] += 1

    def check_nothing_left(self):
        git_dir = self.world.repo / ".git"
        left = [str(p) for p in git_dir.rglob("*.lock")] + [str(p) for p in (git_dir / "remora/runs").rglob("*")]
        left += [str(p) for p in self.world.state.glob("remora/*/slots/*")]
        left += [f"process {p} ({processes.name_of(p)})" for p in self.strays()]
        left += [name for name in self.refs() if name.startswith(("refs/remora/wip/", "refs/heads/remora-wip/"))]
        if left:
            raise Failure(f"left after a run that succeeded: {left}")

    def strays(self):
        """Processes that do not end by themselves. What an agent's git had started lives on for a moment where shim and
        remora were both killed: nobody is there to end it, and docs/reliability.md says so."""
        end = time.monotonic() + processes.PATIENCE
        while alive := [p for p in processes.descendants(os.getpid()) if processes.running(p)]:
            if time.monotonic() > end:
                break
            time.sleep(0.05)
        return alive

    def refs(self):
        return subprocess.run(["git", "for-each-ref", "--format=%(refname)"], cwd=self.world.repo, env=self.world.env,
                              capture_output=True, text=True, check=True).stdout.split()

    def drop_old_runs(self):
        runs = sorted(name.rsplit("/", 1)[1] for name in self.refs() if name.startswith("refs/remora/runs/"))
        for run in runs[:-KEPT_RUNS]:
            done = self.world.call("drop", "--force", run)
            if done.returncode != 0:
                raise Failure(f"drop {run} exits with {done.returncode}: {done.stderr}")
            for name in self.refs():
                if name.startswith(f"refs/remora/foreign/{run}/"):
                    subprocess.run(["git", "update-ref", "-d", name], cwd=self.world.repo, env=self.world.env, check=True)
            self.counts["dropped"] += 1
        if runs and self.counts["runs"] % 10 == 0:  # as a user's git does now and then
            done = subprocess.run(["git", "gc", "-q", "--prune=now"], cwd=self.world.repo, env=self.world.env,
                                  capture_output=True, text=True, timeout=600)
            if done.returncode != 0:
                raise Failure(f"git gc: {done.stderr}; fsck: {fsck(self.world.repo, env=self.world.env)}")

    def measure(self):
        alive = sum(processes.running(p) for p in processes.descendants(os.getpid()))
        used = int(subprocess.run(["du", "-s", "--block-size=1", str(self.below)], capture_output=True, text=True).stdout.split()[0])
        self.most_processes, self.most_bytes = max(self.most_processes, alive), max(self.most_bytes, used)
        if alive > MOST_PROCESSES:
            raise Failure(f"{alive} processes")
        if used > MOST_BYTES:
            raise Failure(f"{used >> 20} MB on disk")

    def line(self):
        c = self.counts
        return (f"soak: {(time.monotonic() - self.began) / 60:.1f} min, {c['runs']} runs, {c['lives']} lives "
                f"({c['kill']} killed, {c['term']} ended, {c['pause']} paused, {c['agents']} with an agent and {c['shim']} with a shim killed), "
                f"{c['checkpoints']} announced checkpoints, {c['untold']} runs not told of, {c['locks']} locks of agents' gits, at most {self.most_processes} processes and {self.most_bytes >> 20} MB, "
                f"{c['failures']} failures")

    def tell(self):
        if time.monotonic() - self.told > 60:
            self.told = time.monotonic()
            print(self.line(), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--remora", required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--budget-seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json")
    parser.add_argument("--keep", metavar="PREFIX", help="copy what a failure left to PREFIX-1, PREFIX-2, …")
    o = parser.parse_args()
    processes.ended_by_signals()
    processes.adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="remora-soak-", ignore_cleanup_errors=True) as below:
        soak = Soak(o, Path(below))
        try:
            soak.run()
        finally:
            processes.end_tree()
    print(soak.line())
    if o.json:
        Path(o.json).write_text(json.dumps({
            "instrument": "soak", "points": soak.counts["lives"], "failures": soak.counts["failures"],
            "seconds": round(time.monotonic() - soak.began, 1), "counts": soak.counts, "details": soak.details}) + "\n")
    if soak.counts["failures"]:
        print(f"again: tests/torture/soak.py --remora {o.remora} --seed {o.seed}")
    sys.exit(1 if soak.counts["failures"] or not soak.counts["lives"] else 0)


if __name__ == "__main__":
    main()
