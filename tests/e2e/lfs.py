#!/usr/bin/env python3
"""Files that Git LFS keeps, with a real git-lfs: in checkpoints, results and restored worktrees.

    tests/e2e/lfs.py --remora PROGRAM [TEST …]

What did not change is its base's pointer in a checkpoint, what did is raw; a result has pointers, made by git-lfs; and
whatever is restored has the files. Without git-lfs nothing is lost, and it is said. Needs git and git-lfs.
"""

import os
import random
import shutil
from pathlib import Path

import main_job
from corpus import files_of, git, listing
from main_job import AGENT, MORE, Job, wait_until

POINTER = "version https://git-lfs.github.com/spec/v1\n"
SCRIPT = AGENT.replace("exec sleep", '[ ! -e "$SEEN/release" ] || exit 0\nexec sleep')
PROGRAMS = ("git", "sh", "cat", "touch", "sleep")


def some_bytes(seed, size):
    return random.Random(seed).randbytes(size)


class Lfs(Job):
    def setUp(self):
        if not shutil.which("git-lfs"):
            self.skipTest("there is no git-lfs here: scripts/install-deps installs it")
        super().setUp()
        os.environ.update(self.env)  # for the gits of `git`
        self.git("lfs", "install", "--skip-repo", cwd=self.dir)
        (self.repo / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
        for seed, name in enumerate(("a-same", "changed", "committed", "deleted")):
            (self.repo / f"{name}.bin").write_bytes(some_bytes(seed, 100_000))
        (self.repo / "as-its-pointer.bin").write_bytes(some_bytes(9, 128))  # as large as that
        # What a checkout writes in the very tick in which it writes the index is racy: it is read, and so is raw. These
        # come last.
        (self.repo / "z").mkdir()
        for number in range(3000):
            (self.repo / "z" / f"{number}").touch()
        self.git("add", "-A")
        self.git("commit", "-qm", "large files")

    def work(self, slot):
        (slot / "changed.bin").write_bytes(some_bytes(11, 200_000))
        (slot / "new.bin").write_bytes(some_bytes(12, 12_000_000))  # larger than a new file in a result may be
        (slot / "deleted.bin").unlink()
        (slot / "committed.bin").write_bytes(some_bytes(13, 100_000))
        git(slot, "commit", "-qm", "of the agent", "committed.bin")
        (slot / "staged.bin").write_bytes(some_bytes(14, 300))
        git(slot, "add", "staged.bin")
        (slot / "last").touch()

    def worked(self):
        process, slot = self.begin("run", self.plan(["job"], MORE, SCRIPT))
        self.work(slot)
        wait_until("a checkpoint has its work", lambda: "last" in self.saved())
        process.kill()
        process.wait()
        wait_until("the agent is gone", lambda: not any(main_job.alive(p) for p in self.pids()))
        return slot, listing(slot)

    def saved(self):
        return [name for ref in self.refs("refs/heads/remora-wip") for name in self.git("ls-tree", "--name-only", ref).split()]

    def is_pointer(self, commit, name):
        return git(self.repo, "cat-file", "blob", f"{commit}:{name}").startswith(POINTER.encode())

    def finish(self):
        (self.seen / "release").touch()
        done = self.remora("resume", "last")
        (branch,) = self.refs("refs/heads/remora/")
        return branch, done.stderr

    def test_W15_what_is_large_travels_as_git_lfs_wants_it(self):
        slot, before = self.worked()
        (saved,) = self.refs("refs/heads/remora-wip")
        names = ("a-same", "as-its-pointer", "changed", "committed", "new", "staged")
        self.assertEqual([name for name in names if self.is_pointer(saved, f"{name}.bin")], ["a-same"])
        self.assertEqual(self.git("rev-parse", f"{saved}:a-same.bin"), self.git("rev-parse", "HEAD:a-same.bin"))
        to = self.dir / "restored"
        done = self.remora("checkpoint", "restore", "last/job", "--to", str(to))
        self.assertNotIn("not restored", done.stderr)
        self.assertEqual(files_of(listing(to)), files_of(before))

        shutil.rmtree(slot)
        branch, said = self.finish()
        self.assertNotIn("checkpoint is kept", said)
        self.assertEqual([name for name in names if not self.is_pointer(branch, f"{name}.bin")], [])
        self.assertEqual(self.git("ls-tree", "-r", "--name-only", branch).count("deleted.bin"), 0)
        self.git("lfs", "fsck", branch)
        other = self.dir / "other"
        self.git("worktree", "add", "-q", str(other), branch)
        for name, bytes_ in (("changed.bin", some_bytes(11, 200_000)), ("new.bin", some_bytes(12, 12_000_000))):
            self.assertEqual((other / name).read_bytes(), bytes_)

    def test_W15_a_successor_finds_the_files_in_a_new_worktree(self):
        slot, before = self.worked()
        shutil.rmtree(slot)
        _, slot = self.begin("resume", "last")
        self.assertEqual(listing(slot), before)

    def test_W15_a_missing_git_lfs_is_said_once_and_nothing_is_lost(self):
        slot, _ = self.worked()
        few = self.dir / "few-programs"
        few.mkdir()
        for name in PROGRAMS:
            (few / name).symlink_to(shutil.which(name))
        self.env["PATH"] = str(few)
        branch, said = self.finish()
        self.assertEqual(said.count("git-lfs is not in PATH"), 1, said)
        self.assertEqual(self.git("cat-file", "-s", f"{branch}:changed.bin"), "200000\n")
        (saved,) = self.refs("refs/heads/remora-wip")  # stays
        self.assertEqual(self.git("cat-file", "-s", f"{saved}:new.bin"), "12000000\n")


if __name__ == "__main__":
    main_job.main()
