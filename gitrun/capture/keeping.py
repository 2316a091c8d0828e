"""Which of a run's outputs are stored, and how: small ones first, never more than a run may take or a disk can give.

A run that fills the disk is worse than one that kept too little, and of what is too much the largest file is
the likeliest to be made again. So files are taken by size until the run's share is used up; the rest is named
with its digest, by which it is known again wherever it turns up.

There is a moment by which the run has to be sealed. What could not be taken by then is sealed as `deferred`, with
the times it had, so that it can be taken later if it still is the same file.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.contents import same_moment
from gitrun.capture.facts import text_path
from gitrun.capture.secret_files import is_secret_file
from gitrun.errors import GitrunError
from gitrun.files.read import pieces
from gitrun.model.listing import first_lines
from gitrun.model.patterns import means, names
from gitrun.monitor import SILENT, Monitor, Task
from gitrun.store.chunk_lists import place

if TYPE_CHECKING:
    from gitrun.store.ingest import Session

DEFERRED = "deferred"
_MOST_PROBLEMS = 20


class Budget(NamedTuple):
    """What a run may store: bytes of outputs, bytes that must stay free on the disk of `store_dir`, and until when.

    `end` gives the moment by time.monotonic(), which may come closer meanwhile. Patterns decide before sizes do;
    `base` is the directory they are relative to beside the tree's top (b"" or with a trailing slash).
    """

    most_bytes: int
    floor_bytes: int
    store_dir: str
    end: Callable[[], float]
    keep: Sequence[str] = ()
    no_keep: Sequence[str] = ()
    base: bytes = b""
    refused: str | None = None  # why nothing at all can be stored


class Output(NamedTuple):
    """A file to take: its path as the record names it, where it lies, its stat, why it counts as this run's."""

    name: bytes
    path: bytes
    found: os.stat_result
    evidence: str


class Kept(NamedTuple):
    """The lines of outputs, in no order, and what could not be done, in sentences."""

    lines: list[dict[str, Any]]
    problems: list[str]


def keep(
    outputs: Iterable[Output], session: Session, budget: Budget, kind: str = "output", monitor: Monitor = SILENT
) -> Kept:
    """The lines of these outputs, and their content in `session`, which the caller commits.

    Raises DiskFull, NotWritable or DamagedStore where the store does not take it.
    """
    ordered = sorted(outputs, key=lambda one: (not is_named(budget.keep, one.name, budget), one.found.st_size))
    total = sum(output.found.st_size for output in ordered)
    with monitor.task("storing outputs", total >> 20, "MiB") as progress:
        taker = _Taker(session, budget, kind, progress)
        lines = [line for output in ordered if (line := taker.take(output)) is not None]
    return Kept(lines, first_lines(taker.problems, _MOST_PROBLEMS))


def is_named(patterns: Sequence[str], path: bytes, budget: Budget) -> bool:
    """Whether one of the patterns names an output: by its path, its name, or a directory above it."""
    if not patterns:
        return False
    forms = [text_path(path)]
    if budget.base and path.startswith(budget.base):
        forms.append(text_path(path[len(budget.base) :]))
    return any(means(pattern, form) or names(pattern, form) for pattern in patterns for form in forms)


class _TimeIsUp(Exception):
    """The run has to be sealed."""


