"""Two runs as a verdict sees them, without an archive: files by path, with their bytes at hand."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

from gitrun.archive.entries import Entry, read_entries
from gitrun.replay.compare import Tolerance
from gitrun.replay.entry_side import Side
from gitrun.replay.output_match import Output, match_output
from gitrun.replay.pairing import pair
from tests.entries import line

TOLERANCE = Tolerance()
RECORD: dict[str, Any] = {"started_at": "2026-11-24T06:12:46.000000Z", "coverage": {"outputs": "complete"}}


class AtHand(Side):
    """A side whose files are given; one whose bytes are None is known by its digest alone."""

    def __init__(self, entries: Iterable[Entry], contents: Mapping[bytes, bytes | None], top: bytes | None) -> None:
        super().__init__(None, RECORD, entries, top)  # type: ignore[arg-type]
        self._contents = contents

    def open(self, entry: Entry) -> BinaryIO | None:
        data = self._contents.get(entry.path)
        return None if data is None else io.BytesIO(data)


def entry(path: str, data: bytes | None, **more: Any) -> Entry:
    """An output with this content; None: its digest is not known."""
    digest = None if data is None else hashlib.sha256(data).hexdigest()
    size = None if data is None else len(data)
    (found,) = read_entries([line(path, **{"bytes": size, "sha256": digest, "reason": None, **more})])
    return found


def link(path: str, target: str) -> Entry:
    """A link that was left behind."""
    return entry(path, target.encode(), type="link", target=target)


def side(files: Mapping[str, bytes] = {}, *entries: Entry, top: bytes | None = None) -> AtHand:
    """A side of these files, and of entries whose bytes nobody has."""
    made = [entry(path, data) for path, data in files.items()]
    return AtHand([*made, *entries], {path.encode(): data for path, data in files.items()}, top)


def compared(a: Side, b: Side) -> list[Output]:
    """Every pair of two sides, judged."""
    return [match_output(each, a, b, TOLERANCE) for each in pair(a.entries, b.entries)]
