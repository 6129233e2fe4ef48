#!/usr/bin/env python3
"""Repositories and git directories that are not plain: indexes that cannot be read, what a killed git left, partial and
sparse clones.

    tests/e2e/odd_git.py --remora PROGRAM [--files N] [TEST …]

Whatever the git directory of a worktree is like, its files are saved, nothing hangs, nobody takes a file that is not
checked out for a deleted one, or fetches one. Sparse clones are of N files (200); how long it took is printed. Needs git
and nothing else.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import main_job
from corpus import git, walk
from main_job import AGENT, MORE, PATIENCE, Job, wait_until

options = argparse.Namespace(files=200)


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

    def clone(self, *how):
        """Of a repository with many files, of which it has few blobs."""
        folders = max(10, options.files // 300)
        lines = ["commit refs/heads/main\ncommitter A <a@example.org> 0 +0000\ndata 4\nmany\nfrom refs/heads/main^0\n"]
        for n in range(options.files):
            text = f"file {n}\n"
            lines.append(f"M 100644 inline d{n % folders}/f{n // folders}\ndata {len(text)}\n{text}\n")
        subprocess.run(["git", "fast-import", "--quiet"], cwd=self.repo, env=self.env, input="".join(lines).encode(), check=True)
        self.git("config", "uploadpack.allowFilter", "true")
        self.git("config", "uploadpack.allowAnySHA1InWant", "true")
        clone = self.dir / "clone"
        self.git("clone", "-q", "--filter=blob:none", "--sparse", f"file://{self.repo}", str(clone), cwd=self.dir)
        self.git("sparse-checkout", "set", *how, "d1", cwd=clone)
        return clone

    def missing(self, clone):
        return {line for line in self.git("rev-list", "--objects", "--all", "--missing=print", cwd=clone).splitlines() if line[0] == "?"}

    def phase(self, name):
        now = time.monotonic()
        if name:
            print(f"{options.files} files: {name}: {now - self.since:.2f} s")
        self.since = now

    def sparse_run(self, *how, in_place):
        """Work in a sparse worktree, and a successor's: there, or in a new one."""
        clone = self.clone(*how)
        not_there = self.missing(clone)
        self.assertGreater(len(not_there), options.files // 2)
        script = AGENT.replace("exec sleep", '[ ! -e "$SEEN/release" ] || exit 0\nexec sleep')
        self.phase("")
        process, slot = self.begin("run", self.plan(["job"], MORE, script, clone), cwd=clone)
        self.phase("the agent has a worktree")
        self.assertFalse((slot / "d2").exists(), "G22: the worktree is not sparse")
        (slot / "d1" / "f1").write_text("changed\n")
        (slot / "d1" / "f2").unlink()
        (slot / "d3").mkdir()
        (slot / "d3" / "outside").write_text("new\n")
        (slot / "new").write_text("new\n")
        record = self.saved("new", cwd=clone)
        self.phase("a checkpoint has its work")
        whole = self.files("HEAD", clone) - {"d1/f2"} | {"d3/outside", "new"}
        self.assertEqual(self.files(record.replace("refs/remora/wip", "refs/heads/remora-wip"), clone), whole)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE), 3)
        self.phase("interrupted")
        if not in_place:
            shutil.rmtree(slot)
        (self.seen / "release").touch()
        self.remora("resume", record.split("/")[-2], cwd=clone)
        self.phase("resumed " + ("in place" if in_place else "in a new worktree") + ", the result is published")
        (branch,) = self.refs("refs/heads/remora/", cwd=clone)
        self.assertEqual(self.files(branch, clone), whole)
        self.assertEqual(self.git("show", f"{branch}:d1/f1", cwd=clone), "changed\n")
        self.assertEqual(not_there - self.missing(clone), set(), "G22: blobs were fetched that nobody needed")

    def files(self, commit, repo):
        return set(self.git("ls-tree", "-r", "--name-only", commit, cwd=repo).split())

    def test_G22_a_partial_and_sparse_clone(self):
        self.sparse_run(in_place=False)

    def test_G22_a_successor_goes_on_in_a_sparse_worktree(self):
        self.sparse_run(in_place=True)

    def test_G22_a_sparse_index_costs_no_file(self):
        self.sparse_run("--sparse-index", in_place=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--files", type=int, default=options.files)
    options, sys.argv[1:] = parser.parse_known_args()
    main_job.main()
