"""The native libraries that a run mapped: the part of an environment that no distribution answers for.

A program's numbers come out of libraries that the system brought (libc, libstdc++, a driver, a BLAS under /opt), and
a lockfile knows nothing of them. What the Python processes had mapped at their end is listed here with the build id
that the linker gave each file. Which ones it is depends on the program, so this is a part of its own and not in
environment.json; it holds no process and no time, so runs of one program on one machine share it.

A library among the installed packages is only named: the digests of its distribution already say which one it is.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Sequence
from typing import Any

from gitrun.capture.elf import read_elf
from gitrun.capture.facts import Facts, structure, text_path, unwaiting

MOST_LIBRARIES = 4000
MOST_HASHED = 32 << 20  # bytes, of all that have no build id; somebody waits for the run to be sealed
_SITES = re.compile(rb"/(?:site|dist)-packages/")
_DELETED = b" (deleted)"


def native_libraries(mapped: Iterable[bytes], prefixes: Sequence[bytes], worktree: bytes | None) -> Facts | None:
    """The content of native.json for these absolute paths of mapped files; None where there are none.

    `prefixes` are the directories of the interpreters.
    """
    paths = sorted(set(mapped))
    if not paths:
        return None
    problems = []
    if len(paths) > MOST_LIBRARIES:
        problems.append(f"{len(paths)} libraries were mapped, of which {MOST_LIBRARIES} were looked at")
    shelf = _Shelf(prefixes, worktree)
    libraries = [shelf.describe(path) for path in paths[:MOST_LIBRARIES]]
    if shelf.gone:
        problems.append(f"{shelf.gone} mapped libraries were gone or replaced when the run had ended")
    return Facts(structure(libraries=sorted(libraries, key=lambda one: (one["place"], one["path"]))), problems)


class _Shelf:
    def __init__(self, prefixes: Sequence[bytes], worktree: bytes | None) -> None:
        self._prefixes = sorted({prefix.rstrip(b"/") + b"/" for prefix in prefixes}, key=len, reverse=True)
        self._worktree = None if worktree is None else worktree.rstrip(b"/") + b"/"
        self._hashed = 0
        self.gone = 0

    def describe(self, path: bytes) -> dict[str, Any]:
        place, name = self._place(path.removesuffix(_DELETED))
        facts: dict[str, Any] = {"path": text_path(name), "place": place}
        if place == "packages":
            return facts
        facts.update(soname=None, build_id=None, bytes=None, sha256=None)
        if path.endswith(_DELETED):
            self.gone += 1
            return facts
        try:
            fd = unwaiting(path, os.O_RDONLY)
        except OSError:
            self.gone += 1
            return facts
        try:
            self._read(fd, facts)
        except OSError:
            self.gone += 1
        finally:
            os.close(fd)
        return facts

    def _place(self, path: bytes) -> tuple[str, bytes]:
        if (found := _SITES.search(path)) is not None:
            return "packages", path[found.end() :]
        for prefix in self._prefixes:
            if path.startswith(prefix) and prefix != b"/usr/":
                return "python", path[len(prefix) :]
        if self._worktree is not None and path.startswith(self._worktree):
            return "source", path[len(self._worktree) :]
        return "system", path

    def _read(self, fd: int, facts: dict[str, Any]) -> None:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return
        facts["bytes"] = found.st_size
        elf = read_elf(fd)
        if elf is not None:
            facts.update(build_id=elf.build_id, soname=None if elf.soname is None else text_path(elf.soname))
        if facts["build_id"] is None and self._hashed + found.st_size <= MOST_HASHED:
            self._hashed += found.st_size
            with open(fd, "rb", closefd=False) as file:
                facts["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
