"""The operations that are cut off or let fail: how each is prepared, gone on with afterwards, and what must be
true at the end.

Not a program: kill.py, errors.py and holes.py use it.
"""

import json
import os
import shutil
import signal
import time

import check
import processes
from scene import PATIENCE, wait_until

# Exit statuses of remora.
NO_MATCH = 2  # a selector matches nothing
HELD = 4  # the run is another's


# --- what must be true -------------------------------------------------------------------------------------


def diary_problems(scene, files, content, task, attempt, what, kept=(), left_out=()):
    """Of the files that lives up to `attempt` have written: those that `files` lacks or has otherwise, that no `kept`
    worktree has, and that are not known to be `left_out`."""
    problems = []
    for t, _, life, name in scene.diary("did"):
        if t != task or int(life) > attempt or name in left_out:
            continue
        if any((scene.dir / slot / name).exists() for slot in kept):
            continue
        if name not in files:
            problems.append(f"{what} lacks {name}, which life {life} of {task} had written")
        elif content(files[name]) != f"{name}\n".encode():
            problems.append(f"{what} has other bytes in {name}")
    return problems


def checkpoint_problems(scene, repo, event):
    """An announced checkpoint: it is there, whole, and holds what the agent had done and said."""
    found, problems = check.checkpoint(repo, event["record"], event["run"], event["task"])
    if not found:
        return problems
    what = f"checkpoint {event['checkpoint']} of {event['task']}"
    if (found["number"], found["attempt"]) != (event["checkpoint"], event["attempt"]):
        problems.append(f"{what} says that it is {found['number']} of attempt {found['attempt']}")
    said = " ".join(e["text"] for e in scene.events("warning"))
    problems += diary_problems(scene, found["files"], lambda oid: repo.object(oid)[2], event["task"], event["attempt"],
                               what, slots(scene) if "new worktree" in said else [], found["left_out"])
    # What the pipe held when its reader was killed is gone with it; what a full disk refused is said to be.
    if event["reason"] == "orphaned" or "are not in its transcript" in said:
        return problems
    spoken = check.transcript(repo, found["mind"], event["attempt"]).decode().splitlines()
    for task, run, life, said in scene.diary("said"):
        if (task, run, int(life)) == (event["task"], event["run"], event["attempt"]) and said not in spoken:
            problems.append(f"{what} lacks what its agent said: {said}")
    return problems


def interrupted_problems(scene):
    """Right after remora died or gave up, before anything is gone on with."""
    problems = []
    with check.Repository(scene.repo, scene.env) as repo:
        published, replaced = set(), {}
        for file in (repo.common / "remora/runs").glob("*/journal.jsonl"):
            records, found = check.journal(file.read_bytes(), whole=False)
            problems += found
            published |= {(file.parent.name, r["task"]) for r in records if r["type"] == "result_published"}
            replaced |= {r["record"]: r["old"] for r in records if r["type"] == "checkpoint_prepared"}
        newest = {}
        announced = scene.events("checkpoint_saved")
        for number, event in enumerate(announced):
            newest[event["run"], event["task"]] = event
            # One with which a new chain begins gives up those before it.
            if not any(e["thins"] and (e["run"], e["task"]) == (event["run"], event["task"]) for e in announced[number + 1:]):
                problems += checkpoint_problems(scene, repo, event)
        refs = repo.refs("refs/remora/wip/")
        for (run, task), event in newest.items():
            there = refs.get(f"refs/remora/wip/{run}/{task}")
            if there == event["record"] or (there is None and ((run, task) in published or recorded(repo, run, task))):
                continue
            later = repo.commit(there) if there else None
            if not later or event["record"] not in (later["trailers"].get("Remora-Previous"), replaced.get(there)):
                problems.append(f"checkpoint {event['checkpoint']} of {task} was announced, and its ref holds {there}")
    return problems


def recorded(repo, run, task):
    """Whether the run's record says that the task succeeded."""
    found = repo.object(f"refs/remora/runs/{run}:tasks/{task}/task.json")
    return bool(found) and json.loads(found[2])["outcome"] == "succeeded"


def ended_problems(scene, repo, kept=()):
    """What holds whenever nothing is going on; worktrees that are `kept` may be there."""
    checkpoints = bool(repo.refs("refs/remora/wip/"))
    problems = repo.fsck() + check.leftovers(repo.common, worktrees=bool(kept)) + check.packs(repo.common, checkpoints)
    overlaps = scene.seen / "overlaps"
    if overlaps.exists():
        problems.append(f"two lives of one task at a time: {overlaps.read_text().split()}")
    if not wait_until(lambda: not check.processes(str(scene.dir)), 10):
        problems.append(f"processes are left: {[command_line(pid) for pid in check.processes(str(scene.dir))]}")
    if repo.git("status", "--porcelain"):
        problems.append("the user's checkout was changed")
    return problems


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "gone"


