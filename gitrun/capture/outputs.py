"""The files a run created or changed, found by one look at the tree after it.

Problem: what a program writes is seen by nobody while it runs, unless every program is instrumented.
Idea: a file system stamps each change of a file with its own clock (the change time, which no program can set),
so every file whose stamp is not before the start was touched since; one scan finds what any language wrote.
Reason: a scan costs two microseconds a file, needs no cooperation, and misses only what is gone again.

Touched is not written: a chmod or a link leaves a stamp as well. Whoever compares the content with the source
tells them apart.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection
from typing import NamedTuple

from gitrun.capture.facts import text_path, word_set

_CACHES = frozenset(
    map(
        os.fsencode,
        word_set(
            "__pycache__ node_modules .git .hg .svn .venv .tox .nox .eggs .mypy_cache .pytest_cache .ruff_cache "
            ".pytype .hypothesis .ipynb_checkpoints .cache .npm .yarn .gradle .terraform .direnv .dvc .bundle"
        ),
    )
)
_ENVIRONMENTS = (b"pyvenv.cfg", b"conda-meta")  # what makes a directory an environment, whatever its name
ANOTHER_CLOCK_NS = 2_000_000_000  # how far the clocks of two file systems may be apart
_CHECK_EVERY = 2000  # names between two looks at the clock
_KIND, _DIRECTORY, _LINK, _FILE = 0o170000, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFREG


class Touched(NamedTuple):
    """A file or link that was touched: its path relative to the top, and its stat."""

    path: bytes
    found: os.stat_result


class Scan(NamedTuple):
    """What a scan found.

    `links` lead to directories outside, which were not entered; `gaps` are sentences about what else was not.
    `beyond` are the real paths of files outside that links lead to.
    """

    touched: list[Touched]
    links: list[bytes]
    gaps: list[str]
    beyond: list[bytes]


def scan(top: bytes, since_ns: int, *, skip: Collection[bytes] = (), limit_s: float = 20.0) -> Scan:
    """Every file below `top` (with a trailing slash) whose change time is `since_ns` or later, sorted by path.

    `skip` are absolute directories that are not entered (the archive's own, declared data). Caches and environments
    are not outputs. After `limit_s` seconds the scan ends with what it has. Other file systems are not entered,
    because each has a clock of its own.
    """
    end = time.monotonic() + limit_s
    work = _Scan(top, since_ns, frozenset(skip))
    mark = _CHECK_EVERY
    while work.todo:
        work.enter(work.todo.pop())
        if work.looked >= mark:
            mark = work.looked + _CHECK_EVERY
            if time.monotonic() > end and work.todo:
                work.gaps.append(f"the scan was ended after {limit_s:.3g} s: at least {len(work.todo)} directories")
                break
    return Scan(sorted(work.touched), sorted(work.links), work.gaps, sorted(work.beyond))


def is_cache(path: bytes) -> bool:
    """Whether a path leads through a directory of caches."""
    return not _CACHES.isdisjoint(path.split(b"/")[:-1])


def is_environment(path: bytes) -> bool:
    """Whether a directory is a virtual or conda environment."""
    return any(os.path.lexists(os.path.join(path, mark)) for mark in _ENVIRONMENTS)


class _Scan:
    def __init__(self, top: bytes, since_ns: int, skip: frozenset[bytes]) -> None:
        self.top = top
        self.since_ns = since_ns
        self.skip = skip
        self.device = os.stat(top).st_dev
        self.todo = [b""]
        self.looked = 0
        self.touched: list[Touched] = []
        self.links: list[bytes] = []
        self.gaps: list[str] = []
        self.beyond: set[bytes] = set()

    def enter(self, directory: bytes) -> None:
        self.looked += 1
        try:
            fd = os.open(self.top + directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # a temporary directory of a process that lives on
        except OSError as problem:
            self.gaps.append(f"{text_path(directory) or './'}: {problem.strerror}")
            return
        try:
            names = os.listdir(self.top + directory)
            if directory and any(mark in names for mark in _ENVIRONMENTS):
                return
            self.looked += len(names)
            self._look(directory, names, fd)
        except FileNotFoundError:
            pass  # removed while it was looked at
        finally:
            os.close(fd)

    def _look(self, directory: bytes, names: list[bytes], fd: int) -> None:
        """Look at every entry of a directory: the hot loop."""
        look, since_ns, refused = os.stat, self.since_ns, None
        for name in names:
            try:
                found = look(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue  # removed while it was looked at
            except OSError as problem:
                refused = problem  # mostly a directory that may be listed and not entered
                continue
            kind = found.st_mode & _KIND
            if kind == _DIRECTORY:
                self._enter_later(directory, name, found)
                continue
            if found.st_ctime_ns >= since_ns and kind in (_FILE, _LINK):
                self.touched.append(Touched(directory + name, found))
            if kind == _LINK:
                self._follow(directory + name)
        if refused is not None:
            self.gaps.append(f"{text_path(directory) or './'}: {refused.strerror}")

    def _enter_later(self, directory: bytes, name: bytes, found: os.stat_result) -> None:
        path = directory + name
        if name in _CACHES or self.top + path in self.skip:
            return
        if found.st_dev != self.device:
            self.gaps.append(f"{text_path(path)}/: another file system")
            return
        self.todo.append(path + b"/")

    def _follow(self, path: bytes) -> None:
        """Keep what a link leads to, where that is a file or a directory that the scan does not come by."""
        real = os.path.realpath(self.top + path)
        if (real + b"/").startswith(os.path.realpath(self.top) + b"/") or real in self.skip:
            return
        try:
            found = os.stat(real)
        except OSError:
            return  # it leads nowhere
        if found.st_mode & _KIND == _DIRECTORY:
            self.links.append(path)
        elif found.st_mode & _KIND == _FILE and found.st_ctime_ns >= self.since_ns - ANOTHER_CLOCK_NS:
            self.beyond.add(real)
