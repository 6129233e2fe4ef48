#!/usr/bin/env python3
"""SIGKILL of remora right before any call that makes something durable, visible or gone; then `remora resume`.

    tests/e2e/crash.py --remora PROGRAM --preload LIBRARY [--points N] [--at N]

A run of two tasks (the second starts from the first one's result; the first one's verification fails once) is
traced once. Then --points of its calls, evenly spread (0: all of them), are where a new run is killed. After
`resume` everything must be as if nothing had happened: every task succeeded, the work of every agent's life is
in the result, and no checkpoint, worktree, slot, lock or run directory is left. Needs git and nothing else.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

PATIENCE = 120  # seconds for anything that ought to end by itself
NO_MATCH = 2

AGENT = """
cat > /dev/null
echo "$REMORA_TASK $$" >> lives.txt
echo "$REMORA_TASK $$" >> "$SEEN/lives"
if [ "$REMORA_TASK" = a ] && [ ! -e committed ]; then
  echo one > committed && git add committed && git commit -qm 'the agent commits'
  echo two > staged && git add staged
else
  echo three > "done.$REMORA_TASK"
fi
"""

PLAN = """
version: 1
repo: {repo}
agents: {{sh: {{adapter: text, command: [sh, {agent}], pass_env: [SEEN]}}}}
workspace: {{setup: 'echo set up > set-up.o'}}
tasks:
  - {{id: a, prompt: Do a., verify: 'test -e set-up.o && test -e done.a'}}
  - {{id: b, prompt: Do b., base: {{task: a}}}}
"""


class Scene:
    def __init__(self, remora, preload):
        self.remora, self.preload = remora, preload
        self.dir = Path(tempfile.mkdtemp(prefix="remora-crash-"))
        self.repo, self.seen = self.dir / "repo", self.dir / "seen"
        self.seen.mkdir()
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.dir), "XDG_STATE_HOME": str(self.dir / "state"),
                    "GIT_CONFIG_NOSYSTEM": "1", "LANG": "C.UTF-8", "SEEN": str(self.seen)}
        if "REMORA_SHIM" in os.environ:
            self.env["REMORA_SHIM"] = os.environ["REMORA_SHIM"]
        (self.dir / ".gitconfig").write_text("[user]\n name = A Person\n email = person@example.org\n[init]\n defaultBranch = main\n")
        self.git("init", "-q", str(self.repo), cwd=self.dir)
        (self.repo / ".gitignore").write_text("*.o\n")
        self.git("add", "-A")
        self.git("commit", "-qm", "base")
        agent = self.dir / "agent.sh"
        agent.write_text(AGENT)
        (self.dir / "plan.yaml").write_text(PLAN.format(repo=self.repo, agent=agent))

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def git(self, *args, cwd=None):
        done = subprocess.run(["git", *args], cwd=cwd or self.repo, env=self.env, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise AssertionError(f"git {args}: {done.stderr}")
        return done.stdout

    def run(self, *args, **crash):
        env = dict(self.env)
        if crash:
            env.update(crash, LD_PRELOAD=self.preload)
        return subprocess.run([self.remora, *args], cwd=self.repo, env=env, capture_output=True, text=True, timeout=PATIENCE)

    def lives(self):
        file = self.seen / "lives"
        return file.read_text().splitlines() if file.exists() else []

    def problems(self):
        """What is not as it must be after a run that has succeeded."""
        found = []
        refs = self.git("for-each-ref", "--format=%(refname)").split()
        wip = [r for r in refs if r.startswith(("refs/remora/wip/", "refs/heads/remora-wip/"))]
        if wip:
            found.append(f"checkpoints are left: {wip}")
        runs = [r for r in refs if r.startswith("refs/remora/runs/")]
        if len(runs) != 1:
            return found + [f"not one run: {refs}"]
        record = json.loads(self.git("show", f"{runs[0]}:run.json"))
        if record.get("ended", {}).get("succeeded") != 2:
            found.append(f"the record says {record.get('ended')}")
        result = f"refs/heads/remora/{runs[0].rsplit('/', 1)[1]}/b"
        kept = self.git("show", f"{result}:lives.txt").splitlines()
        lost = [life for life in self.lives() if life not in kept]
        if lost:
            found.append(f"work of {lost} is not in the result, which has {kept}")
        names = set(self.git("ls-tree", "-r", "--name-only", result).split())
        if not {"committed", "staged", "done.a", "done.b"} <= names:
            found.append(f"the result has only {sorted(names)}")
        trees = self.git("worktree", "list").splitlines()
        slots = [str(p) for p in (self.dir / "state").glob("remora/*/slots/*")]
        if len(trees) != 1 or slots:
            found.append(f"worktrees are left: {trees} {slots}")
        locks = [str(p) for p in (self.repo / ".git").rglob("*.lock")]
        directories = list((self.repo / ".git/remora/runs").glob("*"))
        packs = self.repo / ".git/objects/pack"
        unfinished = [str(p) for p in packs.glob("remora-*")]
        unfinished += [str(p) for p in packs.glob("pack-72656d6f7261*.pack") if not p.with_suffix(".idx").exists()]
        if locks or directories or unfinished:
            found.append(f"left: {locks} {directories} {unfinished}")
        if "error" in (fsck := self.git("fsck", "--no-dangling", "--no-progress")):
            found.append(fsck)
        return found


def crash_at(remora, preload, point):
    """Kills a run at `point` and resumes it; gives what was wrong afterwards."""
    scene = Scene(remora, preload)
    try:
        plan = str(scene.dir / "plan.yaml")
        first = scene.run("run", plan, CRASH_AT=str(point))
        if first.returncode != -signal.SIGKILL:
            return scene.problems() if first.returncode == 0 else [f"exit {first.returncode}: {first.stderr}"]
        again = scene.run("resume")
        if again.returncode == NO_MATCH and "it has ended" in again.stderr:
            return scene.problems()
        if again.returncode == NO_MATCH and not scene.lives():
            again = scene.run("run", plan)  # it had not been announced: it may never have been
        if again.returncode != 0:
            return [f"resume exits with {again.returncode}\n{again.stdout}{again.stderr}"]
        return scene.problems()
    finally:
        scene.close()


def trace(remora, preload):
    scene = Scene(remora, preload)
    try:
        file = scene.dir / "trace"
        done = scene.run("run", str(scene.dir / "plan.yaml"), CRASH_TRACE=str(file))
        if done.returncode != 0 or scene.problems():
            sys.exit(f"the run without a crash: exit {done.returncode}\n{done.stdout}{done.stderr}{scene.problems()}")
        return file.read_text().splitlines()
    finally:
        scene.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--remora", required=True)
    parser.add_argument("--preload", required=True)
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--at", type=int)
    o = parser.parse_args()
    remora, preload = str(Path(o.remora).resolve()), str(Path(o.preload).resolve())
    calls = trace(remora, preload)
    count = len(calls)
    wanted = min(o.points or count, count)
    points = [o.at] if o.at else sorted({1 + i * count // wanted for i in range(wanted)})
    bad = 0
    for point in points:
        wrong = crash_at(remora, preload, point)
        bad += bool(wrong)
        for text in wrong:
            print(f"killed before call {calls[point - 1]}: {text}", flush=True)
    print(f"{len(points)} of {count} crash points, {bad} bad")
    sys.exit(1 if bad or not points else 0)


if __name__ == "__main__":
    main()
