#!/usr/bin/env python3
"""The main job with shell agents: supervise, detect, checkpoint, respawn, prune; and what a crash leaves.

    tests/e2e/main_job.py --remora PROGRAM [TEST …]

Needs git and nothing else. Every test has a repository and a state directory of its own, and ends what it
started.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

REMORA = ""
PATIENCE = 120  # seconds for anything that ought to end by itself

FIRST_LIFE = r"""
cat > "$SEEN/stdin.$REMORA_ATTEMPT"
if [ "$REMORA_ATTEMPT" = 1 ]; then
  echo one > committed.txt && git add committed.txt && git commit -qm 'the agent commits'
  echo two > staged.txt && git add staged.txt
  echo three >> tracked.txt
  echo four > untracked.txt
  rm deleted.txt
  mkdir -p deep/er && echo five > deep/er/file && chmod +x deep/er/file && ln -s ../tracked.txt deep/link
  echo 'decided: keep it simple, because it is enough' > "$REMORA_NOTES"
  git status --porcelain=v1 -uall > "$SEEN/status.1"
  git rev-parse HEAD > "$SEEN/head.1"
  setsid sleep 987654 &
  echo "$!" > "$SEEN/child"
  exec sleep 987654
fi
git status --porcelain=v1 -uall > "$SEEN/status.2"
git rev-parse HEAD > "$SEEN/head.2"
echo 'all done' > "$REMORA_RESULT"
echo finished
"""

# Works for ever in its first life; any later one finishes at once.
WORKER = r"""
cat > /dev/null
echo $$ >> "$SEEN/pids.$REMORA_TASK"
echo "life $REMORA_ATTEMPT of run $REMORA_RUN" >> progress.txt
if [ -e "$SEEN/release" ]; then exit 0; fi
mkfifo "$SEEN/fifo.$$"
setsid sleep 987654 &
echo started > "$SEEN/started.$REMORA_TASK"
exec sleep 987654
"""


# Does nothing any more: a test works in its worktree.
AGENT = r"""
cat > /dev/null
echo $$ >> "$SEEN/pids.job"
touch "$SEEN/started.$REMORA_ATTEMPT"
exec sleep 987654
"""
MORE = "defaults: {checkpoint: {min_gap: 10ms, interval: 300ms}, limits: {wall: 20m}}"


def alive(pid):
    """True for a process that still runs: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(what, condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Job(unittest.TestCase):
    """A repository, a state directory and agents, without tests: for those of other files too."""

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="remora-job-"))
        self.repo = self.dir / "repo"
        self.seen = self.dir / "seen"
        self.seen.mkdir()
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(self.dir), "XDG_STATE_HOME": str(self.dir / "state"),
            "GIT_CONFIG_NOSYSTEM": "1", "LANG": "C.UTF-8", "SEEN": str(self.seen),
        }
        for name in ("ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "REMORA_PLANT"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        (self.dir / ".gitconfig").write_text("[user]\n name = A Person\n email = person@example.org\n[init]\n defaultBranch = main\n")
        self.git("init", "-q", str(self.repo), cwd=self.dir)
        for name in ("tracked.txt", "deleted.txt"):
            (self.repo / name).write_text(f"{name}\n")
        (self.repo / ".gitignore").write_text("*.o\n")
        self.git("add", "-A")
        self.git("commit", "-qm", "base")
        self.started = []
        self.mounted = []

    def tearDown(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
        for pids in self.seen.glob("pids.*"):
            for pid in pids.read_text().split():
                # A zombie's is nobody's to read, but root's.
                with contextlib.suppress(ProcessLookupError, FileNotFoundError, PermissionError):
                    if "SEEN=" + str(self.seen) in Path(f"/proc/{pid}/environ").read_text():
                        os.kill(int(pid), signal.SIGKILL)
        for path in self.mounted:
            subprocess.run(["umount", "-l", str(path)], check=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    def git(self, *args, cwd=None):
        done = subprocess.run(["git", *args], cwd=cwd or self.repo, env=self.env, capture_output=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, f"git {args}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode(errors="replace")

    def plan(self, tasks, more="", script=WORKER, repo=None):
        agent = self.dir / "agent.sh"
        agent.write_text(script)
        text = "version: 1\nparallel: 8\nagents:\n  sh:\n    adapter: text\n    command: [sh, %s]\n    pass_env: [SEEN]\n%s\ntasks:\n" % (agent, more)
        for task in tasks:
            text += f"  - id: {task}\n    prompt: Do {task}, please.\n"
        file = self.dir / "plan.yaml"
        file.write_text(text.replace("version: 1\n", f"version: 1\nrepo: {repo or self.repo}\n"))
        return str(file)

    def remora(self, *args, cwd=None, status=0, feed=None):
        done = subprocess.run([REMORA, *args], cwd=cwd or self.repo, env=self.env, capture_output=True, text=True, input=feed,
                              timeout=PATIENCE)
        self.assertEqual(done.returncode, status, f"remora {args}\n--- out\n{done.stdout}\n--- err\n{done.stderr}")
        return done

    def start(self, *args, cwd=None):
        process = subprocess.Popen([REMORA, *args], cwd=cwd or self.repo, env=self.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.started.append(process)
        return process

    def begin(self, *args, cwd=None):
        """Starts what starts AGENT: the process, and the agent's worktree."""
        process = self.start(*args, cwd=cwd)
        wait_until("the agent is at work", lambda: (self.seen / f"started.{1 + (args[0] == 'resume')}").exists())
        (slot,) = (self.dir / "state").glob("remora/*/slots/*")
        return process, slot

    def checkpoint(self):
        """The run, and what its task's newest checkpoint left out: path -> reason."""
        [run] = [line["run"] for line in self.events(self.remora("list", "--json"))]
        (shown,) = self.events(self.remora("checkpoint", "show", f"{run}/job", "--json"))
        return run, {self.path_of(item): item["reason"] for item in shown["manifest"]["left_out"]}

    @staticmethod
    def path_of(item):
        return os.fsdecode(bytes.fromhex(item["path_hex"])) if "path_hex" in item else item["path"]

    def run_on_a_small_disk(self, limit, script, prepare=lambda small: None):
        """A run in a repository on a tmpfs with `limit`. Once remora warns, the agent, which waits at $SEEN/wait, is let go on.
        It must succeed, and nothing be broken. Returns the repository."""
        small = self.dir / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", limit, "tmpfs", str(small)], check=True)
        self.mounted.append(small)
        repo = small / "r.git"
        self.git("clone", "-q", "--bare", str(self.repo), str(repo), cwd=self.dir)
        prepare(small)
        os.mkfifo(self.seen / "wait")
        plan = self.plan(["a"], "defaults: {checkpoint: {interval: 300ms, min_gap: 100ms}}", script, repo)
        process = subprocess.Popen([REMORA, "run", plan, "--json"], cwd=repo, env=self.env, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.started.append(process)
        warnings, outcome = [], None
        for line in process.stdout:
            event = json.loads(line)
            if event["type"] == "warning":
                warnings.append(event["text"])
                if len(warnings) == 1:
                    (self.seen / "wait").write_text("go on\n")  # when the agent is there to read it
            if event["type"] == "task_ended":
                outcome = event["outcome"]
        process.stdout.close()
        self.assertEqual((process.wait(PATIENCE), outcome), (0, "succeeded"))
        self.assertIn("No space left", warnings[0])
        self.assertEqual(self.git("fsck", "--no-dangling", "--no-progress", cwd=repo), "")
        return repo

    def events(self, done):
        return [json.loads(line) for line in done.stdout.splitlines()]

    def pids(self):
        return [int(p) for f in self.seen.glob("pids.*") for p in f.read_text().split()]

    def refs(self, prefix, cwd=None):
        return self.git("for-each-ref", "--format=%(refname)", prefix, cwd=cwd).split()


class MainJob(Job):
    # --- the chain ---

    def test_a_timed_out_agent_is_saved_and_its_successor_goes_on(self):
        before = self.git("status", "--porcelain"), self.git("rev-parse", "HEAD"), (self.repo / ".git/index").read_bytes()
        plan = self.plan(["job"], "defaults: {limits: {wall: 3s, grace: 1s}, checkpoint: {interval: 1s, min_gap: 500ms}}", FIRST_LIFE)
        done = self.remora("run", plan, "--json")
        events = self.events(done)
        ended = [e for e in events if e["type"] == "attempt_ended"]
        self.assertEqual([(e["verdict"], e["detail"]) for e in ended], [("timed_out", "wall"), ("completed", "")])
        over = next(e for e in events if e["type"] == "task_ended")
        self.assertEqual((over["outcome"], over["attempts"], over["result"]), ("succeeded", 2, "all done\n"))

        # What the successor was told.
        told = (self.seen / "stdin.2").read_text()
        for part in ("Do job, please.", "timed out", "decided: keep it simple", "staged.txt", "untracked.txt", "+three", "do not start again"):
            self.assertIn(part.lower(), told.lower())
        # Where it began is where its predecessor ended.
        for what in ("status", "head"):
            self.assertEqual((self.seen / f"{what}.1").read_text(), (self.seen / f"{what}.2").read_text())
        # The result holds everything, the agent's own commit included.
        branch = over["branch"].removeprefix("refs/heads/")
        names = self.git("ls-tree", "-r", "--name-only", branch).split()
        self.assertEqual(sorted(names), sorted([".gitignore", "committed.txt", "staged.txt", "tracked.txt", "untracked.txt", "deep/er/file", "deep/link"]))
        self.assertIn("the agent commits", self.git("log", "--format=%s", branch))
        self.assertIn("A Person", self.git("log", "-1", "--format=%an", branch))
        # Nothing remains, and the user's checkout is untouched.
        self.assertEqual(self.refs("refs/remora/wip") + self.refs("refs/heads/remora-wip"), [])
        self.assertFalse(alive((self.seen / "child").read_text().strip()))
        self.assertEqual(len(self.git("worktree", "list").splitlines()), 1)
        self.assertEqual(before, (self.git("status", "--porcelain"), self.git("rev-parse", "HEAD"), (self.repo / ".git/index").read_bytes()))
        self.assertEqual([str(p) for p in (self.repo / ".git").rglob("*.lock")], [])
        self.assertEqual(self.git("fsck", "--no-dangling", "--no-progress"), "")

    def test_a_live_checkpoint_reads_like_ordinary_history(self):
        self.start("run", self.plan(["job"], "defaults: {checkpoint: {interval: 1s, min_gap: 100ms}}"))
        wait_until("a checkpoint", lambda: self.refs("refs/remora/wip") and self.refs("refs/heads/remora-wip"))
        ref = self.refs("refs/remora/wip")[0]
        state = json.loads(self.git("show", f"{ref}:state.json"))
        self.assertEqual((state["schema"], state["task"]), ("remora.state/1", "job"))
        wip = self.refs("refs/heads/remora-wip")[0]
        self.assertIn("+life 1 of run", self.git("log", "-p", wip))
        self.assertEqual(self.git("log", "--merges", "--format=%H", wip), "")

    # --- crashes of ours ---

    def crash(self, tasks):
        process = self.start("run", self.plan(tasks, "defaults: {checkpoint: {interval: 1s, min_gap: 100ms}}"))
        wait_until("checkpoints", lambda: len(self.refs("refs/remora/wip")) == len(tasks) and
                   all((self.seen / f"started.{t}").exists() for t in tasks))
        process.send_signal(signal.SIGKILL)
        process.wait()
        return self.pids()

    def test_X1_resume_after_SIGKILL_finishes_every_task(self):
        tasks = ["a", "b", "c"]
        first_life = self.crash(tasks)
        wait_until("the first life's agents are gone", lambda: not any(alive(p) for p in first_life), 5)
        (self.seen / "release").touch()
        done = self.remora("resume", "--json")
        over = {e["task"]: e["outcome"] for e in self.events(done) if e["type"] == "task_ended"}
        self.assertEqual(over, {t: "succeeded" for t in tasks})
        self.assertEqual(self.refs("refs/remora/wip"), [])
        for task in tasks:
            branch = next(r for r in self.refs("refs/heads/remora") if r.endswith("/" + task))
            self.assertEqual(self.git("show", f"{branch}:progress.txt").count("life"), 2)
        self.assertFalse((self.repo / ".git/remora/runs").exists() and os.listdir(self.repo / ".git/remora/runs"))

    def test_P13_resume_at_once_waits_for_the_first_life_to_end(self):
        first_life = self.crash(["a"])
        (self.seen / "release").touch()
        self.remora("resume")
        self.assertFalse(any(alive(p) for p in first_life))

    def test_of_many_tasks_the_first_is_at_work_before_the_last_is_looked_at(self):
        plan = Path(self.plan([f"t{n}" for n in range(20)], script="cat > /dev/null\n"))
        plan.write_text(plan.read_text().replace("parallel: 8", "parallel: 20"))
        phases = [(e["task"], e["phase"]) for e in self.events(self.remora("run", str(plan), "--json")) if e["type"] == "task_phase"]
        first = [phase for _, phase in phases].index("running")
        self.assertLessEqual(len({task for task, _ in phases[:first]}), 8)
        self.assertEqual(len({task for task, _ in phases}), 20)

    def test_rerun_in_another_clone_goes_on_from_the_checkpoints(self):
        tasks = ["a", "b"]
        self.crash(tasks)
        other = self.dir / "other"
        self.git("clone", "-q", str(self.repo), str(other), cwd=self.dir)
        self.git("fetch", "-q", "origin", "refs/remora/*:refs/remora/*", cwd=other)
        (self.dir / "gone").mkdir()
        run = self.refs("refs/remora/runs", cwd=other)[0].rsplit("/", 1)[1]
        (self.seen / "release").touch()
        self.remora("rerun", run, cwd=other)
        for task in tasks:
            branch = next(r for r in self.refs("refs/heads/remora", cwd=other) if r.endswith("/" + task))
            self.assertEqual(self.git("show", f"{branch}:progress.txt", cwd=other).count("life"), 2)
        again = self.remora("rerun", run, cwd=other)
        self.assertIn("nothing to rerun", again.stderr)

    def test_a_rerun_that_failed_early_leaves_the_work_to_the_next(self):
        script = 'cat > /dev/null; echo life >> progress.txt; [ -e "$SEEN/release" ]'
        plan = self.plan(["a"], "workspace: {setup: 'test -e \"$SEEN/ready\"'}\ndefaults: {attempts: 1}", script)
        ready = self.seen / "ready"
        ready.touch()
        self.remora("run", plan, status=1)
        ready.unlink()
        self.remora("rerun", "last", status=1)
        ready.touch()
        (self.seen / "release").touch()
        self.remora("rerun", "last")
        self.assertEqual(self.git("show", self.refs("refs/heads/remora")[-1] + ":progress.txt").count("life"), 2)

    def test_P15_ctrl_c_saves_and_resume_goes_on(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number.name):
                for old in self.seen.iterdir():
                    old.unlink()
                process = self.start("run", self.plan(["a"]))
                wait_until("the agent", lambda: (self.seen / "started.a").exists())
                process.send_signal(number)
                self.assertEqual(process.wait(PATIENCE), 3)
                self.assertFalse(any(alive(p) for p in self.pids()))
                (self.seen / "release").touch()
                self.remora("resume")

    def test_P15_a_later_life_is_told_how_the_last_one_ended(self):
        script = 'cat > "$SEEN/prompt.$REMORA_ATTEMPT"\necho half > half.txt\ntouch "$SEEN/started"\nexec sleep 987\n'
        process = self.start("run", self.plan(["a"], script=script))
        wait_until("the agent", lambda: (self.seen / "started").exists())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE), 3)
        for command in ("resume", "rerun"):
            with self.subTest(command=command):
                (self.seen / "started").unlink()
                process = self.start(command, "last")
                wait_until("the agent", lambda: (self.seen / "started").exists())
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.wait(PATIENCE), 3)
        for number in (2, 3):
            self.assertRegex((self.seen / f"prompt.{number}").read_text(), f"Attempt {number - 1} was ended after .*: interrupted")

    def test_G15_a_second_orchestrator_is_refused(self):
        process = self.start("run", self.plan(["a"]))
        wait_until("the agent", lambda: (self.seen / "started.a").exists())
        refused = self.remora("resume", "last", status=4)
        self.assertIn(str(process.pid), refused.stderr)
        self.assertIsNone(process.poll())

    # --- order, verification, verdicts ---

    def test_tasks_wait_for_each_other_and_start_from_results(self):
        script = 'cat > /dev/null\nls > "$SEEN/ls.$REMORA_TASK"\necho x > "$REMORA_TASK.txt"\n'
        plan = Path(self.plan(["a"], script=script))
        plan.write_text(plan.read_text() + "  - id: b\n    prompt: Go on.\n    base: {task: a}\n  - id: c\n    prompt: Alone.\n    after: [b]\n")
        self.remora("run", str(plan))
        self.assertIn("a.txt", (self.seen / "ls.b").read_text())
        self.assertNotIn("a.txt", (self.seen / "ls.c").read_text())

    def test_a_failed_verification_is_told_to_the_successor(self):
        script = 'cat > "$SEEN/stdin.$REMORA_ATTEMPT"\necho "$REMORA_ATTEMPT" > n.txt\n'
        plan = Path(self.plan(["a"], script=script))
        plan.write_text(plan.read_text() + "    verify: 'echo checking; grep -q 2 n.txt || { echo n is not 2; exit 1; }'\n")
        done = self.remora("run", str(plan), "--json")
        verdicts = [e["verdict"] for e in self.events(done) if e["type"] == "attempt_ended"]
        self.assertEqual(verdicts, ["verify_failed", "completed"])
        self.assertIn("n is not 2", (self.seen / "stdin.2").read_text())

    def test_P11_a_crash_loop_ends_and_what_waits_is_skipped(self):
        plan = Path(self.plan(["a"], "defaults: {attempts: 2}", script="cat >/dev/null; echo x >> f; exit 7\n"))
        plan.write_text(plan.read_text() + "  - id: b\n    prompt: After.\n    after: [a]\n")
        done = self.remora("run", str(plan), "--json", status=1)
        over = {e["task"]: (e["outcome"], e.get("verdict")) for e in self.events(done) if e["type"] == "task_ended"}
        self.assertEqual(over, {"a": ("failed", "failed"), "b": ("skipped", None)})

    def test_P16_exit_0_without_having_done_anything_is_said(self):
        done = self.remora("run", self.plan(["a"], script="cat >/dev/null\n"), "--json")
        over = next(e for e in self.events(done) if e["type"] == "task_ended")
        self.assertEqual((over["outcome"], over["detail"]), ("succeeded", "no_changes"))

    def test_O2_O4_garbage_and_a_line_of_100_megabytes(self):
        script = ("cat >/dev/null\nhead -c 100000 /dev/urandom\nhead -c 100000000 /dev/zero | tr '\\0' x\necho\n"
                  "printf 'caf\\351\\n'\necho done > f\n")
        self.remora("run", self.plan(["a"], script=script))

    def test_P4_kill_0_and_ignored_signals_do_not_reach_us(self):
        script = "cat >/dev/null; trap '' TERM INT HUP; echo x > f; (trap '' TERM; sleep 987654) & kill -9 0\n"
        done = self.remora("run", self.plan(["a"], "defaults: {attempts: 1}", script=script), "--json", status=1)
        over = next(e for e in self.events(done) if e["type"] == "attempt_ended")
        self.assertEqual((over["verdict"], over["detail"]), ("crashed", "SIGKILL"))

    # --- bad input ---

    def test_bad_input_is_refused_before_anything_starts(self):
        empty = self.dir / "empty"
        self.git("init", "-q", str(empty), cwd=self.dir)
        nowhere = self.dir / "nowhere"
        nowhere.mkdir()
        missing = self.dir / "missing.yaml"
        missing.write_text(f"version: 1\nrepo: {self.repo}\nagents: {{a: {{adapter: text, command: [no-such-program]}}}}\ntasks: [{{id: a, prompt: p}}]\n")
        base = self.dir / "base.yaml"
        base.write_text(f"version: 1\nrepo: {self.repo}\nbase: nonsense\nagents: {{a: {{adapter: text, command: [sh]}}}}\ntasks: [{{id: a, prompt: p}}]\n")
        for status, part, args, cwd in [
            (4, "no git repository", ["list"], nowhere),
            (2, "no remora.yaml", ["run"], self.repo),
            (4, "no-such-program", ["run", str(missing)], self.repo),
            (2, "nonsense", ["run", str(base)], self.repo),
            (2, "commit", ["run", self.plan(["a"], repo=empty)], empty),
            (2, "no run", ["show", "last"], self.repo),
            (2, "", ["frobnicate"], self.repo),
        ]:
            with self.subTest(args=args):
                done = self.remora(*args, cwd=cwd, status=status)
                self.assertIn(part, done.stderr.lower())
        self.assertEqual(self.refs("refs/remora"), [])

    def test_G5_a_users_branch_named_remora_is_a_clear_error(self):
        self.git("branch", "remora")
        done = self.remora("run", self.plan(["a"]), status=4)
        self.assertIn("git branch -m remora", done.stderr)

    def test_a_bare_repository_works_and_a_dirty_checkout_is_noticed(self):
        bare = self.dir / "bare.git"
        self.git("clone", "-q", "--bare", str(self.repo), str(bare), cwd=self.dir)
        self.remora("run", self.plan(["a"], script="cat >/dev/null; echo x > f\n", repo=bare), cwd=bare)
        (self.repo / "tracked.txt").write_text("changed\n")
        done = self.remora("run", self.plan(["a"], script="cat >/dev/null; echo x > f\n"))
        self.assertEqual(done.stderr.count("uncommitted changes"), 1)

    def test_G17_C18_a_foreign_value_in_a_checkpoint_ref_is_kept_aside(self):
        script = ('cat >/dev/null\necho x > f\n'
                  'git update-ref "refs/remora/wip/$REMORA_RUN/$REMORA_TASK" "$(git rev-parse HEAD)"\necho y > g\n')
        self.remora("run", self.plan(["a"], script=script))
        self.assertEqual(len(self.refs("refs/remora/foreign")), 1)


    @unittest.skipUnless(os.geteuid() == 0, "mounting a small file system needs root")
    def test_F2_a_full_disk_fails_a_checkpoint_and_not_the_agent(self):
        self.run_on_a_small_disk("size=12m", 'cat >/dev/null\nhead -c 30000000 /dev/urandom > big\n'
                                             'read -r _ < "$SEEN/wait"\nrm big\necho small > f\n')


def main():
    global REMORA
    parser = argparse.ArgumentParser()
    parser.add_argument("--remora", required=True)
    known, rest = parser.parse_known_args()
    REMORA = str(Path(known.remora).resolve())
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
