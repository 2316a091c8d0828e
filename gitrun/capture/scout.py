"""A second process looks at most of the tracked files while the first parses the index and lists directories.

Problem: a stat is mostly Python's own work, so threads gain nothing, and a child forked after parsing pays
for every page of entries it touches.
Idea: fork before anything is parsed. The child reads entry after entry, compares each with the disk at once
and keeps nothing but the paths it cannot prove unchanged; the parent needs the entries as a mapping anyway
and looks at the rest. Which of them looks at a directory is a checksum of its name, so nothing is agreed on.
Reason: the answer is as long as the change, and whatever goes wrong with the child, the parent does it all.
"""

from __future__ import annotations

import os
import signal
import struct
import zlib
from typing import Final

from gitrun.capture.statdata import is_same
from gitrun.git.hashing import RAW_BYTES
from gitrun.git.index import HEAD_BYTES, STAT, IndexFile

_ENOUGH: Final = 3_000  # files; below that a fork costs more than it saves
_alone = False


def stay_alone() -> None:
    """From now on this process sends none: it is a user's, with threads and devices that no fork is good for."""
    global _alone
    _alone = True


class Scout:
    """The child at work on the index of one worktree."""

    def __init__(self, pid: int, reading: int) -> None:
        self._pid = pid
        self._reading = reading
        self._answer: set[bytes] | None = None

    def unproved(self) -> set[bytes] | None:
        """The tracked paths in covered directories that are not proved unchanged; None when the child failed."""
        if self._pid:
            answer = _read(self._reading)
            if self._end() == 0:
                self._answer = set(answer.split(b"\0")[:-1])
        return self._answer

    def dismiss(self) -> None:
        """End it, whatever it was about to say."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            self._end()

    def _end(self) -> int:
        os.close(self._reading)
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return status


def covers(directory: bytes) -> bool:
    """Whether a scout looks at the tracked files of `directory`: seven of eight, the parent has more else to do."""
    return zlib.crc32(directory) & 7 != 0


def send_scout(file: IndexFile, top: bytes, fmt: str) -> Scout | None:
    """A scout for the worktree `top` (with a trailing slash); None where it would gain nothing."""
    data = file.data
    if _alone or len(data) < 12 or len(os.sched_getaffinity(0)) < 2:
        return None
    _, version, count = struct.unpack_from(">4sII", data)
    if version not in (2, 3) or count < _ENOUGH:
        return None
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_the_scout(file, count, top, RAW_BYTES[fmt], writing)
    os.close(writing)
    return Scout(pid, reading)


def _be_the_scout(file: IndexFile, count: int, top: bytes, hash_len: int, writing: int) -> None:
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        with open(writing, "wb") as pipe:
            for path in _unproved(file, count, top, hash_len):
                pipe.write(path + b"\0")
        status = 0
    finally:
        os._exit(status)  # no handler, buffer or lock of the parent's is ours to run


def _unproved(file: IndexFile, count: int, top: bytes, hash_len: int) -> list[bytes]:
    """The paths whose stat data is not exactly that of their entry, or as young as the index: the hot loop."""
    data, index_mtime = file.data, file.mtime_ns
    read_stat, look = STAT.unpack_from, os.stat
    at, head, fd = 12, HEAD_BYTES + hash_len, -1
    last: bytes | None = None
    found: list[bytes] = []
    for _ in range(count):
        start = at + head
        if data[start - 2] & 0x40:  # extended
            start += 2
        end = data.index(b"\0", start)
        path = data[start:end]
        entry, at = at, at + (end - at + 8 & -8)
        cut = path.rfind(b"/") + 1
        directory = path[:cut]
        if directory != last:
            last = directory
            fd = _enter(top + directory, fd) if covers(directory) else _leave(fd)
        if fd < 0:
            if covers(directory):
                found.append(path)
            continue
        try:
            now = look(path[cut:], dir_fd=fd, follow_symlinks=False)
        except OSError:
            found.append(path)
            continue
        if not is_same(now, read_stat(data, entry), index_mtime):
            found.append(path)
    return found


def _enter(directory: bytes, fd: int) -> int:
    _leave(fd)
    try:
        return os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return -1  # gone, or no directory: its files are not proved


def _leave(fd: int) -> int:
    if fd >= 0:
        os.close(fd)
    return -1


def _read(fd: int) -> bytes:
    pieces = []
    while piece := os.read(fd, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)
