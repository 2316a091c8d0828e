"""How the library tells its caller what it is doing, without ever printing.

A function that may take long or may have something to say takes a Monitor as its last
argument. The base class hears everything and says nothing; the terminal's monitor lives in ui.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

NOTICES = frozenset(("W010", "W020", "W041"))  # not worth a word to who wants quiet: the record has everything


class Task:
    """One piece of long work: `advance` as it proceeds, leave the `with` block when it ends."""

    def advance(self, n: int = 1) -> None:
        """Count `n` more units as done."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Monitor:
    """A listener that does nothing; subclasses render."""

    def task(self, name: str, total: int | None = None, unit: str = "") -> Task:
        """Begin a piece of work of `total` units (None when unknown)."""
        return Task()

    def warn(self, code: str, message: str) -> None:
        """Say something the user should know; `code` is stable, `message` is one line."""


SILENT = Monitor()
