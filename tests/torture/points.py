"""What the instruments kill.py and errors.py have in common: tracing an operation, choosing the points in it, working
through them on several cores, and the report.

Not a program.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import check
import scenarios
from scene import Hang, Scene, copy_all, workplace

worker = None  # of this process


class Worker:
    """The scenes of one process: each operation is prepared once and put back for every point."""

    def __init__(self, top, remora, preload, keep):
        self.top, self.remora, self.preload, self.keep = Path(top), remora, preload, keep
        self.prepared = set()
        self.kept = 0

    def scene(self, name):
        scene = Scene(self.top, self.remora, self.preload)
        if name not in self.prepared:
            scene.build()
            scenarios.ALL[name].prepare(scene)
            scene.done = []
            for file in scene.dir.glob("*.[0-9]*"):
                file.unlink()  # what the preparation printed
            scene.keep(name)
            self.prepared.add(name)
        scene.put_back(name)
        return scene

    def keep_scene(self, scene):
        """The directory of a failure, if it is to be kept."""
        if not self.keep:
            return ""
        self.kept += 1
        kept = Path(self.keep) / f"{self.top.name}-{self.kept}"
        copy_all(scene.dir, kept)
        return str(kept)


def start_worker(place, remora, preload, keep):
    global worker
    top = Path(place) / f"w{os.getpid()}"
    top.mkdir()
    worker = Worker(top, remora, preload, keep)


def trace(name):
    """The calls of an operation that nothing disturbs: [{number, thread, class, can, call, path}]."""
    scene = worker.scene(name)
    file = scene.dir / "trace"
    done = scenarios.ALL[name].run(scene, fail={"FAIL_TRACE": str(file)})
    calls = traced(file)
    first = done.code
    left = scenarios.ALL[name].recover(scene, done) + scenarios.ALL[name].problems(scene)
    end_processes(scene)
    if first != scenarios.ALL[name].expected or left:
        raise AssertionError(f"{name}, undisturbed: {done}\n" + "\n".join(left))
    return calls


def traced(file):
    calls = []
    for line in file.read_text(errors="replace").splitlines():
        number, thread, kind, can, call, path = (line.split(" ", 5) + [""])[:6]
        calls.append({"number": int(number), "thread": int(thread), "class": kind, "can": int(can), "call": call, "path": path})
    return calls


def end_processes(scene):
    """Those that an experiment left, stopped ones too."""
    for pid in check.processes(str(scene.dir)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def guarded(experiment, point):
    """Carries out a point; whatever goes wrong in it is its failure. {point, problems, …}."""
    began = time.monotonic()
    scene = worker.scene(point["scenario"])
    result = dict(point, problems=[])
    try:
        result["problems"] += experiment(scene, scenarios.ALL[point["scenario"]], result)
    except (Hang, AssertionError, KeyError, TypeError, ValueError, OSError) as e:
        result["problems"].append(f"{type(e).__name__}: {e}")
    end_processes(scene)
    if result["problems"]:
        result["kept"] = worker.keep_scene(scene)
    result["seconds"] = time.monotonic() - began
    return result


def spread(points, wanted, kind_of):
    """So many of the points, evenly spread, and besides them one of every kind that is not among them."""
    if not wanted or wanted >= len(points):
        return list(points)
    chosen = {i * len(points) // wanted for i in range(wanted)}
    kinds = {kind_of(points[i]) for i in chosen}
    for i, point in enumerate(points):
        if kind_of(point) not in kinds:
            kinds.add(kind_of(point))
            chosen.add(i)
    return [points[i] for i in sorted(chosen)]


def arguments(doc, points, operations=scenarios.ALL):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--remora", required=True)
    parser.add_argument("--preload", help="the library of failpoint.cpp; by default the one of remora's build")
    parser.add_argument("--points", type=int, default=points, help=f"so many, evenly spread ({points})")
    parser.add_argument("--all", action="store_true", help="all of them, once")
    parser.add_argument("--minutes", type=float, help="all of them, again and again, for so long")
    parser.add_argument("--budget-seconds", type=float, help="the same in seconds")
    parser.add_argument("--seed", type=int, default=1, help="of what is chosen by chance (1)")
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 1) + 1, help="at a time; much of each is waiting")
    parser.add_argument("--only", action="append", choices=sorted(operations), help="this operation; may be repeated")
    parser.add_argument("--at", type=int, help="only this call; with --only")
    parser.add_argument("--keep", help="a directory for the scenes of failures")
    parser.add_argument("--json", help="a file for the report")
    return parser


def preload_of(o):
    return Path(o.preload or Path(o.remora).resolve().parents[2] / "tests" / "libremora-failpoint.so").resolve()


class Session:
    """Works through points and reports."""

    def __init__(self, instrument, o, place):
        self.instrument, self.o, self.place = instrument, o, place
        self.began = time.monotonic()
        self.results = []
        self.pool = concurrent.futures.ProcessPoolExecutor(
            o.jobs, initializer=start_worker,
            initargs=(str(place), str(Path(o.remora).resolve()), str(preload_of(o)), o.keep))

    def traces(self, names):
        return dict(zip(names, self.pool.map(trace, names)))

    def work(self, experiment, points):
        """`points` may be without end; then the time is what ends it."""
        seconds = self.o.budget_seconds or (self.o.minutes * 60 if self.o.minutes else None)
        end = self.began + seconds if seconds else None
        pending, points = set(), iter(points)
        while True:
            while len(pending) < 2 * self.o.jobs and not (end and time.monotonic() > end):
                point = next(points, None)
                if point is None:
                    break
                pending.add(self.pool.submit(guarded, experiment, point))
            if not pending:
                break
            done, pending = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                self.take(future.result())
        self.pool.shutdown()

    def take(self, result):
        self.results.append(result)
        for problem in result["problems"]:
            print(f"{result['scenario']} {result['hit'] or result['call']}: {problem}", flush=True)
        if result["problems"]:
            print(f"  again: {result['again']}" + (f"; kept in {result['kept']}" if result["kept"] else ""), flush=True)

    def report(self, details):
        bad = [r for r in self.results if r["problems"]]
        seconds = time.monotonic() - self.began
        by_scenario = {}
        for r in self.results:
            by_scenario.setdefault(r["scenario"], []).append(r)
        for name, some in by_scenario.items():
            each = sum(r["seconds"] for r in some) / len(some)
            print(f"{name}: {len(some)} points, {sum(bool(r['problems']) for r in some)} bad, {each:.2f} s each")
        print(f"{self.instrument}: {len(self.results)} points, {len(bad)} bad, {seconds:.0f} s; {details}")
        if self.o.json:
            Path(self.o.json).write_text(json.dumps({
                "instrument": self.instrument, "points": len(self.results), "failures": len(bad),
                "seconds": round(seconds, 1),
                "details": [details] + [f"{r['scenario']} {r['hit']}: {r['problems'][0]}; again: {r['again']}" for r in bad]}))
        return 1 if bad or not self.results else 0


def for_ever(points, seed, once):
    """The points in an order by chance: once, or without end and in another order each time."""
    dice = random.Random(seed)
    for turn in range(1 if once else 1 << 30):
        order = list(points)
        dice.shuffle(order)
        for point in order:
            yield dict(point, seed=seed + turn)


def run_session(instrument, o, names_to_points, experiment, details):
    """The whole of a program: traces, chooses, works, reports. Its exit status."""
    place = workplace()
    try:
        session = Session(instrument, o, place)
        names = o.only or sorted(scenarios.ALL)
        points = names_to_points(session, names)
        timed = bool(o.minutes or o.budget_seconds)
        session.work(experiment, for_ever(points, o.seed, once=not timed))
        return session.report(details(session.results))
    finally:
        shutil.rmtree(place, ignore_errors=True)
