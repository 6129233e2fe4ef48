#!/usr/bin/env python3
"""The corpus of everything that a worktree can hold: captured, restored, compared, byte by byte.

    tests/e2e/corpus.py --remora PROGRAM [TEST …]

Files, links, repositories and submodules within the repository, and what is no file at all (W1, W3 to W10, W13 to W20, W23,
G19 of the tests' names) are made in the worktree of an agent. Then its checkpoint is restored beside it, and its worktree
deleted and the run resumed; each time all that is there must be what was there, but for what the checkpoint's manifest
lists, which is printed. What root can read others cannot: started as root, all of it is done as an ordinary user, too.
An odd git directory is odd_git.py's. Needs git and nothing else.
"""

import hashlib
import os
import shutil
import socket
import stat
import subprocess
import unittest
from pathlib import Path

import main_job
from main_job import AGENT, MORE, PATIENCE, Job, wait_until

NOBODY = 65534
LOCAL = ("-c", "protocol.file.allow=always")
SPECIAL_BITS = "its setuid or setgid bit"  # of a file that is there
IGNORED = ("ignored.o", "build", "sub/ignored.o")


def git(directory, *args, **more):
    done = subprocess.run(["git", *args], cwd=directory, capture_output=True, timeout=PATIENCE, **more)
    if done.returncode != 0:
        raise RuntimeError(f"git {' '.join(args)}: {done.stderr.decode(errors='replace')}")
    return done.stdout


# --- what is there ---

def base(repo):
    """What the corpus begins with, committed: what of it a worktree holds unchanged must stay the base's."""
    (repo / ".gitattributes").write_text("*.txt text=auto\n*.crlf text eol=crlf\n*.bin filter=marker\n")
    (repo / ".gitignore").write_text("*.o\nbuild/\n!kept.o\n")
    (repo / "lf.txt").write_bytes(b"one\ntwo\n")
    (repo / "checked-out.crlf").write_bytes(b"one\r\ntwo\r\n")
    (repo / "changed.crlf").write_bytes(b"one\r\ntwo\r\n")
    (repo / "same.bin").write_bytes(b"same\n")
    (repo / "changed.bin").write_bytes(b"before\n")
    for name in ("deleted", "deleted-and-staged", "renamed", "skipped", "assumed", "mode", "to-link", "to-directory", "both"):
        (repo / name).write_text(f"{name} of the base\n")
    library = repo.parent / "library"
    repository(library, 2, False)
    git(repo, *LOCAL, "submodule", "--quiet", "add", str(library), "submodule")
    (repo / "many").mkdir()
    for i in range(300):
        (repo / "many" / f"{i:03}").write_text(f"{i}\n")


