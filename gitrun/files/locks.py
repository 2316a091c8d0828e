"""A lock that the kernel drops with its holder, whatever ends the holder.

`flock` belongs to an open file, not to a process: it survives a fork for as long as one of the two
keeps the file open, which is how a keeper holds on to a run whose recorder died. So release means
close, never LOCK_UN, which would take the lock from the other side of the fork as well.

Lock files stay where they are. Where a whole directory is removed, its lock goes with it; a waiter
that then gets the lock of a file without a name notices, and starts over with the file that has it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from types import TracebackType

from gitrun.errors import GitrunError, from_os_error
from gitrun.files.permissions import inherit

_POLL_S = 0.01
_HELD = (errno.EWOULDBLOCK, errno.EACCES)


class FileLock:
    """An exclusive lock on the file `path`, which is made when missing (its directory is not)."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd: int | None = None

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take the lock; False when somebody else has it and `timeout` seconds (or no wait) are over."""
        if self.fd is not None:
            raise GitrunError(f"{self.path} is locked twice by one holder")
        deadline = None if timeout is None else time.monotonic() + timeout
        how = fcntl.LOCK_EX if blocking and deadline is None else fcntl.LOCK_EX | fcntl.LOCK_NB
        while True:
            fd = _open(self.path)
            taken = False
            try:
                taken = flock(fd, how, self.path)
                if taken and still_named(fd, self.path):
                    self.fd = fd
                    return True
            finally:
                if self.fd is None:
                    os.close(fd)
            if taken:
                continue  # the file lost its name while we waited: lock the one that has it
            if not blocking or (deadline is not None and time.monotonic() >= deadline):
                return False
            time.sleep(_POLL_S)

    def release(self) -> None:
        """Let go; a forked process that still has the descriptor keeps the lock."""
        if self.fd is not None:
            fd, self.fd = self.fd, None
            os.close(fd)

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def held_by_other(path: str) -> bool:
    """Whether some open file other than one made here holds the lock; False when there is no file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as problem:
        raise from_os_error(problem, f"looking at the lock {path}") from problem
    try:
        # Shared, so that two who look at the same time do not take each other for a holder.
        return not flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB, path)
    finally:
        os.close(fd)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        pass  # made below, with the permissions of its directory
    except OSError as problem:
        raise from_os_error(problem, f"opening the lock {path}") from problem
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        inherit(fd, os.stat(os.path.dirname(path) or "."))
    except OSError as problem:
        raise from_os_error(problem, f"making the lock {path}") from problem
    return fd


def flock(fd: int, how: int, path: str) -> bool:
    """Take a lock (fcntl.LOCK_*) on the open file `path`; False where others have it and `how` is not to wait."""
    try:
        fcntl.flock(fd, how)
    except OSError as problem:
        if problem.errno in _HELD:
            return False
        raise from_os_error(problem, f"locking {path}") from problem
    return True


def still_named(fd: int, path: str) -> bool:
    """Whether `path` still names the open file, so that its lock means what others lock."""
    try:
        named = os.stat(path)
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)
