"""A place for one experiment: a repository, remora's state, and a diary that agents write outside of it.

Not a program: kill.py, errors.py and holes.py use it. Everything of a scene is below one directory, on a file
system in memory where there is one: these experiments end processes, not machines. A scene is prepared once, kept
as a copy, and put back from it, at the same path, for every point.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

PATIENCE = 60  # seconds for anything that ought to end by itself
LEAST_MEMORY = 256 << 20

# The diary: `lives` before anything else, `did` after the file was written, `said` after it was printed. So it never
# says more than is true. Orders are carried out by one life only.
AGENT = r"""
cat > /dev/null
exec 9>> "$SEEN/alive.$REMORA_TASK"
flock -n 9 || echo "$REMORA_TASK $REMORA_ATTEMPT" >> "$SEEN/overlaps"
me="$REMORA_TASK $REMORA_RUN $REMORA_ATTEMPT"
echo "$me $$" >> "$SEEN/lives"
make() { echo "$1" > "$1"; echo "$me $1" >> "$SEEN/did"; }
make "life.$REMORA_TASK.$$"
if [ ! -e committed ]; then
  make committed
  git add committed && git commit -qm 'the agent commits'
  make staged
  git add staged
fi
echo "said by $$" && echo "$me said by $$" >> "$SEEN/said"
order=
if [ -e "$SEEN/order.$REMORA_TASK" ]; then
  order=$(cat "$SEEN/order.$REMORA_TASK")
  rm "$SEEN/order.$REMORA_TASK"
fi
read -r _ _ _ remora _ < /proc/$PPID/stat
case "$order" in
  kill) kill -KILL "$remora"; exec sleep 987 ;;
  stop) kill -INT "$remora"; exec sleep 987 ;;
  freeze) kill -STOP "$remora"; exec sleep 987 ;;
  fail) exit 1 ;;