def slots(scene):
    return [str(p.relative_to(scene.dir)) for p in (scene.dir / "state").glob("remora/*/slots/*")]


def succeeded_problems(scene, tasks):
    """Everything as if nothing had ever happened: each task has its result, and nothing is left but what remora said
    that it leaves, and the worktrees of tasks that it gave up before all their work was saved."""
    said = " ".join([e["text"] for e in scene.events("warning")] + [d.out for d in scene.done if d.args[0] == "doctor"])
    ends = scene.events("task_ended")
    given_up = any(e["outcome"] == "failed" for e in ends)
    with check.Repository(scene.repo, scene.env) as repo:
        kept = slots(scene) if given_up or "stays" in said or "new worktree" in said else []
        problems = ended_problems(scene, repo, kept)
        if not kept and slots(scene):
            problems.append(f"worktrees are left: {slots(scene)}")
        refs = repo.refs("refs/")
        left = [r for r in refs if r.startswith(("refs/remora/wip/", "refs/heads/remora-wip/"))]
        if left and "checkpoint stays" not in said and "checkpoint is kept" not in said:
            problems.append(f"checkpoints are left: {left}")
        problems += [f"{r} was made without a word" for r in refs if r.startswith("refs/remora/foreign/") and r not in said]
        runs = sorted(r.rsplit("/", 1)[1] for r in refs if r.startswith("refs/remora/runs/"))
        done = {}
        for run in runs:
            problems += record_problems(scene, repo, run, done)
        for task in tasks:
            if task not in done:
                problems.append(f"task {task} has succeeded in none of the runs {runs}")
                continue
            files = repo.files(repo.commit(f"refs/heads/remora/{done[task]}/{task}")["tree"])
            problems += diary_problems(scene, files, lambda oid: repo.object(oid)[2], task, 1 << 30,
                                       f"the result of {task}", kept)
    return problems + warning_problems(scene)


def record_problems(scene, repo, run, done):
    """A run's record; `done` gets the tasks that succeeded in it."""
    record = json.loads(repo.object(f"refs/remora/runs/{run}:run.json")[2])
    if "ended" not in record:  # nothing but its record may ever have been
        announced = any(e["run"] == run for e in scene.events("run_started"))
        return [f"the record of run {run} has no end"] if announced else []
    text = repo.object(f"refs/remora/runs/{run}:journal.jsonl")
    records, problems = check.journal(text[2] if text else b"", whole=True)
    started = {(r["task"], r["attempt"]) for r in records if r["type"] == "attempt_started"}
    for task, its_run, attempt, pid in scene.diary("lives"):
        if its_run == run and (task, int(attempt)) not in started:
            problems.append(f"life {pid} of {task} began, and the journal does not know attempt {attempt}")
    known = {r["record"] for r in records if r["type"] in ("checkpoint_prepared", "checkpoint_saved")}
    for event in scene.events("checkpoint_saved"):
        if event["run"] == run and event["record"] not in known:
            problems.append(f"checkpoint {event['checkpoint']} of {event['task']} was announced, and the journal lacks it")
    for task in record["plan"]["tasks"]:
        if recorded(repo, run, task["id"]):
            done[task["id"]] = run
    return problems


def warning_problems(scene):
    """What was to go on undisturbed and did not: the next checkpoint after a recovery always succeeds."""
    calm = [d for d in scene.done if not d.note]
    return [f"remora {' '.join(d.args)} warns: {e['text']}" for d in calm for e in d.events
            if e["type"] == "warning" and "failed" in e["text"]]


def gone_problems(scene):
    with check.Repository(scene.repo, scene.env) as repo:
        problems = ended_problems(scene, repo)
        left = [r for r in repo.refs("refs/") if "remora" in r]
    if left or slots(scene):
        problems.append(f"of a run that was removed there are left {left} {slots(scene)}")
    return problems


# --- the operations ----------------------------------------------------------------------------------------


