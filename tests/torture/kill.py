#!/usr/bin/env python3
"""SIGKILL of remora right before any call that makes, changes, removes, locks, syncs or starts something; then it is
gone on with, and everything must be as if nothing had happened.

    tests/torture/kill.py --remora PROGRAM [--points N | --all | --minutes M] [--seed N] [--jobs N]
                          [--only OPERATION [--at N]] [--keep DIRECTORY] [--json FILE]

The operations are those of scenarios.py. Every third point is nested: what goes on afterwards is killed as well, at a
call by chance, up to three deep. What is checked, and when, is in scenarios.py and check.py.
"""

import random
import sys
import zlib

import points
import scenarios

DEEPEST = 3
A_RESUME_HAS_CALLS = 450  # about; a call that is never reached kills nothing


def kill_points(session, names):
    o, found = session.o, []
    for name, calls in session.traces(names).items():
        for call in calls:
            if call["class"] == "w" and o.at in (None, call["number"]):
                found.append({"scenario": name, "at": call["number"], "call": call["call"]})
    wanted = 0 if o.all or o.at or o.minutes or o.budget_seconds else o.points
    return points.spread(found, wanted, lambda p: (p["scenario"], p["call"]))


def kill(scene, scenario, point):
    dice = random.Random(zlib.crc32(f"{point['scenario']} {point['at']} {point['seed']}".encode()))
    nested = [dice.randint(1, A_RESUME_HAS_CALLS) for _ in range(dice.choice((0, 0, 1, 2, DEEPEST)))]
    point["again"] = f"tests/torture/kill.py --only {point['scenario']} --at {point['at']} --seed {point['seed']} --remora …"
    point["hit"], point["nested"] = "", 0
    first = scenario.run(scene, fail={"FAIL_AT": str(point["at"]), "FAIL_HOW": "KILL"})
    point["hit"] = first.note.split("\n")[0]
    if not first.killed:
        if first.code != scenario.expected:
            return [f"nothing happened to it, and {first}"]
    problems = scenarios.interrupted_problems(scene)

    def fail_next():
        return {"FAIL_AT": str(nested.pop(0)), "FAIL_HOW": "KILL"} if nested else None

    problems += scenario.recover(scene, first, fail_next)
    point["nested"] = sum(d.killed for d in scene.done) - first.killed
    return problems + scenario.problems(scene)


def details(results):
    kinds = {r["call"] for r in results if r["hit"]}
    return (f"{sum(bool(r['hit']) for r in results)} killed, at {len(kinds)} kinds of calls; "
            f"{sum(r['nested'] > 0 for r in results)} of them again while it was gone on with, "
            f"{max((r['nested'] for r in results), default=0)} deep at most")


if __name__ == "__main__":
    sys.exit(points.run_session("kill", points.arguments(__doc__, 500).parse_args(), kill_points, kill, details))
