"""The command's end as the keeper tells it: one line, to the file `exit` and to the recorder.

The file is written as soon as the command has ended, and once more when what it left behind is known, in place: a
keeper that is killed in between, or a disk that is full, takes nothing that was known before.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from gitrun.recording.captor import Captor
from gitrun.recording.member import EXIT_BYTES, reserve_exit
from gitrun.recording.relay import Channel

_NAMED = 20  # descendants that are named, so that the exit fits its file


class Ending:
    """What is known of one command's end; `facts` are the fields of the exit that are."""

    def __init__(self, member: str) -> None:
        self._fd = reserve_exit(member)
        self.facts: dict[str, Any] = {"code": None, "signal": None, "left_behind": []}
        self.started_ns, self._started = time.time_ns(), time.monotonic()
        self._oom_kills = 0

    def begin(self) -> None:
        """The command starts now."""
        self._oom_kills = oom_kills()
        self.started_ns, self._started = time.time_ns(), time.monotonic()

    def waited(self, status: int, user_s: float, system_s: float, peak: int) -> None:
        """The command ended with this wait status; seconds and bytes it took."""
        died = os.WIFSIGNALED(status)
        self.facts.update(
            code=None if died else os.WEXITSTATUS(status),
            signal=os.WTERMSIG(status) if died else None,
            user_s=user_s,
            system_s=system_s,
            max_rss_bytes=peak,
        )
        if self.facts["signal"] == signal.SIGKILL:
            self.facts["oom_kills"] = oom_kills() - self._oom_kills

    def now(self) -> None:
        """The end is now, whatever it was."""
        self.facts["ended_ns"] = time.time_ns()
        self.facts["duration_ns"] = int((time.monotonic() - self._started) * 1e9)

    def leaves(self, left: dict[int, str]) -> None:
        """Descendants that live on, pid and name."""
        self.facts["left_behind"] = [{"pid": pid, "name": left[pid]} for pid in sorted(left)[:_NAMED]]

    def line(self, mode: str, seen: set[int], channels: Sequence[Channel], console: Captor) -> bytes:
        """The exit as it is told."""
        record = {
            "format": 1,
            "mode": mode,
            "merged": len(channels) == 1,
            "started_ns": self.started_ns,
            "forwarded": sorted(seen),
            "console": {"bytes": console.total, "stopped": console.stopped},
            "output_problem": next((channel.problem for channel in channels if channel.problem), None),
            **self.facts,
        }
        return json.dumps(record).encode() + b"\n"

    def write(self, line: bytes) -> None:
        """Puts the line into the file."""
        harmless(os.pwrite, self._fd, line.ljust(EXIT_BYTES, b"\0")[:EXIT_BYTES], 0)

    def sync(self) -> None:
        """Makes what was written survive a power cut."""
        harmless(os.fsync, self._fd)


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since the machine was started, as far as it tells."""
    try:
        with open("/proc/vmstat", "rb") as file:
            _, found, rest = file.read().partition(b"\noom_kill ")
    except OSError:
        return 0
    return int(rest.split()[0]) if found else 0


def harmless(action: Callable[..., object], *args: object) -> None:
    """Does what may fail (a full disk, a lost file server) without harm to the command: the recorder hears the end."""
    try:
        action(*args)
    except OSError:
        pass  # see above
