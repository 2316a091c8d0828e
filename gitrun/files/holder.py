"""Who holds a lock or a directory: a host, a boot, a pid namespace, a process.

A lock file outlives its process and is seen from other hosts, so whoever leaves one writes down who he is, and
whoever finds one compares. A pid alone is reused: a process is known by its pid and its start time.
"""

import os
from typing import NamedTuple

# File systems that one kernel owns: what was mounted before a reboot was not mounted by anybody else.
LOCAL = frozenset("ext2 ext3 ext4 xfs btrfs f2fs zfs jfs reiserfs bcachefs nilfs2 tmpfs ramfs overlay ecryptfs".split())


class Process(NamedTuple):
    """One process: `start` is its start time in clock ticks since boot."""

    pid: int
    start: int


class Stat(NamedTuple):
    """The fields of /proc/<pid>/stat that are used here."""

    name: str
    state: str
    parent: int
    start: int


def stat_of(pid: int) -> Stat | None:
    """What the kernel says about a process, None when there is none (or no /proc)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            data = file.read()
    except OSError:
        return None
    name, _, rest = data.partition(b"(")[2].rpartition(b")")
    fields = rest.split()
    return Stat(name.decode("utf-8", "replace"), fields[0].decode(), int(fields[1]), int(fields[19]))


def identify(pid: int) -> Process:
    """A process that exists now; start is 0 where the system does not tell."""
    found = stat_of(pid)
    return Process(pid, found.start if found else 0)


def is_alive(process: Process) -> bool:
    """Whether this very process still runs; a zombie does not."""
    found = stat_of(process.pid)
    if found is None:
        return False
    return found.start == process.start and found.state not in ("Z", "X")


def exists(process: Process) -> bool:
    """Whether the process is still known to the kernel, ended ones that nobody has waited for included."""
    found = stat_of(process.pid)
    return found is not None and found.start == process.start


class Here(NamedTuple):
    """What this process can prove things about."""

    host: str
    boot_id: str
    pid_namespace: str


def here() -> Here:
    """This host, boot and pid namespace; an empty text where the system does not tell."""
    boot_id = _read("/proc/sys/kernel/random/boot_id")
    host = _read("/etc/machine-id") or f"{os.uname().nodename}-{boot_id}"
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return Here(host, boot_id, namespace)


def filesystem_of(path: str) -> str:
    """The kind of file system a path lies on, as /proc/self/mountinfo names it; empty where it does not say."""
    try:
        device = os.stat(path).st_dev
        with open("/proc/self/mountinfo", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    number = b"%d:%d" % (os.major(device), os.minor(device))
    path_bytes = os.fsencode(os.path.realpath(path))
    best, kind = -1, b""
    for line in lines:
        fields, _, rest = line.partition(b" - ")
        words = fields.split()
        # btrfs and overlay give files another device than their mount has: then the longest mount point counts
        point = words[4].replace(b"\\040", b" ")
        inside = path_bytes == point or path_bytes.startswith(point.rstrip(b"/") + b"/")
        rank = len(point) + (1 << 16 if words[2] == number else 0) if inside else -1
        if rank >= best >= -1 and rank >= 0:
            best, kind = rank, rest.split()[0]
    return kind.decode("utf-8", "replace")


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""
