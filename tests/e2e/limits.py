#!/usr/bin/env python3
"""What the processes of an agent may have together: memory (P12) and processes (P7), by control groups of the kernel.

    tests/e2e/limits.py --remora PROGRAM [TEST …]

Needs git, and root or a control group that is ours: where a limit cannot be enforced, its tests are skipped with what
`remora doctor` says about it. Every test has a repository and a state directory of its own, and ends what it started.
"""

import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import main_job
from main_job import Job, wait_until

# In the first life more memory than it may have; the second one is well.
HUNGRY = r"""
cat > "$SEEN/stdin.$REMORA_ATTEMPT"
echo life >> progress.txt
[ "$REMORA_ATTEMPT" = 1 ] || exit 0
if [ "$REMORA_TASK" = tool ]; then
  python3 -c 'bytearray(300 << 20)'
  echo "tool ended with $?" > tool.txt
  exit 0
fi
exec python3 -c 'bytearray(300 << 20)'
"""

FORKS = r"""
cat > /dev/null
exec python3 - <<'END'
import os, signal, sys, time
bomb = os.environ["REMORA_TASK"] == "bomb"
got = 0
for _ in range(300 if bomb else 100):
    try:
        if os.fork() == 0:
            signal.pause()
        got += 1
    except BlockingIOError:
        pass
open("got.txt", "w").write(f"{got}\n")
END
"""

STAYS = r"""
cat > /dev/null
echo $$ > "$SEEN/pids.new" && mv "$SEEN/pids.new" "$SEEN/pids.$REMORA_ATTEMPT"
[ "$REMORA_ATTEMPT" != 1 ] || exec sleep 987654
"""


def unified():
    """Our own control group of version 2; None where there is none."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            own = Path(top, line[4:])
            if line.startswith("0::/") and (own / "cgroup.controllers").exists():
                return own
    return None


UNIFIED = unified()


def groups(name):
    """The control groups of agents of that name, in the hierarchies of version 1 and 2, in our own groups there."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for top in (controllers or "unified", "."):
            own = Path("/sys/fs/cgroup", top, path.lstrip("/"))
            if (own / "cgroup.procs").exists():
                found += [own / entry for entry in os.listdir(own) if name in entry]
    return found


