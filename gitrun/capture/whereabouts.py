"""Whose a file is that a run loaded: the source's, the environment's, or nobody's, and then gitrun keeps it.

Problem: a Python process names some thousand files, and nearly all of them come back with the environment.
Idea: a file is judged by where it lies, the cheapest question first: the interpreter's own directories, a
distribution's, the system's. What is left is code that only this machine has.
Reason: a wrong "nobody's" costs some bytes, a wrong "somebody's" costs the replay; so a place is taken for
somebody's only where an installation puts its files.

Inside the worktree or a root a file is named by its path there. A file among the installed packages that no
distribution owns is named by its absolute path, even where the virtual environment lies in the worktree: its
directory is the environment's, and comes back with that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

# Where packages of the system, and nothing else, put files.
_SYSTEM = (
    b"/usr/", b"/lib/", b"/lib32/", b"/lib64/", b"/libx32/", b"/bin/", b"/sbin/", b"/etc/", b"/opt/", b"/nix/store/",
    b"/gnu/store/", b"/snap/", b"/System/", b"/Library/", b"/proc/", b"/dev/", b"/sys/",
)  # fmt: skip
_USERS = (b"/usr/local/", b"/opt/")  # where people put Python files of their own as well
_SITES = re.compile(rb"/(?:site|dist)-packages/")
_STDLIB = re.compile(rb"lib(?:32|64)?/(?:python|pypy)\d+(?:\.\d+)?(?:t|\.zip)?(?:/|\Z)")
_INSTALLER_MADE = (b"-packages/_virtualenv.py",)  # written by virtualenv and uv into every environment they make
_PACKAGE = os.fsencode(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + b"/"
_OWN = _PACKAGE + b"child/"

Owner = Callable[[bytes], object]  # what owns an absolute path below a directory of packages; false for nothing


class Where(NamedTuple):
    """Where a loaded file lies: `path` is relative to the worktree, or to root number `root`, or absolute.

    `at` is where it can be read.
    """

    path: bytes
    root: int | None
    at: bytes

    @property
    def is_outside(self) -> bool:
        """Whether it lies in no part of the source."""
        return self.path.startswith(b"/")


class Territory(NamedTuple):
    """The directories of a run: its worktree, its roots by number, the interpreters' prefixes."""

    worktree: bytes | None
    roots: list[tuple[int, bytes]]
    prefixes: list[bytes]


class Whereabouts:
    """Answers, for one run, where a loaded file lies; None for what is not its own."""

    def __init__(self, territory: Territory, owner: Callable[[list[bytes]], Owner]) -> None:
        self._prefixes = [prefix.rstrip(b"/") + b"/" for prefix in territory.prefixes if prefix.strip(b"/")]
        self._owner = owner
        self._owners: dict[bytes, Owner] = {}
        self._copies = b""
        self._containers: list[tuple[bytes, int | None]] = []
        if (top := territory.worktree) is not None:
            self._contain(top, None)
            for n, path in territory.roots:
                self._contain(path if path.startswith(b"/") else os.path.join(top, path), n)
                self._contain(b"%b.roots/%d" % (top, n), n)  # where a checkout puts a root from outside
            self._copies = top + b".loaded/"
        self._containers.sort(key=lambda pair: len(pair[0]), reverse=True)

    def _contain(self, path: bytes, n: int | None) -> None:
        for name in {path, os.path.realpath(path)}:
            self._containers.append((name.rstrip(b"/") + b"/", n))

    def of(self, path: bytes, is_library: bool = False) -> Where | None:
        """Where the absolute `path` lies; `is_library`: it was mapped, and nobody imported it by a module's name."""
        if b"/." in path or b"//" in path:
            path = os.path.normpath(path)
        if (found := _SITES.search(path)) is not None:  # nearly all of them
            return self._among_packages(path, path[: found.end() - 1])
        if path.startswith(_OWN) or self._is_interpreters(path, is_library):
            return None
        if self._copies and path.startswith(self._copies):
            return Where(path[len(self._copies) - 1 :], None, path)
        real = os.path.realpath(path)
        for name in dict.fromkeys((path, real)):
            for container, n in self._containers:
                if name.startswith(container):
                    return Where(name[len(container) :], n, path)
        if path.startswith(_PACKAGE):
            return None  # lent to a program that has no gitrun of its own
        if self._is_systems(path, is_library) or (real != path and self._is_foreign(real, is_library)):
            return None
        return Where(path, None, path)

    def _is_foreign(self, real: bytes, is_library: bool) -> bool:
        """Whether what a link leads to is somebody's, wherever the link lies."""
        return (
            _SITES.search(real) is not None
            or self._is_interpreters(real, is_library)
            or self._is_systems(real, is_library)
        )

    def _is_interpreters(self, path: bytes, is_library: bool) -> bool:
        for prefix in self._prefixes:
            if path.startswith(prefix):
                below = path[len(prefix) :]
                if _STDLIB.match(below) or below.startswith(b"bin/"):
                    return True
                if is_library and below.startswith((b"lib/", b"lib64/")):
                    return True
        return False

    def _is_systems(self, path: bytes, is_library: bool) -> bool:
        return path.startswith(_SYSTEM) and (is_library or not path.startswith(_USERS))

    def _among_packages(self, path: bytes, site: bytes) -> Where | None:
        if path.endswith(_INSTALLER_MADE):
            return None
        if site not in self._owners:
            self._owners[site] = self._owner([site])
        if self._owners[site](path) or site.startswith(b"/usr/lib"):
            return None  # Debian keeps its lists of files elsewhere
        return Where(path, None, path)


def prefixes_of(starts: Iterable[dict[str, Any]]) -> list[bytes]:
    """The prefixes that Python processes reported, and what they lead to; in the order first seen."""
    found: dict[bytes, None] = {}
    for start in starts:
        for key in ("prefix", "base_prefix", "exec_prefix", "base_exec_prefix"):
            value = start.get(key)
            if isinstance(value, (str, bytes)) and value:
                path = os.fsencode(value)
                found[path] = found[os.path.realpath(path)] = None
    return list(found)
