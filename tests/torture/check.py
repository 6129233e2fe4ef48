#!/usr/bin/env python3
"""What must hold of a repository that remora worked in, checked without a line of remora's code: git itself,
docs/journal.md and docs/checkpoint-format.md read by this program, and files that the agents wrote.

    tests/torture/check.py REPOSITORY [--journal FILE]

checks a repository (objects, leftovers, journals, checkpoints) and prints one line a finding; exits with 1 if
there is one. The instruments beside it use the functions.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # CRC-32C, reflected
    TABLE.append(byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


# --- the journal -----------------------------------------------------------------------------------------


def journal_record(line, seq):
    """The record of a whole line, or why it is none."""
    body, mark, rest = line.rpartition(b',"crc":"')
    if not mark or not re.fullmatch(rb'[0-9a-f]{8}"}', rest):
        return None, "it does not end with its checksum"
    if f"{crc32c(body):08x}".encode() != rest[:8]:
        return None, "its checksum is wrong"
    record = json.loads(line)
    if record["seq"] != seq:
        return None, f"seq is {record['seq']}, not {seq}"
    return record, None


def journal(data, whole):
    """The records of a journal, and what is wrong with it. A torn tail is wrong where it ought to be `whole`,
    or where something behind or in front of it says that it had been synced."""
    records, problems, torn = [], [], None
    lines = data.split(b"\n")
    for number, line in enumerate(lines[:-1], 1):
        record, why = journal_record(line, len(records) + 1)
        if record is None:
            torn = torn or (number, why)
        elif torn:
            problems.append(f"journal line {number} is good behind the bad line {torn[0]}")
        else:
            records.append(record)
    torn = torn or ((len(lines), "it has no end") if lines[-1] else None)
    if torn and whole:
        problems.append(f"journal line {torn[0]}: {torn[1]}")
    synced = max((r["synced"] for r in records), default=0)
    if synced > len(records):
        problems.append(f"the journal says that {synced} records were synced, and has {len(records)}")
    return records, problems + journal_order(records)


def journal_order(records):
    """What the order of the records forbids."""
    problems, open_attempts, numbers, prepared = [], {}, {}, {}
    for r in records:
        task, kind = r.get("task"), r["type"]
        if kind == "run_resumed":
            open_attempts.clear()  # their orchestrator is dead: the next start must have waited for them
        elif kind == "attempt_started":
            if open_attempts.get(task):
                problems.append(f"attempt {r['attempt']} of {task} started while {open_attempts[task]} was open")
            open_attempts[task] = r["attempt"]
        elif kind == "attempt_ended":
            open_attempts.pop(task, None)
        elif kind == "checkpoint_prepared":
            prepared[task] = r
        elif kind == "checkpoint_saved":
            if (prepared.get(task) or {}).get("record") != r["record"]:
                problems.append(f"checkpoint {r['checkpoint']} of {task} was saved and not prepared before")
            if r["checkpoint"] <= numbers.get(task, 0):
                problems.append(f"checkpoint {r['checkpoint']} of {task} came after {numbers[task]}")
            numbers[task] = r["checkpoint"]
        elif kind == "warning" and "is made anew of what git has" in r["text"]:
            problems.clear()  # all before this was made of the checkpoints, and not as it came
    return problems


# --- git -------------------------------------------------------------------------------------------------


class Repository:
    """A repository through git's own programs; objects through one `git cat-file --batch`."""

    def __init__(self, path, env=None):
        self.path, self.env = Path(path), env or dict(os.environ)
        self.common = self.path / ".git" if (self.path / ".git").is_dir() else self.path
        self.reader = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.reader:
            self.reader.stdin.close()
            self.reader.stdout.close()
            self.reader.wait()

    def git(self, *args, check=True):
        done = subprocess.run(["git", *args], cwd=self.path, env=self.env, capture_output=True, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"git {' '.join(args)}: {done.stderr.decode(errors='replace')}")
        return (done.stdout + (b"" if check else done.stderr)).decode(errors="replace")

    def object(self, name):
        """(id, kind, bytes) of an object, or nothing."""
        if not self.reader:
            self.reader = subprocess.Popen(["git", "cat-file", "--batch"], cwd=self.path, env=self.env,
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.reader.stdin.write(name.encode() + b"\n")
        self.reader.stdin.flush()
        head = self.reader.stdout.readline().split()
        if len(head) != 3 or head[1] == b"missing":
            return None
        data = self.reader.stdout.read(int(head[2]) + 1)[:-1]
        return head[0].decode(), head[1].decode(), data

    def commit(self, name):
        """{tree, parents, message, trailers}, or nothing."""
        found = self.object(name)
        if not found or found[1] != "commit":
            return None
        head, _, message = found[2].decode(errors="replace").partition("\n\n")
        fields = [line.split(" ", 1) for line in head.split("\n")]
        trailers = [line.split(": ", 1) for line in message.rstrip("\n").split("\n\n")[-1].split("\n")
                    if line.startswith("Remora-") and ": " in line]
        return {"id": found[0], "tree": next(v for k, v in fields if k == "tree"),
                "parents": [v for k, v in fields if k == "parent"], "message": message,
                "trailers": dict(trailers), "keep": [v for k, v in trailers if k == "Remora-Keep"]}

    def files(self, tree, below=""):
        """Path → id of every blob below a tree; an object that is not there is an error."""
        found = self.object(tree)
        if not found:
            raise AssertionError(f"tree {tree} of {below or 'the root'} is missing")
        paths, data = {}, found[2]
        while data:
            head, _, data = data.partition(b"\0")
            mode, name = head.split(b" ", 1)
            oid, data = data[:20].hex(), data[20:]
            path = below + name.decode(errors="replace")
            if mode == b"40000":
                paths.update(self.files(oid, path + "/"))
            elif mode != b"160000":
                paths[path] = oid
        return paths

    def refs(self, *prefixes):
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname)", *prefixes).splitlines()
        return dict(line.split(" ") for line in lines)

    def fsck(self):
        """What `git fsck` finds; what nothing leads to is no fault."""
        said = self.git("fsck", "--strict", "--no-dangling", "--no-progress", check=False).splitlines()
        return [f"git fsck: {line}" for line in said if not line.startswith(("notice:", "unreachable "))]


