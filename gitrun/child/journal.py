"""The file in which a process keeps its metrics: opened once, appended to, given up when a write fails.

It stays open, since opening costs more than a training wants to pay for a point. A program that closes all descriptors
(to become a daemon) closes this one too; so it lies high, where no file of the program's gets its number soon, and
before it is closed it is asked whether it still is ours.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import time

from gitrun.child import points
from gitrun.child.frames import METRICS

TYPE_CHECKING = False  # as in typing, which takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any, Iterable

SHARED = "metrics-log"  # of `gitrun log`, and of other languages
_HIGH = (1000, 100)
_next_fd = _HIGH[0]
_MODE = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class Journal:
    """A new file of this process; raises OSError, also where it is written to, and then it stays, empty.

    An empty file says of itself that points are missing, also where the process is killed before it can write that.
    `packers` has what the fast way needs, by the names of a point: the descriptor, and what `points.packer` gives.
    """

    def __init__(self, path: str, missing: dict[str, int]) -> None:
        self.path = path
        self.rank = _rank()
        self.packers: dict[tuple[str, ...], tuple[int, bytes, points.Packer, bytes]] = {}
        self._schemas = 0
        self.fd = _lifted(os.open(path, _MODE | os.O_CREAT, 0o600))
        self._moment = _identity(self.fd)
        try:
            lost = [points.missing(count, why) for why, count in missing.items()]
            self.append(points.head(os.getpid(), time.time_ns(), self.rank) + b"".join(lost))
        except BaseException:
            os.ftruncate(self.fd, 0)
            self.close()
            raise

    def append(self, data: bytes) -> None:
        """Writes frames; where a part of them was written, nothing must be written behind it."""
        _write(self.fd, data)

    def add(self, names: tuple[str, ...], step: int, time_ns: int, values: Iterable[float]) -> None:
        """Writes a point; the first one of these names makes them known to `packers`."""
        known = self.packers.get(names)
        if known is not None:
            self.append(points.point(known[1:], step, time_ns, values))
        elif self._schemas < points.MAX_SCHEMAS:
            number = self._schemas = self._schemas + 1
            made = points.packer(number, len(names))
            self.append(points.schema(number, names) + points.point(made, step, time_ns, values))
            self.packers[names] = (self.fd, *made)
        else:
            self.append(points.lone_point(step, time_ns, dict(zip(names, values)), self.rank))

    def is_there(self) -> bool:
        """Whether the descriptor is still ours, and the file still has its name."""
        return _identity(self.fd) == self._moment and os.fstat(self.fd).st_nlink > 0

    def close(self) -> None:
        """Closes the descriptor, where it is ours."""
        if _identity(self.fd) == self._moment:
            os.close(self.fd)


def new_path(folder: str) -> str:
    """Where in a member's directory a file of this process may be begun."""
    return os.path.join(folder, f"{METRICS}{os.getpid()}-{os.urandom(4).hex()}")


def append_shared(folder: str, data: bytes, rank: int | None) -> None:
    """Appends frames to the file that processes share which end after one point; raises OSError."""
    path = os.path.join(folder, SHARED)
    try:
        fd = os.open(path, _MODE | os.O_CREAT | os.O_EXCL, 0o600)
        data = points.head(os.getpid(), time.time_ns(), rank) + data
    except FileExistsError:
        fd = os.open(path, _MODE)
    try:
        _write(fd, data)
    finally:
        os.close(fd)


def _write(fd: int, data: bytes) -> None:
    if os.write(fd, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _identity(fd: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(fd)
    except OSError as problem:
        if problem.errno != errno.EBADF:
            raise  # a signal's handler did: TimeoutError, say
        return None
    return found.st_dev, found.st_ino


def _lifted(fd: int) -> int:
    """The same open file under a higher number, where the limits have one.

    Not under that of a file before it: another thread may be about to write there, with what it knew of that file.
    """
    global _next_fd
    for lowest in (_next_fd, *_HIGH):
        try:
            high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)
        except OSError as problem:
            if problem.errno not in (errno.EINVAL, errno.EMFILE):
                raise
            continue  # beyond the limit of this process
        os.close(fd)
        _next_fd = high + 1
        return high
    return fd


def _rank() -> int | None:
    """Which of a job's processes this is; torch knows it best, as one launched process may start others."""
    torch = sys.modules.get("torch.distributed")
    rank: Any = points.attempt(lambda: torch.get_rank() if torch.is_initialized() else None) if torch else None
    return rank if type(rank) is int else points.rank_in(os.environ)
