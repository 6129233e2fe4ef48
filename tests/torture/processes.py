"""Process trees of the instruments: nothing that one of them started outlives it.

`adopt_orphans` makes this process the one that the kernel gives orphans to, so `end_tree` finds whatever a
killed orchestrator or shim left behind, whatever session it is in.
"""

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 30  # seconds for processes that were sent SIGKILL

libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans():
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def die_with_parent():
    """For Popen's preexec_fn: an instrument that is killed itself leaves nobody behind."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def children(pid):
    found = []
    with contextlib.suppress(OSError):  # it may end at any moment, and each of its threads
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split()]
    return found


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def state_of(pid):
    """The letter of /proc/PID/stat, or an empty string for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return ""


def name_of(pid):
    """Of its program, as far as the kernel keeps it; empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def running(pid):
    """True for a process that is there and no zombie."""
    return state_of(pid) not in ("", "Z")


def reap(besides=()):
    """Collects the orphans that have ended; `besides` are somebody else's to wait for."""
    for pid in children(os.getpid()):
        if pid not in besides and state_of(pid) == "Z":
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def end_tree(besides=()):
    """Kills all descendants of this process but `besides` and what those started."""
    end = time.monotonic() + PATIENCE
    while True:
        reap(besides)
        spared = set(besides).union(*(descendants(pid) for pid in besides))
        alive = [pid for pid in descendants(os.getpid()) if pid not in spared and running(pid)]
        if not alive:
            return
        if time.monotonic() > end:
            raise RuntimeError(f"killed, and still there after {PATIENCE} s: {alive}")
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def ended_by_signals():
    """SIGTERM and SIGHUP unwind like Ctrl-C, so that what was mounted and started goes."""
    def leave(number, _):
        raise SystemExit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
