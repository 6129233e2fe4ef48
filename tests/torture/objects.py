"""What a repository holds, read by plain git and believed only after each object's bytes gave its id again."""

import hashlib
import re
import subprocess

PATIENCE = 120


class Damaged(Exception):
    pass


def git(repo, *args, env=None):
    done = subprocess.run(["git", "-C", str(repo), *args], env=env, capture_output=True, timeout=PATIENCE)
    if done.returncode != 0:
        raise Damaged(f"git {' '.join(args)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="surrogateescape")


def fsck(repo, env=None):
    """What plain git says of all that is there; it exits with an error for what nobody names, too."""
    done = subprocess.run(["git", "-C", str(repo), "fsck", "--no-dangling", "--no-progress"], env=env, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
    return done.stdout.splitlines()


def refs(repo, *prefixes, env=None):
    lines = git(repo, "for-each-ref", "--format=%(refname) %(objectname)", *prefixes, env=env).splitlines()
    return dict(line.split(" ") for line in lines)


class Objects:
    """All that is reachable from `tips`, in memory."""

    def __init__(self, repo, tips, env=None):
        self.all = {}
        if not tips:
            return
        listed = subprocess.run(["git", "-C", str(repo), "rev-list", "--objects", "--no-object-names", "--stdin"], env=env,
                                input="\n".join(tips).encode() + b"\n", capture_output=True, timeout=PATIENCE)
        if listed.returncode != 0:
            raise Damaged(f"git rev-list of {len(tips)} tips: {listed.stderr.decode(errors='replace').strip()}")
        read = subprocess.run(["git", "-C", str(repo), "cat-file", "--batch", "--buffer"], env=env,
                              input=listed.stdout, capture_output=True, timeout=PATIENCE)
        self.take(read.stdout)
        absent = [name for name in listed.stdout.decode().split() if name not in self.all]
        if absent or read.returncode != 0:
            raise Damaged(f"cannot be read: {absent[:3]} {read.stderr.decode(errors='replace').strip()}")

    def take(self, batch):
        at = 0
        while at < len(batch):
            end = batch.index(b"\n", at)
            words = batch[at:end].decode().split(" ")
            at = end + 1
            if len(words) != 3:
                raise Damaged(f"git cat-file says '{' '.join(words)}'")
            name, kind, size = words[0], words[1], int(words[2])
            body = batch[at:at + size]
            at += size + 1
            if hashlib.sha1(f"{kind} {size}".encode() + b"\0" + body).hexdigest() != name:
                raise Damaged(f"the {kind} {name} does not hold the bytes that its name stands for")
            self.all[name] = (kind, body)

    def body(self, name, kind):
        if self.all.get(name, ("",))[0] != kind:
            raise Damaged(f"{kind} {name} is not there")
        return self.all[name][1]

    def commit(self, name):
        """Tree, parents and the trailers of remora's."""
        head, _, message = self.body(name, "commit").decode(errors="replace").partition("\n\n")
        return (re.search(r"^tree (\w+)", head, re.M)[1], re.findall(r"^parent (\w+)", head, re.M),
                dict(re.findall(r"^Remora-([\w-]+): (.*)$", message, re.M)))

    def tree(self, name):
        """Name -> (mode, id)."""
        body, at, entries = self.body(name, "tree"), 0, {}
        while at < len(body):
            end = body.index(b"\0", at)
            mode, path = body[at:end].split(b" ", 1)
            entries[path.decode(errors="surrogateescape")] = (mode.decode(), body[end + 1:end + 21].hex())
            at = end + 21
        return entries

    def files(self, tree, prefix=""):
        """Path -> bytes of every file below a tree; links hold their target."""
        found = {}
        for name, (mode, entry) in self.tree(tree).items():
            if mode == "40000":
                found.update(self.files(entry, f"{prefix}{name}/"))
            elif mode != "160000":
                found[prefix + name] = self.body(entry, "blob")
        return found

    def reaches(self, tip, wanted):
        seen, open_ends = set(), [tip]
        while open_ends:
            name = open_ends.pop()
            if name == wanted:
                return True
            if name not in seen and name in self.all:
                seen.add(name)
                open_ends += self.commit(name)[1]
        return False
