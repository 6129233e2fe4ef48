#!/usr/bin/env python3
"""Whole runs amid one fault each of the repository or its disk, by the fault's id.

    tests/e2e/faults.py --remora PROGRAM [--slow-disk LIBRARY] [TEST …]

Needs git and nothing else; a test that needs root says so and is skipped. Every test has a repository and a state
directory of its own.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

import main_job
from main_job import PATIENCE, Job

SLOW_DISK = ""

# Three turns, each with a change; the second one is staged, the third one committed.
TURNS = r"""
cat > /dev/null
for n in 1 2 3; do
  echo "$n" >> grow.txt
  [ "$n" = 1 ] || git add -A
  [ "$n" != 3 ] || git commit -qm 'the agent commits'
  echo '{"type":"turn_ended"}'
done
echo '{"type":"finished","ok":true}'
"""


# Each turn leaves 60 kB that nothing deflates, and waits until it is saved.
THIRTY_TURNS = r"""
cat > /dev/null
if [ "$REMORA_ATTEMPT" = 1 ]; then
  for n in $(seq 30); do
    head -c 60000 /dev/urandom > blob
    echo '{"type":"turn_ended"}'
    until [ "$(git rev-parse -q --verify "refs/heads/remora-wip/$REMORA_RUN/$REMORA_TASK:blob")" = "$(git hash-object blob)" ]; do
      sleep 0.02
    done
    du -sb "$PACKS" | cut -f 1 >> "$SEEN/disk"
  done
  cp blob "$SEEN/blob"
  : > "$SEEN/worked"
  exec sleep 987654
fi
echo '{"type":"finished","ok":true}'
"""


SILENT = r"""
cat > /dev/null
case $REMORA_TASK in
  busy) timeout 3 sh -c 'while :; do :; done' ;;
  tool) echo '{"type":"tool_call","id":"1","name":"build","input":{}}'; sleep 3; echo '{"type":"tool_result","id":"1","ok":true}' ;;
  reads) python3 -c 'import socket; s = socket.create_connection(("127.0.0.1", PORT))
while s.recv(1): pass' ;;
  *) sleep 987654 ;;
