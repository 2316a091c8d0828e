"""New files take after the directory they are put in, so that everybody who could use it still can.

A shared repository (`core.sharedRepository`) is one whose directories carry the set-group-id bit
and the access bits the group is meant to have; Git gives every file in it the same access. And when
root records in somebody's repository, a file owned by root would lock its owner out. Both are
answered by looking at the parent directory alone: no configuration is read, and what is right for
`.git` flows down to everything below it.
"""

from __future__ import annotations

import os
import stat


def inherit(fd: int, parent: os.stat_result) -> None:
    """Give the open file or directory `fd` the owner (as root only) and shared access of `parent`."""
    mine = os.fstat(fd)
    if os.geteuid() == 0 and (mine.st_uid, mine.st_gid) != (parent.st_uid, parent.st_gid):
        os.fchown(fd, parent.st_uid, parent.st_gid)
    if parent.st_mode & stat.S_ISGID:
        mode = shared_mode(mine.st_mode, parent.st_mode)
        if mode != stat.S_IMODE(mine.st_mode):
            os.fchmod(fd, mode)


def shared_mode(mode: int, parent_mode: int) -> int:
    """The permission bits of something with `mode` in a shared directory with `parent_mode`."""
    if stat.S_ISDIR(mode):
        return stat.S_ISGID | parent_mode & 0o777
    access = parent_mode & 0o666
    if not mode & stat.S_IWUSR:
        access &= ~0o222  # a read-only file (a pack) stays read-only for everybody
    if mode & stat.S_IXUSR:
        access |= (access & 0o444) >> 2
    return access
