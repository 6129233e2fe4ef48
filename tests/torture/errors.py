#!/usr/bin/env python3
"""One call of remora fails, or a few, or all that follow; remora goes on or ends with a clear error, and afterwards the
same work succeeds (F2, F3, F4, F5, F7, F9, F12).

    tests/torture/errors.py --remora PROGRAM [--points N | --all | --minutes M] [--seed N] [--jobs N]
                            [--only OPERATION [--at N] [--error NAME]] [--keep DIRECTORY] [--json FILE]

The operations are those of scenarios.py. A call fails with what its manual page allows: no space, no quota, an I/O error,
no descriptors, no permission, a read-only file system, a signal; a write also writes one byte only. No failure may end remora by a signal, leave
it hanging, or leave a descriptor open at its end; what was announced before is checked as after a kill.
"""

import errno
import sys

import points
import scenarios

# The numbers of failpoint.cpp.
ERRORS = {"ENOSPC": 1, "EDQUOT": 1, "EIO": 2, "EMFILE": 4, "EACCES": 8, "EROFS": 128, "EINTR": 16, "SHORT": 32, "EAGAIN": 64}
# So many calls: one, a few, all. What interrupts or shortens every call for ever cannot be gone on with.
TIMES = {"EINTR": (1, 3), "SHORT": (1, 3)}
PATIENCE = 15  # seconds until what goes on is interrupted; waiting for better times is allowed


def error_points(session, names):
    o, found = session.o, []
    for name, calls in session.traces(names).items():
        for call in calls:
            for error, bit in ERRORS.items():
                if call["can"] & bit == 0 or o.at not in (None, call["number"]) or o.error not in (None, error):
                    continue
                for times in TIMES.get(error, (1, 3, 0)):
                    found.append({"scenario": name, "at": call["number"], "call": call["call"], "error": error,
                                  "times": times})
    wanted = 0 if o.all or o.at or o.minutes or o.budget_seconds else o.points
    return points.spread(found, wanted, lambda p: (p["call"], p["error"]))


def fail(scene, scenario, point):
    point["again"] = (f"tests/torture/errors.py --only {point['scenario']} --at {point['at']} --error {point['error']} "
                      f"--remora …")
    point["hit"] = ""
    how = "SHORT" if point["error"] == "SHORT" else str(getattr(errno, point["error"]))
    first = scenario.run(scene, fail={"FAIL_AT": str(point["at"]), "FAIL_HOW": how, "FAIL_FOR": str(point["times"])},
                         deadline=PATIENCE)
    hits, descriptors = first.note.split("\n")[:-2], first.note.split("\n")[-2:-1]
    point["hit"] = f"{point['error']} x {point['times'] or 'all'}: {hits[0]}" if hits else ""
    problems = scenarios.interrupted_problems(scene)
    if first.code not in range(5):
        problems.append(f"{first}")
    elif first.code not in (0, scenario.expected) and not first.err and not said_why(first):
        problems.append(f"it does not say what is wrong: {first}")
    if not descriptors or not descriptors[0].startswith("descriptors "):
        problems.append(f"it did not end by itself: {first}")
    else:
        _, before, after, *leads_to = descriptors[0].split()
        # libgit2 1.5.1 does not close a ref's lock file whose fsync failed (git_filebuf_commit).
        may_be_theirs = " fsync " in point["hit"] or (
            point["times"] != 1 and point["error"] in ("ENOSPC", "EDQUOT", "EIO", "EINTR"))
        theirs = sum(path.endswith(".lock") for path in leads_to) if may_be_theirs else 0
        if int(after) - theirs != int(before):
            problems.append(f"{before} descriptors were open at the start and {after} at the end: {leads_to}")
    problems += scenario.recover(scene, first)
    return problems + scenario.problems(scene)


def said_why(done):
    """Whether the events tell of something that went wrong, or a doctor of what is left."""
    return any(e["type"] == "warning" or e.get("why") or e.get("detail") for e in done.events) or " findings, " in done.out


def details(results):
    hit = [r for r in results if r["hit"]]
    return (f"{len(hit)} failed, of {len({r['call'] for r in hit})} kinds of calls with "
            f"{len({r['error'] for r in hit})} kinds of failures; "
            f"{sum(r['times'] == 1 for r in hit)} once, {sum(r['times'] == 0 for r in hit)} from there on")


def main():
    parser = points.arguments(__doc__, 300)
    parser.add_argument("--error", choices=sorted(ERRORS), help="only this failure")
    sys.exit(points.run_session("errors", parser.parse_args(), error_points, fail, details))


if __name__ == "__main__":
    main()
