"""One of the two runs that a verdict compares: the files it left, and their bytes wherever they still are.

Most are in the store. One that was too large for it is looked for where the run left it, and counts only if it has the
recorded digest: a worktree that was worked in since must not be taken for the run.
"""

from __future__ import annotations

import hashlib
import os
import stat
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BufferedReader, BytesIO, RawIOBase
from itertools import accumulate
from typing import Any, BinaryIO, cast

from gitrun.archive.archive import Archive
from gitrun.archive.entries import Entry, read_entries
from gitrun.archive.picking import expanded
from gitrun.archive.run import Run
from gitrun.archive.traces import files_of
from gitrun.errors import GitrunError
from gitrun.model.canonical import decode_lines, path_bytes
from gitrun.replay.checkout import LOADED, ROOTS
from gitrun.replay.retrieving import verified

_PIECE = 1 << 20
_IN_MEMORY = 32 << 20
_MAX_LINES = 256 << 20
_MADE = ("output", "artifact")


class Side:
    """The files of one run. `top` is the directory that relative paths are below; None where there is none any more.

    `entries` are the files it wrote or handed over, `inputs` what it read, `record` its run.json.
    """

    def __init__(
        self,
        archive: Archive,
        record: Mapping[str, Any],
        entries: Iterable[Entry],
        top: bytes | None,
    ) -> None:
        entries = list(entries)
        self.record = record
        self.entries = [entry for entry in entries if entry.kind in _MADE]
        self.inputs = [entry for entry in entries if entry.kind == "input"]
        self.top = top
        self._archive = archive

    @property
    def hosts(self) -> list[bytes]:
        """The names of the machines it ran on."""
        members = self.record.get("members") or []
        names = [member.get("host") for member in members if isinstance(member, dict)]
        return [os.fsencode(name) for name in names if isinstance(name, str)]

    def coverage(self, topic: str) -> list[str]:
        """What is missing of a topic, in sentences."""
        said = (self.record.get("coverage") or {}).get(topic)
        return [text for text in said if isinstance(text, str)] if isinstance(said, list) else []

    def open(self, entry: Entry) -> BinaryIO | None:
        """The bytes of a file, from its start, to be sought in; None where nobody has those that were recorded."""
        if entry.sha256 is None or entry.type != "file":
            return None
        try:
            return self._from_store(entry) if entry.stored else self._from_disk(entry)
        except (OSError, GitrunError, ValueError):
            return None  # a damaged blob is found by fsck; here it is a file that cannot be looked into

    def _from_store(self, entry: Entry) -> BinaryIO:
        """Its bytes, once all of them were seen to be the recorded ones; a large file is read again in pieces."""
        if (entry.size or 0) <= _IN_MEMORY:
            return BytesIO(b"".join(verified(self._archive, entry)))
        for _ in verified(self._archive, entry):
            pass  # raises at its end where they are others
        stored = _Stored(self._archive.store.get, entry.chunks(self._archive.store.get))
        return BufferedReader(stored, _PIECE)

    def _from_disk(self, entry: Entry) -> BinaryIO | None:
        if self.top is None and entry.is_inside:
            return None
        path = path_bytes(str(entry.facts["path"]))
        fd = os.open(os.path.join(self.top or b"/", path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        file = open(fd, "rb", buffering=0)  # noqa: SIM115  the caller closes it
        digest, found = hashlib.sha256(), os.fstat(fd)
        if stat.S_ISREG(found.st_mode) and found.st_size == entry.size:
            while piece := file.read(_PIECE):
                digest.update(piece)
        if digest.hexdigest() != entry.sha256:
            file.close()
            return None
        file.seek(0)
        return cast(BinaryIO, file)


class _Stored(RawIOBase):
    """A file in the store to be sought in: one blob at a time, none of it on a disk again."""

    def __init__(self, get: Callable[[str], bytes], chunks: Sequence[tuple[str, int]]) -> None:
        self._get = get
        self._chunks = list(chunks)
        self._starts = [0, *accumulate(length for _, length in chunks)]
        self._at = 0
        self._held = (-1, b"")  # the chunk that was read last

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._starts[-1]}[whence]
        if base + offset < 0:
            raise ValueError("before the start of the file")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        number = bisect_right(self._starts, self._at) - 1
        if number >= len(self._chunks):
            return 0
        if self._held[0] != number:
            self._held = (number, self._get(self._chunks[number][0]))
        start = self._at - self._starts[number]
        piece = self._held[1][start : start + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def side_of_run(archive: Archive, run: Run) -> Side:
    """A sealed run; raises DamagedRecord or DamagedStore."""
    worktree = run.record.get("worktree")
    top = path_bytes(worktree) if isinstance(worktree, str) else None
    return Side(archive, run.record, files_of(archive, run), top)


def side_of_replay(
    archive: Archive, record: Mapping[str, Any], lines: bytes | None, directory: str | None, original: Mapping[str, Any]
) -> Side:
    """A run that is about to be sealed, by its record and the lines of its entries.

    `directory` is the checkout it ran in, `original` the record of the run it repeats, whose places outside the
    worktree its own copies of them stand for. Raises DamagedRecord.
    """
    found = read_entries(decode_lines(lines, _MAX_LINES)) if lines else []
    where = directory if directory is not None else record.get("worktree")
    top = path_bytes(where) if isinstance(where, str) else None
    entries = expanded(found, archive.store.get)
    if top is None:
        return Side(archive, record, entries, None)
    homes = {top + os.fsencode(LOADED) + b"/": b"/"}
    for root in (original.get("source") or {}).get("roots") or []:
        if isinstance(root, dict) and str(root.get("path")).startswith("/"):
            homes[top + os.fsencode(ROOTS) + b"/%d/" % int(root["n"])] = path_bytes(root["path"]).rstrip(b"/") + b"/"
    return Side(archive, record, (_at_home(entry, homes) for entry in entries), top)


def _at_home(entry: Entry, homes: Mapping[bytes, bytes]) -> Entry:
    """The entry at the place that it has in the run, where a replay had a copy of that place."""
    for copy, home in homes.items():
        if entry.path.startswith(copy):
            return entry._replace(path=home + entry.path[len(copy) :])
    return entry
