"""Fake agents, what must be so after each run of them, and how to become an ordinary user. Not a program."""

import argparse
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import main_job
from main_job import Job

NOBODY = 65534
NOT_RUN = 77
IDLE = ("timed_out", "idle")
TARGET = ""  # the agent of tests/process
PRELOAD = ""  # the library of tests/torture that lets a call fail
PYTHON = sys.executable  # who is another user may have to take another one
PR_SET_CHILD_SUBREAPER = 36

# What every agent here begins with. Who is not the first of its task tells who is left of those before it, and completes.
PRELUDE = r"""
import json, os, signal, subprocess, sys, time
SEEN, TASK, LIFE = os.environ["SEEN"], os.environ["REMORA_TASK"], int(os.environ["REMORA_ATTEMPT"])
STREAM = "%s" in ("claude", "qwen")

def note(name, text):
    with open(f"{SEEN}/{name}.{TASK}", "a") as file:
        file.write(text)

def tell(**line):
    print(json.dumps(line), flush=True)

def say(text):
    tell(type="assistant", message={"id": "1", "role": "assistant", "content": [{"type": "text", "text": text}]})

def done(code=0, **more):
    if STREAM:
        tell(**{"type": "result", "subtype": "success", "is_error": False, "result": "done", **more})
    else:
        tell(type="finished", ok=True)
    sys.exit(code)

def strays():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ") as file:
                of = dict(setting.split("=", 1) for setting in file.read().split("\0") if "=" in setting)
        except (OSError, UnicodeDecodeError):
            continue
        if of.get("REMORA_RUN") == os.environ["REMORA_RUN"] and of.get("REMORA_TASK") == TASK and of["REMORA_ATTEMPT"] != str(LIFE):
            yield pid

def wait():
    while True:
        signal.pause()

def ignore(*numbers):
    for number in numbers:
        signal.signal(number, lambda number, _: note("ignored", signal.Signals(number).name + "\n"))

def start(*command, **more):
    return subprocess.Popen(command, **more).pid

def itself(role, **more):
    '''Another process of this program, which finds `role` in its arguments.'''
    return subprocess.Popen([sys.executable, __file__, role], **more)

if sys.argv[1:2] != ["worker"]:
    sys.stdin.readline() if STREAM else sys.stdin.read()
    if STREAM:
        tell(type="system", subtype="init", session_id="s", model="m", cwd=os.getcwd())
    with open("progress.txt", "a") as file:
        file.write(f"life {LIFE}\n")
    if LIFE > 1:
        note("strays", "".join(strays()))
        done()
"""


def children():
    """Of this process: pid and state. What a run leaves falls to it."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = stat.read_text().rsplit(")", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(rest.split()[1]) == os.getpid():
            found.append(name + ") " + rest.split()[0])
    return found


def with_marker(marker):
    """The processes that have this setting in their environment."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker.encode() in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


class Ended(Job):
    """Plans of fake agents, and what must be so after each run."""

    def tearDown(self):
        for pid in with_marker(f"SEEN={self.seen}"):  # of a test that failed
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        super().tearDown()
        while left := children():  # without it; what they leave falls to us, too
            for child in left:
                os.kill(int(child.split()[0]), signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)

    def agents(self, script, tasks=("a",), adapter="jsonl", limits="idle: 1500ms, grace: 500ms", more="attempts: 3",
               checkpoint="min_gap: 100ms"):
        defaults = f"defaults: {{limits: {{{limits}}}, checkpoint: {{{checkpoint}}}, {more}}}"
        plan = Path(self.plan(tasks, defaults, PRELUDE % adapter + script))
        plan.write_text(plan.read_text().replace("adapter: text", f"adapter: {adapter}").replace("[sh, ", f"[{PYTHON}, "))
        return str(plan)

    def nobody_is_left(self):
        self.assertEqual(children(), [])
        self.assertEqual(with_marker(f"SEEN={self.seen}"), [])

    def told(self, name, task="a"):
        file = self.seen / f"{name}.{task}"
        return file.read_text() if file.exists() else None

    def verdicts(self, events, task="a"):
        return [(e["verdict"], e["detail"]) for e in events if e["type"] == "attempt_ended" and e["task"] == task]

    def path(self, events, attempt=1, task="a"):
        """The phases of an attempt from its end on."""
        phases = [e["to"] for e in events if e["type"] == "decided" and e["task"] == task and e.get("attempt") == attempt]
        return phases[phases.index("running") + 1:]

    def lives(self, plan, command=("run",), status=0):
        """Runs it to its end, after which nothing is left: the events."""
        done = self.remora(*command, *([plan] if plan else []), "--json", status=status)
        self.nobody_is_left()
        self.assertEqual([str(p) for p in (self.repo / ".git").rglob("*.lock")], [])
        self.assertEqual(self.git("fsck", "--no-dangling", "--no-progress"), "")
        return self.events(done)

    def goes_on(self, plan, *verdicts, tasks=("a",), command=("run",)):
        """As `lives`: the first life of each task ends with its verdict, the second one proves it gone and completes."""
        events = self.lives(plan, command)
        for task, verdict in zip(tasks, verdicts if len(verdicts) > 1 else verdicts * len(tasks)):
            with self.subTest(task=task):
                self.assertEqual(self.verdicts(events, task), [verdict, ("completed", "")])
                self.assertEqual(self.told("strays", task), "")
                over = next(e for e in events if e["type"] == "task_ended" and e["task"] == task)
                self.assertEqual((over["outcome"], over["attempts"]), ("succeeded", 2))
                self.assertEqual(self.git("show", f"{over['branch']}:progress.txt"), "life 1\nlife 2\n")
        self.assertEqual(self.refs("refs/remora/wip"), [])
        self.assertEqual(self.git("worktree", "list").count("\n"), 1)
        return events

    def result(self, path, task="a"):
        branch = next(ref for ref in self.refs("refs/heads/remora") if ref.endswith("/" + task))
        return self.git("show", f"{branch}:{path}")


def as_user():
    """Becomes an ordinary user, with programs that one may start."""
    global PYTHON
    if os.geteuid() != 0:
        print("not root: without --as-user it is an ordinary user's already")
        sys.exit(NOT_RUN)
    programs = Path(tempfile.mkdtemp(prefix="remora-programs-"))
    for name in ("remora", "remora-shim"):
        shutil.copy(Path(main_job.REMORA).parent / name, programs)
    programs.chmod(0o755)
    main_job.REMORA = str(programs / "remora")
    child = os.fork()
    if child != 0:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        shutil.rmtree(programs)
        sys.exit(status)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    PYTHON = shutil.which("python3")
    if not PYTHON:
        print("no python3 in the PATH that user 65534 may start")
        sys.exit(NOT_RUN)


def main():
    global PRELOAD, TARGET
    parser = argparse.ArgumentParser()
    parser.add_argument("--remora", required=True)
    parser.add_argument("--preload", default="")
    parser.add_argument("--target", default="")
    parser.add_argument("--as-user", action="store_true")
    known, rest = parser.parse_known_args()
    main_job.REMORA = str(Path(known.remora).resolve())
    PRELOAD = str(Path(known.preload).resolve()) if known.preload else ""
    TARGET = str(Path(known.target).resolve()) if known.target else ""
    if known.as_user:
        as_user()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