class Limits(Job):
    """What the processes of an agent may have together, where control groups can be made."""

    def need(self):
        """Skips, where that is so, with what `doctor` says about it."""
        found = [f["text"] for f in self.events(self.remora("doctor", "--json")) if f["kind"] == "limits"]
        if found:
            self.skipTest("; ".join(found))

    def ended(self, events):
        return [(e["task"], e["verdict"], e["detail"]) for e in events if e["type"] == "attempt_ended"]

    def warnings(self, events):
        return sorted(e["text"] for e in events if e["type"] == "warning")

    def result(self, task, file):
        branch = next(r for r in self.refs("refs/heads/remora") if r.endswith("/" + task))
        return self.git("show", f"{branch}:{file}")

    def test_P12_an_agent_without_memory_has_crashed_and_its_successor_is_told(self):
        self.need()
        events = self.events(self.remora("run", self.plan(["a"], "defaults: {limits: {memory: 64M}}", HUNGRY), "--json"))
        self.assertEqual(self.ended(events), [("a", "crashed", "oom"), ("a", "completed", "")])
        self.assertEqual(self.warnings(events),
                         ["for want of memory the kernel ended 1 process of attempt 1: limits.memory is 64M"])
        self.assertRegex((self.seen / "stdin.2").read_text(), r"Attempt 1 was ended after \S+ by the kernel, because its processes "
                                                              r"together used more than memory: 64M\.")
        why = self.remora("show", "last/a", "--why").stdout
        self.assertIn("crashed (oom)", why)
        self.assertIn("limits.memory is 64M", why)
        self.assertEqual(self.result("a", "progress.txt"), "life\nlife\n")
        self.assertEqual(groups(events[0]["run"]), [])

    def test_P12_a_tool_without_memory_is_no_crash_of_the_agent(self):
        self.need()
        events = self.events(self.remora("run", self.plan(["tool"], "defaults: {limits: {memory: 64M}}", HUNGRY), "--json"))
        self.assertEqual(self.ended(events), [("tool", "completed", "")])
        self.assertEqual(self.result("tool", "tool.txt"), "tool ended with 137\n")
        self.assertEqual(len(self.warnings(events)), 1)

    def test_P7_a_fork_bomb_gets_what_it_may_have_and_others_are_unaffected(self):
        self.need()
        plan = Path(self.plan(["bomb", "other"], script=FORKS))
        plan.write_text(plan.read_text().replace("  - id: bomb\n", "  - id: bomb\n    limits: {processes: 64}\n"))
        events = self.events(self.remora("run", str(plan), "--json"))
        self.assertEqual(sorted(self.ended(events)), [("bomb", "completed", ""), ("other", "completed", "")])
        self.assertEqual(self.result("bomb", "got.txt"), "63\n")
        self.assertEqual(self.result("other", "got.txt"), "100\n")
        (warning,) = self.warnings(events)
        self.assertRegex(warning, r"the kernel refused \d+ new processes of attempt 1: limits.processes is 64")

    def test_P12_a_verification_without_memory_says_so(self):
        self.need()
        plan = Path(self.plan(["a"], "defaults: {attempts: 2, limits: {memory: 64M}}", "cat > /dev/null; echo life >> progress.txt"))
        verify = "[ -e verified ] || { touch verified; exec python3 -c \"bytearray(300 << 20)\"; }"
        plan.write_text(plan.read_text() + f"    verify: '{verify}'\n")
        events = self.events(self.remora("run", str(plan), "--json"))
        said = [(e["ok"], e["output"]) for e in events if e["type"] == "verify_ended"]
        killed = "for want of memory the kernel ended 1 process of the verification: limits.memory is 64M"
        self.assertEqual(said, [(False, f"\nkilled by SIGKILL\n{killed}"), (True, "")])
        self.assertEqual(self.warnings(events), [killed])

    @unittest.skipUnless(os.geteuid() == 0 and UNIFIED and "memory" in (UNIFIED / "cgroup.controllers").read_text().split(),
                         "needs root, and a control group of version 2 with a memory controller")
    def test_P12_remora_moves_out_of_a_group_that_it_is_alone_in(self):
        group = UNIFIED / f"scope-{os.getpid()}"
        group.mkdir()
        self.addCleanup(lambda: [g.rmdir() for g in (*group.glob("*/"), group)])
        if "memory" not in (group / "cgroup.controllers").read_text().split():
            self.skipTest(f"{UNIFIED} gives its children no memory controller")
        script = f'echo $$ > {group}/cgroup.procs && exec "$0" "$@"'
        done = subprocess.run(["sh", "-c", script, main_job.REMORA, "run", self.plan(["a"], "defaults: {limits: {memory: 64M}}", HUNGRY),
                               "--json"], cwd=self.repo, env=self.env, capture_output=True, text=True, timeout=60)
        self.assertEqual(self.ended(self.events(done)), [("a", "crashed", "oom"), ("a", "completed", "")])
        self.assertEqual((group / "cgroup.procs").read_text(), "")
        self.assertEqual([g.name for g in group.glob("*/")], ["remora"])

    def test_P13_the_groups_of_a_shim_that_was_killed_are_removed(self):
        self.need()
        process = self.start("run", self.plan(["a"], "defaults: {limits: {memory: 64M, processes: 64}}", STAYS))
        wait_until("the agent", lambda: (self.seen / "pids.1").exists())
        (agent,) = self.pids()
        run = self.refs("refs/remora/runs")[0].rsplit("/", 1)[1]
        process.send_signal(signal.SIGSTOP)  # so that it does not see the shim's end
        os.kill(int(Path(f"/proc/{agent}/stat").read_text().rsplit(")", 1)[1].split()[1]), signal.SIGKILL)
        process.kill()
        process.wait()
        wait_until("the agent is gone", lambda: not main_job.alive(agent))
        self.assertTrue(groups(run))
        found = [f for f in self.events(self.remora("doctor", "--json", status=1)) if f["kind"] == "control-group"]
        self.assertEqual(len(found), len(groups(run)))
        self.remora("resume")
        self.assertEqual(groups(run), [])

    @unittest.skipUnless(os.geteuid() == 0, "a place without control groups needs root")
    def test_a_limit_that_cannot_be_enforced_is_told_once_and_the_run_goes_on(self):
        plan = self.plan(["a", "b"], "defaults: {limits: {memory: 64M, processes: 64}}", STAYS.replace("!= 1", "!= 0"))
        script = 'umount -l /sys/fs/cgroup && exec "$0" "$@"'
        without = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, main_job.REMORA]
        done = subprocess.run([*without, "run", plan, "--json"], cwd=self.repo, env=self.env, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done)
        told = self.warnings(self.events(done))
        self.assertEqual([t.split(":")[0] for t in told], ["limits.memory is not enforced", "limits.processes is not enforced"])
        self.assertIn("systemd-run --user --scope -p Delegate=yes", told[0])
        done = subprocess.run([*without, "doctor", "--json"], cwd=self.repo, env=self.env, capture_output=True, text=True, timeout=60)
        self.assertEqual(len([f for f in self.events(done) if f["kind"] == "limits" and f["note"]]), 2)


if __name__ == "__main__":
    main_job.main()
