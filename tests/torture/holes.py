#!/usr/bin/env python3
"""Holds the calls that failpoint.cpp counts against those that strace sees: what is not counted would never be cut off.

    tests/torture/holes.py --remora PROGRAM [--preload LIBRARY] [--only OPERATION]

Each operation runs once under both. Every system call of remora's own threads that changes something must have been
counted in the same thread. Without strace, or where it may not trace, it says so and exits with 77.
"""

import argparse
import collections
import re
import shutil
import subprocess
import sys
from pathlib import Path

import points
import scenarios
from scene import Scene, workplace

SKIPPED = 77

WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "splice")
CHANGES = ("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "mkdir",
           "mkdirat", "rmdir", "mknod", "mknodat", "truncate", "ftruncate", "fallocate", "fsync", "fdatasync", "syncfs",
           "sync_file_range", "msync", "flock", "chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat",
           "utime", "utimes", "utimensat", "futimesat", "setxattr", "lsetxattr", "fsetxattr", "sync")
OPENS = ("open", "openat", "creat", "openat2")
STARTS = ("clone", "clone3", "fork", "vfork")
TRACED = WRITES + CHANGES + OPENS + STARTS + ("fcntl", "ioctl")

# What the C library makes of a counted function, where that is not a call of the same name.
MADE_OF = {"open": "openat", "open64": "openat", "openat64": "openat", "__openat64_2": "openat", "fopen64": "openat",
           "mkostemp": "openat", "mkdtemp": "mkdir", "pwrite": "pwrite64", "remove": "unlink", "utimes": "utimensat", "futimens": "utimensat",
           "posix_spawn": "spawn", "posix_spawnp": "spawn"}

LINE = re.compile(r"(\d+) +(\w+)\((.*)")
ANNOTATION = re.compile(r"\d+<(/[^>]*)>")


def changes(call, arguments, ignored):
    """The name under which a traced call ought to have been counted, or nothing."""
    if call == "syscall_0x1d1":
        return None  # listxattrat, which an older strace has no name for: it reads
    on = ANNOTATION.match(arguments)
    if any(path in arguments for path in ignored):
        return None
    if call in OPENS:
        return "openat" if re.search(r"\bO_(CREAT|TRUNC)\b", arguments) or call == "creat" else None
    if call in ("sendfile", "copy_file_range", "splice"):
        return call
    if call in WRITES:
        standard = re.match(r"[012]<", arguments)
        return call if on and not standard and "<char" not in arguments[:200] else None
    if call == "fcntl":
        return call if re.search(r"\bF_(OFD_)?SETLKW?\b", arguments) else None
    if call == "ioctl":
        return call if "FICLONE" in arguments else None
    if call in STARTS:
        return None if "CLONE_THREAD" in arguments else "spawn"
    return call


def seen_by_strace(file, ignored):
    """Thread → names of its calls that change something, for the threads of the first process."""
    seen, threads, creating = collections.defaultdict(collections.Counter), set(), {}
    for line in file.read_text(errors="replace").splitlines():
        born = re.search(r"parent_tid=\[(\d+)\]|\) = (\d+)$", line)
        pid = int(line.split(" ", 1)[0])
        if not threads:
            threads.add(pid)
        if "<... clone" in line and creating.pop(pid, False) and born:
            threads.add(int(born[1] or born[2]))
        found = LINE.match(line)
        if not found or pid not in threads:
            continue
        call, arguments = found[2], found[3]
        if call in STARTS and "CLONE_THREAD" in arguments:
            if "<unfinished" in line:
                creating[pid] = True
            elif born:
                threads.add(int(born[1] or born[2]))
        name = changes(call, arguments, ignored)
        if name == "unlink" and "EISDIR" in line:
            seen[pid]["rmdir"] -= 1  # remove(3) then tries the other: one function, two calls
        if name:
            seen[pid][name] += 1
    return seen


def counted(file):
    seen = collections.defaultdict(collections.Counter)
    for call in points.traced(file):
        if call["class"] == "w":
            seen[call["thread"]][MADE_OF.get(call["call"], call["call"])] += 1
    return seen


def holes(scene, name):
    """What strace saw and nobody counted, of one operation; how many calls were seen, and how many counted."""
    scene.build()
    scenario = scenarios.ALL[name]
    scenario.prepare(scene)
    calls, log = scene.dir / "calls", scene.dir / "strace"
    # LD_PRELOAD is remora's only: strace has it set by -E.
    wrapper = ["strace", "-f", "-yy", "-s0", "--seccomp-bpf", "-o", str(log), "-e", "trace=" + ",".join(TRACED),
               "-E", f"LD_PRELOAD={scene.preload}", "-E", f"FAIL_TRACE={calls}"]
    done = scenario.run(scene, wrapper=wrapper)
    points.end_processes(scene)
    if done.code != scenario.expected:
        return [f"{name} under strace: {done}"], 0, 0
    ours, theirs = counted(calls), seen_by_strace(log, [str(calls)])
    problems = []
    for thread, names in theirs.items():
        for call, count in names.items():
            if count > ours[thread][call]:
                problems.append(f"{name}: thread {thread} made {count} calls of {call}, {ours[thread][call]} were counted")
    return problems, *(sum(sum(names.values()) for names in side.values()) for side in (theirs, ours))


def can_trace():
    if not shutil.which("strace"):
        return "strace is not installed"
    done = subprocess.run(["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "true"], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"strace cannot trace here: {done.stderr.strip()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--remora", required=True)
    parser.add_argument("--preload")
    parser.add_argument("--only", action="append", choices=sorted(scenarios.ALL))
    o = parser.parse_args()
    if why := can_trace():
        print(f"holes: skipped: {why}")
        sys.exit(SKIPPED)
    place, bad = workplace(), 0
    try:
        for name in o.only or sorted(scenarios.ALL):
            scene = Scene(place, str(Path(o.remora).resolve()), points.preload_of(o))
            problems, seen, known = holes(scene, name)
            if not seen:
                problems.append(f"{name}: strace saw nothing")
            bad += len(problems)
            print("\n".join(problems + [f"{name}: {seen} calls seen, {known} counted"]))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
