"""Files named with `record --input GLOB`: hashed before the command starts, so that a replay can find the same bytes.

The shell's rules for patterns: `*` does not cross a slash nor match a leading dot, `**` crosses directories;
links to directories are not followed, so a loop of links ends. A directory stands for all files below it. Hashing
streams, and a file that is being written while it is read is named as such rather than trusted.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from gitrun.capture.facts import place, text_path
from gitrun.capture.secret_files import is_secret_file

MAX_FILES = 100_000
MAX_PARTS = 500
BUFFER_BYTES = 1 << 20


class Inputs(NamedTuple):
    """Lines for artifacts.jsonl, sorted by path bytes, and one sentence for each thing missing."""

    entries: list[dict[str, Any]]
    problems: list[str]


def capture_inputs(globs: Sequence[bytes], *, cwd: bytes, worktree: bytes | None) -> Inputs:
    """Hash the files that the patterns match; patterns and their matches are relative to `cwd`."""
    problems: list[str] = []
    found: dict[bytes, None] = {}
    for pattern in globs:
        matched = False
        complaints = len(problems)
        for path in _matches(os.path.join(cwd, pattern), problems):
            matched = True
            found[os.path.normpath(path)] = None
            if len(found) >= MAX_FILES:
                problems.append(f"input {text_path(pattern)}: more than {MAX_FILES} files; the rest is not recorded")
                break
        if not matched and len(problems) == complaints:
            problems.append(f"input {text_path(pattern)}: matches no file")
    entries = [entry for path in found if (entry := _entry(path, worktree, problems)) is not None]
    return Inputs(sorted(entries, key=lambda entry: os.fsencode(entry["path"])), problems)


def _matches(pattern: bytes, problems: list[str]) -> Iterator[bytes]:
    """The files behind an absolute pattern, directories opened up."""
    parts = [part for part in pattern.split(b"/") if part not in (b"", b".")]
    if len(parts) > MAX_PARTS or b"\0" in pattern:
        problems.append(f"input {text_path(pattern[:200])}…: no file can have such a path")
        return
    for path in _expand(b"/", parts):
        if os.path.isdir(path):
            yield from _below(path, problems)
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


def _below(directory: bytes, problems: list[str]) -> Iterator[bytes]:
    def unreadable(problem: OSError) -> None:
        problems.append(f"input {text_path(os.fsencode(problem.filename or directory))}: {problem.strerror}")

    for parent, directories, files in os.walk(directory, onerror=unreadable):
        directories[:] = sorted(name for name in directories if name != b".git")
        yield from (os.path.join(parent, name) for name in sorted(files))


def _entry(path: bytes, worktree: bytes | None, problems: list[str]) -> dict[str, Any] | None:
    """The line of one file; None for what is no file at all."""
    entry: dict[str, Any] = {
        "path": place(path, worktree), "kind": "input", "type": "file", "mode": None, "bytes": None, "sha256": None,
        "evidence": "declared", "stored": False, "reason": "input", "produced_by": None,
    }  # fmt: skip
    try:
        link = stat.S_ISLNK(os.lstat(path).st_mode)
        if link:
            entry["type"] = "link"
            entry["target"] = text_path(os.readlink(path))
        facts = os.stat(path)
    except OSError as problem:
        problems.append(f"input {entry['path']}: {problem.strerror}")
        return {**entry, "reason": "missing"}
    if not stat.S_ISREG(facts.st_mode):
        problems.append(f"input {entry['path']}: not a file (a pipe, socket or device); not recorded")
        return None
    entry["mode"] = f"{stat.S_IMODE(facts.st_mode):04o}"
    if is_secret_file(path) or (link and is_secret_file(os.path.realpath(path))):
        return {**entry, "reason": "secret"}
    return {**entry, **_hashed(path, facts, entry["path"], problems)}


def _hashed(path: bytes, facts: os.stat_result, name: str, problems: list[str]) -> dict[str, Any]:
    """Size and sha256 of what was read."""
    digest = hashlib.sha256()
    size = 0
    buffer = bytearray(BUFFER_BYTES)
    view = memoryview(buffer)
    try:
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest.update(view[:count])
                size += count
            after = os.fstat(file.fileno())
    except OSError as problem:
        problems.append(f"input {name}: {problem.strerror}")
        return {"bytes": facts.st_size, "reason": "unreadable"}
    if (after.st_size, after.st_mtime_ns) != (facts.st_size, facts.st_mtime_ns) or size != facts.st_size:
        problems.append(f"input {name}: changed while it was read")
    return {"bytes": size, "sha256": digest.hexdigest()}
