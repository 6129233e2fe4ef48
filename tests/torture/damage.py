#!/usr/bin/env python3
"""Damages what an interrupted run left, then resumes it; and interferes with a run that goes on.

    tests/torture/damage.py --remora PROGRAM [--budget-seconds S] [--seed N] [--json FILE] [--only TEXT] [--all]

A run is killed when each task has announced a few checkpoints. Then, each on a fresh copy of that: every object of the
newest checkpoints and of the base is removed, flipped or cut (in its own file or in its pack), packs and their indexes
too; refs are deleted, emptied, overwritten with garbage or pointed elsewhere (G13, G17); bytes of the journal are
flipped, and it is cut; each with the worktrees there and with them gone. `remora resume` must go on, with all the work
of the newest announced checkpoint that is still whole and, unless the journal was cut, of the worktree, or refuse with
status 4 and a reason, and have touched nothing. Whatever is not in the result must be where a warning says. It may end
with 3 only for tasks of which plain git can read no announced checkpoint, where the worktree is gone too or the base
cannot be read; then it must say so. No object of a pack of remora's that was not damaged may be gone, and no ref be
left to one that is.

Interference: beside a live run somebody collects garbage without grace, repacks, packs refs, holds their lock, prunes
worktrees and deletes branches and refs of the run in a loop; every task must succeed with all announced work (G3, G6,
G7, G9, G17). --only takes the points whose name contains TEXT; --all takes every one instead of a sample.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import processes
from objects import Damaged, Objects, git, refs
from orchestrator import Failure, Ledger, World, grown
from scene import copy_all

TASKS = ("steady", "packer")
CHECKPOINTS = 5
REFUSED = 4
INTERRUPTED = 3
OUR_PACKS = "pack-72656d6f7261*"
PATIENCE = 60  # seconds


# --- what can be done to a file ---

def writable(path):
    os.chmod(path, 0o644)
    return path


def remove(path):
    path.unlink()


def write_ref(file, bytes_of_it):
    """Over a packed ref, too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bytes_of_it)


def empty(path):
    writable(path).write_bytes(b"")


