"""Which runs made and which read a content, by digest: derived data, in files that rows are only added to.

Each write is one row or many in one call, so nobody needs a lock: two who add the same run add it twice. It begins with
a newline, so a row that was cut off by a full disk spoils itself and no other. A run is listed after its rows.

    cache/traces/runs          the runs that are in it, a line each
    cache/traces/<2 hex>       lines `<sha256> o <run>` (made) and `<sha256> i <run>` (read), by the digest's first byte
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from gitrun.errors import GitrunError
from gitrun.files.read import read_plain
from gitrun.files.write import make_dirs, write_all

if TYPE_CHECKING:
    from gitrun.archive.entries import Entry

MADE, READ = b"o", b"i"
_MOST_ROWS = 200_000  # of one run
_MOST_BYTES = 64 << 20  # of one file that are read
_ROW = rb"(?m)^([0-9a-f]{64}) ([oi]) ([0-9]{8}-[0-9]{6}-[0-9a-z]{6})$"
Trace = tuple[str, bytes]  # a digest, made or read


class TraceFiles:
    """The traces below an archive's directory."""

    def __init__(self, gitrun_dir: str) -> None:
        self._directory = os.path.join(gitrun_dir, "cache", "traces")
        self._shards: dict[str, dict[str, set[tuple[bytes, str]]]] = {}

    def known(self) -> set[str]:
        """The runs that are in it."""
        return set(self._read("runs").decode("ascii", "replace").split("\n"))

    def find(self, digest: str) -> set[tuple[bytes, str]]:
        """The runs that made or read a content."""
        name = digest[:2]
        if name not in self._shards:
            rows = self._shards[name] = {}
            for found, kind, run in re.findall(_ROW, self._read(name)):
                rows.setdefault(found.decode("ascii"), set()).add((kind, run.decode("ascii")))
        return self._shards[name].get(digest, set())

    def add(self, runs: Mapping[str, Iterable[Trace]]) -> bool:
        """Add runs with their traces; False where that cannot be written."""
        rows: dict[str, list[bytes]] = {}
        for run, traces in runs.items():
            for digest, kind in traces:
                rows.setdefault(digest[:2], []).append(b"%b %b %b" % (digest.encode(), kind, run.encode()))
        self._shards.clear()
        try:
            make_dirs(self._directory)
            for name, lines in rows.items():
                self._append(name, lines)
            self._append("runs", [run.encode() for run in runs])
        except (OSError, GitrunError):
            return False  # a full disk, or an archive that may only be read
        return True

    def _read(self, name: str) -> bytes:
        try:
            return read_plain(os.path.join(self._directory, name), _MOST_BYTES)
        except OSError:
            return b""

    def _append(self, name: str, lines: Iterable[bytes]) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(os.path.join(self._directory, name), flags, 0o666)
        try:
            write_all(fd, b"\n" + b"\n".join(lines) + b"\n")
        finally:
            os.close(fd)


def is_made(entry: Entry) -> bool:
    """Whether the content is this run's doing, and says something: not an empty file, nor one that may be another's."""
    is_own = entry.kind != "input" and entry.facts.get("evidence") != "ambiguous"
    return is_own and entry.type == "file" and bool(entry.size)


def is_read(entry: Entry) -> bool:
    """Whether the run read this content; an empty one leads nowhere."""
    return entry.kind == "input" and bool(entry.size)


def traces_of(entries: Iterable[Entry], *, is_replay: bool) -> list[Trace]:
    """The traces that a run with these entries leaves; what a replay made is what its run had made."""
    found: dict[Trace, None] = {}
    for entry in entries:
        if entry.sha256 is None or len(found) >= _MOST_ROWS:
            continue
        if is_read(entry):
            found[entry.sha256, READ] = None
        elif is_made(entry) and not is_replay:
            found[entry.sha256, MADE] = None
    return list(found)


def is_settled(entries: Iterable[Entry]) -> bool:
    """Whether no digest of these is still to come."""
    return not any(entry.reason == "deferred" and entry.sha256 is None for entry in entries)
