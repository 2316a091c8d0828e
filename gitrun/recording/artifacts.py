"""The entries of a run while it is recorded: one part file, to which several add lines of their own kind.

A part has a bound, so a run with too many files is recorded with a list that is not complete, and says so: better than
a run that cannot be sealed. What a program handed over by name is listed before what was found.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.model.artifacts import PART
from gitrun.model.canonical import MAX_BYTES, decode_lines, encode_line, path_bytes
from gitrun.recording.live import LiveDirectory

if TYPE_CHECKING:
    from gitrun.archive.entries import Entry

Line = dict[str, Any]
_LEFT_OUT_FIRST = ("input", "output")


class Listed(NamedTuple):
    """The lines that the part has now, and what is missing from it, in sentences."""

    lines: list[Line]
    problems: list[str]


def read_artifacts(live: LiveDirectory) -> list[Line]:
    """The lines that there are; raises DecodeProblem or OSError."""
    path = live.part_paths().get(PART)
    if path is None:
        return []
    with open(path, "rb") as file:
        return decode_lines(file.read(MAX_BYTES), MAX_BYTES)


def entries_there(live: LiveDirectory) -> list[Entry]:
    """The same lines as a reader of the sealed run will see them; raises DamagedRecord as well."""
    if PART not in live.part_paths():
        return []
    from gitrun.archive.entries import read_entries  # many runs have none

    return read_entries(read_artifacts(live))


def replace_artifacts(live: LiveDirectory, kind: str, lines: Iterable[Line], limit: int = MAX_BYTES) -> Listed:
    """Writes new lines of a kind in the place of old ones, sorted by their paths, `limit` bytes at most.

    Raises DiskFull or NotWritable.
    """
    known = read_artifacts(live)
    entries = [*(line for line in known if line.get("kind") != kind), *lines]
    return write_artifacts(live, entries, limit) if entries or known else Listed([], [])


def write_artifacts(live: LiveDirectory, lines: Iterable[Line], limit: int = MAX_BYTES) -> Listed:
    """Writes the part anew, as `replace_artifacts`."""
    entries = list(lines)
    entries.sort(key=lambda line: (path_bytes(line["path"]), line["kind"]))
    encoded = list(map(encode_line, entries))
    problems = []
    if sum(map(len, encoded)) > limit:
        kept = _fitting(entries, encoded, limit)
        problems.append(f"{len(entries):,} files, of which {len(kept):,} are listed: the list would be too long")
        entries, encoded = [entries[n] for n in kept], [encoded[n] for n in kept]
    live.write_part(PART, b"".join(encoded))
    return Listed(entries, problems)


def _fitting(entries: list[Line], encoded: list[bytes], limit: int) -> list[int]:
    """Which of the lines are kept, in their order."""
    kept: list[int] = []
    for n in sorted(range(len(entries)), key=lambda n: entries[n]["kind"] in _LEFT_OUT_FIRST):
        limit -= len(encoded[n])
        if limit < 0:
            break
        kept.append(n)
    return sorted(kept)
