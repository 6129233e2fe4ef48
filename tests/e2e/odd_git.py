#!/usr/bin/env python3
"""Repositories and git directories that are not plain: indexes that cannot be read, what a killed git left, partial and
sparse clones.

    tests/e2e/odd_git.py --remora PROGRAM [TEST …]

Whatever the git directory of a worktree is like, its files are saved, nothing hangs, and nobody takes a file that is not
checked out for a deleted one. Needs git and nothing else.
"""

import json
import os
import shutil
from pathlib import Path

import main_job
from corpus import AGENT, MORE, git, walk
from main_job import Job, wait_until

FOLDERS, FILES = 10, 20  # of the clones


def files_in(top):
    """Without asking git, which would wait at a FIFO."""
    found = {}
    walk(os.open(top, os.O_RDONLY | os.O_DIRECTORY), b"", found)
    found.pop(".git", None)
    return found


class OddGit(Job):
    def setUp(self):
        super().setUp()
        os.environ.update(self.env)  # for the gits of `git`

    def begin(self, *args, cwd=None):
        process = self.start(*args, cwd=cwd)
        wait_until("the agent is at work", lambda: (self.seen / f"started.{1 + (args[0] == 'resume')}").exists())
        (slot,) = (self.dir / "state").glob("remora/*/slots/*")
        return process, slot

    def saved(self, name, cwd=None):
        """Once a checkpoint has the file `name`: its record."""
        def there():
            refs = self.refs("refs/heads/remora-wip", cwd=cwd)
            return refs and name in self.git("ls-tree", "--name-only", refs[0], cwd=cwd).split()
        wait_until(f"a checkpoint has {name}", there)
        return self.refs("refs/remora/wip", cwd=cwd)[0]

    def restored(self, record, name, cwd=None):
        to = self.dir / f"restored-{name}"
        self.remora("checkpoint", "restore", "/".join(record.split("/")[-2:]), "--to", str(to), cwd=cwd)
        return files_in(to)

    def test_G20_an_index_that_cannot_be_read_costs_no_file(self):
        _, slot = self.begin("run", self.plan(["job"], MORE, AGENT))
        git_dir = Path(os.fsdecode(git(slot, "rev-parse", "--absolute-git-dir").strip()))
        (slot / "deleted.txt").unlink()

        def fifo():
            (git_dir / "index").rename(git_dir / "aside")
            os.mkfifo(git_dir / "index")

        def directory():
            (git_dir / "index").unlink()
            (git_dir / "index").mkdir()

        def garbage():
            (git_dir / "index").rmdir()
            (git_dir / "index").write_bytes(b"DIRC" + bytes(range(256)))

        def split():
            (git_dir / "aside").rename(git_dir / "index")
            git(slot, "update-index", "--split-index")

        for how in (fifo, directory, garbage, split):
            with self.subTest(how.__name__):
                how()
                (slot / how.__name__).write_text("work\n")
                record = self.saved(how.__name__)
                index = json.loads(self.git("show", f"{record}:index.json"))
                self.assertEqual((index["known"], bool(index["note"])), (False, True))
                self.assertEqual(self.restored(record, how.__name__), files_in(slot))
        git(slot, "update-index", "--no-split-index")
        (slot / "plain").write_text("again\n")
        self.assertTrue(json.loads(self.git("show", f"{self.saved('plain')}:index.json"))["known"])

    def test_G21_the_successor_of_a_killed_git_can_add(self):
        self.remora("run", self.plan(["job"], script=(
            'cat > /dev/null\n'
            'echo "$REMORA_ATTEMPT" > "file.$REMORA_ATTEMPT"\n'
            'if [ "$REMORA_ATTEMPT" = 1 ]; then : > "$(git rev-parse --git-dir)/index.lock"; exit 1; fi\n'
            'git add -A && git commit -qm added\n')))
        (branch,) = self.refs("refs/heads/remora")
        self.assertEqual(self.git("show", f"{branch}:file.1"), "1\n")
        self.assertEqual(self.git("log", "-1", "--format=%s", branch), "added\n")

    def test_G14_borrowed_replaced_and_noted_objects_are_in_nobodys_way(self):
        odd = self.dir / "odd"
        self.git("clone", "-q", "--shared", str(self.repo), str(odd), cwd=self.dir)
        self.git("tag", "-a", "-m", "of a blob", "blob", self.git("rev-parse", "HEAD:tracked.txt", cwd=odd).strip(), cwd=odd)
        self.git("notes", "add", "-m", "a note", cwd=odd)
        tree = self.git("write-tree", cwd=odd).strip()
        other = self.git("commit-tree", "-m", "in its place", tree, cwd=odd).strip()
        self.git("replace", "HEAD", other, cwd=odd)
        self.git("pack-refs", "--all", cwd=odd)
        self.remora("run", self.plan(["job"], script="cat > /dev/null\necho work > work\n", repo=odd), cwd=odd)
        (branch,) = self.refs("refs/heads/remora", cwd=odd)
        self.assertEqual(self.git("show", f"{branch}:work", cwd=odd), "work\n")
        self.assertEqual(self.git("fsck", "--no-dangling", "--no-progress", cwd=odd), "")

    # --- G22 ---

    def clone(self, *options):
        """Of a repository with many files, of which it has few blobs."""
        for folder in range(FOLDERS):
            (self.repo / f"d{folder}").mkdir()
            for file in range(FILES):
                (self.repo / f"d{folder}" / f"f{file}").write_text(f"{folder} {file}\n")
        self.git("add", "-A")
        self.git("commit", "-qm", "many")
        self.git("config", "uploadpack.allowFilter", "true")
        self.git("config", "uploadpack.allowAnySHA1InWant", "true")
        clone = self.dir / "clone"
        self.git("clone", "-q", "--filter=blob:none", "--sparse", f"file://{self.repo}", str(clone), cwd=self.dir)
        self.git("sparse-checkout", "set", *options, "d1", cwd=clone)
        return clone

    def sparse_run(self, *options):
        """Work in a sparse worktree, and a successor's in a new one."""
        clone = self.clone(*options)
        script = AGENT.replace("exec sleep", '[ ! -e "$SEEN/release" ] || exit 0\nexec sleep')
        process, slot = self.begin("run", self.plan(["job"], MORE, script, clone), cwd=clone)
        self.assertFalse((slot / "d2").exists(), "G22: the worktree is not sparse")
        (slot / "d1" / "f1").write_text("changed\n")
        (slot / "d1" / "f2").unlink()
        (slot / "new").write_text("new\n")
        record = self.saved("new", cwd=clone)
        whole = self.files("HEAD", clone) - {"d1/f2"} | {"new"}
        self.assertEqual(self.files(record.replace("refs/remora/wip", "refs/heads/remora-wip"), clone), whole)
        process.kill()
        process.wait()
        wait_until("the agent is gone", lambda: not any(main_job.alive(p) for p in self.pids()))
        shutil.rmtree(slot)
        (self.seen / "release").touch()
        self.remora("resume", record.split("/")[-2], cwd=clone)
        (branch,) = self.refs("refs/heads/remora/", cwd=clone)
        self.assertEqual(self.files(branch, clone), whole)
        self.assertEqual(self.git("show", f"{branch}:d1/f1", cwd=clone), "changed\n")
        return clone

    def files(self, commit, repo):
        return set(self.git("ls-tree", "-r", "--name-only", commit, cwd=repo).split())

    def test_G22_a_partial_and_sparse_clone(self):
        clone = self.sparse_run()
        missing = self.git("rev-list", "--objects", "--all", "--missing=print", cwd=clone)
        self.assertIn("\n?", missing, "all blobs were fetched")

    def test_G22_a_sparse_index_costs_no_file(self):
        self.sparse_run("--sparse-index")


if __name__ == "__main__":
    main_job.main()
