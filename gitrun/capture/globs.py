"""Patterns for files, as `--input GLOB` and `--output GLOB` have them: the shell's rules, expanded here.

`*` does not cross a slash nor match a leading dot, `**` crosses directories; links to directories are not followed,
so a loop of links ends. A directory stands for all files below it.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator

from gitrun.capture.facts import text_path

MAX_PARTS = 500


def matches(pattern: bytes, problems: list[str], word: str = "input") -> Iterator[bytes]:
    """The files behind an absolute pattern, directories opened up; what cannot be looked at goes into `problems`."""
    parts = [part for part in pattern.split(b"/") if part not in (b"", b".")]
    if len(parts) > MAX_PARTS or b"\0" in pattern:
        problems.append(f"{word} {text_path(pattern[:200])}…: no file can have such a path")
        return
    for path in _expand(b"/", parts):
        if os.path.isdir(path):
            yield from _below(path, problems, word)
        else:
            yield path


def _expand(directory: bytes, parts: list[bytes]) -> Iterator[bytes]:
    """Paths below `directory` that match `parts`, each a name, a pattern or `**`."""
    if not parts:
        yield directory
        return
    part, rest = parts[0], parts[1:]
    if part == b"**":
        yield from _expand(directory, rest)
        for entry in _children(directory):
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(b"."):
                yield from _expand(entry.path, parts)
            elif not rest and not entry.name.startswith(b"."):
                yield entry.path
    elif any(special in part for special in (b"*", b"?", b"[")):
        for entry in _children(directory):
            hidden = entry.name.startswith(b".") and not part.startswith(b".")
            if not hidden and fnmatch.fnmatchcase(entry.name, part) and (not rest or entry.is_dir()):
                yield from _expand(entry.path, rest)
    else:
        path = os.path.join(directory, part)
        if rest or os.path.lexists(path):
            yield from _expand(path, rest)


def _children(directory: bytes) -> list[os.DirEntry[bytes]]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []  # not a directory, or not readable: nothing in it can match


def _below(directory: bytes, problems: list[str], word: str) -> Iterator[bytes]:
    def unreadable(problem: OSError) -> None:
        problems.append(f"{word} {text_path(os.fsencode(problem.filename or directory))}: {problem.strerror}")

    for parent, directories, files in os.walk(directory, onerror=unreadable):
        directories[:] = sorted(name for name in directories if name != b".git")
        yield from (os.path.join(parent, name) for name in sorted(files))
