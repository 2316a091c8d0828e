"""Choosing entries by what a user types: a path as it is listed, a directory above it, or a pattern.

`*` crosses slashes here: the files of a run lie where a program liked to put them, and `*.pt` means all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gitrun.archive.entries import Entry, read_entries
from gitrun.archive.harmless import harmless
from gitrun.archive.needs import manifest_lines
from gitrun.errors import GitrunError
from gitrun.model.canonical import path_text
from gitrun.model.ids import short
from gitrun.model.patterns import means

_RANK = {"output": 0, "artifact": 1, "input": 2}


def pick(entries: Iterable[Entry], patterns: Iterable[str], run_id: str) -> list[Entry]:
    """The entries that the patterns mean, in their order; raises GitrunError for a pattern that means none."""
    entries = list(entries)
    chosen: set[int] = set()
    for pattern in patterns:
        found = [number for number, entry in enumerate(entries) if means(pattern, path_text(entry.path))]
        if not found:
            raise GitrunError(
                f"run {run_id} has no file {harmless(pattern)!r} among those it read and wrote",
                next=f"gitrun artifacts {short(run_id)}",
            )
        chosen.update(found)
    return [entries[number] for number in sorted(chosen)]


def some_of(entries: Iterable[Entry], patterns: Iterable[str]) -> list[Entry]:
    """As `pick`, and none where no pattern means any: of several runs not all have each file."""
    patterns = list(patterns)
    return [entry for entry in entries if any(means(pattern, path_text(entry.path)) for pattern in patterns)]


def distinct(entries: Iterable[Entry]) -> list[Entry]:
    """One entry for each path, in order: the file as the run left it, else as it was logged, else as it was read.

    Of what the run made, one that is stored comes before one that is not: what was left need not be had any more.
    """
    best: dict[bytes, Entry] = {}
    for entry in entries:
        other = best.get(entry.path)
        if other is None or _order(entry) < _order(other):
            best[entry.path] = entry
    return list(best.values())


def _order(entry: Entry) -> tuple[bool, bool, int]:
    return entry.kind == "input", not entry.stored, _RANK[entry.kind]


def expanded(entries: Iterable[Entry], get: Callable[[str], bytes]) -> list[Entry]:
    """The same entries, with what lies in a directory in its place; `get` reads a blob.

    A directory whose list cannot be read stands for itself.
    """
    found: list[Entry] = []
    for entry in entries:
        manifest = entry.facts.get("manifest")
        if entry.type != "directory" or not isinstance(manifest, str):
            found.append(entry)
            continue
        try:
            found += read_entries(manifest_lines(manifest, get))
        except GitrunError:
            found.append(entry)  # whoever asks for it is told; the other files are as good as before
    return found