class _Taker:
    def __init__(self, session: Session, budget: Budget, kind: str, progress: Task) -> None:
        self._session = session
        self._budget = budget
        self._kind = kind
        self._progress = progress
        self._left = budget.most_bytes
        self._read = 0
        self.problems: list[str] = []

    def take(self, output: Output) -> dict[str, Any] | None:
        """The line of one output; None for one that is gone."""
        line: dict[str, Any] = {
            "path": text_path(output.name), "kind": self._kind, "type": "file",
            "mode": f"{stat.S_IMODE(output.found.st_mode):04o}", "bytes": output.found.st_size, "sha256": None,
            "level": None, "evidence": output.evidence, "stored": False, "reason": None, "produced_by": None,
        }  # fmt: skip
        if stat.S_ISLNK(output.found.st_mode):
            return self._link(output, line)
        if is_secret_file(output.path):
            return {**line, "reason": "secret"}
        try:
            return self._file(output, line)
        except FileNotFoundError:
            self.problems.append(f"{line['path']}: it was there when the command had ended, and is gone")
            return None
        except (OSError, GitrunError) as problem:
            if self._session.failed:
                raise
            self.problems.append(f"{line['path']}: {problem.strerror if isinstance(problem, OSError) else problem}")
            return {**line, "reason": "unreadable"}

    def _link(self, output: Output, line: dict[str, Any]) -> dict[str, Any] | None:
        try:
            target = os.readlink(output.path)
        except OSError:
            return None
        what = {"bytes": len(target), "target": text_path(target), "sha256": hashlib.sha256(target).hexdigest()}
        return {**line, "type": "link", "stored": True, **what}

    def _file(self, output: Output, line: dict[str, Any]) -> dict[str, Any]:
        chosen = is_named(self._budget.keep, output.name, self._budget)
        reason = self._why_not(output, chosen)
        fd = os.open(output.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise FileNotFoundError
            line["bytes"] = before.st_size
            if reason is None and not chosen:
                self._left -= before.st_size
            if reason is None:
                kept = self._stored(fd, before)
            else:
                kept = {"reason": reason, "sha256": self._hash(fd, before.st_size)}
            after = os.fstat(fd)
            if not same_moment(before, after) and kept["reason"] != DEFERRED:
                self.problems.append(f"{line['path']}: changed while it was read")
                kept["evidence"] = "ambiguous"
        finally:
            os.close(fd)
        return {**line, **kept}

    def _why_not(self, output: Output, chosen: bool) -> str | None:
        """Why a file is not stored; None when it is. `chosen`: the user wants it, whatever it weighs."""
        budget = self._budget
        if is_named(budget.no_keep, output.name, budget):
            return "no_keep"
        if not chosen and output.found.st_size > self._left:
            return "limit"
        if budget.refused is not None:
            return budget.refused
        if free_bytes(budget.store_dir) - output.found.st_size < budget.floor_bytes:
            return "space"
        return None

    def _stored(self, fd: int, found: os.stat_result) -> dict[str, Any]:
        """A file that is stored, unless its time runs out meanwhile."""
        try:
            self._told(0)
            content = self._session.put_file(fd, self._told)
        except _TimeIsUp:
            return {"reason": DEFERRED, "stat": moment(found)}
        where = place(content.chunks, self._session.put)
        return {"bytes": content.bytes, "sha256": content.sha256, "stored": True, "reason": None, **where}

    def _hash(self, fd: int, size: int) -> str | None:
        """The digest of what is not stored, where there is time for it."""
        digest = hashlib.sha256()
        try:
            self._told(0)
            for piece in pieces(fd, size):
                digest.update(piece)
                self._told(len(piece))
        except _TimeIsUp:
            return None
        return digest.hexdigest()

    def _told(self, length: int) -> None:
        """So many bytes more were read."""
        self._read, before = self._read + length, self._read
        self._progress.advance((self._read >> 20) - (before >> 20))
        if time.monotonic() > self._budget.end():
            raise _TimeIsUp


def moment(found: os.stat_result) -> list[int]:
    """What tells whether a file is still the one it was: modification and change time, inode."""
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def free_bytes(directory: str) -> int:
    """The bytes a user may still write on the disk of a directory that may not be made yet."""
    found = _disk(directory)
    return found.f_bavail * found.f_frsize


def floor_of(directory: str, setting: int) -> int:
    """The bytes that have to stay free on the disk of the store: as set, else the more of 5 % and 5 GiB."""
    if setting:
        return setting
    found = _disk(directory)
    return max(found.f_blocks * found.f_frsize // 20, 5 << 30)


def _disk(directory: str) -> os.statvfs_result:
    while True:
        try:
            return os.statvfs(directory)
        except FileNotFoundError:
            if directory == (above := os.path.dirname(directory)):
                raise
            directory = above
