"""The cells of a notebook, in the order in which they were executed: the source that no file holds.

IPython keeps them, in `In` and as they were typed. All of them matter, also those from before the run, for what they
have left in memory is what the run began with. Each is on disk before it is executed, so that a kernel that is killed
in it has kept it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from gitrun.model.canonical import encode_line

PART = "cells.jsonl"


def shell() -> Any:
    """The running IPython, None where this is none; it is not imported for the question."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


class Cells:
    """Writes the cells of a shell with `write`, whenever there is one more; `redact` takes secrets out of a text."""

    def __init__(self, shell: Any, redact: Callable[[str], str], write: Callable[[bytes], None]) -> None:
        self._shell = shell
        self._redact = redact
        self._write = write
        self._lines = b""
        for number, code in enumerate(_typed(shell)):
            if number:  # IPython counts from 1
                self._add(number, code)
        self._write(self._lines)
        shell.events.register("pre_run_cell", self._about_to_run)

    def stop(self) -> None:
        """Writes no more."""
        self._shell.events.unregister("pre_run_cell", self._about_to_run)

    def _about_to_run(self, info: Any) -> None:
        if info.store_history:
            self._add(len(_typed(self._shell)), info.raw_cell)
            self._write(self._lines)

    def _add(self, number: int, code: str) -> None:
        self._lines += encode_line({"n": number, "code": self._redact(code)})


def _typed(shell: Any) -> list[str]:
    """All cells so far by their number, with an empty one before the first."""
    typed: list[str] = shell.history_manager.input_hist_raw
    return typed
