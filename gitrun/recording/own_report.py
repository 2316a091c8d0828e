"""The report of a process that records itself: nobody has watched it from its start, so it tells what it has become.

Other processes of a run report what they import while they do it (gitrun/child). This one was there before its run,
so it tells what it has loaded when the run begins, and what came since when it ends. Which files it opened is known to
nobody.
"""

import importlib
import os
import sys
import time
from typing import Any

from gitrun.child import report


class OwnReport:
    """The report of this process in a member's directory; the functions of `gitrun.child.report` work on it."""

    def __init__(self, member: str) -> None:
        self.member = member
        self.path: str | None = None
        self.argv = list(sys.argv)
        self.cwd = os.getcwd()
        self.start_method = ""
        self.told = self.busy = False
        self.hooks = ("seeds",)  # libraries are asked for theirs; no call is watched
        self.forks = 0
        self.forked_ns = 0
        self.written = 0.0
        self.secrets: Any = None
        self.pending: list[Any] = []
        self.waiting: dict[Any, None] = {}
        self.reported: set[str] = set()
        self.inherited: frozenset[str] = frozenset()
        self.mapped: list[bytes] = []

    def load(self, name: str) -> Any:
        """A module below gitrun.child."""
        return importlib.import_module(f"gitrun.child.{name}")

    def begin(self) -> None:
        """Tells who this is, and what it has loaded so far."""
        words = [os.fsencode(word) for word in sys.orig_argv]
        start = {"kind": "process", "started_ns": time.time_ns(), "orig_argv": words}
        report.write(self, start, *self.load("modules").last_frames(self))

    def finish(self) -> None:
        """Tells the rest."""
        report.finish(self)
