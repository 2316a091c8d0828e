"""The one way a file comes into being: whole and durable, or not at all.

A file written in place can be seen half done, and a power cut can leave a name without its bytes.
So the bytes go to a temporary name in the same directory, are synced, renamed, and the directory is
synced: any reader at any moment sees the old file, the new one, or none. A kill leaves at most a
file that begins with `tmp-`, which nothing ever reads.
"""

from __future__ import annotations

import os

from gitrun.errors import GitrunError, from_os_error
from gitrun.files.permissions import inherit

TEMPORARY_PREFIX = "tmp-"


def write_file(path: str, data: bytes, *, sync: bool = True, mode: int = 0o666) -> None:
    """Replace or create `path` with `data`; raises DiskFull, NotWritable or GitrunError."""
    directory = os.path.dirname(path) or "."
    temporary = temporary_path(directory)
    try:
        fd = create(temporary, mode)
        try:
            write_all(fd, data)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
        if sync:
            fsync_dir(directory)
    except BaseException as problem:
        remove_quietly(temporary)
        if isinstance(problem, OSError):
            raise from_os_error(problem, f"writing {path}") from problem
        raise


def create(path: str, mode: int = 0o666) -> int:
    """A descriptor of the new file `path`, with the owner and access of its directory."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        inherit(fd, os.stat(os.path.dirname(path) or "."))
    except BaseException:
        os.close(fd)
        remove_quietly(path)
        raise
    return fd


def make_dirs(path: str, like: str | None = None) -> None:
    """Make `path` and all above it, durably, with the owner and access of `like` (default: of the parent)."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path) or "."
    for made in reversed(missing):
        parent = os.path.dirname(made) or "."
        try:
            os.mkdir(made)
        except FileExistsError:
            if not os.path.isdir(made):
                raise GitrunError(
                    f"{made} is in the way: a directory is needed there", next=f"move {made} away, then try again"
                ) from None
            continue  # another process made it at the same moment
        except OSError as problem:
            raise from_os_error(problem, "making a directory") from problem
        _inherit_directory(made, like or parent)
        fsync_dir(parent)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write every byte, however many calls that takes."""
    written = os.write(fd, data)
    if written < len(data):
        view = memoryview(data)
        while written < len(view):
            written += os.write(fd, view[written:])


def fsync_path(path: str) -> None:
    """Make the bytes of the file (or the entries of the directory) `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fsync_dir(path: str) -> None:
    """Make the names in the directory `path` durable."""
    fsync_path(path)


def temporary_path(directory: str) -> str:
    """A name in `directory` that no reader looks at and no other process draws."""
    return os.path.join(directory, TEMPORARY_PREFIX + os.urandom(8).hex())


def remove_quietly(path: str) -> None:
    """Remove a file that may not be there."""
    try:
        os.unlink(path)
    except OSError:
        pass  # cleaning up after another problem, which is the one to report


def _inherit_directory(path: str, like: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        inherit(fd, os.stat(like))
    except OSError as problem:
        raise from_os_error(problem, "setting permissions") from problem
    finally:
        os.close(fd)
