"""Files that count as written for another reason than where they lie: a process said so, or the user named them.

The scan of the tree sees neither what a program writes elsewhere, nor what lies below a cache or a link. Python
processes report what they opened for writing, and `--output GLOB` names what else is one: of both, a file counts that
is there in the end and was changed since the start. So does one outside that a link in the tree leads to: the link
itself says nothing about the bytes behind it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from gitrun.capture.facts import relative, text_path
from gitrun.capture.globs import matches
from gitrun.capture.imports import base_of
from gitrun.capture.observed import Observed
from gitrun.capture.outputs import is_cache
from gitrun.capture.places import Places

MOST_DECLARED = 100_000
_NO_FILES = (b"/proc/", b"/sys/", b"/dev/")


class Found(NamedTuple):
    """A file: its path as the record names it, where it lies, its stat."""

    name: bytes
    path: bytes
    found: os.stat_result


Since = Callable[[os.stat_result], bool]  # whether a file was changed since the start


class Written:
    """What the processes of a run opened for writing, by real path; `cwd` is where its command started."""

    def __init__(self, observed: Observed, cwd: bytes) -> None:
        self._directories: dict[bytes, bytes] = {}
        self.paths: set[bytes] = set()
        for process in observed.processes:
            base = base_of(process, cwd)
            self.paths.update(self.real(os.path.join(base, one.path)) for one in process.opened if one.mode == "w")

    def real(self, path: bytes) -> bytes:
        """A path whose directories are no links; the name itself may be one."""
        above, name = os.path.split(path)
        if above not in self._directories:
            self._directories[above] = os.path.realpath(above)
        return os.path.join(self._directories[above], name)

    def has(self, path: bytes) -> bool:
        """Whether a process opened this file for writing, or what this link leads to."""
        return bool(self.paths) and (self.real(path) in self.paths or os.path.realpath(path) in self.paths)

    def outside(self, top: bytes, skip: Collection[bytes], since: Since) -> Iterator[Found]:
        """Files below neither `top` nor one of `skip`, caches left out."""
        return _outside(sorted(self.paths), top, skip, since)


def behind_links(
    paths: Iterable[bytes], places: Places, top: bytes, skip: Collection[bytes], since: Since
) -> Iterator[Found]:
    """The changed ones of these files outside of the tree, as far as the run's processes saw them where they lie."""
    return _outside((path for path in paths if places.real(path) == path), top, skip, since)


def _outside(paths: Iterable[bytes], top: bytes, skip: Collection[bytes], since: Since) -> Iterator[Found]:
    real_top = os.path.realpath(top)
    for path in paths:
        if path.startswith(_NO_FILES) or path.endswith(b".pyc") or is_cache(path):
            continue
        if relative(path, real_top) is not None or _is_below(path, skip):
            continue
        if (found := _changed(path, since)) is not None:
            yield Found(path, path, found)


def declared(
    patterns: Sequence[bytes], cwd: bytes, top: bytes, skip: Collection[bytes], since: Since, problems: list[str]
) -> Iterator[Found]:
    """The files that patterns name, relative to `cwd`, and that were changed; a pattern without any is told."""
    real_top, count = os.path.realpath(top), 0
    for pattern in patterns:
        complaints, before = len(problems), count
        for path in matches(os.path.join(cwd, pattern), problems, "output"):
            path = os.path.normpath(path)
            inside = relative(path, top.rstrip(b"/")) or relative(path, real_top)
            found = _changed(path, since)
            if found is None or _is_below(path, skip):
                continue
            if count == MOST_DECLARED:
                problems.append(f"output {text_path(pattern)}: more than {MOST_DECLARED:,} files, the rest is not kept")
                return
            count += 1
            yield Found(inside or path, path, found)
        if count == before and complaints == len(problems):
            problems.append(f"output {text_path(pattern)}: names no file that was written")


def _is_below(path: bytes, directories: Collection[bytes]) -> bool:
    real = os.path.realpath(path)
    return any(relative(real, one) is not None for one in directories)


def _changed(path: bytes, since: Since) -> os.stat_result | None:
    """The stat of a file or link that was changed; None for anything else."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None  # it is gone again
    is_one = stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)
    return found if is_one and since(found) else None