esac
echo '{"type":"finished","ok":true}'
"""


class Faults(Job):
    def plan(self, tasks, more="", script=TURNS, repo=None):
        file = Path(super().plan(tasks, more, script, repo))
        file.write_text(file.read_text().replace("adapter: text", "adapter: jsonl"))
        return str(file)

    def succeeds(self, *args, cwd=None):
        events = self.events(self.remora(*args, "--json", cwd=cwd))
        over = [e for e in events if e["type"] == "task_ended"]
        self.assertEqual({e["outcome"] for e in over}, {"succeeded"})
        return events, over

    def test_G2_a_users_index_lock_is_nobodys_business(self):
        lock = self.repo / ".git/index.lock"
        lock.write_bytes(b"")
        _, over = self.succeeds("run", self.plan(["a"]))
        self.assertTrue(lock.exists())
        self.assertEqual(self.git("show", f"{over[0]['branch']}:grow.txt"), "1\n2\n3\n")

    def test_the_checkout_as_it_is_can_be_the_base(self):
        (self.repo / ".gitignore").write_text("ignored\n")
        (self.repo / "staged").write_text("old\n")
        self.git("add", "-A")
        self.git("commit", "-qm", "more")
        for name in ("staged", "changed", "ignored", "key.pem"):
            (self.repo / name).write_text(f"{name}\n")
        self.git("add", "staged")
        os.mkfifo(self.repo / "pipe")
        before = self.git("status", "--porcelain"), (self.repo / ".git/index").read_bytes(), self.git("rev-parse", "HEAD")
        plan = Path(self.plan(["a", "b"]))
        plan.write_text(plan.read_text().replace("version: 1\n", "version: 1\nbase: worktree\n"))
        events, over = self.succeeds("run", str(plan))
        self.assertEqual((self.git("status", "--porcelain"), (self.repo / ".git/index").read_bytes(), self.git("rev-parse", "HEAD")), before)
        base = over[0]["base"]
        self.assertEqual({e["base"] for e in over}, {base})
        self.assertEqual(self.git("rev-parse", f"{base}^"), before[2])
        self.assertEqual(self.git("show", f"{base}:staged") + self.git("show", f"{base}:changed"), "staged\nchanged\n")
        self.assertNotIn("ignored", self.git("ls-tree", "--name-only", base).split())
        self.assertEqual(self.git("show", f"{over[0]['branch']}:changed"), "changed\n")
        told = [e["text"] for e in events if e["type"] == "warning"]
        self.assertEqual(len([t for t in told if "key.pem" in t or "pipe" in t]), 2, told)

    def test_G6_a_run_that_met_a_stuck_lock_of_packed_refs_goes_on_without_it(self):
        lock = self.repo / ".git/packed-refs.lock"
        lock.write_bytes(b"")
        done = subprocess.run([main_job.REMORA, "run", self.plan(["a"])], cwd=self.repo, env=self.env, capture_output=True, text=True,
                              timeout=PATIENCE)
        self.assertTrue(lock.exists())
        lock.unlink()
        if done.returncode != 0:
            self.assertIn("lock", done.stdout + done.stderr)
            self.remora("resume")
        branch = next(r for r in self.refs("refs/heads/remora") if r.endswith("/a"))
        self.assertEqual(self.git("show", f"{branch}:grow.txt"), "1\n2\n3\n")
        self.assertEqual(self.refs("refs/remora/wip"), [])

    def put_before(self, name, program, condition):
        """A script `name` that stands for `program` and kills itself the first time that `condition` holds."""
        script = self.dir / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\nif {condition} && mkdir "{self.seen}/killed.{name}" 2> /dev/null; then kill -9 $$; fi\n'
                          f'exec "{program}" "$@"\n')
        script.chmod(0o755)
        return script

    def warnings(self, events):
        return [e["text"] for e in events if e["type"] == "warning"]

    def test_P11_a_shim_that_is_killed_before_its_agent_was_started_is_followed_by_another(self):
        program = Path(main_job.REMORA)
        alone = self.dir / "alone"  # remora takes the shim beside it, so this is one without
        alone.mkdir()
        shutil.copy(program, alone / program.name)
        self.env["REMORA_SHIM"] = str(self.put_before("shim", program.parent / "remora-shim", "true"))
        done = subprocess.run([alone / program.name, "run", self.plan(["a"]), "--json"], cwd=self.repo, env=self.env, capture_output=True,
                              text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done)
        ended = [(e["verdict"], e["detail"], e["counted"]) for e in self.events(done) if e["type"] == "attempt_ended"]
        self.assertEqual(ended, [("crashed", "shim", True), ("completed", "", False)])

    def test_G4_a_worktree_whose_git_is_killed_is_made_again(self):
        git = self.put_before("git", shutil.which("git"), 'case "$*" in *" worktree add "*) true;; *) false;; esac')
        self.env["PATH"] = f"{git.parent}:{self.env['PATH']}"
        events, over = self.succeeds("run", self.plan(["a"]))
        warnings = self.warnings(events)
        self.assertEqual(len(warnings), 1, warnings)
        self.assertTrue(warnings[0].startswith("git could not make the worktree") and warnings[0].endswith(": killed by SIGKILL"), warnings)
        self.assertEqual(self.git("show", f"{over[0]['branch']}:grow.txt"), "1\n2\n3\n")
        self.assertEqual(self.git("worktree", "list").count("\n"), 1)

    def test_G4_a_setup_that_is_killed_is_made_again_in_a_new_worktree(self):
        setup = '[ ! -e half ] && { ! mkdir "$SEEN/once" 2> /dev/null || { touch half; kill -9 $$; }; }'
        events, _ = self.succeeds("run", self.plan(["a"], f"workspace: {{setup: '{setup}'}}"))
        self.assertEqual(self.warnings(events), [f"workspace.setup '{setup}' killed by SIGKILL"])
        self.assertEqual(self.git("worktree", "list").count("\n"), 1)

    def test_P14_a_silent_agent_lives_by_an_open_tool_call_its_processor_time_or_its_connections(self):
        server = self.enterContext(socket.create_server(("127.0.0.1", 0)))

        def drip():
            with server.accept()[0] as to:
                for _ in range(30):
                    to.sendall(b".")
                    time.sleep(0.1)

        threading.Thread(target=drip, daemon=True).start()
        script = SILENT.replace("PORT", str(server.getsockname()[1]))
        plan = self.plan(["busy", "tool", "reads", "still"], "defaults: {attempts: 1, limits: {idle: 1s}}", script)
        done = self.remora("run", plan, "--json", status=1)
        over = {e["task"]: (e["outcome"], e["verdict"], e["detail"]) for e in self.events(done) if e["type"] == "task_ended"}
        lived = ("succeeded", "completed", "no_changes")
        self.assertEqual(over, {"busy": lived, "tool": lived, "reads": lived, "still": ("failed", "timed_out", "idle")})
        why = self.remora("show", "last/still", "--why").stdout
        self.assertRegex(why, r"attempt 1  running > freezing  silent: nothing for 1\.\ds, timed_out \(idle\)\n")

    def test_a_verification_that_is_killed_says_so(self):
        plan = Path(self.plan(["a"], "defaults: {attempts: 2}"))
        plan.write_text(plan.read_text() + f"    verify: [{self.put_before('check', '/bin/true', 'true')}]\n")
        events, _ = self.succeeds("run", str(plan))
        said = [(e["ok"], e["output"]) for e in events if e["type"] == "verify_ended"]
        self.assertEqual(said, [(False, "\nkilled by SIGKILL"), (True, "")])

    def test_G8_a_checkpoint_outlives_its_worktree(self):
        script = ('cat >/dev/null\n'
                  'if [ "$REMORA_ATTEMPT" = 1 ]; then\n'
                  '  echo one > f; git add f; echo \'{"type":"turn_ended"}\'\n'
                  '  until git rev-parse -q --verify "refs/remora/wip/$REMORA_RUN/$REMORA_TASK" > /dev/null; do :; done\n'
                  '  git worktree remove --force --force "$PWD"; exit 1\n'
                  'fi\n'
                  'cat f > g; echo \'{"type":"finished","ok":true}\'\n')
        _, over = self.succeeds("run", self.plan(["a"], script=script))
        self.assertEqual(self.git("show", f"{over[0]['branch']}:g"), "one\n")

    def test_G14_shallow_clones_and_borrowed_objects(self):
        (self.repo / "tracked.txt").write_text("two\n")
        self.git("commit", "-qam", "second")
        for name, options in (("shallow", ("--depth", "1", f"file://{self.repo}")), ("borrowing", ("--shared", str(self.repo)))):
            with self.subTest(name):
                clone = self.dir / name
                self.git("clone", "-q", *options, str(clone), cwd=self.dir)
                _, over = self.succeeds("run", self.plan(["a"], repo=clone), cwd=clone)
                self.assertEqual(self.git("show", f"{over[0]['branch']}:grow.txt", cwd=clone), "1\n2\n3\n")
                self.assertEqual(self.git("fsck", "--no-dangling", "--no-progress", cwd=clone), "")

    def test_G16_what_a_dead_writer_left_is_swept_at_the_next_start(self):
        packs = self.repo / ".git/objects/pack"
        packs.mkdir(exist_ok=True)
        left = [packs / "remora-AbC123.tmp", packs / "remora-AbC123.idx.tmp"]
        for file in left:
            file.write_bytes(b"half a pack")
        somebodys = packs / "tmp_pack_AbC123"
        somebodys.write_bytes(b"half a pack")
        self.succeeds("run", self.plan(["a"]))
        self.assertEqual([str(file) for file in left if file.exists()], [])
        self.assertTrue(somebodys.exists())

    def test_F8_many_checkpoints_stay_few_packs_and_little_space(self):
        script = ('cat >/dev/null\nn=0\n'
                  'while [ "$n" -lt 120 ]; do\n'
                  '  n=$((n + 1)); echo "$n" >> grow.txt; echo \'{"type":"turn_ended"}\'\n'
                  '  [ $((n % 10)) != 0 ] || until [ "$(git rev-parse "refs/remora/wip/$REMORA_RUN/$REMORA_TASK" 2>&1)" != "$last" ]; do :; done\n'
                  '  last=$(git rev-parse "refs/remora/wip/$REMORA_RUN/$REMORA_TASK" 2>&1)\n'
                  'done\n'
                  'ls "$(git rev-parse --git-common-dir)/objects/pack" > "$SEEN/packs"\n'
                  'echo \'{"type":"finished","ok":true}\'\n')
        events, _ = self.succeeds("run", self.plan(["a"], "defaults: {checkpoint: {min_gap: 1ms}}", script))
        self.assertGreater(sum(e["type"] == "checkpoint_saved" for e in events), 12)
        kept = [name for name in (self.seen / "packs").read_text().split() if name.endswith(".pack")]
        self.assertLessEqual(len(kept), 12)  # ten, and what is being written and merged at that moment
        used = sum(file.stat().st_size for file in (self.repo / ".git/objects").rglob("*") if file.is_file())
        self.assertLess(used, 3 << 20)

    def ext4(self):
        """A small file system that becomes read-only at an error, and what mounts it again."""
        image, disk = self.dir / "image", self.dir / "disk"
        disk.mkdir()
        with image.open("wb") as file:
            file.truncate(64 << 20)
        mount = ["mount", "-o", "loop,errors=remount-ro", str(image), str(disk)]
        if subprocess.run(["mkfs.ext4", "-q", str(image)], capture_output=True).returncode != 0 or \
                subprocess.run(mount, capture_output=True).returncode != 0:
            self.skipTest("no ext4 can be mounted from a file here")
        self.mounted.append(disk)
        return disk, mount

    @unittest.skipUnless(os.geteuid() == 0, "mounting a file system needs root")
    def test_F7_a_repository_that_becomes_read_only_costs_no_work(self):
        disk, mount = self.ext4()
        repo = disk / "r.git"
        self.git("clone", "-q", "--bare", str(self.repo), str(repo), cwd=self.dir)
        for name in ("wait", "done"):
            os.mkfifo(self.seen / name)
        script = ('cat > /dev/null\n[ "$REMORA_ATTEMPT" = 1 ] || { echo \'{"type":"finished","ok":true}\'; exit; }\n'
                  'echo one > f; echo \'{"type":"turn_ended"}\'; read -r _ < "$SEEN/wait"\n'
                  'echo two >> f; echo > "$SEEN/done"; read -r _ < "$SEEN/wait"\n'
                  'echo \'{"type":"turn_ended"}\'; sleep 987654\n')
        process = subprocess.Popen([main_job.REMORA, "run", self.plan(["a"], "defaults: {checkpoint: {min_gap: 1ms}}", script, repo), "--json"],
                                   cwd=repo, env=self.env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.started.append(process)
        wait = os.open(self.seen / "wait", os.O_RDWR | os.O_CLOEXEC)  # so nobody waits for an agent that was ended
        for line in process.stdout:
            if json.loads(line)["type"] == "checkpoint_saved":
                os.write(wait, b"go on\n")
                (self.seen / "done").read_text()
                subprocess.run(["sync", "--file-system", str(disk)], check=True)
                subprocess.run(["mount", "-o", "remount,abort", str(disk)], capture_output=True)  # as ext4 does at an error
                with self.assertRaisesRegex(OSError, "Read-only"):
                    (disk / "new").touch()
                os.write(wait, b"go on\n")
                break
        os.close(wait)
        process.stdout.read()
        said = process.communicate(timeout=PATIENCE)[1]
        self.assertNotEqual(process.returncode, 0)
        self.assertIn("Read-only file system", said)
        subprocess.run(["umount", str(disk)], check=True)
        subprocess.run(mount, check=True)
        _, over = self.succeeds("resume", cwd=repo)
        self.assertEqual(self.git("show", f"{over[0]['branch']}:f", cwd=repo), "one\ntwo\n")

    def test_F6_a_log_is_followed_without_inotify(self):
        # A user namespace has limits of its own.
        without = ["unshare", "--user", "--map-root-user", "sh", "-c", 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"', "-"]
        if subprocess.run([*without, "true"], env=self.env, capture_output=True).returncode != 0:
            self.skipTest("no user namespace may be made here")
        os.mkfifo(self.seen / "wait")
        script = 'cat > /dev/null\necho first\nread -r _ < "$SEEN/wait"\necho last\n'
        plan = Path(Job.plan(self, ["a"], script=script))
        run = self.start("run", str(plan))
        first, follower = "", None
        while run.poll() is None:
            follower = subprocess.Popen([*without, main_job.REMORA, "log", "last/a", "--follow"], cwd=self.repo, env=self.env, text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.started.append(follower)
            if first := follower.stdout.readline():
                break
            follower.stdout.close()  # the run has not begun yet
            follower.wait(PATIENCE)
        self.assertEqual(first + follower.stdout.readline(), "--- attempt 1 (sh)\nfirst\n")
        (self.seen / "wait").write_text("go on\n")
        self.assertIn("last\n", follower.stdout.read())
        follower.stdout.close()
        self.assertEqual((follower.wait(PATIENCE), run.wait(PATIENCE)), (0, 0))

    def test_W4_what_no_checkpoint_could_take_is_not_removed(self):
        if not SLOW_DISK:
            self.skipTest("no library that makes a file unreadable")
        plan = self.plan(["a"], "workspace: {keep: never}", "cat >/dev/null\necho good > good\necho bad > bad\n"
                         'echo \'{"type":"finished","ok":true}\'\n')
        self.env.update(LD_PRELOAD=SLOW_DISK, BAD_FILE="bad")
        events, over = self.succeeds("run", plan)
        del self.env["LD_PRELOAD"]
        said = " ".join(e["text"] for e in events if e["type"] == "warning")
        self.assertIn("bad cannot be read", said)
        self.assertEqual(over[0]["left_out"], [{"reason": "unreadable", "path": "bad"}])
        slot = Path(re.search("the worktree ([^ ]*) stays: bad could not be read", said)[1])
        self.git("merge", "-q", over[0]["branch"])
        self.assertTrue((self.repo / "good").exists())
        pruned = self.remora("prune", "--yes", "--older-than", "0s")
        self.assertIn("kept", pruned.stdout)
        self.assertEqual((slot / "bad").read_text(), "bad\n")

    def test_W13_what_does_not_fit_into_a_checkpoint_is_not_removed(self):
        plan = self.plan(["a"], "workspace: {keep: never}\ndefaults: {checkpoint: {max_total: 100k}}",
                         "cat >/dev/null\nhead -c 300000 /dev/zero > big\necho small > small\n"
                         'echo \'{"type":"finished","ok":true}\'\n')
        events, over = self.succeeds("run", plan)
        said = " ".join(e["text"] for e in events if e["type"] == "warning")
        self.assertIn("big among them, did not fit into the checkpoint", said)
        self.assertEqual(over[0]["left_out"], [{"reason": "checkpoint too large", "path": "big"}])
        self.assertEqual(self.git("show", f"{over[0]['branch']}:small"), "small\n")
        slot = Path(re.search("the worktree ([^ ]*) stays: big did not fit", said)[1])
        self.assertEqual((slot / "big").stat().st_size, 300000)
        self.git("merge", "-q", over[0]["branch"])
        self.assertIn("kept", self.remora("prune", "--yes", "--older-than", "0s").stdout)

    def test_F8_older_checkpoints_are_given_up_before_they_fill_the_disk(self):
        packs = self.repo / ".git/objects/pack"
        self.env["PACKS"] = str(packs)
        plan = Path(self.plan(["a"], "defaults: {checkpoint: {max_disk: 300k, min_gap: 100ms}}", THIRTY_TURNS))
        plan.write_text(plan.read_text().replace("pass_env: [SEEN]", "pass_env: [SEEN, PACKS]"))
        orchestrator = self.start("run", str(plan))
        main_job.wait_until("thirty checkpoints", (self.seen / "worked").exists)
        orchestrator.kill()
        orchestrator.wait()
        disk = [int(n) for n in (self.seen / "disk").read_text().split()]
        self.assertEqual(len(disk), 30)
        # 300k, the newest, what came while older ones went, and twice that while packs are merged: not 1.8M and twice that.
        self.assertLess(max(disk), 1_000_000, disk)
        self.git("fsck", "--strict", "--full")
        listed = self.remora("checkpoint", "list", "last/a").stdout.splitlines()
        self.assertRegex(listed[-1], r"^older than \d+: given up")
        self.assertLess(len(listed), 15)
        blob = (self.seen / "blob").read_bytes()
        self.remora("checkpoint", "restore", "last/a", "--to", str(self.dir / "restored"))
        self.assertEqual((self.dir / "restored/blob").read_bytes(), blob)
        events, over = self.succeeds("resume")
        self.git("fsck", "--strict", "--full")
        result = subprocess.run(["git", "show", f"{over[0]['branch']}:blob"], cwd=self.repo, env=self.env, capture_output=True, timeout=PATIENCE)
        self.assertEqual(result.stdout, blob)

    @unittest.skipUnless(os.geteuid() == 0, "giving a repository to somebody else needs root")
    def test_G18_somebody_elses_repository_is_explained(self):
        for path in [self.repo, *self.repo.rglob("*")]:
            os.chown(path, 65534, 65534, follow_symlinks=False)
        done = self.remora("run", self.plan(["a"]), status=4)
        self.assertIn("safe.directory", done.stderr)

    def test_F11_a_slow_disk_delays_neither_deadlines_nor_other_tasks(self):
        if not SLOW_DISK:
            self.skipTest("no library that slows syncs down")
        script = ('cat >/dev/null\n'
                  'echo "$REMORA_ATTEMPT" >> lives\n'
                  'echo \'{"type":"turn_ended"}\'\n'
                  '[ "$REMORA_TASK.$REMORA_ATTEMPT" != a.1 ] || exec sleep 987654\n'
                  'echo \'{"type":"finished","ok":true}\'\n')
        # A checkpoint takes longer than what is left of the attempt, and than a checkpoint may take before the first signal.
        plan = self.plan(["a", "b"], "defaults: {limits: {wall: 2s, snapshot: 200ms, grace: 1s}, checkpoint: {min_gap: 50ms}}", script)
        self.env.update(LD_PRELOAD=SLOW_DISK, SLOW_DISK_MS="400")
        events, _ = self.succeeds("run", plan)
        ended = [(e["task"], e["verdict"]) for e in events if e["type"] == "attempt_ended"]
        self.assertEqual(sorted(ended), [("a", "completed"), ("a", "timed_out"), ("b", "completed")])
        branch = next(r for r in self.refs("refs/heads/remora") if r.endswith("/a"))
        self.assertEqual(self.git("show", f"{branch}:lives"), "1\n2\n")


def main():
    global SLOW_DISK
    parser = argparse.ArgumentParser()
    parser.add_argument("--remora", required=True)
    parser.add_argument("--slow-disk", default="")
    known, rest = parser.parse_known_args()
    main_job.REMORA = str(Path(known.remora).resolve())
    SLOW_DISK = str(Path(known.slow_disk).resolve()) if known.slow_disk else ""
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
