#!/usr/bin/env python3
"""Faults of processes and of what they print, by id, each injected into a whole run of fake agents.

    tests/e2e/injected.py --remora PROGRAM [--preload LIBRARY] [--target PROGRAM] [TEST …]

The library is that of tests/torture/kill.py, the target that of tests/process; a test that needs one of them, or root, and has
it not is skipped. Needs git and nothing else. Every test has a repository and a state directory of its own.
"""

import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import traceback
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import fake_agents
import main_job
from fake_agents import IDLE, NOT_RUN, Ended
from main_job import PATIENCE, alive, wait_until

PIDS = Path("/sys/fs/cgroup/pids")  # of cgroup v1
CLONE_NEWNS, CLONE_NEWPID, MS_REC, MS_PRIVATE = 0x20000, 0x20000000, 0x4000, 0x40000
needs_root = unittest.skipUnless(os.geteuid() == 0, "a pid namespace or a cgroup v1 needs root")

# The dead that nobody has waited for, in a namespace whose processes are all ours.
ZOMBIES = r"""
def zombies():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                    found.append(pid)
        except OSError:
            continue
    return found

def none_within(seconds):
    until = time.monotonic() + seconds
    while zombies() and time.monotonic() < until:
        time.sleep(0.01)
    return len(zombies())
"""


def state_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


