"""What the keeper leaves in its member's directory for others: who runs, and how it ended (spec/live)."""

import json
import os
from typing import Any

from gitrun.recording.processes import Process

EXIT_BYTES = 4096  # preallocated, so that a full disk cannot lose the exit status


def reserve_exit(member: str) -> int:
    """The exit file, with room for what will be written to it; where there is none it is written all the same."""
    fd = os.open(os.path.join(member, "exit"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        os.posix_fallocate(fd, 0, EXIT_BYTES)
    except OSError:
        pass  # a file system without allocation, or a full one: the write at the end still may succeed
    return fd


def read_exit(member: str) -> dict[str, Any] | None:
    """What the keeper wrote about the end, None when nobody saw it."""
    try:
        with open(os.path.join(member, "exit"), "rb") as file:
            line = file.read(EXIT_BYTES).partition(b"\0")[0]
        found = json.loads(line) if line.endswith(b"\n") else None
    except (FileNotFoundError, ValueError):
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
