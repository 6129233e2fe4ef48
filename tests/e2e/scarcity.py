#!/usr/bin/env python3
"""A machine that lacks something, for real: no inodes, few descriptors. (tests/torture/errors.py lets single calls
fail.)

    tests/e2e/scarcity.py --remora PROGRAM [TEST …]

Needs git, and root for the test that mounts.
"""

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
        def prepare(small):
            (small / "fill").mkdir()
            (self.seen / "small").symlink_to(small)

        repo = self.run_on_a_small_disk(
            "nr_inodes=500",
            'cat > /dev/null\ni=0\nwhile ( : > "$SEEN/small/fill/$i" ) 2> /dev/null; do i=$((i + 1)); done\n'
            'echo work > f\nread -r _ < "$SEEN/wait"\nrm -r "$SEEN/small/fill"\necho more >> f\n', prepare)
        branch = self.refs("refs/heads/remora", cwd=repo)[0]
        self.assertEqual(self.git("show", branch + ":f", cwd=repo), "work\nmore\n")

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
