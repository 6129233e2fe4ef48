"""remora as the instruments run it: hermetic, with agents that count, and a ledger of all that it announced."""

import collections
import json
import os
import re
import subprocess
import threading
import time
from pathlib import Path

import processes
from objects import Damaged, Objects, git, refs

PATIENCE = 60  # seconds for anything that ought to happen by itself

# Each turn appends the next number to a file and says so. Between two turns the agents stage, commit and repack, in
# one of three manners: as remora sets git up, as an agent that has turned git's syncs off, and one that packs.
AGENT = r"""
cat > /dev/null
plain='git'
case "$REMORA_TASK" in
  hasty*) plain='git -c core.fsync=none' ;;
esac
n=$(($(wc -l < grow.txt 2> /dev/null || echo 0)))
while [ ! -e "$OUTSIDE/release" ]; do
  n=$((n + 1))
  echo "$REMORA_TASK $n" >> grow.txt
  echo "$REMORA_TASK $n of life $REMORA_ATTEMPT" > "part.$((n % 5))"
  case "$REMORA_TASK.$((n % 4))" in
    packer.0) git repack -adq ;;
    packer.2) [ $((n % 16)) != 2 ] || git gc -q ;;
    *.1) $plain add -A ;;
    *.3) $plain add -A && $plain commit -qm "turn $n" ;;
  esac
  echo '{"type":"message","text":"'"$n"'"}'
  echo '{"type":"turn_ended"}'
  sleep 0.02
done
echo '{"type":"finished","ok":true}'
"""

PLAN = """
version: 1
repo: {repo}
parallel: 16
agents: {{sh: {{adapter: jsonl, command: [sh, {agent}], pass_env: [OUTSIDE]}}}}
defaults: {{checkpoint: {{turns: 1, min_gap: {gap}, interval: 1s}}, limits: {{wall: 20m}}}}
tasks:
"""


class Failure(Exception):
    pass


class World:
    """A repository and a state directory below `inside`; what must survive is below `outside`."""

    def __init__(self, remora, inside, outside):
        self.remora, self.inside, self.outside = str(Path(remora).resolve()), Path(inside), Path(outside)
        self.repo, self.state = self.inside / "repo", self.inside / "state"
        self.outside.mkdir(exist_ok=True)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.outside), "XDG_STATE_HOME": str(self.state), "LANG": "C.UTF-8",
                    "GIT_CONFIG_NOSYSTEM": "1", "OUTSIDE": str(self.outside)}
        # A planted bug is for remora: agents get an environment of its making.
        self.remora_env = {**self.env, **{name: os.environ[name] for name in ("REMORA_SHIM", "REMORA_PLANT") if name in os.environ}}
        (self.outside / ".gitconfig").write_text(
            "[user]\n name = A Person\n email = person@example.org\n[init]\n defaultBranch = main\n[advice]\n detachedHead = false\n")

    def make(self, tasks, gap="20ms", agent=AGENT):
        git(self.inside, "init", "-q", str(self.repo), env=self.env)
        (self.repo / "README").write_text("base\n")
        git(self.repo, "add", "-A", env=self.env)
        git(self.repo, "commit", "-qm", "base", env=self.env)
        script = self.outside / "agent.sh"
        script.write_text(agent)
        plan = PLAN.format(repo=self.repo, agent=script, gap=gap)
        self.plan = self.outside / "plan.yaml"
        self.plan.write_text(plan + "".join(f"  - {{id: {t}, prompt: Count.}}\n" for t in tasks))

    def release(self, yes=True):
        """Lets every agent finish after its turn."""
        file = self.outside / "release"
        file.touch() if yes else file.unlink(missing_ok=True)

    def call(self, *args):
        return subprocess.run([self.remora, *args], cwd=self.repo, env=self.remora_env, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=PATIENCE)

    def start(self, ledger, *args):
        return Life(self, ledger, args)

    def finish(self, ledger, command):
        """The last life of a run: every agent finishes, and nothing announced is missing."""
        self.release()
        life = self.start(ledger, *command)
        status = life.finish()
        if status != 0:
            raise Failure(f"{' '.join(command)} exits with {status} where every agent finishes: {ledger.outcomes()} {life.said()} {ledger.warnings[-5:]}")
        if lost := ledger.lost(self):
            raise Failure(f"after the run's end: {lost}")


