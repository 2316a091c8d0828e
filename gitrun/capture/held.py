"""What a recorded source holds at a path, asked of its trees one directory at a time.

A run loads a handful of the source's files, so only the directories above those are read, and nothing is
read at all where nothing of the source was loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gitrun.git.hashing import object_id
from gitrun.git.objects import ObjectReader
from gitrun.git.trees import DIRECTORY, SYMLINK, TreeEntry, read_tree
from gitrun.model.canonical import path_bytes

Spot = tuple[int | None, bytes]  # a root's number, None for the worktree or an absolute path, and a path


class Held(NamedTuple):
    """What the source holds: a blob by its id, or bytes in the store by their sha256.

    `reason` is that of the line in `extra.jsonl`. `is_link`: the path leads through a symbolic link of the source,
    or (with an `oid`, its target's) is one. `is_executable` is None where that is not known.
    """

    oid: str | None = None
    sha256: str | None = None
    reason: str | None = None
    is_link: bool = False
    is_executable: bool | None = None

    def is_content(self, data: bytes, digest: str, fmt: str) -> bool:
        """Whether these bytes, whose sha256 is `digest`, are what is held."""
        if self.sha256 is not None:
            return self.sha256 == digest
        return self.oid == object_id("blob", data, fmt)


class HeldSource:
    """The trees and lines of one recorded source; `reader` opens the archive's objects."""

    def __init__(
        self, source: Mapping[str, Any], lines: Iterable[Mapping[str, Any]], reader: Callable[[], ObjectReader]
    ) -> None:
        self._reader = reader
        self._trees: dict[int | None, str] = {root["n"]: root["tree"] for root in source.get("roots") or []}
        if source.get("tree"):
            self._trees[None] = source["tree"]
        self._entries: dict[str, dict[bytes, TreeEntry]] = {}
        self._lines: dict[Spot, Mapping[str, Any]] = {
            (line.get("root"), path_bytes(line["path"])): line for line in lines
        }

    def find(self, spot: Spot) -> Held | None:
        """What is held at a path; None for nothing. Raises DamagedRecord or GitFailed."""
        if (line := self._lines.get(spot)) is not None:
            return Held(sha256=line["sha256"], reason=line["reason"])
        root, path = spot
        if path.startswith(b"/") or root not in self._trees:
            return None
        oid = self._trees[root]
        *above, name = path.split(b"/")
        for component in above:
            entry = self._read(oid).get(component)
            if entry is None:
                return None
            if entry.mode != DIRECTORY:
                return Held(is_link=entry.mode == SYMLINK) if entry.mode == SYMLINK else None
            oid = entry.oid
        entry = self._read(oid).get(name)
        if entry is None:
            return None
        is_executable = None if entry.mode == SYMLINK else bool(entry.mode & 0o111)
        return Held(oid=entry.oid, is_link=entry.mode == SYMLINK, is_executable=is_executable)

    def _read(self, oid: str) -> dict[bytes, TreeEntry]:
        if oid not in self._entries:
            self._entries[oid] = {entry.name: entry for entry in read_tree(self._reader(), oid)}
        return self._entries[oid]
