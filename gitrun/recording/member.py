"""What the keeper leaves in its member's directory for others: who runs, and how it ended (spec/live)."""

import errno
import json
import os
from typing import Any

from gitrun.files.holder import Process

EXIT_BYTES = 4096  # preallocated, so that a full disk cannot lose the exit status


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