class Processes(Ended):
    def in_a_namespace(self, body):
        """Calls it as process 1 of a pid namespace: how it ended."""
        outer = os.fork()
        if outer == 0:
            libc = ctypes.CDLL(None, use_errno=True)
            status = NOT_RUN
            if libc.unshare(CLONE_NEWPID | CLONE_NEWNS) == 0:
                inner = os.fork()
                if inner == 0:
                    try:
                        libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
                        if libc.mount(b"proc", b"/proc", b"proc", 0, None) != 0:
                            raise OSError(ctypes.get_errno(), "cannot mount /proc")
                        body()
                        os._exit(0)
                    except BaseException:
                        traceback.print_exc()
                        os._exit(1)
                status = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
            os._exit(status % 256)
        status = os.waitstatus_to_exitcode(os.waitpid(outer, 0)[1])
        if status == NOT_RUN:
            self.skipTest("no pid namespace may be made here")
        return status

    def run_as_pid_1(self, plan):
        """The run's events; remora is process 1, to whom every orphan falls."""
        def body():
            out = os.open(self.dir / "out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(out, 1)
            err = os.open(self.dir / "err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(err, 2)
            os.chdir(self.repo)
            os.execve(main_job.REMORA, [main_job.REMORA, "run", plan, "--json"], self.env)
        status = self.in_a_namespace(body)
        self.assertEqual(status, 0, (self.dir / "err").read_text() + (self.dir / "out").read_text()[-2000:])
        self.nobody_is_left()
        return [json.loads(line) for line in (self.dir / "out").read_text().splitlines()]

    @needs_root
    def test_P3_ten_thousand_orphans_are_reaped(self):
        """By the shim; and by remora itself where that was killed."""
        if not fake_agents.TARGET:
            self.skipTest("no program that forks fast")
        script = ZOMBIES + f"forks = subprocess.Popen(['{fake_agents.TARGET}', 'orphans', '10000'], stdout=subprocess.PIPE)\n" + r"""
forks.stdout.readline()  # all are dead
note("zombies", f"{none_within(60)}\n")
os.kill(os.getppid(), signal.SIGKILL)  # the shim
wait()
"""
        (self.seen / "later.py").write_text(ZOMBIES + 'note("zombies", f"{none_within(60)}\\n")\n')
        plan = self.agents(script)
        agent = self.dir / "agent.sh"  # the second life looks, too, before it is done
        agent.write_text(agent.read_text().replace(" done()\n", " exec(open(SEEN + '/later.py').read())\n        done()\n", 1))
        events = self.run_as_pid_1(plan)
        self.assertEqual(self.verdicts(events), [("crashed", "SIGKILL"), ("completed", "")])
        self.assertEqual(self.told("zombies"), "0\n0\n")
        self.assertEqual(self.told("strays"), "")

    @needs_root
    def test_P4_it_kills_all_that_it_may(self):
        """`kill -9 -1`: its shim, too. As process 1 of its namespace remora is the one that it cannot end."""
        events = self.run_as_pid_1(self.agents("start('setsid', 'sleep', '1000')\nos.kill(-1, signal.SIGKILL)\nwait()\n"))
        self.assertEqual(self.verdicts(events), [("crashed", "SIGKILL"), ("completed", "")])
        self.assertEqual(self.told("strays"), "")
        self.assertEqual(self.result("progress.txt"), "life 1\nlife 2\n")

    def test_P5_a_stopped_agent_meets_its_deadline(self):
        script = "start('sh', '-c', 'kill -STOP $$')\nos.kill(os.getpid(), signal.SIGSTOP)\nwait()\n"
        self.goes_on(self.agents(script), IDLE)

    @needs_root
    @unittest.skipUnless((PIDS / "cgroup.procs").exists(), "no pids cgroup of version 1")
    def test_P7_a_fork_bomb_within_a_limit_of_processes(self):
        group = PIDS / f"remora-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError as e:
            self.skipTest(f"no cgroup can be made: {e}")
        self.addCleanup(group.rmdir)  # nobody is in it
        (group / "pids.max").write_text("100")
        script = f"""
if TASK == "calm":
    done()
with open("{group}/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
""" + r"""
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except BlockingIOError:
        note("full", "")
        time.sleep(0.1)
"""
        events = self.lives(self.agents(script, ["bomb", "calm"], limits="wall: 2s, grace: 300ms"))
        self.assertEqual(self.verdicts(events, "bomb"), [("timed_out", "wall"), ("completed", "")])
        self.assertEqual(self.verdicts(events, "calm"), [("completed", "")])
        self.assertEqual((self.told("full", "bomb"), self.told("strays", "bomb")), ("", ""))

    @needs_root
    def test_P8_other_processes_with_the_numbers_of_an_earlier_life(self):
        """remora, a shim and an agent are gone, and bystanders have got their pids."""
        script = "note('pids', f'{os.getppid()} {os.getpid()}')\nwait()\n"
        plan = self.agents(script, limits="idle: 60s")

        def body():
            run = self.start("run", plan)
            wait_until("the agent", lambda: len((self.told("pids") or "").split()) == 2)
            shim, agent = map(int, self.told("pids").split())
            run.send_signal(signal.SIGSTOP)  # who else would end what the shim leaves, and write down that it did
            wait_until("remora is stopped", lambda: state_of(run.pid) == "T")
            os.kill(shim, signal.SIGKILL)
            run.kill()
            run.wait()
            wait_until("they are gone", lambda: self.reap() and not any(Path(f"/proc/{pid}").exists() for pid in (shim, agent)))
            bystanders = [self.with_pid(pid) for pid in (run.pid, shim, agent)]
            events = self.events(self.remora("resume", "--json"))
            self.assertEqual(self.verdicts(events), [("orphaned", ""), ("completed", "")])
            self.assertEqual([alive(pid) for pid in bystanders], [True] * 3)
        self.assertEqual(self.in_a_namespace(body), 0)

    def reap(self):
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        return True

    def with_pid(self, pid):
        for _ in range(100):
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
            child = os.fork()
            if child == 0:
                os.execvp("sleep", ["sleep", "1000"])
            if child == pid:
                return pid
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        self.fail(f"no process with the number {pid}")

    def test_P10_a_shim_that_can_fork_no_agent_is_followed_by_another(self):
        program = Path(main_job.REMORA)
        alone = self.dir / "alone"  # remora takes the shim beside it, so this is one without
        alone.mkdir()
        shutil.copy(program, alone / program.name)
        shim = alone / "shim"
        shim.write_text('#!/bin/sh\nif mkdir "$SEEN/once" 2> /dev/null; then printf "exec_failed 11 fork" >&3; exit 0; fi\n'
                        f'exec {program.parent}/remora-shim "$@"\n')
        shim.chmod(0o755)
        self.env["REMORA_SHIM"] = str(shim)
        plan = self.agents("done()\n")
        done = subprocess.run([alone / program.name, "run", plan, "--json"], cwd=self.repo, env=self.env, capture_output=True, text=True,
                              timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(self.verdicts(self.events(done)), [("crashed", "not_started"), ("completed", "")])

    def test_P10_where_no_process_can_be_made_it_is_tried_again(self):
        if not fake_agents.PRELOAD:
            self.skipTest("no library that lets a call fail")
        plan = self.agents("done()\n")
        trace = self.dir / "trace"
        self.env.update(LD_PRELOAD=fake_agents.PRELOAD, FAIL_TRACE=str(trace))
        self.lives(plan)
        [at] = [line.split()[0] for line in trace.read_text().splitlines() if line.endswith("/remora-shim") and " posix_spawn " in line]
        del self.env["FAIL_TRACE"]
        # The number of calls before it may vary by a few: those that make no process go on.
        for seen in self.seen.iterdir():
            seen.unlink()
        note = self.dir / "note"
        for number in range(int(at) - 3, int(at) + 4):
            note.unlink(missing_ok=True)
            self.env.update(FAIL_AT=str(number), FAIL_HOW="11", FAIL_FOR="1", FAIL_NOTE=str(note))
            done = subprocess.run([main_job.REMORA, "run", plan, "--json"], cwd=self.repo, env=self.env, capture_output=True, text=True,
                                  timeout=PATIENCE)
            if "remora-shim" in note.read_text():
                self.assertEqual(done.returncode, 0, done)
                self.assertEqual(self.verdicts(self.events(done)), [("crashed", "not_started"), ("completed", "")])
                return
        self.fail(f"the start was none of the calls around {at}")

    def test_P15_what_is_sent_to_our_group_reaches_no_agent(self):
        script = "ignore(signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)\nnote('ready', '')\nwait()\n"
        for number in (signal.SIGINT, signal.SIGHUP):
            with self.subTest(number=number.name):
                (self.seen / "ready.a").unlink(missing_ok=True)
                run = subprocess.Popen([main_job.REMORA, "run", self.agents(script, limits="grace: 20s")], cwd=self.repo, env=self.env,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                       start_new_session=True)
                self.started.append(run)
                wait_until("the agent", lambda: self.told("ready") is not None)
                os.killpg(run.pid, number)
                self.assertEqual(run.wait(PATIENCE), 3)
                self.nobody_is_left()
                self.assertIsNone(self.told("ignored"))


class Output(Ended):
    def raw(self, task="a"):
        return subprocess.run([main_job.REMORA, "log", f"last/{task}", "--raw"], cwd=self.repo, env=self.env, capture_output=True,
                              check=True, timeout=PATIENCE).stdout

    def test_O3_a_flood_without_a_newline_takes_no_memory(self):
        flood = 200_000_000
        script = f"for _ in range({flood} // 1000000):\n    os.write(1, b'x' * 1000000)\nnote('ready', '')\nwait()\n"
        run = self.start("run", self.agents(script, limits="idle: 60s", checkpoint="interval: 1h"))
        wait_until("all is told", lambda: self.told("ready") is not None)
        most = int(re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{run.pid}/status").read_text())[1])
        if fake_agents.PRELOAD:  # and so no sanitizer's memory
            self.assertLess(most * 1024, flood * 3 // 4)

    def test_O5_one_byte_at_a_time(self):
        text = "Größe, 漢字, 🐟"
        script = f"for byte in (json.dumps(dict(type='finished', ok=True, text={text!r}), ensure_ascii=False) + '\\n').encode():\n" \
                 "    os.write(1, bytes([byte]))\n"
        events = self.lives(self.agents(script))
        self.assertEqual([e["event"]["text"] for e in events if e["type"] == "agent_event" and e["event"]["type"] == "finished"], [text])

    def test_O6_a_line_that_a_kill_cut_off_is_kept_and_not_believed(self):
        script = r"""
tell(type="message", text="whole")
os.write(1, b'{"type":"message","text":"half"}\n{"type":"finished","ok":true,"text":"cut')
os.kill(os.getpid(), signal.SIGKILL)
"""
        events = self.lives(self.agents(script, more="attempts: 1"), status=1)
        self.assertEqual(self.verdicts(events), [("crashed", "SIGKILL")])
        said = [e["event"] for e in events if e["type"] == "agent_event"]
        self.assertEqual([e["text"] for e in said if e["type"] == "message"], ["whole", "half"])
        self.assertNotIn("finished", [e["type"] for e in said])
        self.assertTrue(self.raw().endswith(b'\n{"type":"finished","ok":true,"text":"cut'))

    def test_O7_eight_that_flood_and_one_that_works(self):
        script = r"""
if TASK != "works":
    for _ in range(10):
        os.write(1, b"y\n" * 50000)
    done()
for n in range(5):
    with open("work.txt", "a") as file:
        file.write(f"{n}\n")
    tell(type="turn_ended")
    time.sleep(0.1)
done()
"""
        plan = Path(self.agents(script, [f"flood{n}" for n in range(8)] + ["works"], limits="idle: 60s"))
        plan.write_text(plan.read_text().replace("parallel: 8", "parallel: 9"))
        events = self.lives(str(plan))
        self.assertEqual({e["outcome"] for e in events if e["type"] == "task_ended"}, {"succeeded"})
        ended = [e["task"] for e in events if e["type"] == "attempt_ended"]
        self.assertEqual(len(ended), 9)
        # It is heard and saved while they flood, and not when they are done.
        self.assertIn("turn", [e["reason"] for e in events if e["type"] == "checkpoint_saved" and e["task"] == "works"])
        self.assertEqual(self.result("work.txt", "works"), "0\n1\n2\n3\n4\n")

    def test_O8_an_error_output_that_is_larger_than_a_pipe(self):
        events = self.lives(self.agents("os.write(2, b'e' * 1000000)\ndone()\n", limits="idle: 60s"))
        self.assertEqual(self.verdicts(events), [("completed", "")])

    def test_O11_who_prints_and_is_gone_has_said_all(self):
        text = "".join(f"line {n}\n" for n in range(30000))
        (self.dir / "text").write_text(text)
        plan = Path(self.agents(""))
        plan.write_text(plan.read_text().replace(f"{fake_agents.PYTHON}, {self.dir}/agent.sh", f"cat, {self.dir}/text")
                        .replace("adapter: jsonl", "adapter: text"))
        for _ in range(5):
            self.lives(str(plan))
            self.assertEqual(self.raw().decode(), text)


if __name__ == "__main__":
    fake_agents.main()
