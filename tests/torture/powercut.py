#!/usr/bin/env python3
"""Cuts the power under live runs, and holds what remora announced against what the disk has then (F1).

    tests/torture/powercut.py --remora PROGRAM [--budget-seconds S] [--cuts N] [--flag 1|2] [--seed N] [--until-failure]
                              [--json FILE] [--keep DIR]

The repository, the worktrees and the journal are on ext4 on a loop device. Agents write, stage, commit, repack and
collect garbage there while remora saves them many times a second. At a moment drawn by the seed the ioctl for it
stops every write of the file system, with its log flushed (flag 1) or not (flag 2); everybody is killed; the file
system is mounted again, with another boot id. What must be true then, for every checkpoint whose announcement had
come through remora's pipe: all it reaches can be read and hashes to its name, the task's ref is at it or after it, plain
`git fsck` finds no empty object where every git has synced, `remora resume` goes on and announces the next one, and the results hold the work of all of them.

Needs root, mount namespaces and loop devices; without them it says so and exits with 77. A failure prints the
command that draws the same moments again; --keep saves the disk as it was after that cut.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import processes
from disk import LOGFLUSH, NOLOGFLUSH, Disk, Unavailable, own_mounts, tool
from objects import Damaged, fsck
from orchestrator import Failure, Ledger, World

SKIPPED = 77
TASKS = ("steady", "packer", "hasty")  # the last one's git does not sync: it is there on every other disk
CUTS_OF_A_RUN = 4  # then its agents are let finish
CUTS_OF_A_DISK = 24
OPTIONS = ("", "noauto_da_alloc")  # without it ext4 syncs some of what a program forgot


class Instrument:
    def __init__(self, o, below):
        self.o, self.below = o, below
        self.disk = Disk(below)
        self.points, self.failures, self.details = 0, 0, []
        self.announced = 0
        self.began = time.monotonic()

    def over(self):
        return (time.monotonic() - self.began > self.o.budget_seconds or self.points >= self.o.cuts
                or (self.o.until_failure and self.failures > 0))

    def run(self):
        number = 0
        while not self.over():
            number += 1
            self.series(f"{self.o.seed}.{number}")

    def series(self, seed):
        """A fresh disk and the cuts on it."""
        self.random, self.cuts_here = random.Random(seed), 0
        self.options = self.random.choice(OPTIONS)
        self.tasks = TASKS if seed.endswith(tuple("13579")) else TASKS[:-1]
        self.disk.format()
        self.disk.power_on(self.options)
        self.world = World(self.o.remora, self.disk.path, self.below / "outside")
        try:
            self.world.make(self.tasks)
            tool("sync", "-f", str(self.disk.path))
            while self.cuts_here < CUTS_OF_A_DISK and not self.over():
                self.one_run()
        except (Failure, Damaged) as failure:
            self.fail(seed, failure)
        finally:
            processes.end_tree()
            self.disk.power_off()
            shutil.rmtree(self.below / "outside")

    def fail(self, seed, failure):
        self.failures += 1
        text = f"cut {self.points} (series {seed}, {self.options or 'default mount'}, flags {self.flags}): {failure}"
        self.details.append(text)
        print(text, file=sys.stderr, flush=True)
        if self.o.keep:
            Path(self.o.keep).mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "--sparse=always", str(self.below / "before"), f"{self.o.keep}/{seed}.image"], check=False)

    def one_run(self):
        ledger = Ledger(self.tasks)
        self.world.release(False)
        command = ["run", str(self.world.plan)]
        for _ in range(CUTS_OF_A_RUN):
            self.live(ledger, command)
            self.cut()
            self.check(ledger)
            command = ["resume"] if ledger.run else command
            if self.over():
                break
        self.world.finish(ledger, command)

    def live(self, ledger, command):
        """A life of remora: until each task has announced a checkpoint and a while longer, or only for a moment."""
        life = self.world.start(ledger, *command)
        before = ledger.count
        if self.random.random() < 0.25:
            life.wait_for(lambda: False, self.random.uniform(0, 0.3))
        elif not life.wait_for(lambda: life.every_task_saved(self.tasks)):
            raise Failure(f"{command[0]}: not every task announced a checkpoint; {life.saved} {life.said()} {dict(ledger.lately)}")
        else:
            life.wait_for(lambda: False, self.random.uniform(0, 0.25))
        self.flags = self.o.flag or (LOGFLUSH, NOLOGFLUSH)[self.points % 2]
        ended_before = life.process.poll()
        self.disk.cut(self.flags)
        life.process.kill()
        processes.end_tree(besides=())
        life.finish()
        self.announced += ledger.count - before
        if ended_before is not None:
            raise Failure(f"{command[0]} had ended with {ended_before}: {life.said()}")

    def cut(self):
        self.points += 1
        self.cuts_here += 1
        self.disk.power_off()
        if self.o.keep:
            subprocess.run(["cp", "--sparse=always", str(self.disk.image), str(self.below / "before")], check=True)
        self.disk.power_on(self.options)

    def check(self, ledger):
        if not ledger.run:
            return
        if lost := ledger.lost(self.world):
            raise Failure(f"after the cut: {lost}")
        if TASKS[-1] not in self.tasks:
            if empty := [line for line in fsck(self.world.repo, self.world.env) if "empty" in line]:
                raise Failure(f"git fsck: {empty[:3]}")
        ledger.note_work(self.world)

    def report(self):
        seconds = time.monotonic() - self.began
        print(f"powercut: {self.points} cuts, {self.announced} announced checkpoints, {self.failures} failures, {seconds:.0f} s")
        if self.failures:
            flag = f" --flag {self.o.flag}" if self.o.flag else ""
            print(f"again: tests/torture/powercut.py --remora {self.o.remora} --seed {self.o.seed} --cuts {self.points}{flag}")
        if self.o.json:
            Path(self.o.json).write_text(json.dumps({
                "instrument": "powercut", "points": self.points, "failures": self.failures, "seconds": round(seconds, 1),
                "announced": self.announced, "details": self.details}) + "\n")
        return 1 if self.failures or not self.points else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--remora", required=True)
    parser.add_argument("--budget-seconds", type=float, default=60)
    parser.add_argument("--cuts", type=int, default=1_000_000)
    parser.add_argument("--flag", type=int, choices=(LOGFLUSH, NOLOGFLUSH))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--until-failure", action="store_true", help="end at the first one")
    parser.add_argument("--json")
    parser.add_argument("--keep")
    o = parser.parse_args()
    processes.ended_by_signals()
    processes.adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="remora-powercut-") as below:
        try:
            own_mounts()
            tool("mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", below)
            instrument = Instrument(o, Path(below))
            instrument.disk.format()
            instrument.disk.power_on()
            instrument.disk.power_off()
        except Unavailable as why:
            print(f"powercut: skipped: {why}")
            sys.exit(SKIPPED)
        try:
            instrument.run()
        finally:
            processes.end_tree()
            instrument.disk.close()
            subprocess.run(["umount", "-l", below], check=False)
        status = instrument.report()
    sys.exit(status)


if __name__ == "__main__":
    main()