def cut(path):
    data = writable(path).read_bytes()
    path.write_bytes(data[:len(data) // 2])


def flip(path, at=None):
    data = bytearray(writable(path).read_bytes())
    at = len(data) // 2 if at is None else at
    data[at] ^= 0x10
    path.write_bytes(data)


class Scene:
    """An interrupted run, and as many copies of it as are wanted, always at the same place."""

    def __init__(self, o, below):
        self.template, self.place = below / "template", below / "place"
        self.place.mkdir(parents=True)
        self.world = World(o.remora, self.place, self.place / "outside")
        self.world.make(TASKS)
        self.ledger = Ledger(TASKS)
        life = self.world.start(self.ledger, "run", str(self.world.plan))
        enough = life.wait_for(lambda: all(life.saved.get(t, 0) >= CHECKPOINTS for t in TASKS))
        life.kill()
        processes.end_tree()
        if not enough:
            raise Failure(f"the run without damage: {life.saved} {life.said()}")
        self.world.release()
        self.records = {t: list(self.ledger.saved[t]) for t in TASKS}
        copy_all(self.place, self.template)
        self.journal = next((self.world.repo / ".git/remora/runs").glob("*/journal.jsonl")).relative_to(self.place)
        self.git = self.world.repo / ".git"
        self.base = git(self.world.repo, "rev-parse", "HEAD", env=self.world.env).strip()
        self.entries = [(pack.name, *entry) for pack in (self.git / "objects/pack").glob(OUR_PACKS + ".pack")
                        for entry in entries_of(pack)]

    def fresh(self):
        processes.end_tree()
        shutil.rmtree(self.place)
        copy_all(self.template, self.place)

    def objects_of_newest(self, task):
        """What its newest checkpoint has and the one before had not."""
        newest, before = self.records[task][-1][1], self.records[task][-2][1]
        return git(self.world.repo, "rev-list", "--objects", "--no-object-names", newest, "--not", before, env=self.world.env).split()

    def loose(self, name):
        return self.git / "objects" / name[:2] / name[2:]

    def pack_of(self, name):
        """The pack that holds an object, and where."""
        for index in sorted((self.git / "objects/pack").glob("*.idx")):
            shown = subprocess.run(["git", "show-index"], stdin=open(index, "rb"), capture_output=True, text=True, check=True)
            for line in shown.stdout.splitlines():
                offset, found = line.split()[:2]
                if found == name:
                    return index.with_suffix(".pack"), int(offset)
        raise Failure(f"object {name} is nowhere")

    def whole_work(self, task):
        """How many lines the newest announced checkpoint has that can still be read; None: there is none."""
        for _, record in reversed(self.records[task]):
            try:
                held = Objects(self.world.repo, [record], env=self.world.env)
                return len(grown(held.files(held.commit(held.commit(record)[2]["Files"])[0])))
            except Damaged:
                continue
        return None

    def is_base_whole(self):
        try:
            Objects(self.world.repo, [self.base], env=self.world.env)
            return True
        except Damaged:
            return False

    def work_in_slots(self):
        """Task -> how many lines its worktree has."""
        found = {}
        for file in self.place.glob("state/**/grow.txt"):
            lines = file.read_text(errors="replace").splitlines()
            found[lines[0].split()[0]] = len(lines)
        return found

    def sound_objects(self):
        """Those in packs of remora's whose bytes are still where they were, and what they are differences to; each with its pack."""
        sound, bytes_of = set(), {}
        for pack, name, begin, body in self.entries:
            path = self.git / "objects/pack" / pack
            if pack not in bytes_of:
                bytes_of[pack] = path.read_bytes() if path.exists() else b""
            base = base_of(body)  # which is before it
            if bytes_of[pack][begin:begin + len(body)] == body and (base is None or (base, path) in sound):
                sound.add((name, path))
        return sound

    def absent(self, names):
        if not names:
            return []
        shown = subprocess.run(["git", "cat-file", "--batch-check", "--buffer"], cwd=self.world.repo, env=self.world.env, text=True,
                               input="\n".join(names) + "\n", capture_output=True)
        return [line.split()[0] for line in shown.stdout.splitlines() if line.endswith(" missing")]


def entries_of(pack):
    """(id, offset, bytes) of each of its entries."""
    shown = subprocess.run(["git", "show-index"], stdin=open(pack.with_suffix(".idx"), "rb"), capture_output=True, text=True, check=True)
    found = sorted((int(offset), name) for offset, name, *_ in map(str.split, shown.stdout.splitlines()))
    data = pack.read_bytes()
    ends = [offset for offset, _ in found[1:]] + [len(data) - 20]
    return [(name, begin, data[begin:end]) for (begin, name), end in zip(found, ends)]


def base_of(entry):
    """The object that an entry of a pack is a difference to, if it is one (gitformat-pack(5))."""
    head = next(at for at, byte in enumerate(entry) if not byte & 0x80) + 1
    return entry[head:head + 20].hex() if entry[0] >> 4 & 7 == 7 else None


def damage_object(scene, name, how):
    loose = scene.loose(name)
    if loose.exists():
        how(loose)
        return
    pack, offset = scene.pack_of(name)
    if how is flip:
        flip(pack, offset + 4)
    elif how is cut:
        data = writable(pack).read_bytes()
        pack.write_bytes(data[:offset + 2])
    else:
        how(pack)


def points(scene):
    """Name -> what it does to a fresh copy."""
    found = {}
    for task in TASKS:
        for name in scene.objects_of_newest(task):
            for how in (remove, flip, cut, empty):
                found[f"object {task} {name[:10]} {how.__name__}"] = lambda n=name, h=how: damage_object(scene, n, h)
    for name in git(scene.world.repo, "rev-list", "--objects", "--no-object-names", scene.base, env=scene.world.env).split():
        for how in (remove, flip, cut, empty):
            found[f"object of the base {name[:10]} {how.__name__}"] = lambda n=name, h=how: damage_object(scene, n, h)
    for pack in sorted((scene.git / "objects/pack").glob("*")):
        for how in (remove, flip, cut, empty):
            if pack.suffix in (".pack", ".idx"):
                found[f"pack {pack.name[-9:]} {how.__name__}"] = lambda p=pack, h=how: h(p)
    run = scene.ledger.run
    base = scene.base
    for ref in [f"refs/remora/runs/{run}"] + [f"{top}/{run}/{t}" for t in TASKS
                                              for top in ("refs/remora/wip", "refs/heads/remora-wip", "refs/heads/remora")]:
        file, short = scene.git / ref, ref.replace(run, "RUN")
        found[f"ref {short} removed"] = lambda r=ref: git(scene.world.repo, "update-ref", "-d", r, env=scene.world.env)
        for what, held in (("emptied", b""), ("overwritten", b"no id at all\n"), ("at the base", base.encode() + b"\n"),
                           ("at nothing", b"ab" * 20 + b"\n")):
            found[f"ref {short} {what}"] = lambda f=file, h=held: write_ref(f, h)
        found[f"ref {short} locked"] = lambda f=file: write_ref(Path(f"{f}.lock"), b"")
    for task in TASKS:
        older = scene.records[task][-3][1]
        found[f"ref of {task} at an older checkpoint"] = lambda t=task, o=older: write_ref(
            scene.git / f"refs/remora/wip/{run}/{t}", o.encode() + b"\n")
    found["all refs packed"] = lambda: git(scene.world.repo, "pack-refs", "--all", "--prune", env=scene.world.env)
    found["packed refs emptied"] = lambda: (git(scene.world.repo, "pack-refs", "--all", "--prune", env=scene.world.env),
                                            (scene.git / "packed-refs").write_text("# pack-refs with: peeled fully-peeled sorted \n"))
    journal = scene.place / scene.journal
    size = (scene.template / scene.journal).stat().st_size
    for at in range(0, size, max(1, size // 97)):
        found[f"journal flipped at {at}"] = lambda a=at: flip(journal, a)
        found[f"journal cut at {at}"] = lambda a=at: os.truncate(journal, a)
    found["journal removed"] = lambda: remove(journal)
    found["journal emptied"] = lambda: empty(journal)
    return found


def state_of(scene):
    """What a refusal must not have touched."""
    journal = scene.place / scene.journal
    shown = subprocess.run(["git", "for-each-ref"], cwd=scene.world.repo, env=scene.world.env, capture_output=True, text=True)
    files = sorted(str(p) for p in scene.place.glob("state/**/grow.txt"))
    return shown.stdout, journal.read_bytes() if journal.exists() else None, files


def one_point(scene, do, with_slots):
    scene.fresh()
    do()
    if not with_slots:
        for slot in scene.place.glob("state/remora/*/slots/*"):
            shutil.rmtree(slot)
    whole = {t: scene.whole_work(t) for t in TASKS}
    base_is_whole, slots, sound = scene.is_base_whole(), scene.work_in_slots(), scene.sound_objects()
    journal, was = scene.place / scene.journal, scene.template / scene.journal
    journal_is_whole = journal.exists() and journal.stat().st_size == was.stat().st_size
    before = state_of(scene)
    try:
        done = scene.world.call("resume", "--json")
    except subprocess.TimeoutExpired:
        raise Failure(f"resume hangs: not over after {PATIENCE} s") from None
    if done.returncode < 0:
        raise Failure(f"resume died of signal {-done.returncode}: {done.stderr}")
    if done.returncode in (REFUSED, 2):
        if not done.stderr.startswith("remora: error: ") or len(done.stderr) < 40:
            raise Failure(f"resume refuses without a reason: '{done.stderr}'")
        if done.stdout.strip() and done.returncode == 2:
            raise Failure(f"status 2 after it had begun: {done.stdout[-300:]}")
        if state_of(scene) != before:
            raise Failure(f"resume refuses ({done.stderr.strip()}) and has changed refs, journal or worktrees")
        return "refused"
    ended = {e["task"]: e for e in map(json.loads, done.stdout.splitlines()) if e["type"] == "task_ended"}
    lost = [t for t in TASKS if whole[t] is None and (t not in slots or not base_is_whole)]
    open_tasks = [t for t in TASKS if ended.get(t, {}).get("outcome") != "succeeded"]
    if done.returncode not in (0, INTERRUPTED) or (done.returncode == INTERRUPTED) != bool(open_tasks) or set(open_tasks) - set(lost):
        raise Failure(f"resume exits with {done.returncode}: {done.stderr} {tail(done.stdout)}")
    for task in open_tasks:
        why = ended.get(task, {}).get("why", "")
        if "damaged" not in why and "cannot read" not in why:
            raise Failure(f"nothing of {task} is whole, and resume does not say so: {tail(done.stdout)}")
        if scene.work_in_slots().get(task, 0) < slots.get(task, 0):
            raise Failure(f"the worktree of {task} is gone, though nothing else has its work")
    # What only an index hides that nobody had to look into is not gone.
    if gone := scene.absent(sorted(name for name, pack in sound if not pack.exists())):
        raise Failure(f"objects of undamaged packs are gone: {gone[:5]}; {tail(done.stdout)}")
    # A journal that was cut may not tell any more that an agent was started in a worktree.
    unsaved = slots if journal_is_whole else {}
    wanted = {t: max(whole[t] or 0, unsaved.get(t, 0)) for t in TASKS if t not in open_tasks}
    check_work(scene, wanted, base_is_whole, done.stdout)
    return "said that nothing is whole" if open_tasks else "went on"


def tail(out):
    return [line for line in out.splitlines() if '"warning"' in line or '"task_ended"' in line][-4:]


def lines_of(scene, tip, base_is_whole):
    """Of a result or a checkpoint, with all that it reaches. Where the user's own base is damaged, of its file alone."""
    if not base_is_whole:
        return git(scene.world.repo, "show", f"{tip}:grow.txt", env=scene.world.env).splitlines()
    held = Objects(scene.world.repo, [tip], env=scene.world.env)
    return grown(held.files(held.commit(held.commit(tip)[2].get("Files", tip))[0]))


def check_work(scene, wanted, base_is_whole, out):
    """The result, or a ref that a warning names, has all the work that was still whole; and all that they name is there."""
    named = refs(scene.world.repo, "refs/heads/remora/", "refs/remora/foreign/", env=scene.world.env)
    for task in wanted:
        candidates = [value for name, value in named.items() if name == f"refs/heads/remora/{scene.ledger.run}/{task}" or
                      f"/{task}/" in name and name in out]
        best = 0
        for tip in candidates:
            best = max(best, len(lines_of(scene, tip, base_is_whole)))
        if best < wanted[task]:
            raise Failure(f"{task}: a whole checkpoint or the worktree had {wanted[task]} lines, what is left has {best}: {tail(out)}")


# --- interference ---

def meddle(scene_world, stop, errors):
    """What a user, a cron job or an editor may do to the repository, over and over."""
    repo, env, n = scene_world.repo, scene_world.env, 0
    def do(*args):
        subprocess.run(["git", "-C", str(repo), *args], env=env, capture_output=True, timeout=PATIENCE)
    while not stop.is_set():
        n += 1
        for args in (("gc", "-q", "--prune=now"), ("repack", "-adq"), ("pack-refs", "--all", "--prune"), ("worktree", "prune"),
                     ("prune-packed", "-q")):
            do(*args)
        for name in refs(repo, "refs/remora/wip", "refs/heads/remora-wip", env=env) if n % 3 == 0 else ():
            do("update-ref", "-d", name)
        lock = repo / ".git/packed-refs.lock"
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
            stop.wait(0.15)
            lock.unlink()
        except FileExistsError:
            pass
        except OSError as error:
            errors.append(str(error))


def interference(o, below, seconds):
    """A run of which every checkpoint meets somebody else's git; gives how many were announced."""
    below.mkdir()
    world = World(o.remora, below, below / "outside")
    world.make(TASKS)
    ledger, stop, errors = Ledger(TASKS), threading.Event(), []
    life = world.start(ledger, "run", str(world.plan))
    other = threading.Thread(target=meddle, args=(world, stop, errors))
    other.start()
    try:
        life.wait_for(lambda: False, seconds)
        world.release()
        status = life.finish()
    finally:
        stop.set()
        other.join()
        if life.process.poll() is None:
            life.kill()
        processes.end_tree()
    if status != 0 or errors:
        raise Failure(f"interference: exit {status}; {errors} {ledger.outcomes()} {life.said()} {ledger.warnings[-5:]}")
    if not all(life.saved.get(t) for t in TASKS):
        raise Failure(f"interference: not every task announced a checkpoint: {life.saved} {ledger.warnings[-5:]}")
    held = Objects(world.repo, sorted(set(refs(world.repo, env=world.env).values())), env=world.env)
    named = refs(world.repo, "refs/heads/remora/", env=world.env)
    for task in TASKS:
        lines = grown(held.files(held.commit(named[f"refs/heads/remora/{ledger.run}/{task}"])[0]))
        said = int((world.outside / f"said.{task}").read_text()) if (world.outside / f"said.{task}").exists() else 0
        if len(lines) < said or not lines:
            raise Failure(f"interference: the result of {task} has {len(lines)} lines of {said}")
    return ledger.count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--remora", required=True)
    parser.add_argument("--budget-seconds", type=float, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json")
    parser.add_argument("--only", default="")
    parser.add_argument("--all", action="store_true")
    o = parser.parse_args()
    processes.ended_by_signals()
    processes.adopt_orphans()
    began, details, counts, failed, taken = time.monotonic(), [], {}, 0, 0
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="remora-damage-", dir=memory) as below:
        try:
            scene = Scene(o, Path(below) / "scene")
            todo = [(name, do, slots) for name, do in points(scene).items() for slots in (True, False) if o.only in name]
            total = len(todo)
            if not o.all:
                random.Random(o.seed).shuffle(todo)
            for name, do, slots in todo:
                if not o.all and time.monotonic() - began > o.budget_seconds * 0.8:
                    break
                taken += 1
                what = f"{name}{'' if slots else ', worktrees gone'}"
                try:
                    outcome = one_point(scene, do, slots)
                    counts[outcome] = counts.get(outcome, 0) + 1
                except (Failure, Damaged) as failure:
                    failed += 1
                    details.append(f"{what}: {failure}")
                    print(details[-1], file=sys.stderr, flush=True)
            if not o.only:
                try:
                    counts["checkpoints amid interference"] = interference(o, Path(below) / "meddled", max(4, o.budget_seconds * 0.15))
                    taken += 1
                except (Failure, Damaged) as failure:
                    failed += 1
                    details.append(str(failure))
                    print(failure, file=sys.stderr, flush=True)
        finally:
            processes.end_tree()
    seconds = time.monotonic() - began
    print(f"damage: {taken} of {total} points, {counts}, {failed} failures, {seconds:.0f} s")
    if failed:
        print(f"again: tests/torture/damage.py --remora {o.remora} --all --only 'NAME OF THE POINT'")
    if o.json:
        Path(o.json).write_text(json.dumps({"instrument": "damage", "points": taken, "failures": failed, "seconds": round(seconds, 1),
                                            "counts": counts, "details": details}) + "\n")
    sys.exit(1 if failed or not taken else 0)


if __name__ == "__main__":
    main()
