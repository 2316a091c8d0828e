"""A command that is watched from outside while it is recorded, and may be stopped on purpose.

Most runs end by themselves. A replay that only checks the beginning of a run does not: whoever watches it stops it
when enough was seen. It is stopped as `kill` would, by SIGTERM through the keeper; what ignores that is killed, with
all that it has started.
"""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from gitrun.files.holder import is_alive
from gitrun.monitor import Monitor
from gitrun.recording.processes import descendants

if TYPE_CHECKING:
    from gitrun.recording.job import Handle

GRACE_S = 10.0
_KILLED_S = 5.0


class Running:
    """A command that runs: the directory of its member, where its journals are."""

    def __init__(self, member: str, handle: "Handle") -> None:
        self.member = member
        self._handle = handle
        self._ended = threading.Event()

    def wait(self, timeout_s: float) -> bool:
        """Whether the command has ended, which is waited for at most so long."""
        return self._ended.wait(timeout_s)

    def stop(self, grace_s: float = GRACE_S) -> bool:
        """Ends the command, and returns when it has ended; False: it had done so by itself."""
        command = self._handle.pids.get("command")
        if self._ended.is_set() or command is None or not is_alive(command):
            return False
        self._handle.forwarding.send(signal.SIGTERM)
        if self._ended.wait(grace_s):
            return True
        for pid in (command.pid, *descendants(command.pid)):
            with suppress(ProcessLookupError):  # it has ended this moment
                os.kill(pid, signal.SIGKILL)
        self._ended.wait(_KILLED_S)
        return True

    def has_ended(self) -> None:
        """The command has ended: nobody waits any more."""
        self._ended.set()


class Watching:
    """A watcher in a thread of its own, from the start of the command to its end."""

    def __init__(self, watcher: "Callable[[Running], None]", member: str, handle: "Handle", monitor: Monitor) -> None:
        self._running = Running(member, handle)

        def watch() -> None:
            try:
                watcher(self._running)
            except Exception as problem:  # the command runs on: it is only not stopped
                monitor.warn("W035", f"the run is no longer watched: {type(problem).__name__}: {problem}")

        self._thread = threading.Thread(target=watch, name="watcher", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """The command has ended; returns when the watcher has."""
        self._running.has_ended()
        self._thread.join()
