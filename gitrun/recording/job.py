"""What a recorder gives its keeper to do, and what it holds of it afterwards."""

import os
import select
from collections.abc import Mapping
from typing import NamedTuple

from gitrun.recording.signals import Forwarding, Inherited
from gitrun.recording.terminal import Terminal

DONE = b"D"


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
    keep_fds: tuple[int, ...] = ()  # of the recorder's descriptors, those the keeper shares: the lock


class Handle:
    """The recorder's end: `forwarding` carries signals to the keeper, `wait` hears when the exit is written."""

    def __init__(self, pid: int, report: int, forwarding: Forwarding, terminal: Terminal | None) -> None:
        self.pid = pid
        self.forwarding = forwarding
        self._report = report
        self._terminal = terminal
        self._passing = True

    def wait(self, timeout_s: float) -> bool | None:
        """True when the exit is written, False when the keeper died before, None when time is up."""
        poll = select.poll()
        poll.register(self._report, select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            return None
        return os.read(self._report, 1) == DONE

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
