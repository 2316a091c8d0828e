"""What a recorder gives its keeper to do, and what it holds of it afterwards.

The keeper reports in lines, over a pipe that ends with it: `ready` and the pids, or `refused` and why nothing was
started; then the command's end, the same line as in the file `exit`. So the recorder knows the end even where the
file could not be written or is gone.
"""

import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from gitrun.errors import GitrunError, from_os_error
from gitrun.files.holder import Process
from gitrun.recording.signals import HEARD, Forwarding, Inherited
from gitrun.recording.terminal import Terminal

SEAL_S = 20.0  # how long after a request to end a run is sealed at the latest
_ENDS_S = 60.0  # a command that goes on for longer after such a request has ignored it
_AT_ONCE_S = 1.0
READY, REFUSED = b"ready ", b"refused "


class Job(NamedTuple):
    """What the keeper has to do: the command, where its files go, and how it ends without a recorder."""

    command: list[bytes]
    environment: Mapping[bytes, bytes]
    member: str
    found: Inherited
    directory: str | None = None  # where it runs, when not here
    mode: str | None = None  # "pty", "pipes", or what the user has
    console_max: int = 256 << 20
    free_space_floor: int = 64 << 20
    grace_s: float = 2.0
    recover: tuple[str, ...] = ()
    recover_directory: str = "/"
    enter: Callable[[], None] | None = None  # what the command's process does before it becomes the command
    window: tuple[int, int] | None = None  # rows and columns of its pseudo-terminal, when not the user's
    keep_fds: tuple[int, ...] = ()  # of the recorder's descriptors, those the keeper shares: the lock


class Watch(Protocol):
    """What finding out and sealing ask of whoever watches over a run (see Handle)."""

    end: dict[str, Any] | None

    def wait(self, timeout_s: float) -> bool | None: ...
    def stop_by(self) -> float | None: ...
    def is_enough(self) -> bool: ...


class Handle:
    """The recorder's end: `forwarding` carries signals to the keeper, `wait` hears of the command's end.

    `pids` are the processes by role, `end` is what `exit` holds, None before the end was told.
    """

    def __init__(self, pid: int, report: int, forwarding: Forwarding, terminal: Terminal | None) -> None:
        self.pid = pid
        self.forwarding = forwarding
        self._report = report
        self._terminal = terminal
        self._passing = True
        self._heard = b""
        self.pids: dict[str, Process] = {}
        self.end: dict[str, Any] | None = None
        self._ended = float("inf")

    def wait_for_start(self) -> None:
        """Returns when the command is allowed to run; raises GitrunError when it will not."""
        line = self._line(None) or b""
        if line.startswith(READY):
            self.pids = {role: Process(*process) for role, process in json.loads(line[len(READY) :]).items()}
        elif line.startswith(REFUSED):
            number, words = json.loads(line[len(REFUSED) :])
            raise from_os_error(OSError(number, words), "starting the keeper")
        else:
            raise GitrunError("the keeper was killed before the command was started")

    def wait(self, timeout_s: float) -> bool | None:
        """True when the command's end was told, False when the keeper died before, None when time is up."""
        line = self._line(timeout_s)
        if line:
            self.end = json.loads(line)
            self.forwarding.send(HEARD)
        if line is not None:
            self._ended = time.monotonic()
        return None if line is None else bool(line)

    def _line(self, timeout_s: float | None) -> bytes | None:
        """The keeper's next line, empty after its death, None when time is up."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(self._report, select.POLLIN)
        while b"\n" not in self._heard:
            if not poll.poll(None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000):
                return None
            data = os.read(self._report, 1 << 16)
            if not data:
                return b""
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    def stop_by(self) -> float | None:
        """The moment (time.monotonic) by which the run has to be sealed; None: there is time.

        Whoever ends a job waits a while and then kills it. An interrupt counts once the command has ended: then it
        is gitrun that the user has had enough of, and no half minute is meant.
        """
        moments = [*(at + SEAL_S for at in self._requests()[-1:]), *(at + SEAL_S / 2 for at in self._interrupts()[:1])]
        return min(moments, default=None)

    def is_enough(self) -> bool:
        """Whether somebody wants this process gone, though the run is sealed: asked twice, or interrupted by a user.

        One closing of a terminal may send two signals at once.
        """
        requests = self._requests()
        return bool(self._interrupts()) or (len(requests) > 1 and requests[-1] - requests[0] > _AT_ONCE_S)

    def _requests(self) -> list[float]:
        heard = self.forwarding.heard
        asked = sorted([*heard.get(signal.SIGTERM, ()), *heard.get(signal.SIGHUP, ())])
        return [at for at in asked if self._ended - at < _ENDS_S]

    def _interrupts(self) -> list[float]:
        return [at for at in self.forwarding.heard.get(signal.SIGINT, ()) if at > self._ended]

    def close(self) -> None:
        """Lets the keeper go and gives the signals their old meaning."""
        if self._passing:
            self.forwarding.stop()
        self.forwarding.end()
        os.close(self._report)
        if self._terminal is not None:
            os.close(self._terminal.fd)
        os.waitpid(self.pid, 0)

    def lost(self) -> None:
        """The keeper was killed: nobody listens to signals, and the terminal may still be raw."""
        self._passing = False
        self.forwarding.stop()
        if self._terminal is not None:
            self._terminal.is_raw = True
            self._terminal.restore()