class Life:
    """One process of remora. What it prints goes into the ledger as it comes."""

    def __init__(self, world, ledger, args):
        self.ledger, self.changed, self.began = ledger, threading.Condition(), time.monotonic()
        self.saved = {}  # task -> how many checkpoints this life announced
        self.over = set()
        self.errors = world.outside / "stderr"
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen([world.remora, *args, "--json"], cwd=world.repo, env=world.remora_env,
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                                            preexec_fn=processes.die_with_parent)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            if not line.endswith(b"\n"):
                break  # cut off by its death
            event = json.loads(line)
            with self.changed:
                self.heard = True
                self.ledger.take(event)
                if event["type"] == "checkpoint_saved":
                    self.saved[event["task"]] = self.saved.get(event["task"], 0) + 1
                elif event["type"] == "task_ended":
                    self.over.add(event["task"])
                self.changed.notify_all()
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    closed = heard = False

    def wait_for(self, condition, seconds=PATIENCE):
        """True once it holds, False if remora ended or the time was over before."""
        with self.changed:
            self.changed.wait_for(lambda: condition() or self.closed, seconds)
            return condition()

    def every_task_saved(self, tasks):
        return all(self.saved.get(t) or t in self.over or self.ledger.ended(t) for t in tasks)

    def finish(self, seconds=PATIENCE):
        """The exit status; None if it did not end in time."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self.reader.join(PATIENCE)
        self.process.stdout.close()
        return status

    def kill(self):
        self.process.kill()
        return self.finish()

    def said(self):
        return self.errors.read_text(errors="replace").strip()


class Ledger:
    """Of one run: what it announced, and whether that is still there."""

    def __init__(self, tasks):
        self.tasks, self.run = tasks, ""
        self.saved = {t: [] for t in tasks}  # (number, record)
        self.over = {}
        self.warnings = []
        self.lately = {t: collections.deque(maxlen=6) for t in tasks}  # what happened to it last
        self.count = 0

    def take(self, event):
        self.run = event["run"]
        kind, task = event["type"], event.get("task")
        if task and kind != "agent_event":
            said = [event[key] for key in ("phase", "reason", "verdict", "detail", "text") if event.get(key)]
            self.lately[task].append(" ".join([kind, *said]))
        if kind == "checkpoint_saved":
            self.saved[task].append((event["checkpoint"], event["record"]))
            self.count += 1
        elif kind == "task_ended":
            self.over[task] = event
        elif kind == "task_resumed":
            self.over.pop(task, None)
        elif kind == "warning":
            self.warnings.append(event["text"])

    def ended(self, task):
        return self.over.get(task, {}).get("outcome") == "succeeded"

    def newest(self, task):
        return self.saved[task][-1][1] if self.saved[task] else None

    def wip(self, task):
        return f"refs/remora/wip/{self.run}/{task}"

    def outcomes(self):
        return {t: [e.get(key) for key in ("outcome", "verdict", "detail", "why") if e.get(key)] for t, e in self.over.items()}

    # --- the checks ---

    def lost(self, world):
        """What of the announced is not there, whole and named by a ref, now that nobody works on the run."""
        records = [record for t in self.tasks if not self.ended(t) for _, record in self.saved[t]]
        named = refs(world.repo, "refs/remora/wip", "refs/heads/remora/", env=world.env)
        # The branch of a task at work is its agent's affair: only a result is remora's word.
        tips = {value for name, value in named.items()
                if name.startswith("refs/remora/wip/") or self.is_result(name, named)}
        try:
            held = Objects(world.repo, records + sorted(tips), env=world.env)
            return [text for t in self.tasks for text in self.lost_of(t, named, held)]
        except Damaged as damage:
            bad = [name for name in sorted(named) if not self.can_be_read(world, named[name])]
            return [f"of {len(records)} announced checkpoints: {damage}; refs that reach it: {bad or 'none'}"]

    def is_result(self, name, named):
        *_, run, task = name.split("/")
        return run != self.run or self.ended(task) or self.wip(task) not in named

    @staticmethod
    def can_be_read(world, tip):
        try:
            Objects(world.repo, [tip], env=world.env)
            return True
        except Damaged:
            return False

    def lost_of(self, task, named, held):
        result = named.get(f"refs/heads/remora/{self.run}/{task}")
        if self.ended(task):
            return self.missing_work(task, held, result)
        newest = self.newest(task)
        if newest is None:
            return []
        tip = named.get(self.wip(task))
        if tip is None:  # published, and its end not announced yet
            return self.missing_work(task, held, result)
        if not held.reaches(tip, newest):
            return [f"the ref of {task} holds {tip}, which is not at or after the announced {newest}"]
        return self.wrong_content(task, held, newest)

    def wrong_content(self, task, held, record):
        """A checkpoint's files have at least what the agent had said, and nothing that it never wrote."""
        mind, _, said = held.commit(record)
        lines = grown(held.files(held.commit(said["Files"])[0]))
        out = b"".join(body for path, body in sorted(held.files(mind).items(), key=in_order) if "/out/" in path)
        told = max((int(n) for n in re.findall(rb'"text":"(\d+)"', out)), default=0)
        if lines != expected(task, len(lines)):
            return [f"checkpoint {record} of {task} holds lines that no agent wrote: {lines[-2:]}"]
        if len(lines) < told:
            return [f"checkpoint {record} of {task} holds {len(lines)} lines; its agent had written {told}"]
        return []

    def work(self, held, record):
        return len(grown(held.files(held.commit(held.commit(record)[2]["Files"])[0])))

    def missing_work(self, task, held, result):
        if result is None:
            return [f"{task} has neither a checkpoint nor a result"]
        lines = grown(held.files(held.commit(result)[0]))
        if lines != expected(task, len(lines)):
            return [f"the result of {task} holds lines that no agent wrote: {lines[-2:]}"]
        wanted = self.done.get(task, 0)
        return [f"the result of {task} has {len(lines)} lines, an announced checkpoint had {wanted}"] if len(lines) < wanted else []

    done = {}

    def note_work(self, world):
        """Remembers how much each task's announced work is while its checkpoints can be read."""
        tips = [self.newest(t) for t in self.tasks if self.newest(t) and not self.ended(t)]
        held = Objects(world.repo, tips, env=world.env)
        for t in self.tasks:
            if self.newest(t) and not self.ended(t):
                self.done = {**self.done, t: max(self.done.get(t, 0), self.work(held, self.newest(t)))}


def in_order(item):
    """Pieces of a transcript by number: attempt, hundreds, rest."""
    return [int(part) if part.isdigit() else -1 for part in item[0].split("/")]


def grown(files):
    return files.get("grow.txt", b"").decode(errors="replace").splitlines()


def expected(task, count):
    return [f"{task} {n}" for n in range(1, count + 1)]
