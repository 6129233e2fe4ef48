#!/usr/bin/env python3
"""A worktree and what a checkpoint of it restores, compared by tools that know nothing of remora: rsync and find.

    tests/e2e/exact.py --remora PROGRAM [--repository PATH | --files N] [TEST …]

A clone of the repository at PATH, else one of N files made here (300). In the worktree of its agent one file in two
hundred is changed, a further one deleted, and so on: CHANGES. The agent copies its worktree and is then interrupted. What `remora
checkpoint restore` makes of the last checkpoint, and the worktree that a resumed run makes of it, must be that copy: bytes,
modes, links and empty directories, but for what the manifest lists and what git says is ignored. Needs git and rsync.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import unittest
from pathlib import Path

import main_job
from corpus import SPECIAL_BITS, git
from main_job import AGENT, PATIENCE, Job

PLAN = "defaults: {include: ['made/kept.ignored'], checkpoint: {min_gap: 10ms, interval: 300ms}, limits: {wall: 20m}}"
options = argparse.Namespace(repository=None, files=300)


# --- what is changed; each gets a file that is tracked ---

def rewritten(file):
    file.write_bytes(b"other bytes\r\n" * 3)


def changed_and_as_old_as_before(file):
    """Of the same size and time: only its inode says that it changed."""
    before = file.stat()
    file.write_bytes(bytes(byte ^ 1 for byte in file.read_bytes()))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def appended(file):
    with open(file, "ab") as f:
        f.write(b"more\0of it\n")


def emptied(file):
    file.write_bytes(b"")


def touched(file):
    file.touch()


def deleted(file):
    file.unlink()


def turned_executable_or_back(file):
    file.chmod(file.stat().st_mode ^ 0o111)


def moved(file):
    file.rename(file.with_name(file.name + " moved"))


def link_in_its_place(file):
    file.unlink()
    file.symlink_to("../no/such/file")


def directory_in_its_place(file):
    file.unlink()
    (file / "with" / "nothing in it").mkdir(parents=True)
    (file / "file").write_text("in there\n")


def staged(file):
    file.write_text("staged\n")
    git(file.parent, "add", "--", file.name)


def staged_and_changed_again(file):
    staged(file)
    file.write_text("and changed again\n")


def deletion_staged(file):
    git(file.parent, "rm", "-q", "--", file.name)


CHANGES = (rewritten, changed_and_as_old_as_before, appended, emptied, touched, deleted, turned_executable_or_back, moved,
           link_in_its_place, directory_in_its_place)
STAGED = (staged, staged_and_changed_again, deletion_staged)  # a git each: five of them


def change(top):
    """Work on the repository in `top`, the same whenever it is done."""
    names = [os.fsdecode(line.split(b"\t", 1)[1]) for line in git(top, "ls-files", "-sz").split(b"\0") if line.startswith(b"100")]
    each = max(3, len(names) // 200)
    counts = [(kind, each) for kind in CHANGES] + [(kind, 5) for kind in STAGED]
    chance = random.Random(4)
    gone, no_directory = chance.sample(sorted({os.path.dirname(name) for name in names if "/" in name}), 2)
    picked = iter(chance.sample([name for name in names if not f"{name}/".startswith((f"{gone}/", f"{no_directory}/"))],
                                sum(count for _, count in counts)))
    os.environ["GIT_LITERAL_PATHSPECS"] = "1"
    for kind, count in counts:
        for _ in range(count):
            kind(top / next(picked))
    shutil.rmtree(top / gone)
    shutil.rmtree(top / no_directory, ignore_errors=True)  # it may have been within the other
    (top / no_directory).parent.mkdir(parents=True, exist_ok=True)
    (top / no_directory).write_text("a file in its place\n")
    add(top / "made")


def add(made):
    """What no file becomes: new ones, and what no file is."""
    made.mkdir()
    for name in (b"a name \xff that is no text", b"of two\nlines", b"-rf", b"back\\slash\"quote", b"tab\t"):
        with open(os.path.join(os.fsencode(made), name), "wb") as f:
            f.write(name)
    (made / "large").write_bytes(random.Random(4).randbytes(9 << 20))
    with open(made / "sparse", "wb") as f:
        f.truncate(5 << 20)
    (made / "empty" / "in" / "empty").mkdir(parents=True)
    (made / "program").write_text("#!/bin/sh\n")
    (made / "program").chmod(0o755)
    os.link(made / "program", made / "hard link")
    for name, target in (("loop", "loop"), ("absolute", "/etc/passwd"), ("link to directory", "empty")):
        (made / name).symlink_to(target)
    os.mkfifo(made / "fifo")
    (made / "setuid").write_text("program\n")
    (made / "setuid").chmod(0o4755)
    (made / ".gitignore").write_text("*.ignored\n")
    for name in ("gone.ignored", "kept.ignored"):
        (made / name).write_text(name)
    nested = made / "repository"
    nested.mkdir()
    git(nested, "init", "-q")
    (nested / "file").write_text("committed\n")
    git(nested, "add", "-A")
    git(nested, "commit", "-qm", "of a nested repository")
    for path in (nested / ".git").rglob("*"):
        path.chmod(path.stat().st_mode | 0o200)  # git's objects are read-only: more than git can hold


# --- the comparison ---

def by_rsync(one, other):
    """The paths that rsync would have to transfer, change or delete."""
    done = subprocess.run(["rsync", "-nrlpc", "--checksum", "--delete", "-8", "--exclude=/.git", "--out-format=%i %n%L", f"{one}/", f"{other}/"],
                          capture_output=True, check=True)
    # The directories themselves are a worktree, which is nobody else's, and one of the user's.
    said = [line for line in done.stdout.splitlines() if not line.startswith(b"skipping ") and not line.endswith(b" ./")]
    names = [re.sub(rb"^(\*deleting +|\S{11} )", b"", line).split(b" -> ")[0].rstrip(b"/") for line in said]
    return {os.fsdecode(re.sub(rb"\\#(\d{3})", lambda octal: bytes([int(octal[1], 8)]), name)) for name in names}


def by_find(one, other):
    """The paths whose kind, mode or target differ."""
    def list_of(top):
        done = subprocess.run(["find", ".", "-mindepth", "1", "-path", "./.git", "-prune", "-o", "-printf", r"%P\t%y %m %l\0"],
                              cwd=top, capture_output=True, check=True)
        return set(done.stdout.split(b"\0"))
    return {os.fsdecode(line.rsplit(b"\t", 1)[0]) for line in list_of(one) ^ list_of(other)}


class Exact(Job):
    def setUp(self):
        if not shutil.which("rsync"):
            self.skipTest("there is no rsync here: scripts/install-deps installs it")
        super().setUp()
        os.environ.update(self.env)  # for the gits of `git`
        if options.repository:
            shutil.rmtree(self.repo)
            self.git("clone", "-q", "--depth=1", f"file://{Path(options.repository).resolve()}", str(self.repo), cwd=self.dir)
            return
        (self.repo / ".gitattributes").write_text("*.crlf text eol=crlf\n")
        for number in range(options.files):
            file = self.repo / f"d{number % 97}" / f"e{number % 7}" / f"{number}.{'crlf' if number % 5 == 0 else 'txt'}"
            file.parent.mkdir(parents=True, exist_ok=True)
            end = "\r\n" if number % 5 == 0 else "\n"
            file.write_bytes(f"{number}{end}of {options.files}{end}".encode())
        self.git("add", "-A")
        self.git("commit", "-qm", "many files")

    def interrupted(self):
        """The run, its worktree, what the agent left there, and what git said of it."""
        process, slot = self.begin("run", self.plan(["job"], PLAN, AGENT))
        change(slot)
        ignored = git(slot, "ls-files", "-io", "--exclude-standard").decode().split()
        self.assertEqual(ignored, ["made/gone.ignored", "made/kept.ignored"])
        copy = self.dir / "copy"
        subprocess.run(["cp", "-a", str(slot), str(copy)], check=True)
        said = self.git_says(slot)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE), 3)
        return slot, copy, said

    def git_says(self, top):
        return [git(top, *command.split()) for command in ("status --porcelain=v2 --branch -uall", "ls-files --stage", "diff", "diff --cached")]

    def compare(self, copy, other, what):
        """`other` has all of `copy` but what is listed, or ignored and not included."""
        run, left_out = self.checkpoint()
        explained = {*left_out, "made/gone.ignored"}
        found = by_rsync(copy, other) | by_find(copy, other)
        self.assertEqual(sorted(found - explained), [])
        self.assertEqual((left_out["made/fifo"], left_out["made/setuid"]), ("fifo", SPECIAL_BITS))
        count = sum(len(files) + len(below) for _, below, files in os.walk(copy))
        print(f"{what}: {count} names compared; not as they were: {sorted(found)}; the manifest of {run}: {left_out}")

    def test_the_last_checkpoint_is_restored_exactly(self):
        _, copy, _ = self.interrupted()
        to = self.dir / "restored"
        self.remora("checkpoint", "restore", "last/job", "--to", str(to))
        self.compare(copy, to, "restored elsewhere")

    def test_a_resumed_run_begins_with_exactly_what_there_was(self):
        slot, copy, said = self.interrupted()
        shutil.rmtree(slot)
        _, slot = self.begin("resume", "last")
        self.compare(copy, slot, "in a new worktree")
        self.assertEqual(self.git_says(slot), said)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--repository")
    parser.add_argument("--files", type=int, default=options.files)
    options, sys.argv[1:] = parser.parse_known_args()
    main_job.main()
