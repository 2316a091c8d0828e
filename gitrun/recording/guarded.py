"""Files that a guard left out of the source, and that are in the record all the same because the run used them.

What was left out is named file by file, or by directory where that is too long a list. A file below such a directory
was left out unless Git ignores it: then it would not be source in any case.
"""

import os
from collections.abc import Iterable
from typing import Any

from gitrun.git.ignore import IgnoreRules
from gitrun.git.repository import discover
from gitrun.model.canonical import path_bytes

_GUARDS = ("max_files", "max_bytes")


class LeftOut:
    """What a source left out; `excluded` is its own list, whose entries are changed here."""

    def __init__(self, excluded: list[dict[str, Any]], worktree: bytes | None) -> None:
        self._entries = {path_bytes(entry["path"]): entry for entry in excluded if _is_of_source(entry)}
        self._worktree = worktree
        self._rules: IgnoreRules | None = None

    def find(self, path: bytes) -> dict[str, Any] | None:
        """The entry by which a file of the worktree was left out; None where it was not."""
        if path.startswith(b"/") or not self._entries or self._worktree is None:
            return None
        if (entry := self._entries.get(path)) is not None:
            return entry
        directory = path[: path.rfind(b"/") + 1]
        while directory and directory not in self._entries:
            directory = directory[: directory.rfind(b"/", 0, -1) + 1]
        entry = self._entries.get(directory or b"./")
        return None if entry is None or self._is_ignored(path) else entry

    def forget_counts(self) -> None:
        """Start anew: a replay has its own counts."""
        for entry in self._entries.values():
            if entry.get("reason") in _GUARDS:
                entry.pop("loaded", None)

    def count(self, lines: Iterable[dict[str, Any]]) -> None:
        """Say of each entry of a guard how many of its files are in the record after all."""
        for line in lines:
            entry = self.find(path_bytes(line["path"])) if line.get("root") is None else None
            if entry is not None and entry.get("reason") in _GUARDS:
                entry["loaded"] = entry.get("loaded", 0) + 1

    def _is_ignored(self, path: bytes) -> bool:
        if self._rules is None:
            assert self._worktree is not None
            self._rules = IgnoreRules.for_repository(discover(os.fsdecode(self._worktree), None, os.environ))
        cut = path.rfind(b"/") + 1
        return self._rules.is_ignored(path[:cut], path[cut:], False)


def _is_of_source(entry: dict[str, Any]) -> bool:
    """Whether it is one that the snapshot left out: those that sum up loaded files say nothing of a directory."""
    return not entry["path"].endswith("/") or entry.get("reason") in (*_GUARDS, "tracker", "output")