esac
"""

PLAN = """
version: 1
repo: {repo}
agents: {{sh: {{adapter: text, command: [sh, {agent}], pass_env: [SEEN]}}}}
workspace: {{{workspace}}}
tasks:
{tasks}
"""

ONE_TASK = "  - {id: a, prompt: Do a.}"


def copy_all(there, here):
    """As it is, the sockets of killed attempts too, which shutil.copytree refuses."""
    subprocess.run(["cp", "-a", str(there), str(here)], check=True)


class Hang(Exception):
    """A program did not end within its time."""


class Done:
    """How one call of remora ended, and what it printed."""

    def __init__(self, args, code, out, err, note):
        self.args, self.code, self.out, self.err, self.note = args, code, out, err, note
        self.events = []
        for line in out.splitlines():
            if line.startswith('{"schema":"remora.event/') and line.endswith("}"):
                self.events.append(json.loads(line))
        self.killed = code == -signal.SIGKILL

    def __str__(self):
        return f"remora {' '.join(self.args)} exits with {self.code}\n{self.err[-2000:]}"


def workplace():
    """A new directory, in memory where there is room."""
    memory = Path("/dev/shm")
    place = None
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= LEAST_MEMORY:
        place = memory
    return Path(tempfile.mkdtemp(prefix="remora-torture-", dir=place))


class Scene:
    def __init__(self, top, remora, preload):
        self.top, self.preload = Path(top), preload
        self.dir = self.top / "scene"
        self.repo, self.seen, self.agent = self.dir / "repo", self.dir / "seen", self.dir / "agent.sh"
        self.plan_file = self.dir / "plan.yaml"
        self.remora_program = remora
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.dir), "XDG_STATE_HOME": str(self.dir / "state"),
                    "TMPDIR": str(self.dir / "tmp"), "GIT_CONFIG_NOSYSTEM": "1", "LANG": "C.UTF-8", "SEEN": str(self.seen)}
        for name in ("REMORA_PLANT", "REMORA_SHIM"):
            if name in os.environ:
                self.env.setdefault(name, os.environ[name])
        self.done = []
        self.beside = None  # a remora that goes on beside the others

    # --- putting it up ---

    def build(self):
        """A repository with one commit, and an agent."""
        shutil.rmtree(self.dir, ignore_errors=True)
        self.seen.mkdir(parents=True)
        (self.dir / "tmp").mkdir()
        self.done = []
        (self.dir / ".gitconfig").write_text(
            "[user]\n name = A Person\n email = person@example.org\n[init]\n defaultBranch = main\n"
            "[gc]\n auto = 0\n[maintenance]\n auto = false\n")
        self.git("init", "-q", "--template=", str(self.repo), cwd=self.dir)
        (self.repo / ".gitignore").write_text("*.o\n")
        (self.repo / "tracked").write_text("tracked\n")
        self.git("add", "-A")
        self.git("commit", "-qm", "base")
        self.agent.write_text(AGENT)
        self.plan(ONE_TASK)

    def plan(self, tasks, workspace="keep: never"):
        self.plan_file.write_text(PLAN.format(repo=self.repo, agent=self.agent, tasks=tasks, workspace=workspace))

    def order(self, task, what):
        (self.seen / f"order.{task}").write_text(what)

    def keep(self, name):
        copy_all(self.dir, self.top / name)

    def put_back(self, name):
        shutil.rmtree(self.dir, ignore_errors=True)
        copy_all(self.top / name, self.dir)
        self.done = []

    # --- working in it ---

    def git(self, *args, cwd=None, input=None):
        done = subprocess.run(["git", *args], cwd=cwd or self.repo, env=self.env, capture_output=True, text=True,
                              input=input, timeout=PATIENCE)
        if done.returncode != 0:
            raise AssertionError(f"git {' '.join(args)}: {done.stderr}")
        return done.stdout

    def remora(self, *args, fail=None, deadline=PATIENCE, wrapper=()):
        """Runs remora; with `fail`, variables of failpoint.cpp. One that does not end within `deadline` is
        interrupted, then killed; the latter is a Hang."""
        env, note = dict(self.env), self.dir / f"note.{len(self.done)}"
        if fail is not None:
            env.update(fail, LD_PRELOAD=str(self.preload), FAIL_NOTE=str(note))
        out, err = self.dir / f"out.{len(self.done)}", self.dir / f"err.{len(self.done)}"
        with open(out, "wb") as o, open(err, "wb") as e:
            process = subprocess.Popen([*wrapper, self.remora_program, *args], cwd=self.repo, env=env, stdout=o, stderr=e,
                                       stdin=subprocess.DEVNULL)
            hung = self._wait(process, deadline)
        done = Done(args, process.returncode, out.read_text(errors="replace"), err.read_text(errors="replace"),
                    note.read_text(errors="replace") if note.exists() else "")
        self.done.append(done)
        if hung:
            raise Hang(f"remora {' '.join(args)} did not end by an interrupt after {deadline} s")
        return done

    def start(self, *args):
        """Starts a remora that nobody waits for: `self.beside`."""
        with open(self.dir / "out.beside", "wb") as o, open(self.dir / "err.beside", "wb") as e:
            self.beside = subprocess.Popen([self.remora_program, *args], cwd=self.repo, env=self.env, stdout=o, stderr=e,
                                           stdin=subprocess.DEVNULL)

    @staticmethod
    def _wait(process, deadline):
        for patience, end in ((deadline, process.send_signal), (deadline, None)):
            try:
                process.wait(patience)
                return False
            except subprocess.TimeoutExpired:
                if end:
                    end(signal.SIGINT)
        process.kill()
        process.wait()
        return True

    def events(self, kind):
        return [e for d in self.done for e in d.events if e["type"] == kind]

    def diary(self, name):
        """[task, run, attempt, what] of every line."""
        file = self.seen / name
        lines = file.read_text().splitlines() if file.exists() else []
        return [line.split(" ", 3) for line in lines if len(line.split(" ", 3)) == 4]


def wait_until(condition, seconds=PATIENCE):
    """Looks again and again: what is waited for are processes of others, which tell nobody when they end."""
    end = time.monotonic() + seconds
    while not (there := condition()):
        if time.monotonic() > end:
            return there
        time.sleep(0.01)
    return there
