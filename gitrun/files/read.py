"""Reading files that others may change, and in whose place anything may lie.

A named pipe there would hold its reader up for ever, a file of terabytes would take all of the memory, and one that
grows as fast as it is read has no end.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

_PIECE_BYTES = 1 << 20


def read_plain(path: str, most: int) -> bytes:
    """The first `most` bytes of a regular file; raises OSError for anything else, a link as well."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is no file", path)
        return file.read(most)


def pieces(fd: int, most: int) -> Iterator[bytes]:
    """The next bytes of an open file, a MiB at a time, `most` in all, however fast it grows."""
    while most > 0 and (piece := os.read(fd, min(most, _PIECE_BYTES))):
        most -= len(piece)
        yield piece