class Scenario:
    """One command in one state of a repository. `tasks` must all have succeeded at the end."""

    command = ("run", "--json", "plan.yaml")
    tasks = ("a",)
    expected = 0

    def prepare(self, scene):
        """What happens before the command that is cut off."""

    def run(self, scene, **how):
        args = [str(scene.plan_file) if a == "plan.yaml" else a for a in self.command]
        return scene.remora(*args, **how)

    def recover(self, scene, last, fail_next=lambda: None):
        """Goes on until a command succeeds. `fail_next` gives what the next resume is to suffer, if anything."""
        for _ in range(12):
            if last.code == 0:
                return self.swept(scene, last)
            last = self.go_on(scene, last, fail_next())
            if last is None:
                return []
        return [f"it does not come to an end: {last}"]

    @staticmethod
    def swept(scene, last):
        """What could not be removed while calls failed is removed by the next command."""
        if not last.note:
            return []
        done = scene.remora("prune", "--yes")
        return [] if done.code == 0 else [str(done)]

    def go_on(self, scene, last, fail):
        """The next command; None: everything is done."""
        if last.args[0] in ("run", "rerun") and last.code not in (3, 4) and not last.killed:
            return self.again(scene, last)
        resumed = scene.remora("resume", "--json", fail=fail)
        if resumed.code == NO_MATCH:
            return self.again(scene, resumed)
        return resumed

    def again(self, scene, last):
        """Nothing can be resumed: the run never was, or has ended."""
        with check.Repository(scene.repo, scene.env) as repo:
            runs = sorted(repo.refs("refs/remora/runs/"))
            if not runs:
                return self.run(scene)
            ended = json.loads(repo.object(f"{runs[-1]}:run.json")[2]).get("ended")
            if ended and ended["exit"] == 0:
                return None
        return scene.remora("rerun", "last", "--json")

    def problems(self, scene):
        return succeeded_problems(scene, self.tasks)


class Run(Scenario):
    """A task from its first attempt to its result."""


class Chain(Scenario):
    """Two tasks, the second from the first one's result; a verification that fails once; a setup."""

    tasks = ("a", "b")

    def prepare(self, scene):
        scene.plan("  - {id: a, prompt: Do a., verify: 'test -e set-up.o && test ! -e once || { rm -f once; exit 1; }'}\n"
                   "  - {id: b, prompt: Do b., base: {task: a}}", workspace="keep: never, setup: 'echo set up > set-up.o'")
        scene.agent.write_text(scene.agent.read_text() + '[ "$REMORA_ATTEMPT" != 1 ] || : > once\n')


class Beside(Scenario):
    """Two tasks at once: what fails or is cut off for one must not be missing for the other."""

    tasks = ("a", "b")

    def prepare(self, scene):
        scene.plan("  - {id: a, prompt: Do a.}\n  - {id: b, prompt: Do b.}")


class Thin(Scenario):
    """A task each of whose checkpoints gives up the one before, which is then removed."""

    def prepare(self, scene):
        scene.plan("  - {id: a, prompt: Do a., checkpoint: {max_disk: 1},\n"
                   "     verify: 'test ! -e once || { rm -f once; exit 1; }'}")
        scene.agent.write_text(scene.agent.read_text() + '[ "$REMORA_ATTEMPT" != 1 ] || : > once\n')


class Interrupt(Scenario):
    """A run that a person interrupts: every agent is frozen, saved and ended."""

    expected = 3

    def prepare(self, scene):
        scene.order("a", "stop")


class Resume(Scenario):
    """A run whose remora was killed while an agent worked."""

    command = ("resume", "--json")

    def prepare(self, scene):
        scene.order("a", "kill")
        scene.remora("run", str(scene.plan_file), "--json")
        wait_until(lambda: not check.processes(str(scene.dir)))


class Rerun(Scenario):
    """A run whose task was out of attempts."""

    command = ("rerun", "last", "--json")

    def prepare(self, scene):
        scene.plan("  - {id: a, prompt: Do a., attempts: 1}")
        scene.order("a", "fail")
        scene.remora("run", str(scene.plan_file), "--json")

    def again(self, scene, last):
        with check.Repository(scene.repo, scene.env) as repo:
            runs = sorted(repo.refs("refs/remora/runs/"))
        if len(runs) == 1:
            return self.run(scene)
        return super().again(scene, last)


def let_a_minute_pass(scene):
    """Only then the lock of a ref of a run that is gone is known to be nobody's."""
    for lock in (scene.repo / ".git/refs").rglob("*.lock"):
        os.utime(lock, (time.time() - 120,) * 2)


class Removal(Scenario):
    """What deletes is done again, a while later, until it says that there is nothing."""

    def recover(self, scene, last, fail_next=lambda: None):
        for _ in range(12):
            let_a_minute_pass(scene)
            last = self.go_on(scene, last, fail_next())
            if last.code == 0 and not last.note:
                return []
        return [f"it does not come to an end: {last}"]

    def go_on(self, scene, last, fail):
        return self.run(scene, fail=fail)

    def problems(self, scene):
        return gone_problems(scene)


