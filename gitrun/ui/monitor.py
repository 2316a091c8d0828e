"""The terminal's monitor: warnings on stderr, progress of long work on a terminal only."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from gitrun.archive.harmless import harmless
from gitrun.monitor import Monitor, Task
from gitrun.ui.terminal import Screen

_PATIENCE_S = 0.5
_INTERVAL_S = 0.1


class TerminalMonitor(Monitor):
    """Says warnings as they come and shows the progress of work that takes longer than half a second."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def task(self, name: str, total: int | None = None, unit: str = "") -> Task:
        return _Progress(self._screen, name, total, unit) if self._screen.is_terminal else Task()

    def warn(self, code: str, message: str) -> None:
        self._screen.line(f"gitrun: {harmless(message)} ({code})")


class _Progress(Task):
    """One line that is rewritten in place and gone when the work is done."""

    def __init__(self, screen: Screen, name: str, total: int | None, unit: str) -> None:
        self._screen, self._name, self._total, self._unit = screen, name, total, unit
        self._done = 0
        self._next_s = time.monotonic() + _PATIENCE_S
        self._shown = False

    def advance(self, n: int = 1) -> None:
        self._done += n
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s, self._shown = now_s + _INTERVAL_S, True
        of = f" of {self._total:,}" if self._total is not None else ""
        self._screen.stream.write(f"\r\x1b[K{self._name}: {self._done:,}{of} {self._unit}".rstrip())
        self._screen.stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._screen.stream.write("\r\x1b[K")
            self._screen.stream.flush()
