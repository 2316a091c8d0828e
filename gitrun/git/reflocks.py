"""Locks on refs: Git's protocol, and the proof that a lock is dead.

Whoever creates `<ref>.lock` may change the ref, and `packed-refs.lock` stands for that file. A process that is killed
in between leaves its lock and keeps everybody out, for good: Git's own lock files say nothing about who made them. So
gitrun's are hard links to a file of its own, and their holder has the flock of that file. The kernel drops it with
the process, and whoever has it next knows such a link by its inode as dead.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gitrun.errors import GitrunError
from gitrun.files.locks import FileLock
from gitrun.files.write import create, fsync_dir, make_dirs

POLL_S = 0.005
_TRIES = 10


class RefConflictError(GitrunError):
    """A ref cannot have this name, because another one has a part of it: `in_the_way`, where that is known."""

    def __init__(self, message: str, in_the_way: str = "") -> None:
        step = f"git update-ref -d {in_the_way}" if in_the_way else "git for-each-ref refs/gitrun"
        super().__init__(message, kept="every other ref", next=f"{step}, once you know who made it")


def packed_path(common_dir: str) -> str:
    """Where packed-refs really lies: it may be a symbolic link."""
    return os.path.realpath(os.path.join(common_dir, "packed-refs"))


def fold_lock_path(common_dir: str) -> str:
    """The file whose flock is proof of who owns the ref locks that are links to it (spec/refs)."""
    return os.path.join(common_dir, "gitrun", "fold.lock")


def refs_lock_path(common_dir: str) -> str:
    """The same for the locks on single refs, which a long fold must not hold up."""
    return os.path.join(common_dir, "gitrun", "refs.lock")


def own(path: str) -> FileLock:
    """The lock on such a file, which is durable before there are links to it: it must survive what they survive."""
    if not os.path.exists(path):
        make_dirs(os.path.dirname(path))
        with suppress(FileExistsError):  # another process was quicker
            os.close(create(path))
        fsync_dir(os.path.dirname(path))
    return FileLock(path)


@contextmanager
def owned_lock(path: str, owner: str | None) -> Iterator[bool]:
    """Hold `<path>.lock` as a hard link to the file `owner`, whose flock the caller has; False when it is taken.

    Without an owner it is a lock like Git's. Raises RefConflictError, OSError.
    """
    lock = path + ".lock"
    locked = _make(lock, owner) or (owner is not None and _drop(lock, os.stat(owner)) and _make(lock, owner))
    try:
        yield locked
    finally:
        if locked:
            with suppress(FileNotFoundError):  # somebody removed it by hand
                os.unlink(lock)


def _make(lock: str, owner: str | None) -> bool:
    """Make the lock, and the directories above it; False when there is one."""
    for tries_left in range(_TRIES - 1, -1, -1):
        try:
            _make_directory(os.path.dirname(lock))
            if owner is None or not _link(owner, lock):
                os.close(create(lock))
        except FileExistsError:
            return False
        except NotADirectoryError:
            raise RefConflictError(f"a ref has a part of the name {lock.removesuffix('.lock')}") from None
        except FileNotFoundError:
            if not tries_left:
                raise
            continue  # `git pack-refs` removed the directory, which was empty
        return True
    return False


def _make_directory(path: str) -> None:
    """Make a directory of refs; raises RefConflictError where a ref has its name, or that of one above it."""
    if os.path.isdir(path):
        return
    above = path
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if not os.path.isdir(above):
        _, refs, rest = above.rpartition("/refs/")
        raise RefConflictError(f"{above} exists, so no ref below it can", f"refs/{rest}" if refs else "")
    make_dirs(path)


def _link(owner: str, lock: str) -> bool:
    """Give the owner's file the lock's name; False where the file system has no hard links."""
    try:
        os.link(owner, lock)
    except OSError as problem:
        if problem.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        return False
    return True


def _drop(lock: str, mine: os.stat_result) -> bool:
    """Remove a lock that is a link to the file with the facts `mine`, whose flock the caller has; whether it was."""
    with suppress(FileNotFoundError):  # its holder has just let go
        if os.path.samestat(os.lstat(lock), mine):
            os.unlink(lock)
            return True
    return False


def drop_dead_locks(common_dir: str, prefix: str, owner: str) -> None:
    """Remove the locks that killed processes left as links to `owner`; the caller has its flock."""
    mine = os.stat(owner)
    if mine.st_nlink == 1:
        return
    directory = os.path.join(common_dir, prefix)
    names = os.listdir(directory) if os.path.isdir(directory) else []
    for path in (
        packed_path(common_dir) + ".lock",
        *(os.path.join(directory, name) for name in names if name.endswith(".lock")),
    ):
        _drop(path, mine)


def take_lock(path: str, deadline: float) -> int:
    """Create `<path>.lock`, waiting until `deadline` (monotonic) for whoever has it; the open descriptor.

    Raises GitrunError when it does not come free.
    """
    while True:
        try:
            return create(path + ".lock")
        except FileNotFoundError:
            _make_directory(os.path.dirname(path))
        except FileExistsError:
            if time.monotonic() > deadline:
                raise lock_held(path) from None
            time.sleep(POLL_S)
        except NotADirectoryError:
            raise RefConflictError(f"a ref has a part of the name {path}") from None


def lock_held(path: str) -> GitrunError:
    """The problem of a lock that does not come free."""
    return GitrunError(f"{path}.lock is held by another process", next=f"rm {path}.lock, if no git is running")