def checkpoint(repo, record, run, task):
    """A checkpoint by the id of its record: {number, attempt, files, mind, reason}, and what is wrong with it."""
    commit = repo.commit(record)
    if not commit:
        return None, [f"the record {record} of task {task} is missing"]
    t, problems = commit["trailers"], []
    where = f"record {record[:10]} of task {task}"
    if t.get("Remora-Format") != "1" or t.get("Remora-Run") != run or t.get("Remora-Task") != task:
        problems.append(f"{where} says {t}")
    named = [t.get("Remora-Files"), t.get("Remora-Previous"), *commit["keep"]]
    if not t.get("Remora-Files") or any(id and id not in commit["parents"] for id in named):
        return None, problems + [f"{where} names what is not among its parents"]
    files_commit = repo.commit(t["Remora-Files"])
    if not files_commit:
        return None, problems + [f"{where}: its files {t['Remora-Files']} are missing"]
    mind = repo.files(commit["tree"])
    for name, schema in (("state.json", "remora.state/1"), ("manifest.json", "remora.manifest/1"),
                         ("index.json", "remora.index/1")):
        try:
            if json.loads(repo.object(mind[name])[2])["schema"] != schema:
                problems.append(f"{where}: {name} is not {schema}")
        except (KeyError, TypeError, ValueError) as e:
            problems.append(f"{where}: {name} cannot be read: {e}")
    return {"number": int(t["Remora-Checkpoint"]), "attempt": int(t["Remora-Attempt"]), "reason": t["Remora-Reason"],
            "files": repo.files(files_commit["tree"]), "mind": mind, "left_out": left_out(repo, mind)}, problems


def left_out(repo, mind):
    """The paths of which the manifest says that they were there and are not in the tree."""
    manifest = json.loads(repo.object(mind["manifest.json"])[2])
    return {item["path"] for item in manifest["left_out"]}


def transcript(repo, mind, attempt):
    """What the agent of an attempt printed, as far as a mind has it: the pieces in the order of their numbers."""
    pieces = []
    for path, oid in mind.items():
        found = re.fullmatch(rf"transcript/{attempt}/out/(\d+)/(\d+)", path)
        if found:
            pieces.append((int(found[1]) * 100 + int(found[2]), oid))
    return b"".join(repo.object(oid)[2] for _, oid in sorted(pieces))


# --- what is left ----------------------------------------------------------------------------------------


def leftovers(common, runs=(), worktrees=False):
    """Locks, temporary files, worktrees and run directories below a git directory; the directories of `runs` may be
    there, and `worktrees`."""
    left = []
    for directory, names, files in os.walk(common):
        here = Path(directory).relative_to(common)
        if here.parts[:2] == ("remora", "runs") and len(here.parts) == 2:
            left += [f"{here}/{name}" for name in names if name not in runs]
            names[:] = [name for name in names if name in runs]
        if here.parts[:1] == ("worktrees",) and len(here.parts) == 1 and not runs and not worktrees:
            left += [f"{here}/{name}" for name in names]
        left += [f"{here}/{name}" for name in files if name.endswith(".lock")]
    return [f"left in the git directory: {path}" for path in left]


OUR_PACK = re.compile(r"pack-72656d6f7261[0-9a-f]{28}\.(pack|idx|keep)")


def packs(common, kept):
    """What is wrong with remora's packs: half of one, one in the making, none with its `.keep` while checkpoints are
    there (`kept`; those of a run that ended before lost theirs then), or one with it when there are none."""
    directory, parts, problems = common / "objects/pack", {}, []
    for name in sorted(os.listdir(directory)) if directory.is_dir() else ():
        found = OUR_PACK.fullmatch(name)
        if found:
            parts.setdefault(name.rsplit(".", 1)[0], set()).add(found[1])
        elif name.endswith(".tmp"):
            problems.append(f"a pack in the making is left: {name}")
    if kept and parts and not any("keep" in there for there in parts.values()):
        problems.append("no pack is kept, and checkpoints are there")
    return problems + [f"{name} has {sorted(there)}" for name, there in parts.items()
                       if not {"pack", "idx"} <= there or ("keep" in there and not kept)]


def processes(mark, but=()):
    """Ids of the processes whose environment or working directory names `mark`; a zombie has neither."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) in but or int(pid) == os.getpid():
            continue
        try:
            directory = os.readlink(f"/proc/{pid}/cwd")
            if directory == mark or directory.startswith(mark + "/"):
                found.append(int(pid))
            elif mark.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(int(pid))
        except OSError:
            continue
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository")
    parser.add_argument("--journal", help="check only this file, as that of a run that has ended")
    o = parser.parse_args()
    if o.journal:
        problems = journal(Path(o.journal).read_bytes(), whole=True)[1]
    else:
        with Repository(o.repository) as repo:
            live = [p.name for p in (repo.common / "remora/runs").glob("*") if (p / "journal.jsonl").exists()]
            problems = repo.fsck() + leftovers(repo.common, live)
            for run in live:
                problems += journal((repo.common / "remora/runs" / run / "journal.jsonl").read_bytes(), whole=False)[1]
            for ref, record in repo.refs("refs/remora/wip/").items():
                problems += checkpoint(repo, record, *ref.split("/")[3:5])[1]
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
