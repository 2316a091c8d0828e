"""Entries: the files a run read and wrote, one line of `artifacts.jsonl` each, read back and checked.

A record may come from anywhere, so a line is judged before anything follows it: its path may not lead out of the
directory it is put into, its digest is one, its chunks add up. What a line says beyond that stays in `facts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gitrun.archive.shape import is_octal
from gitrun.errors import DamagedRecord, HostilePath
from gitrun.files.names import check_path
from gitrun.model.canonical import path_bytes
from gitrun.model.ids import is_sha256
from gitrun.store.chunk_lists import Chunks, chunks_of

KINDS = ("input", "output", "artifact")
TYPES = ("file", "link", "directory")


class Entry(NamedTuple):
    """One entry: `path` is relative to the working tree, or absolute; `mode` its permission bits.

    `stored` says whether the store has its bytes, `reason` why not; `facts` is the whole line.
    """

    path: bytes
    kind: str
    type: str
    mode: int | None
    size: int | None
    sha256: str | None
    stored: bool
    reason: str | None
    produced_by: str | None
    facts: dict[str, Any]

    @property
    def is_inside(self) -> bool:
        """Whether it lay in the working tree."""
        return not self.path.startswith(b"/")

    @property
    def level(self) -> str | None:
        """How its content is known where not by a digest of all of it: `sample` or `stat`."""
        level = self.facts.get("level")
        return level if isinstance(level, str) else None

    def chunks(self, get: Callable[[str], bytes]) -> Chunks:
        """The blobs of its file; `get` reads a blob. Raises DamagedRecord where they do not add up to its size."""
        found = chunks_of(self.facts, get)
        if sum(length for _, length in found) != self.size:
            raise DamagedRecord(f"{self.facts['path']!r}: its chunks do not add up to its size", next="gitrun fsck")
        return found


def read_entries(lines: Iterable[Any] | None) -> list[Entry]:
    """The entries of the decoded part, in its order; raises DamagedRecord for a line that no recorder writes.

    A kind or type of a later gitrun is left out.
    """
    found = [_entry(line) for line in lines or ()]
    return [entry for entry in found if entry.kind in KINDS and entry.type in TYPES]


def _entry(line: Any) -> Entry:
    if type(line) is not dict:
        raise _damage("a line is no object")
    text = line.get("path")
    if type(text) is not str or not text or "\0" in text:
        raise _damage("an entry has no path")
    path = path_bytes(text)
    if line.get("kind") != "input":  # a program may read what nobody would be allowed to write
        try:
            check_path(path.lstrip(b"/"))
        except HostilePath as problem:
            raise _damage(str(problem)) from problem
    mode, digest, size = line.get("mode"), line.get("sha256"), line.get("bytes")
    holds = (
        (mode is None or is_octal(mode))
        and (digest is None or is_sha256(digest))
        and (size is None or (type(size) is int and size >= 0))
        and all(type(line.get(key)) in (str, type(None)) for key in ("reason", "produced_by", "target", "level"))
    )
    if not holds:
        raise _damage(f"the entry {text!r} is not what it should be")
    return Entry(
        path,
        str(line.get("kind")),
        str(line.get("type", "file")),
        None if mode is None else int(mode, 8) & 0o777,
        size,
        digest,
        line.get("stored") is True,
        line.get("reason"),
        line.get("produced_by"),
        line,
    )


def _damage(what: str) -> DamagedRecord:
    return DamagedRecord(f"artifacts.jsonl: {what}", next="gitrun fsck")
