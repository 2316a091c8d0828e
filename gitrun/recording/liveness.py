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
from gitrun.files.holder import LOCAL, Here, Process, filesystem_of, here, identify, is_alive
from gitrun.files.locks import held_by_other
from gitrun.model.canonical import DecodeProblem, decode
from gitrun.recording.live import LiveDirectory
from gitrun.recording.member import read_pids

FORMAT = 1
LEFT = "left"  # the file of a member that will not come back
DEAD, ALIVE, ELSEWHERE = "dead", "alive", "elsewhere"


class Judgement(NamedTuple):
    """`dead`, `alive` or `elsewhere`, and why, in words."""

    state: str
    reason: str


def make_header(directory: str, worktree: str | None = None) -> dict[str, Any]:
    """The header of a member that this process records, with its files in (or below) `directory`.

    The working tree has its inode with it: so many hosts have a directory of that name of their own.
    """
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
        "worktree": None if worktree is None else [worktree, os.stat(worktree).st_ino],
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
    if has_left(member):
        return Judgement(DEAD, "it has left the run to the others")
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


def has_left(member: str) -> bool:
    """Whether the member has said that it will not come back."""
    return os.path.lexists(os.path.join(member, LEFT))


def read_header(member: str) -> dict[str, Any] | None:
    """A member's header, None where it is not there or not one."""
    try:
        with open(os.path.join(member, "header.json"), "rb") as file:
            header = decode(file.read(1 << 16))
    except (OSError, DecodeProblem):
        return None
    readable = isinstance(header, dict) and header.get("format") == FORMAT and not header.get("requires")
    return header if readable else None


def is_own(member: str) -> bool:
    """Whether this very process records the member."""
    recorder = (read_header(member) or {}).get("recorder")
    return recorder == identify(os.getpid())._asdict()


def _number(value: Any) -> int:
    return value if type(value) is int else -1