def build(top):
    """In the worktree `top`, as an agent would."""
    w = top
    # G19: a stash is the repository's, and this one the task's
    (w / "lf.txt").write_text("stashed\n")
    (w / "stashed").write_text("stashed\n")
    git(w, "stash", "push", "-q", "-u")
    conflict(w)
    # W1, W3: what is no file
    os.mkfifo(w / "fifo")
    with socket.socket(socket.AF_UNIX) as s:
        os.chdir(w)
        s.bind("socket")
    if os.geteuid() == 0:
        os.mknod(w / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    # W4: what cannot be read, but by root
    (w / "unreadable").write_text("secret\n")
    (w / "unreadable").chmod(0)
    (w / "unreadable-directory").mkdir()
    (w / "unreadable-directory" / "file").write_text("in there\n")
    (w / "unreadable-directory").chmod(0)
    # W5: repositories within
    for name, commits, dirty in (("nested", 2, False), ("nested-unborn", 0, True), ("nested-dirty", 1, True)):
        repository(w / "below" / name, commits, dirty)
    repository(w / "below" / "nested-dirty" / "twice", 1, True)
    # W6: a submodule, with commits and content of its own
    git(w, *LOCAL, "submodule", "--quiet", "update", "--init")
    git(w / "submodule", "checkout", "-q", "-b", "topic")
    (w / "submodule" / "file").write_text("committed\n")
    git(w / "submodule", "commit", "-qam", "of the agent")
    (w / "submodule" / "file").write_text("staged\n")
    git(w / "submodule", "add", "file")
    (w / "submodule" / "file").write_text("changed\n")
    (w / "submodule" / "untracked").write_text("untracked\n")
    repository(w / "submodule" / "nested", 1, True)
    # W7: longer than any path may be
    deep(w)
    # W8, W9, W10, W20: names
    for name in (b"not utf-8 \xff\xfe", b"new\nline", b"tab\tquote\"back\\slash", b" leading", b"trailing ", b"-dash", b"Case", b"case",
                 "ünïcödé".encode(), b"a" * 255):
        with open(os.path.join(os.fsencode(w), name), "wb") as f:
            f.write(name)
    (w / ".GIT").mkdir()
    (w / ".GIT" / "config").write_text("[core]\n")
    (w / "git~1").write_text("looks like git's\n")
    os.symlink("loop", w / "loop")
    os.symlink("/etc/hostname", w / "absolute")
    os.symlink("nowhere/at/all", w / "dangling")
    os.symlink(b"bytes \xff", os.path.join(os.fsencode(w), b"link-to-bytes"))
    os.symlink("many", w / "link-to-directory")
    # W13: large on paper only
    with open(w / "sparse", "wb") as f:
        f.truncate(3 << 30)
    (w / "empty").touch()
    (w / "large").write_bytes(bytes(range(256)) * 40_000)
    # W14, W15: what a conversion applies to
    (w / "changed.crlf").write_bytes(b"one\r\nthree\n")
    (w / "new.txt").write_bytes(b"mixed\r\nends\n")
    (w / "changed.bin").write_bytes(b"after\n")
    # W16: not there, and not deleted
    git(w, "update-index", "--skip-worktree", "skipped")
    (w / "skipped").unlink()
    git(w, "update-index", "--assume-unchanged", "assumed")
    # W17, W18: ignored, and not
    for name in ("ignored.o", "kept.o", "build/output", "sub/ignored.o", "sub/again.o", "sub/deep/file.tmp"):
        (w / name).parent.mkdir(exist_ok=True)
        (w / name).write_text(f"{name}\n")
    (w / "sub" / ".gitignore").write_text("!again.o\ndeep/*\n!deep/*.tmp\n")
    # W19, W23: directories and modes
    (w / "empty-directory" / "within").mkdir(parents=True)
    (w / "mode").chmod(0o755)
    for name, mode in (("executable", 0o755), ("setuid", 0o4755), ("read-only", 0o444), ("group-writable", 0o664)):
        (w / name).write_text(f"{name}\n")
        (w / name).chmod(mode)
    os.link(w / "executable", w / "hard-link")
    # deletions, changes of kind, what is staged
    (w / "deleted").unlink()
    git(w, "rm", "-q", "deleted-and-staged")
    git(w, "mv", "renamed", "renamed-and-staged")
    (w / "to-link").unlink()
    os.symlink("mode", w / "to-link")
    (w / "to-directory").unlink()
    (w / "to-directory").mkdir()
    (w / "to-directory" / "file").write_text("in there\n")
    (w / "many" / "007").write_text("changed\n")
    (w / "staged").write_text("staged\n")
    git(w, "add", "staged")
    (w / "staged").write_text("and changed again\n")
    (w / "intended").write_text("intended\n")
    git(w, "add", "-N", "intended")


def repository(at, commits, dirty):
    at.mkdir(parents=True)
    git(at, "init", "-q")
    for i in range(commits):
        (at / "file").write_text(f"{i}\n")
        git(at, "add", "-A")
        git(at, "commit", "-qm", f"{i}")
    if dirty:
        (at / "staged").write_text("staged\n")
        git(at, "add", "staged")
        (at / "untracked").write_text("untracked\n")


def deep(w):
    """60 directories of 100 characters: no single path reaches the end."""
    fd = os.open(w, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(60):
        os.mkdir("d" * 100, dir_fd=fd)
        below = os.open("d" * 100, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
    os.close(fd)


def conflict(w):
    """A commit, and a merge that stopped: index stages and MERGE_HEAD."""
    blob = git(w, "hash-object", "-w", "--stdin", input=b"theirs\n").strip()
    tree = b"".join(b"100644 blob %s\tboth\n" % blob if line.endswith(b"\tboth\n") else line
                    for line in git(w, "ls-tree", "HEAD").splitlines(keepends=True))
    theirs = git(w, "commit-tree", "-p", "HEAD", "-m", "theirs", git(w, "mktree", input=tree).decode().strip()).decode().strip()
    (w / "both").write_text("ours\n")
    git(w, "commit", "-qm", "ours", "--only", "both")
    merged = subprocess.run(["git", "merge", "-q", theirs], cwd=w, capture_output=True, timeout=PATIENCE)
    if b"CONFLICT" not in merged.stdout:
        raise RuntimeError(f"no conflict: {merged}")


def listing(top):
    """Path -> what is there, in bytes as text that JSON can hold; git's view of it under names that no path can have."""
    found = {}
    walk(os.open(top, os.O_RDONLY | os.O_DIRECTORY), b"", found)
    for repo in sorted(path[: -len("/.git")] if path != ".git" else "." for path in found if path == ".git" or path.endswith("/.git")):
        for name, said in git_view(Path(os.fsdecode(os.path.join(os.fsencode(top), raw(repo))))).items():
            found[f"{repo}/.git//{name}"] = said
    return {path: what for path, what in found.items() if "//" in path or ".git" not in path.split("/")}


def walk(fd, prefix, found):
    for name in sorted(os.listdir(os.fsencode(f"/proc/self/fd/{fd}"))):
        st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        path = text(prefix + name)
        if stat.S_ISDIR(st.st_mode):
            found[path] = ["directory"]
            if os.access(name, os.R_OK | os.X_OK, dir_fd=fd):
                walk(os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd), prefix + name + b"/", found)
        elif stat.S_ISLNK(st.st_mode):
            found[path] = ["link", text(os.readlink(name, dir_fd=fd))]
        elif stat.S_ISREG(st.st_mode):
            found[path] = ["executable" if st.st_mode & 0o100 else "file", st.st_size, digest(name, fd)]
        else:
            found[path] = ["other"]
    os.close(fd)


def digest(name, fd):
    if not os.access(name, os.R_OK, dir_fd=fd):
        return "unreadable"
    with open(name, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW, dir_fd=fd)) as f:
        return hashlib.file_digest(f, "sha1").hexdigest()


def git_view(repo):
    """What git says of a repository, and of an operation in progress."""
    def say(*args):
        done = subprocess.run(["git", *args], cwd=repo, capture_output=True, timeout=PATIENCE)
        return text(done.stdout + (done.stderr if done.returncode else b""))
    git_dir = Path(os.fsdecode(git(repo, "rev-parse", "--absolute-git-dir").rstrip(b"\n")))
    found = {"in progress": [name for name in ("MERGE_HEAD", "MERGE_MSG") if (git_dir / name).exists()]}
    for name, command in (("status", "status --porcelain=v2 --branch -uno"), ("index", "ls-files --stage -v"), ("log", "log --format=%H"),
                          ("stash", "stash list")):
        found.update({f"{name} {line}": "" for line in say(*command.split()).splitlines()})
    return found


def text(name):
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def raw(name):
    return name.encode("utf-8", "surrogateescape")


def files_of(found):
    return {path: what for path, what in found.items() if not path.startswith("./.git//")}


# --- the comparison ---

class Corpus(Job):
    maxDiff = None

    def setUp(self):
        super().setUp()
        self.git("config", "filter.marker.clean", f"touch {self.seen}/filter-ran; cat")
        self.git("config", "filter.marker.smudge", f"touch {self.seen}/filter-ran; cat")
        os.environ.update(self.env)  # for the gits of `base`, `build` and `listing`
        base(self.repo)
        self.git("add", "-A")
        self.git("commit", "-qm", "what the corpus begins with")

    def tearDown(self):
        for slot in (self.dir / "state").glob("remora/*/slots/*"):
            self.readable(slot)
        super().tearDown()

    @staticmethod
    def readable(slot):
        directory = slot / "unreadable-directory"
        if directory.exists():
            directory.chmod(0o700)

    def built(self):
        """The run, its worktree and what is in there, once a checkpoint has all of it."""
        process, slot = self.begin("run", self.plan(["job"], MORE, AGENT))
        build(slot)
        self.filter_ran().unlink()  # by the agent's git
        (slot / "changed.bin").write_bytes(b"after all\n")
        (slot / "last").touch()
        wait_until("a checkpoint has what was built last", lambda: "last" in self.saved())
        self.assertFalse(self.filter_ran().exists(), "W15: a filter was run")
        return process, slot, listing(slot)

    def filter_ran(self):
        return self.seen / "filter-ran"

    def saved(self):
        """The names at the top of the last checkpoint's files."""
        return [name for ref in self.refs("refs/heads/remora-wip") for name in self.git("ls-tree", "--name-only", ref).split()]

    def compare(self, before, after, left_out):
        """But for what the manifest lists, and what nobody promised: ignored files, unless they were asked for (W18)."""
        def explained(path):
            lacks = [out for out, reason in left_out.items() if reason != SPECIAL_BITS]
            return any(path == out or path.startswith(out + "/") for out in [*lacks, *IGNORED])
        self.assertEqual([(path[-120:], before.get(path), after.get(path)) for path in sorted(before.keys() | after.keys())
                          if before.get(path) != after.get(path) and not explained(path)], [])

    def test_all_of_it_is_captured_and_restored_beside_it(self):
        _, _, before = self.built()
        run, left_out = self.checkpoint()
        to = self.dir / "restored"
        self.remora("checkpoint", "restore", f"{run}/job", "--to", str(to))
        after = listing(to)
        # W16: the checkpoint has it, and it is no file of a sparse worktree; here is no sparse one.
        self.assertEqual(after.pop("skipped")[1], len("skipped of the base\n"))
        self.compare(files_of(before), files_of(after), left_out)
        self.assertEqual(left_out["setuid"], SPECIAL_BITS)
        for path, reason in sorted(left_out.items()):
            print(f"{path[-60:]!r}: {reason}")

    def test_a_successor_finds_all_of_it_in_a_new_worktree(self):
        process, slot, before = self.built()
        run, left_out = self.checkpoint()
        process.kill()
        process.wait()
        wait_until("the agent is gone", lambda: not any(main_job.alive(p) for p in self.pids()))
        self.readable(slot)
        shutil.rmtree(slot)
        _, slot = self.begin("resume", run)
        self.compare(before, listing(slot), left_out)

    @unittest.skipUnless(os.geteuid() == 0, "is an ordinary user's already")
    def test_W4_all_of_it_as_an_ordinary_user(self):
        programs = self.dir / "programs"  # where anybody can start them
        programs.mkdir()
        self.dir.chmod(0o755)
        for name in ("remora", "remora-shim"):
            shutil.copy(Path(main_job.REMORA).parent / name, programs)
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            main_job.REMORA = str(programs / "remora")
            done = unittest.TextTestRunner(verbosity=2).run(load_tests(unittest.defaultTestLoader, None, "W4"))
            os._exit(0 if done.wasSuccessful() else 1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)


def load_tests(loader, _tests, without):
    """Only what is written here: the tests of the class that it stands on have their own program."""
    names = [n for n in loader.getTestCaseNames(Corpus) if n in Corpus.__dict__ and not (without == "W4" and "W4" in n)]
    return unittest.TestSuite(Corpus(n) for n in names)


if __name__ == "__main__":
    main_job.main()
