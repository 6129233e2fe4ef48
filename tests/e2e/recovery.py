#!/usr/bin/env python3
"""Owners that are stopped, state that is removed, journals that are lost: what `resume` and `doctor` make of it.

    tests/e2e/recovery.py --remora PROGRAM [TEST …]

Needs git and nothing else. Every test has a repository and a state directory of its own, and ends what it
started.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import main_job
from main_job import PATIENCE, Job, alive, wait_until

FREEZER = Path("/sys/fs/cgroup/freezer")  # of cgroup v1: who is in a frozen group of it does not die of KILL
QUICK = "defaults: {checkpoint: {interval: 300ms, min_gap: 100ms}, limits: {grace: 1s}}"


def state_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


class Recovery(Job):
    def runs(self):
        return self.repo / ".git/remora/runs"

    def run_id(self):
        return self.refs("refs/remora/runs")[0].rsplit("/", 1)[1]

    def begin(self, tasks, more=QUICK):
        """A run whose agents work and have a checkpoint each."""
        process = self.start("run", self.plan(tasks, more))
        wait_until("checkpoints", lambda: len(self.refs("refs/heads/remora-wip")) == len(tasks) and
                   all((self.seen / f"started.{t}").exists() for t in tasks))
        return process

    def kill(self, process):
        process.kill()
        process.wait()
        wait_until("the agents are gone, and their shims have told so", lambda: not any(alive(p) for p in self.pids()) and
                   all((attempt / "exit").exists() for attempt in self.runs().glob("*/attempts/*")), 10)

    def doctor(self, *args, status=0):
        done = self.remora("doctor", "--json", *args, status=status)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def findings(self, *args, status=0):
        """What is wrong, but for the lock of a ref: a kill may or may not leave one (G1 has tests of its own)."""
        return sorted(f["kind"] for f in self.doctor(*args, status=status) if not f["note"] and f["kind"] != "ref-lock")

    def results(self):
        """progress.txt of each task's result: a line a life."""
        text = {}
        for ref in self.refs("refs/heads/remora"):
            text[ref.rsplit("/", 1)[1]] = self.git("show", f"{ref}:progress.txt")
        return text

    def picture(self):
        """Everything that a fenced owner could have changed."""
        refs = self.git("for-each-ref", "--format=%(refname) %(objectname)")
        files = {str(p): p.read_bytes() for p in self.runs().rglob("*") if p.is_file()}
        return refs, files, self.git("worktree", "list")

    # --- two orchestrators ---

    def stop(self, process):
        process.send_signal(signal.SIGSTOP)
        wait_until("the owner is stopped", lambda: state_of(process.pid) == "T")

    def test_G15_P13_a_stopped_owner_is_replaced_and_finds_itself_fenced(self):
        first = self.begin(["a", "b"])
        self.stop(first)
        lives = self.pids()
        refused = self.remora("resume", status=4).stderr
        for part in (str(first.pid), "stopped", "doctor --fix"):
            self.assertIn(part, refused)
        self.assertTrue(all(alive(p) for p in lives))
        self.assertIn("owner-stopped", self.findings(status=1))
        self.assertEqual(self.findings("--fix"), ["owner-stopped"])
        self.assertFalse(any(alive(p) for p in lives), "agents live on after their run was taken")
        self.assertEqual(self.findings(), [])
        (self.seen / "release").touch()
        self.remora("resume")
        self.assertEqual({t: text.count("life") for t, text in self.results().items()}, {"a": 2, "b": 2})
        before = self.picture()
        first.send_signal(signal.SIGCONT)
        self.assertEqual(first.wait(PATIENCE), 4)
        self.assertEqual(self.picture(), before)
        self.assertEqual(len(self.pids()), 4)  # two lives each: nothing was started twice

    def test_G15_a_fenced_owner_changes_nothing_while_the_next_one_works(self):
        first = self.begin(["a"])
        self.stop(first)
        self.remora("doctor", "--fix")
        (self.seen / "started.a").unlink()
        second = self.start("resume")
        wait_until("the second life", lambda: (self.seen / "started.a").exists())
        first.send_signal(signal.SIGCONT)
        self.assertEqual(first.wait(PATIENCE), 4)
        self.assertIsNone(second.poll())
        self.assertEqual(sum(alive(p) for p in self.pids()), 1)
        (self.seen / "release").touch()
        second.send_signal(signal.SIGINT)
        self.assertEqual(second.wait(PATIENCE), 3)
        self.remora("resume")
        self.assertEqual(self.results()["a"].count("life"), 3)
        self.assertEqual(self.git("fsck", "--no-dangling", "--no-progress"), "")

    def test_G15_doctor_leaves_an_owner_that_works_alone(self):
        first = self.begin(["a"])
        before = (self.runs() / self.run_id() / "lock").read_bytes()
        found = self.doctor("--fix")
        self.assertEqual([f["kind"] for f in found if f["note"]][:1], ["run-live"])
        self.assertIn(str(first.pid), found[0]["text"] + found[-1]["text"] + str(found))
        self.assertEqual((self.runs() / self.run_id() / "lock").read_bytes(), before)
        self.assertIsNone(first.poll())

    # --- between an intent and its deed ---

    def cut_journal(self, after):
        """As if remora had been killed right after that record was durable."""
        journal = next(self.runs().glob("*/journal.jsonl"))
        lines = journal.read_bytes().splitlines(keepends=True)
        last = max(i for i, line in enumerate(lines) if json.loads(line)["type"] == after)
        journal.write_bytes(b"".join(lines[:last + 1]))

    def test_X4_an_attempt_of_which_only_the_intent_is_known_is_followed_by_the_next_one(self):
        self.kill(self.begin(["a"]))
        self.cut_journal("attempt_started")
        (self.seen / "release").touch()
        events = self.events(self.remora("resume", "--json"))
        self.assertEqual([(e["attempt"], e["verdict"]) for e in events if e["type"] == "attempt_ended"],
                         [(1, "orphaned"), (2, "completed")])
        self.assertEqual(self.results()["a"].count("life"), 2)

    def test_X5_a_checkpoint_goes_with_its_durable_result_and_not_without(self):
        script = "cat > /dev/null\necho life >> progress.txt\n"
        plan = Path(self.plan(["a", "b"], "defaults: {attempts: 1}", script))
        plan.write_text(plan.read_text() + "    verify: 'false'\n")
        self.remora("run", str(plan), status=1)  # b fails: its checkpoint stays, and a's has gone
        self.assertEqual([r.rsplit("/", 1)[1] for r in self.refs("refs/remora/wip")], ["b"])
        result = next(r for r in self.refs("refs/heads/remora") if r.endswith("/a"))
        self.assertEqual(self.git("show", f"{result}:progress.txt"), "life\n")

    def test_X8_nothing_is_said_to_run_that_could_not_be_started(self):
        program = self.dir / "no-interpreter"
        program.write_text("#!/nowhere/sh\n")
        program.chmod(0o755)
        plan = Path(self.plan(["a"], "defaults: {attempts: 1}"))
        plan.write_text(plan.read_text().replace(f"[sh, {self.dir}/agent.sh]", f"[{program}]"))
        events = self.events(self.remora("run", str(plan), "--json", status=1))
        self.assertNotIn("running", [e.get("phase") for e in events])
        self.assertEqual([e["verdict"] for e in events if e["type"] == "task_ended"], ["spawn_failed"])

    def test_X6_identities_of_another_boot_are_nobodys(self):
        self.kill(self.begin(["a"]))
        bystander = self.start_bystander()
        for lock in self.runs().glob("*/attempts/*/lock"):
            lock.write_text(f"{bystander.pid} 1 00000000-0000-0000-0000-000000000000\n")
        lock = next(self.runs().glob("*/lock"))
        holder = json.loads(lock.read_text())
        lock.write_text(json.dumps({**holder, "pid": bystander.pid, "boot": "00000000-0000-0000-0000-000000000000"}) + "\n")
        self.assertEqual(self.findings("--fix"), [])
        (self.seen / "release").touch()
        self.remora("resume")
        self.assertIsNone(bystander.poll())

    def start_bystander(self):
        process = subprocess.Popen(["sleep", "1000"])
        self.started.append(process)
        return process

    # --- lost state ---

    def test_F10_a_removed_state_directory_ends_the_run_and_resume_goes_on(self):
        first = self.begin(["a", "b"])
        lives = self.pids()
        shutil.rmtree(self.repo / ".git/remora")
        for task in ("a", "b"):  # so that there is something to save
            for slot in (self.dir / "state").glob("remora/*/slots/*"):
                (slot / "unsaved.txt").write_text("never in a checkpoint\n")
        first.send_signal(signal.SIGTERM)
        self.assertEqual(first.wait(PATIENCE), 4)
        wait_until("the agents are gone", lambda: not any(alive(p) for p in lives), 10)
        self.assertEqual(self.findings(status=1), ["journal-lost"])
        (self.seen / "release").touch()
        done = self.remora("resume")
        self.assertIn("lost", done.stderr)
        for task, text in self.results().items():
            self.assertEqual(text.count("life"), 2)
            branch = next(r for r in self.refs("refs/heads/remora") if r.endswith("/" + task))
            self.assertEqual(self.git("show", f"{branch}:unsaved.txt"), "never in a checkpoint\n")
        self.assertEqual(len(self.git("worktree", "list").splitlines()), 1)
        self.assertEqual(self.findings(), [])

    def test_F10_a_removed_journal_ends_the_run_at_its_next_record(self):
        first = self.begin(["a"])
        next(self.runs().glob("*/journal.jsonl")).unlink()
        first.send_signal(signal.SIGTERM)
        self.assertEqual(first.wait(PATIENCE), 4)
        self.assertIn("to go on: remora resume", self.remora("show", "last").stdout)
        (self.seen / "release").touch()
        self.remora("resume")
        self.assertEqual(self.results()["a"].count("life"), 2)

    def test_a_lost_journal_is_made_anew_and_ended_tasks_stay_ended(self):
        script = main_job.WORKER.replace('if [ -e "$SEEN/release" ]', 'if [ -e "$SEEN/release" ] || [ "$REMORA_TASK" = done ]')
        process = self.start("run", self.plan(["done", "open"], QUICK, script))
        wait_until("one task has ended, the other has a checkpoint", lambda: len(self.refs("refs/remora/wip")) == 1 and
                   (self.seen / "started.open").exists() and len(self.refs("refs/heads/remora")) == 2 and
                   "task_ended" in next(self.runs().glob("*/journal.jsonl")).read_text())
        self.kill(process)
        next(self.runs().glob("*/journal.jsonl")).unlink()
        self.assertEqual(self.findings("--fix"), ["journal-lost"])
        self.assertEqual(self.findings(), [])
        (self.seen / "release").touch()
        self.remora("resume")
        self.assertEqual({t: text.count("life") for t, text in self.results().items()}, {"done": 1, "open": 2})
        self.assertEqual(list(self.runs().glob("*")), [])

    def test_X3_a_damaged_journal_is_refused_with_its_line_and_made_anew(self):
        self.kill(self.begin(["a"]))
        journal = next(self.runs().glob("*/journal.jsonl"))
        text = bytearray(journal.read_bytes())
        text[text.index(b"\n") + 30] ^= 1
        journal.write_bytes(text)
        self.assertIn("journal.jsonl:2: ", self.remora("resume", status=4).stderr)
        self.assertEqual(journal.read_bytes(), bytes(text))
        self.assertEqual(self.findings("--fix"), ["journal-damaged"])
        self.assertEqual(next(self.runs().glob("*/journal.damaged-*")).read_bytes(), bytes(text))
        (self.seen / "release").touch()
        self.remora("resume")
        self.assertEqual(self.results()["a"].count("life"), 2)

    def test_X7_a_journal_of_a_newer_version_is_left_alone_by_everything(self):
        self.kill(self.begin(["a"]))
        directory = self.runs() / self.run_id()
        (directory / "journal.jsonl").write_text(
            '{"seq":1,"t":"2026-01-02T00:00:00.000Z","mono_ns":1,"boot":"b","type":"run_started",'
            '"schema":"remora.run/2","synced":0,"crc":"' + "CRC" + '"}\n')
        text = (directory / "journal.jsonl").read_text()
        body = text[:text.index(',"crc"')]
        (directory / "journal.jsonl").write_text(body + f',"crc":"{crc32c(body.encode()):08x}"}}\n')
        before = self.picture()
        self.assertIn("remora.run/2", self.remora("resume", status=4).stderr)
        self.assertEqual(self.findings("--fix", status=1), ["journal"])
        self.remora("prune", "--older-than", "1s", "--yes")
        self.remora("list")
        self.assertEqual(self.picture(), before)

    def test_a_task_that_was_dropped_is_not_taken_up_again(self):
        self.kill(self.begin(["a", "b"]))
        self.remora("drop", "--force", f"{self.run_id()}/b")
        (self.seen / "release").touch()
        self.remora("resume", status=1)
        self.assertEqual(list(self.results()), ["a"])
        shown = self.remora("show", self.run_id()).stdout
        self.assertIn("cancelled", shown)

    def test_P13_the_slot_that_another_task_has_got_meanwhile_is_not_gone_on_in(self):
        self.kill(self.begin(["a"]))
        old = self.run_id()
        slot = next((self.dir / "state").glob("remora/*/slots/*"))
        shutil.rmtree(slot)
        self.seen.joinpath("started.a").unlink()
        second = self.begin_another()
        self.assertTrue((slot / ".git").exists())
        (self.seen / "release").touch()
        self.remora("resume", old)
        self.assertEqual(sum(alive(p) for p in self.pids()), 1)
        self.assertTrue((slot / "progress.txt").exists())
        self.assertIsNone(second.poll())

    def begin_another(self):
        process = self.start("run", self.plan(["c"], QUICK))
        wait_until("the agent", lambda: (self.seen / "started.c").exists())
        return process

    # --- nobody is left who knows of an agent's tree ---

    def test_P13_what_outlives_its_shim_and_remora_is_ended_before_a_successor(self):
        agent = 'cat > /dev/null\n[ -e "$SEEN/stray" ] && exit 0\nsetsid sleep 987654 &\necho $! > "$SEEN/pids.stray"\ntouch "$SEEN/stray"\nwait\n'
        process = self.start("run", self.plan(["a"], "", agent))
        wait_until("the agent has started something", lambda: (self.seen / "stray").exists())
        (stray,) = self.pids()
        (lock,) = self.runs().glob("*/attempts/a.1/lock")
        self.stop(process)  # it adopts what its shim leaves, and would end it
        os.kill(int(lock.read_text().split()[0]), signal.SIGKILL)
        process.kill()
        process.wait()
        self.assertTrue(alive(stray))
        self.remora("resume")
        self.assertFalse(alive(stray))

    # --- damage that doctor tells of ---

    def test_G13_zero_byte_refs_and_damaged_checkpoints_are_told_and_mended(self):
        self.kill(self.begin(["a"]))
        wip, branch = self.refs("refs/remora/wip")[0], self.refs("refs/heads/remora-wip")[0]
        value = self.git("rev-parse", wip)
        for ref in (wip, branch):
            (self.repo / ".git" / ref).write_bytes(b"")
        self.assertEqual(self.findings("--fix"), ["ref-broken", "ref-broken"])
        self.assertEqual(self.git("rev-parse", wip), value)
        self.assertEqual(self.git("rev-parse", branch), self.git("log", "-1", "--format=%(trailers:key=Remora-Files,valueonly)", wip).strip() + "\n")
        self.git("update-ref", "-d", wip)
        self.assertEqual(self.findings("--fix"), ["checkpoint-ref"])
        self.assertEqual(self.git("rev-parse", wip), value)
        self.assertEqual(self.findings(), [])

    def test_a_worktree_without_a_run_is_saved_before_it_goes(self):
        self.kill(self.begin(["a"]))
        slot = next((self.dir / "state").glob("remora/*/slots/*"))
        (slot / "precious.txt").write_text("work\n")
        for ref in self.refs("refs/remora"):
            self.git("update-ref", "-d", ref)
        shutil.rmtree(self.runs())
        self.assertEqual(self.findings(status=1), ["worktree-without-run"])
        self.git("init", "-q", "nested", cwd=slot)  # whose history no tree of its files has
        self.doctor("--fix", status=1)
        self.assertTrue((slot / "nested/.git").exists())
        shutil.rmtree(slot / "nested")
        self.assertIn("worktree-without-run", self.findings("--fix"))
        self.assertFalse(slot.exists())
        kept = self.refs("refs/remora/foreign")
        self.assertEqual(len(kept), 1)
        self.assertEqual(self.git("show", f"{kept[0]}:precious.txt"), "work\n")
        self.assertEqual(self.findings(), [])

    def test_G1_an_old_lock_of_the_users_git_is_told_and_left(self):
        for name in ("index.lock", "packed-refs.lock"):
            lock = self.repo / ".git" / name
            lock.touch()
            self.assertEqual(self.findings(), [], "git may be at work")
            an_hour_ago = time.time() - 3600
            os.utime(lock, (an_hour_ago, an_hour_ago))
            found = self.doctor("--fix", status=1)
            self.assertEqual([(f["kind"], f["subject"], f["fixable"]) for f in found if not f["note"]], [("git-lock", name, False)])
            self.assertTrue(lock.exists())
            lock.unlink()

    def test_nothing_is_wrong_with_a_fresh_repository_and_after_a_run(self):
        self.assertEqual(self.findings(), [])
        (self.seen / "release").touch()
        self.remora("run", self.plan(["a"]))
        self.assertEqual(self.findings(), [])
        self.assertIn("nothing is wrong", self.remora("doctor").stdout)

    @unittest.skipUnless(os.geteuid() == 0 and (FREEZER / "cgroup.procs").exists(), "an agent that cannot be ended needs root and the v1 freezer")
    def test_P6_a_worktree_left_to_its_agent_is_gone_on_in_once_that_is_gone(self):
        group = FREEZER / f"remora-test-{os.getpid()}"
        group.mkdir()
        self.addCleanup(group.rmdir)
        state = group / "freezer.state"
        self.addCleanup(state.write_text, "THAWED")
        script = ('cat > /dev/null\necho life >> progress.txt\n[ "$REMORA_ATTEMPT" = 1 ] || exit 0\n'
                  f'echo $$ > {group}/cgroup.procs\necho $$ > "$SEEN/started.a"\nexec sleep 987\n')
        process = self.start("run", self.plan(["a"], QUICK, script))
        wait_until("the agent", lambda: (self.seen / "started.a").exists() and (self.seen / "started.a").read_text())
        state.write_text("FROZEN")
        wait_until("it cannot be ended", lambda: state.read_text() == "FROZEN\n")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE), 3)
        agent = int((self.seen / "started.a").read_text())
        self.assertTrue(alive(agent))
        (slot,) = (self.dir / "state").glob("remora/*/slots/*")
        (slot / "late.txt").write_text("after the last checkpoint\n")
        state.write_text("THAWED")
        wait_until("the agent is gone", lambda: not alive(agent))
        self.remora("resume")
        branch = self.refs("refs/heads/remora")[0]
        self.assertEqual(self.git("show", f"{branch}:progress.txt"), "life\nlife\n")
        self.assertEqual(self.git("show", f"{branch}:late.txt"), "after the last checkpoint\n")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def load_tests(loader, _tests, _pattern):
    """Only what is written here: the tests of the class that it stands on have their own program."""
    names = [n for n in loader.getTestCaseNames(Recovery) if n in Recovery.__dict__]
    return unittest.TestSuite(Recovery(n) for n in names)


if __name__ == "__main__":
    main_job.main()
