#!/usr/bin/env python3
"""Worktrees that one task leaves to the next: held against what `git worktree add` makes.

    tests/e2e/slots.py --remora PROGRAM [TEST …]

Needs git and nothing else. Every test has a repository and a state directory of its own, and ends what it
started.
"""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import main_job
from main_job import Job

# What a task finds: the directory itself, then all there is, before and after git has looked at it.
FINDS = r"""
cat > /dev/null
stat -c %i . >> "$SEEN/inodes"
git diff-files > "$SEEN/dirty.$REMORA_TASK"
git status --porcelain=v1 -uall --ignored > "$SEEN/status.$REMORA_TASK"
git symbolic-ref HEAD > "$SEEN/head.$REMORA_TASK"
git ls-files --stage -v > "$SEEN/index.$REMORA_TASK"
(find . -path ./.git -prune -o ! -path . -printf '%P %y %m %n %l\n' | sort
 find . -path ./.git -prune -o -type f -print0 | sort -z | xargs -0 sha1sum) > "$SEEN/files.$REMORA_TASK"
ls "$(git rev-parse --absolute-git-dir)" > "$SEEN/entry.$REMORA_TASK"
"""

LEAVES = r"""
if [ "$REMORA_TASK" = b ]; then exit 0; fi
git checkout -q -b theirs.a && echo theirs > tracked.txt && git commit -qam theirs
git checkout -q "remora/$REMORA_RUN/a" && echo ours > tracked.txt && git commit -qam ours
git merge -q theirs.a
mkdir -p build/empty new/dir && echo object > build/a.o && echo object > a.o && echo new > new/dir/file
chmod 600 deleted.txt && ln deleted.txt second && chmod 500 build/empty
git update-ref refs/worktree/mine HEAD && git bisect start -q
git update-index --assume-unchanged run.sh && echo changed > run.sh
"""


class Slots(Job):
    def setUp(self):
        super().setUp()
        (self.repo / "run.sh").write_text("#!/bin/sh\n")
        (self.repo / "run.sh").chmod(0o755)
        (self.repo / "deep/er").mkdir(parents=True)
        (self.repo / "deep/er/link").symlink_to("../../run.sh")
        (self.repo / ".worktreeinclude").write_text("local.o\n")
        self.git("add", "-A")
        self.git("commit", "-qm", "more")
        (self.repo / "local.o").write_text("copied\n")
        # Counts what git is asked for.
        real, bin = shutil.which("git"), self.dir / "bin"
        bin.mkdir()
        (bin / "git").write_text(f'#!/bin/sh\necho "$*" >> "{self.seen}/calls"\nexec {real} "$@"\n')
        (bin / "git").chmod(0o755)
        self.env["PATH"] = f"{bin}:{self.env['PATH']}"

    def run_one_by_one(self, script, tasks=("a", "b"), more="", status=0):
        plan = Path(self.plan(tasks, more, script))
        plan.write_text(plan.read_text().replace("parallel: 8", "parallel: 1"))
        done = self.remora("run", str(plan), "--json", status=status)
        calls = (self.seen / "calls").read_text()
        self.assertEqual(self.git("worktree", "list").count("\n"), 1)
        self.assertEqual([str(p) for p in (self.dir / "state").glob("remora/*/slots/*")], [])
        self.assertEqual(list((self.repo / ".git/remora/worktrees").glob("*")), [])
        self.assertEqual(self.git("fsck", "--no-dangling", "--no-progress"), "")
        return self.events(done), calls.count(" worktree add ")

    def seen_by(self, task):
        return {name: (self.seen / f"{name}.{task}").read_text() for name in ("dirty", "status", "index", "files")}

    def test_the_next_task_gets_the_worktree_of_one_that_is_over_and_it_is_like_a_new_one(self):
        events, made = self.run_one_by_one(FINDS + LEAVES)
        ended = [e for e in events if e["type"] == "task_ended"]
        self.assertEqual([e["outcome"] for e in ended], ["succeeded", "succeeded"])
        self.assertEqual(made, 1)
        first, second = (self.seen / "inodes").read_text().split()
        self.assertEqual(first, second)
        self.maxDiff = None
        self.assertEqual(self.seen_by("b"), self.seen_by("a"))  # as git had made it
        self.assertEqual(self.seen_by("b")["dirty"], "")
        self.assertEqual(self.seen_by("b")["status"], "!! local.o\n")
        self.assertEqual((self.seen / "head.b").read_text(), f"refs/heads/remora/{events[0]['run']}/b\n")
        self.assertEqual((self.seen / "entry.b").read_text().split(), ["HEAD", "commondir", "gitdir", "index", "locked"])
        self.assertEqual(self.git("show", f"remora/{events[0]['run']}/a:new/dir/file"), "new\n")

    def test_a_task_that_starts_from_a_result_finds_that(self):
        script = FINDS + 'echo "$REMORA_TASK" >> progress.txt; git add -A; git commit -qm "$REMORA_TASK"; echo x > left.o\n'
        plan = self.plan(["a", "b"], "", script)
        text = Path(plan).read_text().replace("parallel: 8", "parallel: 1")
        Path(plan).write_text(text + "    after: [a]\n    base: {task: a}\n")
        events = self.events(self.remora("run", plan, "--json"))
        self.assertEqual((self.seen / "calls").read_text().count(" worktree add "), 1)
        self.assertEqual(self.git("show", f"remora/{events[0]['run']}/b:progress.txt"), "a\nb\n")
        self.assertEqual((self.seen / "status.b").read_text(), "!! local.o\n")
        self.assertEqual((self.seen / "dirty.b").read_text(), "")

    def test_C2_a_worktree_that_its_agent_broke_is_not_given_to_the_next(self):
        for broken in ('echo >> .git', 'git config core.worktree "$PWD"'):
            with self.subTest(broken):
                (self.seen / "calls").unlink(missing_ok=True)
                _, made = self.run_one_by_one(FINDS + f"[ $REMORA_TASK = b ] || {broken}\n")
                self.assertEqual(made, 2)
                self.assertEqual(self.seen_by("b"), self.seen_by("a"))

    def test_the_worktree_of_a_task_that_failed_is_not_given_to_the_next(self):
        more = "workspace: {keep: never}\ndefaults: {attempts: 1}"
        events, made = self.run_one_by_one(FINDS + "[ $REMORA_TASK = b ]\n", more=more, status=1)
        self.assertEqual([e["outcome"] for e in events if e["type"] == "task_ended"], ["failed", "succeeded"])
        self.assertEqual(made, 2)


if __name__ == "__main__":
    main_job.main()
