"""A disk whose power can be cut: ext4 on a loop device, and the ioctl that stops every write to it at once.

All of it lives in a mount namespace of this process and in memory, so nothing is left of it when the process
ends, however it ends. Needs root and loop devices: `Unavailable` says what is missing.
"""

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import time
import uuid
from pathlib import Path

CLONE_NEWNS = 0x00020000
# _IOR('X', 125, __u32), fs/ext4/ext4.h: what the power cut is made of. After LOGFLUSH the file system's log is
# on the disk and the data that nobody synced is not: names of empty files. After NOLOGFLUSH neither is.
EXT4_IOC_SHUTDOWN = 0x8004587D
LOGFLUSH, NOLOGFLUSH = 1, 2

PATIENCE = 10  # seconds for those who held files open
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Unavailable(Exception):
    """This machine cannot do it; the text says why."""


def tool(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def own_mounts():
    """What this process mounts from now on is seen by nobody else, and gone with it."""
    if os.geteuid() != 0:
        raise Unavailable("power cuts need root: a file system is mounted")
    for program in ("mkfs.ext4", "mount", "umount"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise Unavailable(f"{program} is not installed")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise Unavailable("this machine allows no mount namespace: " + os.strerror(ctypes.get_errno()))
    tool("mount", "--make-rprivate", "/")


class Disk:
    """`path` is the file system on it. Between two cuts it is a machine that is up, with a boot id of its own."""

    def __init__(self, below, megabytes=256):
        self.below = Path(below)
        self.image, self.path, self.boot_id = self.below / "image", self.below / "disk", self.below / "boot_id"
        self.megabytes = megabytes
        self.path.mkdir()
        self.boot_id.write_text("")
        tool("mount", "--bind", str(self.boot_id), BOOT_ID)

    def format(self):
        self.image.unlink(missing_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(self.megabytes << 20)
        tool("mkfs.ext4", "-q", "-F", str(self.image))

    def power_on(self, options=""):
        """Mounts, which replays the file system's log: a new boot."""
        self.boot_id.write_text(f"{uuid.uuid4()}\n")
        # The loop device is made here and detached by the unmount: what it has cached would outlive the cut.
        tool("mount", "-t", "ext4", "-o", ",".join(filter(None, ["loop", options])), str(self.image), str(self.path))

    def cut(self, flags):
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", flags))
        finally:
            os.close(fd)

    def power_off(self):
        """After a cut; whoever held files open has been killed, and may need a moment to be gone."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                tool("umount", str(self.path))
                return
            except Unavailable:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def close(self):
        if os.path.ismount(self.path):
            subprocess.run(["umount", "-l", str(self.path)], check=False)
        subprocess.run(["umount", BOOT_ID], check=False)
