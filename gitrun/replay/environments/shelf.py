"""Where built environments are kept: one directory for each, named by what it is, used at once when it is there.

An environment is built at the place where it will lie, because its scripts name their interpreter by its path. It
counts from the moment its `complete.json` is there, which is written last; what a killed builder left is built again.
Whoever uses one holds a shared lock, which the kernel drops with the process; a builder and the collector hold it
alone. So an environment is never changed or removed under a program.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import Any, NamedTuple

from gitrun.archive.archive import Archive
from gitrun.errors import from_os_error
from gitrun.files.locks import flock, still_named
from gitrun.files.user_cache import user_cache
from gitrun.files.write import make_dirs, write_file
from gitrun.replay.removal import remove_tree

KEEP_S = 30 * 86_400.0
_COMPLETE, _LOCK, PREFIX = "complete.json", "lock", "env"
_FORMAT = 1


class Hold(NamedTuple):
    """A lock on one place of the shelf, held until `release` or the end of all processes that have the descriptor."""

    fd: int

    def release(self) -> None:
        """Let go."""
        os.close(self.fd)

    def alone(self, wait: bool = True) -> bool:
        """Have it to oneself; False where others have it and `wait` is false."""
        return flock(self.fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), _LOCK)

    def share(self) -> None:
        """Have it together with others."""
        flock(self.fd, fcntl.LOCK_SH, _LOCK)


class Place(NamedTuple):
    """One place of the shelf."""

    directory: str

    @property
    def prefix(self) -> str:
        """The environment itself."""
        return os.path.join(self.directory, PREFIX)

    def hold(self) -> Hold:
        """A shared lock on the place, which is made where it is missing."""
        path = os.path.join(self.directory, _LOCK)
        while True:
            make_dirs(self.directory)
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:
                continue  # the collector took the directory away in between
            except OSError as problem:
                raise from_os_error(problem, "looking for a built environment") from problem
            flock(fd, fcntl.LOCK_SH, path)
            if still_named(fd, path):
                return Hold(fd)
            os.close(fd)

    def complete(self) -> dict[str, Any] | None:
        """What is said of the environment that lies here, None where none is whole."""
        try:
            with open(os.path.join(self.directory, _COMPLETE), "rb") as file:
                said = json.load(file)
        except (OSError, ValueError):
            return None
        return said if isinstance(said, dict) and said.get("format") == _FORMAT else None

    def set_complete(self, said: dict[str, Any]) -> None:
        """Have the environment count."""
        write_file(os.path.join(self.directory, _COMPLETE), json.dumps({"format": _FORMAT, **said}).encode())

    def touch(self) -> None:
        """It was used now."""
        try:
            os.utime(os.path.join(self.directory, _COMPLETE))
        except OSError:
            pass  # a shelf that cannot be written: nothing will be collected from it either

    def clear(self) -> None:
        """Remove all but the lock, `complete.json` first."""
        for name in (_COMPLETE, *(name for name in os.listdir(self.directory) if name not in (_LOCK, _COMPLETE))):
            path = os.path.join(self.directory, name)
            if os.path.isdir(path) and not os.path.islink(path):
                remove_tree(path)
            elif os.path.lexists(path):
                os.unlink(path)


class Gone(NamedTuple):
    """What a collection of the shelf took away, or would."""

    environments: int
    freed: int


def shelf_of(archive: Archive) -> str:
    """The directory of the shelf: the user's cache, or the archive's own where there is none that can be written."""
    worktree = archive.here.worktree if archive.here is not None else archive.repo.worktree
    own = user_cache(archive.environ, worktree, "environments")
    if own is not None and _may_write(own):
        return own
    return os.path.join(archive.gitrun_dir, "cache", "environments")


def _may_write(directory: str) -> bool:
    """Whether there is a directory to write to, or may be one."""
    while not os.path.lexists(directory):
        directory = os.path.dirname(directory)
    return os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK)


def collect(directory: str, *, dry_run: bool = False, older_s: float = KEEP_S) -> Gone:
    """Take away what nobody has used for `older_s`, and what is no whole environment; never what is in use."""
    count = freed = 0
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return Gone(0, 0)
    except OSError as problem:
        raise from_os_error(problem, "looking at built environments") from problem
    for name in names:
        place = Place(os.path.join(directory, name))
        if not os.path.isdir(place.directory) or os.path.islink(place.directory):
            continue
        hold = place.hold()
        try:
            if not hold.alone(wait=False) or not _is_over(place, older_s):
                continue
            count, freed = count + 1, freed + _size(place.directory)
            if not dry_run:
                place.clear()
                remove_tree(place.directory)
        finally:
            hold.release()
    return Gone(count, freed)


def _is_over(place: Place, older_s: float) -> bool:
    if place.complete() is None:
        return True
    return time.time() - os.stat(os.path.join(place.directory, _COMPLETE)).st_mtime > older_s


def _size(directory: str) -> int:
    total = 0
    for path, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
            except OSError:
                pass  # it went away meanwhile
    return total
