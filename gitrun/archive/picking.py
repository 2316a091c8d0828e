"""Choosing entries by what a user types: a path as it is listed, a directory above it, or a pattern.

`*` crosses slashes here: the files of a run lie where a program liked to put them, and `*.pt` means all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from gitrun.archive.entries import Entry, read_entries
from gitrun.archive.harmless import harmless
from gitrun.archive.needs import manifest_lines
from gitrun.errors import GitrunError

_RANK = {"output": 0, "artifact": 1, "input": 2}


def pick(entries: Iterable[Entry], patterns: Iterable[str], run_id: str) -> list[Entry]:
    """The entries that the patterns mean, in their order; raises GitrunError for a pattern that means none."""
    entries = list(entries)
    chosen: set[int] = set()
    for pattern in patterns:
        found = [number for number, entry in enumerate(entries) if means(pattern, entry.path)]
        if not found:
            raise GitrunError(
                f"run {run_id} has no file {harmless(pattern)!r} among those it read and wrote",
                next=f"gitrun artifacts {run_id[-6:]}",
            )
        chosen.update(found)
    return [entries[number] for number in sorted(chosen)]


def means(pattern: str, path: bytes) -> bool:
    """Whether a pattern means a path: it is the path, a directory above it, or matches it."""
    plain = os.path.normpath(os.fsencode(pattern))
    if plain in (b".", path) or path.startswith(plain.rstrip(b"/") + b"/"):
        return True
    return fnmatchcase(os.fsdecode(path), pattern)


def distinct(entries: Iterable[Entry]) -> list[Entry]:
    """One entry for each path, in order: the file as the run left it, else as it was logged, else as it was read."""
    best: dict[bytes, Entry] = {}
    for entry in entries:
        other = best.get(entry.path)
        if other is None or _RANK[entry.kind] < _RANK[other.kind]:
            best[entry.path] = entry
    return list(best.values())


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
