"""Removing a directory that a program may have left in any state, and may still be changing.

A command that ran in a replay's directory may have made directories read-only, nested them deeper
than a recursive removal can follow, or left a process that puts a link where a directory was. So
every step is taken through the descriptor of a directory and refuses links, and nothing goes deep:
what a directory holds of directories is moved up, next to it, before it is removed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from gitrun.monitor import SILENT, Monitor

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(directory: str, monitor: Monitor = SILENT) -> None:
    """Remove `directory` and all below it; what cannot be removed is left and said once."""
    problems: list[OSError] = []
    try:
        with _opened(directory, None) as top:
            _empty(top, problems)
        os.rmdir(directory)
    except OSError as trouble:
        problems.append(trouble)
    if problems and os.path.lexists(directory):
        monitor.warn("W034", f"{directory} could not be removed: {problems[0].strerror}")


def _empty(top: int, problems: list[OSError]) -> None:
    """Remove all that lies in `top`; what is below its directories comes up first, under names nobody has."""
    unique, moved = os.urandom(8).hex(), 0
    pending = _without_files(top, problems)
    while pending:
        name = pending.pop()
        try:
            with _opened(name, top) as directory:
                for below in _without_files(directory, problems):
                    moved += 1
                    os.rename(below, f"{unique}-{moved}", src_dir_fd=directory, dst_dir_fd=top)
                    pending.append(f"{unique}-{moved}")
            os.rmdir(name, dir_fd=top)
        except OSError as trouble:
            problems.append(trouble)


def _without_files(directory: int, problems: list[OSError]) -> list[str]:
    """The directories in a directory, once all else in it is gone, each of them ours to move."""
    below = []
    with os.scandir(directory) as entries:
        listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in listed:
        try:
            if is_directory:
                below.append(name)
                with _opened(name, directory):
                    pass  # only to make it writable: a read-only directory cannot be moved
            else:
                os.unlink(name, dir_fd=directory)
        except OSError as trouble:
            problems.append(trouble)
    return below


@contextmanager
def _opened(name: str, parent: int | None) -> Iterator[int]:
    """A directory that is no link, made readable and writable."""
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
    except PermissionError:
        _unlock(name, parent)
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        os.fchmod(fd, 0o700)
        yield fd
    finally:
        os.close(fd)


def _unlock(name: str, parent: int | None) -> None:
    """Make a directory readable that cannot even be opened, through a handle, so that no link is followed."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{handle}", 0o700)
    finally:
        os.close(handle)
