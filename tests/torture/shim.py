#!/usr/bin/env python3
"""SIGKILL of an agent's shim right before any system call of its own that changes something, with its orchestrator
there and with that dead; then remora goes on, or is resumed, and everything must be as if nothing had happened.

    tests/torture/shim.py --remora PROGRAM [--points N | --all | --minutes M] [--seed N] [--jobs N]
                          [--only OPERATION [--at N]] [--keep DIRECTORY] [--json FILE]

The shim is a static program, so strace traces it and ends it; without strace it says so and exits with 77. Of an
operation only the first agent's shim is meant.
"""

import collections
import os
import shutil
import signal
import sys
from pathlib import Path

import check
import holes
import points
import scenarios
from scene import wait_until

# What it writes to its orchestrator counts too: a shim may die between an event and the word of it.
CALLS = sorted(set(holes.WRITES + holes.CHANGES + holes.OPENS + holes.STARTS) | {"fcntl", "sendto", "execve", "kill", "wait4"})

# The tracer is no parent of the shim (-D), so that this keeps its place in the tree of processes.
WRAPPER = r"""#!/bin/sh
mv "$SEEN/inject" "$SEEN/injected" 2> /dev/null || exec {shim} "$@"
exec strace -D -qq -s0 -o "$SEEN/strace" -e trace={calls} $(cat "$SEEN/injected") {shim} "$@"
"""

OPERATIONS = {"run": "", "orphan": "kill"}


def equip(scene):
    """Puts a wrapper in the place of the shim: remora takes the one beside it, so it is a copy without one."""
    tools = scene.top / "tools"
    if not tools.exists():
        tools.mkdir()
        shutil.copy(scene.remora_program, tools / "remora")
        wrapper = tools / "shim"
        shim = os.environ.get("REMORA_SHIM") or Path(scene.remora_program).parent / "remora-shim"
        wrapper.write_text(WRAPPER.format(shim=shim, calls=",".join(CALLS)))
        wrapper.chmod(0o755)
    scene.remora_program = str(tools / "remora")
    scene.env["REMORA_SHIM"] = str(tools / "shim")


def begin(scene, operation, inject):
    """A run whose first shim is traced; until nobody of it is left where the orchestrator dies."""
    equip(scene)
    (scene.seen / "inject").write_text(inject)
    if OPERATIONS[operation]:
        scene.order("a", OPERATIONS[operation])
    done = scene.remora("run", str(scene.plan_file), "--json")
    if done.killed:
        wait_until(lambda: not check.processes(str(scene.dir)))
    return done


def traced(operation):
    """[(system call, its how-manieth)] of a shim that nothing disturbs."""
    scene = points.worker.scene("run")
    done = begin(scene, operation, "")
    if done.code not in (0, -signal.SIGKILL):
        raise AssertionError(f"{operation}, undisturbed: {done}")
    seen, order = collections.Counter(), []
    for line in (scene.seen / "strace").read_text(errors="replace").splitlines():
        call = line.split("(", 1)[0]
        if call in CALLS:
            seen[call] += 1
            order.append((call, seen[call]))
    if not order:
        raise AssertionError(f"{operation}: strace saw nothing")
    # The first is strace's own execve of it.
    return order[1:]


def shim_points(session, _):
    o, found = session.o, []
    names = [name for name in OPERATIONS if not o.only or name in o.only]
    for name, calls in zip(names, session.pool.map(traced, names)):
        for at, (call, nth) in enumerate(calls, 1):
            if o.at in (None, at):
                found.append({"scenario": "run", "operation": name, "at": at, "call": call, "nth": nth})
    wanted = 0 if o.all or o.at or o.minutes or o.budget_seconds else o.points
    return points.spread(found, wanted, lambda p: (p["operation"], p["call"]))


def kill(scene, scenario, point):
    point["again"] = f"tests/torture/shim.py --only {point['operation']} --at {point['at']} --remora …"
    point["hit"] = f"{point['operation']}: {point['call']}, call {point['nth']}"
    first = begin(scene, point["operation"], f"-e inject={point['call']}:signal=KILL:when={point['nth']}")
    if first.code not in (0, -signal.SIGKILL if OPERATIONS[point["operation"]] else 0):
        return [f"{first}"]
    problems = scenarios.interrupted_problems(scene)
    problems += scenario.recover(scene, first)
    return problems + scenario.problems(scene)


def details(results):
    return f"{len({(r['operation'], r['call']) for r in results})} kinds of calls"


def main():
    parser = points.arguments(__doc__, 60, OPERATIONS)
    o = parser.parse_args()
    if why := holes.can_trace():
        print(f"shim: skipped: {why}")
        sys.exit(holes.SKIPPED)
    sys.exit(points.run_session("shim", o, shim_points, kill, details))


if __name__ == "__main__":
    main()
