"""Reading a file that is only a help, and that anything may lie in the place of.

A named pipe there would hold its reader up for ever, and a file of terabytes would take all of the memory.
"""

from __future__ import annotations

import errno
import os
import stat


def read_plain(path: str, most: int) -> bytes:
    """The first `most` bytes of a regular file; raises OSError for anything else, a link as well."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is no file", path)
        return file.read(most)
