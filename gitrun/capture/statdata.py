"""Whether a file's stat data proves it unchanged since Git last looked at it, as its index entry says.

A file whose entry is as young as the index itself may have changed within the clock's tick ("racily
clean" in Git's words), so it proves nothing and the bytes decide.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from gitrun.git.index import STAT, Entry

_S = 1_000_000_000
_KIND_AND_X = 0o170100  # what Git keeps of a mode
Fields = tuple[int, ...]
"""What STAT reads of an entry."""


class StatRules(NamedTuple):
    """How far the index's stat data is believed: core.trustctime and core.checkStat."""

    ctime: bool = True
    inode: bool = True


def is_same(found: os.stat_result, fields: Fields, index_mtime: int) -> bool:
    """Whether all of it agrees; called for every tracked file, so what rarely differs comes last."""
    ctime_s, ctime_ns, mtime_s, mtime_ns, inode, mode, size = fields
    mtime = found.st_mtime_ns
    return bool(
        mtime == mtime_s * _S + mtime_ns
        and mtime < index_mtime
        and found.st_ctime_ns == ctime_s * _S + ctime_ns
        and found.st_size & 0xFFFFFFFF == size
        and found.st_ino & 0xFFFFFFFF == inode
        and found.st_mode & _KIND_AND_X == mode & _KIND_AND_X
    )


def is_unchanged(found: os.stat_result, entry: Entry, index_mtime: int, trust: StatRules) -> bool:
    """The question again for links, whose mode means nothing, and with the trust a repository's settings leave."""
    ctime_s, ctime_ns, mtime_s, mtime_ns, inode, mode, size = STAT.unpack_from(entry)
    mtime = found.st_mtime_ns
    if mtime >= index_mtime or found.st_size & 0xFFFFFFFF != size:
        return False
    if trust.ctime and found.st_ctime_ns != ctime_s * _S + ctime_ns:
        return False
    if trust.inode:
        same = mtime == mtime_s * _S + mtime_ns and found.st_ino & 0xFFFFFFFF == inode
    else:
        # core.checkStat=minimal: whole seconds are all that every writer of this index keeps.
        same = mtime // _S == mtime_s and mtime // _S < index_mtime // _S
    mask = 0o170000 if stat.S_ISLNK(found.st_mode) else _KIND_AND_X
    return bool(same and found.st_mode & mask == mode & mask)
