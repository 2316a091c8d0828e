"""The inputs of a run, brought to its checkout, or named as the reason why there can be no replay.

An input is a file that was declared (`record --input`). A record holds its sha256, not its bytes, so
a replay can only use the file where it still is. One below the worktree that is not source, such as
a data set that Git ignores, is copied into the checkout and hashed while it is copied, so that the
program reads the very bytes that were checked, and cannot change the user's. Any other is read
where the program will read it: in the source, through a link, or at its absolute path.

A different or missing file ends the replay before the program starts: it would answer another question.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gitrun.archive.shape import is_octal
from gitrun.errors import DamagedRecord
from gitrun.model.canonical import path_bytes
from gitrun.replay.plan import Addition

_CHUNK = 1 << 20
_MISSING = "missing"


class Input(NamedTuple):
    """A recorded input; `path` is relative to the worktree, or absolute. No sha256: its bytes were never read."""

    path: bytes
    mode: int
    sha256: str | None
    reason: str


class Inputs:
    """The inputs of one run; `problems` says what is not as it was, one sentence an input.

    Raises DamagedRecord for lines that no recorder writes.
    """

    def __init__(self, entries: Iterable[Mapping[str, Any]], worktree: str | None) -> None:
        self._worktree = None if worktree is None else os.fsencode(worktree)
        self._inputs = [_input(entry) for entry in entries if _kind(entry) == "input"]
        self._brought: set[bytes] = set()
        self.problems: list[str] = []

    def additions(self) -> list[Addition]:
        """What a checkout should copy, where the source does not have it already."""
        if self._worktree is None:
            return []
        below = [each for each in self._inputs if not each.path.startswith(b"/") and each.sha256 is not None]
        return [Addition(each.path, each.mode, self._pieces(each)) for each in below]

    def paths(self, directory: str) -> list[str]:
        """Where the program run in `directory` finds them."""
        return [os.path.join(directory, os.fsdecode(each.path)) for each in self._inputs if each.sha256 is not None]

    def verify(self, directory: str) -> None:
        """Look at every input that was not copied, where the program run in `directory` will find it."""
        for each in self._inputs:
            if each.path not in self._brought:
                for _ in self._checked(each, os.path.join(os.fsencode(directory), each.path)):
                    pass  # only hashing

    def _pieces(self, each: Input) -> Iterator[bytes]:
        self._brought.add(each.path)
        assert self._worktree is not None
        yield from self._checked(each, os.path.join(self._worktree, each.path))

    def _checked(self, each: Input, place: bytes) -> Iterator[bytes]:
        """The bytes at `place`; what is wrong with them is known, and said, when they end."""
        name = os.fsdecode(each.path)
        if each.sha256 is None:
            if each.reason != _MISSING:
                self.problems.append(f"input {name}: its bytes were not recorded ({each.reason})")
            return
        digest = hashlib.sha256()
        try:
            with open(place, "rb", buffering=0) as file:
                while piece := file.read(_CHUNK):
                    digest.update(piece)
                    yield piece
        except OSError as problem:
            self.problems.append(f"input {name}: {problem.strerror}: {os.fsdecode(place)}")
            return
        if digest.hexdigest() != each.sha256:
            self.problems.append(f"input {name}: its content has changed since the run: {os.fsdecode(place)}")


def _kind(entry: Any) -> Any:
    if type(entry) is not dict:
        raise DamagedRecord("artifacts.jsonl: a line is no object", next="git fsck")
    return entry.get("kind")


def _input(entry: Mapping[str, Any]) -> Input:
    mode, digest = entry.get("mode"), entry.get("sha256")
    path = entry.get("path")
    if type(path) is not str or not path or "\0" in path:
        raise DamagedRecord("artifacts.jsonl: an input has no path", next="git fsck")
    if not (mode is None or is_octal(mode)) or not (digest is None or type(digest) is str):
        raise DamagedRecord(f"artifacts.jsonl: the input {path!r} is not what it should be", next="git fsck")
    permissions = 0o644 if mode is None else int(mode, 8) & 0o777
    return Input(path_bytes(path), permissions, digest, str(entry.get("reason")))