class Prune(Removal):
    command = ("prune", "--yes", "--older-than", "0s")

    def prepare(self, scene):
        scene.remora("run", str(scene.plan_file), "--json")
        scene.git("merge", "-q", "--no-edit", *(r for r in scene.git(
            "for-each-ref", "--format=%(refname)", "refs/heads/remora/").split()))


class Drop(Removal):
    command = ("drop", "last", "--force")

    def prepare(self, scene):
        scene.plan("  - {id: a, prompt: Do a., attempts: 1}", workspace="keep: failed")
        scene.order("a", "fail")
        scene.remora("run", str(scene.plan_file), "--json")

    def go_on(self, scene, last, fail):
        again = self.run(scene, fail=fail)
        if again.code != NO_MATCH:
            return again
        return scene.remora("prune", "--yes", "--older-than", "0s")  # it has no name any more: what is left is swept


class Doctor(Scenario):
    """A run whose remora was killed, with refs of it that somebody spoiled, and what other dead processes left."""

    command = ("doctor", "--fix")

    def prepare(self, scene):
        for command in (("run", str(scene.plan_file)), ("resume",)):  # its one checkpoint is of the first life
            scene.order("a", "kill")
            scene.remora(*command, "--json")
            wait_until(lambda: not check.processes(str(scene.dir)))
        run = scene.events("checkpoint_saved")[-1]["run"]
        git = scene.repo / ".git"
        (git / f"refs/heads/remora-wip/{run}/a").write_bytes(b"")
        leave(git / f"refs/remora/wip/{run}/a.lock")
        self.leave_other_runs(scene, git)
        leave(git / "objects/pack/remora-0123456789abcdef.tmp")
        leave(git / "objects/pack/pack-72656d6f72610123456789abcdef012345678901.keep")
        self.spoil(git, run)

    def leave_other_runs(self, scene, git):
        """Of one that is not here any more: a worktree with work in it, one that is gone, one that a power cut made
        nobody's, a merged branch; of one that never began: its directory."""
        leave(git / "remora/runs/20200102-030405-abcd/lock")
        slots = next((scene.dir / "state").glob("remora/*/slots"))
        for number, task in (("7", "there"), ("8", "gone"), ("9", "emptied")):
            branch, slot = f"remora/20200102-030405-dead/{task}", slots / number
            scene.git("worktree", "add", "-q", "--lock", "--reason", branch, "-b", branch, str(slot))
            note = scene.git("hash-object", "--stdin", input=str(slot)).strip()
            (git / "remora/worktrees" / note).write_text(f"{slot}\n")
        (slots / "7/work").write_text("work\n")
        for number in ("8", "9"):
            shutil.rmtree(slots / number)
        for name in ("gitdir", "HEAD", "locked"):
            leave(git / "worktrees/9" / name)
        os.utime(git / "worktrees/9", (time.time() - 120,) * 2)

    def spoil(self, git, run):
        """The ref of the newest checkpoint is gone: the journal knows it."""
        (git / f"refs/remora/wip/{run}/a").unlink()

    def recover(self, scene, last, fail_next=lambda: None):
        for _ in range(12):
            let_a_minute_pass(scene)
            last = self.run(scene, fail=fail_next())
            if last.code == 0:
                break
        well = scene.remora("doctor", "--json")
        if last.code != 0 or well.code != 0:
            return [f"it does not get well: {last}\n{last.out}\n{well}\n{well.out}"]
        return self.wake(scene) + super().recover(scene, scene.remora("resume", "--json"), fail_next)

    def wake(self, scene):
        """What was stopped goes on."""
        return []


class Rebuild(Doctor):
    """The same with a journal that is damaged where it had been durable."""

    def spoil(self, git, run):
        journal = git / f"remora/runs/{run}/journal.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        lines[1] = lines[1].replace(b'"type"', b'"tyqe"')
        journal.write_bytes(b"".join(lines))


class Takeover(Doctor):
    """A run whose remora was stopped while an agent worked."""

    def prepare(self, scene):
        scene.order("a", "freeze")

    def run(self, scene, **how):
        if not scene.beside:
            scene.start("run", str(scene.plan_file), "--json")
            wait_until(lambda: processes.state_of(scene.beside.pid) == "T")
        return super().run(scene, **how)

    def wake(self, scene):
        scene.beside.send_signal(signal.SIGCONT)
        code = scene.beside.wait(PATIENCE)
        return [] if code == HELD else [f"the one that was stopped goes on and ends with {code}"]


def leave(file):
    """An empty file of somebody who has been dead for two minutes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    os.utime(file, (time.time() - 120,) * 2)


ALL = {s.__name__.lower(): s()
       for s in (Run, Chain, Beside, Thin, Interrupt, Resume, Rerun, Prune, Drop, Doctor, Rebuild, Takeover)}
