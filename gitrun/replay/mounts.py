"""Another view of the file system for one process and those that it starts: bind mounts in a namespace of its own.

Linux gives a process a mount namespace of its own, where a directory can be shown at the place of another one. Nobody
outside sees that, and it ends with the processes in it: there is nothing to undo, whatever kills them. Root may make
one at once; everybody else inside a user namespace, where the own uid and gid are mapped to themselves. What the kernel
(or a sandbox) refuses is found out beforehand by a process that tries it and ends.

All sources are opened before the first mount, because a mount may hide the place of the next source.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

_NEWNS, _NEWUSER = 0x00020000, 0x10000000  # CLONE_…, from <linux/sched.h>
_RDONLY, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 32, 4096, 16384, 1 << 18  # MS_…, from <linux/mount.h>
# What a file system was mounted with has to be said again: (as statvfs has it, as mount takes it).
_KEPT = ((2, 2), (4, 4), (8, 8), (1024, 1024), (2048, 2048), (4096, 1 << 21))
_MOST_TEXT = 4096


class Mount(NamedTuple):
    """`source`, a file or directory with all that is mounted in it, is seen at the existing path `target`."""

    source: str
    target: str
    read_only: bool = False


def enter(mounts: Sequence[Mount]) -> None:
    """Give the calling process, which has one thread, a view of its own with these mounts; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    _leave_the_others(libc)
    _mount(libc, b"none", b"/", _REC | _PRIVATE)
    opened = [os.open(each.source, os.O_PATH | os.O_CLOEXEC) for each in mounts]
    for fd, each in zip(opened, mounts, strict=True):
        target = os.fsencode(each.target)
        _mount(libc, b"/proc/self/fd/%d" % fd, target, _BIND | _REC)
        if each.read_only:
            there = os.statvfs(each.target).f_flag
            flags = sum(flag for found, flag in _KEPT if there & found)
            _mount(libc, None, target, _BIND | _REMOUNT | _RDONLY | flags)
    for fd in opened:
        os.close(fd)


def refusal(mounts: Sequence[Mount]) -> str | None:
    """Why this process may not have such a view, in a few words; None where it may. Tried in a process of its own."""
    if sys.platform != "linux":
        return "only Linux has mount namespaces"
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _try(mounts, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        words = told.read(_MOST_TEXT)
    _, status = os.waitpid(pid, 0)
    return None if status == 0 else words.decode("utf-8", "replace") or "it was tried, and failed"


def _try(mounts: Sequence[Mount], writing: int) -> NoReturn:
    code = 1
    try:
        enter(mounts)
        code = 0
    except OSError as problem:
        os.write(writing, f"{problem.strerror} ({problem.filename})".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


def _leave_the_others(libc: ctypes.CDLL) -> None:
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 and libc.unshare(_NEWNS) == 0:
        return
    if libc.unshare(_NEWUSER | _NEWNS) != 0:
        number = ctypes.get_errno()
        words = "no namespace is to be had" if number == errno.ENOSPC else os.strerror(number)
        raise OSError(number, words, "unshare")
    _write("/proc/self/setgroups", "deny")  # else no gid may be mapped
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")


def _mount(libc: ctypes.CDLL, source: bytes | None, target: bytes, flags: int) -> None:
    if libc.mount(source, target, None, ctypes.c_ulong(flags), None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(target))


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
