"""What the keeper leaves in its member's directory for others: who runs, and how it ended (spec/live)."""

import errno
import json
import os
from collections.abc import Iterable
from typing import Any

from gitrun.files.holder import Process

EXIT_BYTES = 4096  # preallocated, so that a full disk cannot lose the exit status
_JUMP_S = 2.0  # how far a clock may be corrected without a word


def reserve_exit(member: str) -> int:
    """The exit file, with room for what will be written over it; raises OSError where there is none."""
    fd = os.open(os.path.join(member, "exit"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        os.posix_fallocate(fd, 0, EXIT_BYTES)
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        os.pwrite(fd, bytes(EXIT_BYTES), 0)  # a file system without allocation
    return fd


def read_exit(member: str) -> dict[str, Any] | None:
    """What the keeper wrote about the end, None when nobody saw it."""
    try:
        with open(os.path.join(member, "exit"), "rb") as file:
            line = file.read(EXIT_BYTES).partition(b"\0")[0]
        found = json.loads(line) if line.endswith(b"\n") else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def clock_jump_ns(end: dict[str, Any]) -> int:
    """By how much the clock moved on more than time passed, from the written end; negative where it was set back."""
    try:
        return int(end["ended_ns"]) - int(end["started_ns"]) - int(end["duration_ns"])
    except (KeyError, TypeError, ValueError):
        return 0  # nobody saw the end


def clock_problem(end: dict[str, Any]) -> str | None:
    """The sentence about a clock that did not tell the time."""
    jump_s = clock_jump_ns(end) / 1e9
    if abs(jump_s) < _JUMP_S:
        return None
    if jump_s < 0:
        return (
            f"the clock was set back by {-jump_s:.0f} s while it ran: times are as it told them, the duration is right"
        )
    return f"the clock moved on by {jump_s:.0f} s more than the run took: it was set, or the machine was asleep"


def write_pids(member: str, pids: dict[str, Process]) -> None:
    """Writes down the processes by role; the moment is the one at which the command is let go."""
    fd = os.open(os.path.join(member, "keeper"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        os.write(fd, json.dumps(pids).encode())
    except OSError:
        pass  # a full disk: the lock that its keeper holds still says that the run is alive
    os.close(fd)


def read_pids(member: str) -> dict[str, Process]:
    """The processes that the keeper wrote down, by role."""
    try:
        with open(os.path.join(member, "keeper"), "rb") as file:
            found = json.load(file)
        return {role: Process(int(pid), int(start)) for role, (pid, start) in found.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}  # not written yet, or cut by a full disk: the lock speaks for them


def started_at_ns(member: str) -> int | None:
    """When the keeper let the command go, by the file system's clock; None where it has not yet, or could not say."""
    try:
        return os.stat(os.path.join(member, "keeper")).st_mtime_ns  # written the moment before
    except FileNotFoundError:
        return None


def last_seen_ns(member: str) -> int | None:
    """The last moment at which the run certainly lived, from the files its keeper touches; None without any."""
    times = []
    for name in ("heartbeat", "console", "header.json"):
        try:
            times.append(os.stat(os.path.join(member, name)).st_mtime_ns)
        except OSError:
            continue  # not there: the others speak
    return max(times, default=None)


def has_files(members: Iterable[str], prefix: str) -> bool:
    """Whether programs of the run have left files of one kind in the directories of members."""
    for member in members:
        try:
            if any(name.startswith(prefix) for name in os.listdir(member)):
                return True
        except FileNotFoundError:
            continue  # it withdrew just now
    return False
