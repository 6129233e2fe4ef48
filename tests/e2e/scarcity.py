#!/usr/bin/env python3
"""A machine that lacks something, for real: no inodes, few descriptors. (tests/torture/errors.py lets single calls
fail.)

    tests/e2e/scarcity.py --remora PROGRAM [TEST …]

Needs git, and root for the test that mounts.
"""

import json
import os
import resource
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import main_job
from main_job import PATIENCE, Job

DESCRIPTORS = 56


class Scarcity(Job):
    @unittest.skipUnless(os.geteuid() == 0, "mounting a small file system needs root")
    def test_F3_without_inodes_a_checkpoint_fails_and_not_the_agent(self):
        small = self.dir / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=500", "tmpfs", str(small)], check=True)
        self.mounted.append(small)
        self.git("clone", "-q", "--bare", str(self.repo), str(small / "r.git"), cwd=self.dir)
        (small / "fill").mkdir()
        (self.seen / "small").symlink_to(small)
        os.mkfifo(self.seen / "wait")
        script = ('cat > /dev/null\ni=0\nwhile ( : > "$SEEN/small/fill/$i" ) 2> /dev/null; do i=$((i + 1)); done\n'
                  'echo work > f\nread -r _ < "$SEEN/wait"\nrm -r "$SEEN/small/fill"\necho more >> f\n')
        plan = self.plan(["a"], "defaults: {checkpoint: {interval: 300ms, min_gap: 100ms}}", script, small / "r.git")
        process = subprocess.Popen([main_job.REMORA, "run", plan, "--json"], cwd=small / "r.git", env=self.env, text=True,
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
        branch = self.refs("refs/heads/remora", cwd=small / "r.git")[0]
        self.assertEqual(self.git("show", branch + ":f", cwd=small / "r.git"), "work\nmore\n")
        self.assertEqual(self.git("fsck", "--no-dangling", "--no-progress", cwd=small / "r.git"), "")

    def test_F5_with_few_descriptors_fewer_agents_run_at_a_time(self):
        tasks = ["a", "b", "c", "d", "e", "f"]
        (self.seen / "release").touch()

        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))

        done = subprocess.run([main_job.REMORA, "run", self.plan(tasks), "--json"], cwd=self.repo, env=self.env,
                              capture_output=True, text=True, preexec_fn=few, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("tasks at a time: the limit of open files", done.stderr)
        self.assertNotIn("warning", [event["type"] for event in self.events(done)])


if __name__ == "__main__":
    main_job.main()
