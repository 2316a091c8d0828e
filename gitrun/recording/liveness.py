"""Liveness: when may somebody else say that a run is over?

A live directory can be seen from another container, another host, after a reboot, over a file system whose locks
lie. Sealing a run that is alive would be worse than showing a dead one as running for ever. So only proof counts,
and proof needs all of: this host, this boot, this pid namespace (or their pids say nothing), a lock that is
really free, and every process that was written down gone (pid and start time). One more thing is proof: the same
host after a reboot, when the directory lies on a local file system. Everything else is `elsewhere`, whatever the
lock says, and only a person can decide it (`gitrun recover RUN --force`).
"""

import os
from typing import Any, NamedTuple

from gitrun.errors import GitrunError
from gitrun.files.holder import Here, Process, here, identify, is_alive
from gitrun.files.locks import held_by_other
from gitrun.model.canonical import DecodeProblem, decode
from gitrun.recording.live import LiveDirectory
from gitrun.recording.member import read_pids

FORMAT = 1
DEAD, ALIVE, ELSEWHERE = "dead", "alive", "elsewhere"
# File systems that one kernel owns: what was mounted before a reboot was not mounted by anybody else.
LOCAL = frozenset("ext2 ext3 ext4 xfs btrfs f2fs zfs jfs reiserfs bcachefs nilfs2 tmpfs ramfs overlay ecryptfs".split())


class Judgement(NamedTuple):
    """`dead`, `alive` or `elsewhere`, and why, in words."""

    state: str
    reason: str


def make_header(directory: str) -> dict[str, Any]:
    """The header of a member that this process records, with its files in (or below) `directory`."""
    me = identify(os.getpid())
    place = here()
    return {
        "format": FORMAT,
        "requires": [],
        "host": os.uname().nodename,
        "host_id": place.host,
        "boot_id": place.boot_id,
        "pid_namespace": place.pid_namespace,
        "recorder": {"pid": me.pid, "start": me.start},
        "filesystem": filesystem_of(directory),
        "uid": os.getuid(),
    }


def judge(live: LiveDirectory, place: Here) -> Judgement:
    """What can be said about the run behind a live directory: its members' verdicts, the most alive first."""
    members = live.members()
    if not members:
        return Judgement(ELSEWHERE, "it says nothing about who made it")
    verdicts = [judge_member(member, place) for member in members]
    for state in (ALIVE, ELSEWHERE):
        for verdict in verdicts:
            if verdict.state == state:
                return verdict
    return verdicts[0]


def judge_member(member: str, place: Here) -> Judgement:
    """What can be said about one member."""
    header = read_header(member)
    if header is None:
        return Judgement(ELSEWHERE, "its header is missing or cannot be read")
    host = str(header.get("host"))
    if header.get("host_id") != place.host:
        return Judgement(ELSEWHERE, f"it runs on {host}")
    if not place.boot_id or not header.get("boot_id"):
        return Judgement(ELSEWHERE, "this system does not say when it was started")
    if header["boot_id"] != place.boot_id:
        kinds = {str(header.get("filesystem")), filesystem_of(member)}
        if kinds <= LOCAL:
            return Judgement(DEAD, f"{host} was started again since")
        return Judgement(ELSEWHERE, f"{host} or a machine with its name may still run it")
    if not place.pid_namespace or header.get("pid_namespace") != place.pid_namespace:
        return Judgement(ELSEWHERE, f"it runs in another container on {host}")
    return _judge_processes(member, header)


def _judge_processes(member: str, header: dict[str, Any]) -> Judgement:
    try:
        if held_by_other(os.path.join(member, "lock")):
            return Judgement(ALIVE, "its lock is held")
    except GitrunError as problem:
        return Judgement(ELSEWHERE, f"its lock cannot be looked at: {problem}")
    recorder = header.get("recorder")
    if not isinstance(recorder, dict):
        return Judgement(ELSEWHERE, "its header does not name its process")
    processes = {"recorder": Process(_number(recorder.get("pid")), _number(recorder.get("start")))}
    processes.update(read_pids(member))
    for role, process in processes.items():
        if process.pid != os.getpid() and is_alive(process):
            return Judgement(ALIVE, f"its {role} (process {process.pid}) is alive")
    return Judgement(DEAD, "its processes are gone")


def read_header(member: str) -> dict[str, Any] | None:
    """A member's header, None where it is not there or not one."""
    try:
        with open(os.path.join(member, "header.json"), "rb") as file:
            header = decode(file.read(1 << 16))
    except (OSError, DecodeProblem):
        return None
    readable = isinstance(header, dict) and header.get("format") == FORMAT and not header.get("requires")
    return header if readable else None


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


def _number(value: Any) -> int:
    return value if type(value) is int else -1
