"""The spool: what the command wrote, kept on disk without ever being in its way.

A spool that fails must not touch the command, so every failure here ends the capture and nothing else: a full
disk, a low disk, an I/O error. A command may also print for weeks. So the head is kept up to a limit, and after
it the end, in two files that take turns: while one is filled with 1 MiB the other holds the MiB before it. Both
are files like the head, so a killed writer loses none of it, and both are written over in place (new pages for
each turn would cost a loud command half its speed): an empty frame after the last one ends what is valid.

    console          frames: {"format": 1, ...}, then [stream, time_ns, bytes] (stream 1 stdout, 2 stderr)
    console-tail-0/1 frames: {"offset": n} (bytes of output before this file), the same, an empty frame

Who writes holds a lock on `console`, so that nobody seals what is still being written.
"""

import errno
import fcntl
import os
import struct
import time
import zlib
from typing import Any

from gitrun.child.frames import ARTIFACTS, METRICS, SYSTEM, frame, header, pack_value

FORMAT = 1
TAIL_BYTES = 1 << 20
HEAD = frame(pack_value({"format": FORMAT, "kind": "console", "requires": [], "redacted": True}))
PREFIX = struct.Struct(">BBBQBI")  # msgpack: array of 3, stream, u64 time, bin32; the output follows
OUTPUT = 0x93
FILES = ("console", "console-tail-0", "console-tail-1")
_GROWING = ("console", METRICS, ARTIFACTS, SYSTEM)  # beginnings of the files that are appended to
_CHECK_EVERY = 8 << 20  # bytes between two looks at the free space
_END = frame(b"")
_LOOK_S = 0.02
_WHY = {
    errno.ENOSPC: "disk full",
    errno.EDQUOT: "disk full",
    errno.EFBIG: "the file size limit (ulimit -f) is reached",
}


class Spool:
    """Appends output, whose secrets are replaced, to the console files of one member directory; never raises.

    `limit` bounds the head in bytes; below `floor` free bytes on the disk capture stops. `stopped` is the reason
    why it did, `total` counts the bytes offered.
    """

    def __init__(self, member: str, limit: int, floor: int) -> None:
        self.member = member
        self._limit = limit
        self._floor = floor
        self._part = 0  # 0 head, then 1 and 2 in turn
        self._written = 0  # bytes of output in this part
        self._at = 0  # where its next frame goes
        self._unchecked = _CHECK_EVERY
        self._gap = False
        self._fd = self._lock = -1
        self.total = 0
        self.stopped: str | None = None
        self._guarded(self._open, 0, HEAD)
        self._guarded(self._take_lock)

    @property
    def fds(self) -> set[int]:
        """The descriptors it needs."""
        return {self._fd, self._lock} - {-1}

    def write(self, stream: int, time_ns: int, data: bytes) -> None:
        """One frame of output."""
        if self.stopped is None:
            self._guarded(self._append, stream, time_ns, data)
        self.total += len(data)

    def skip(self, length: int) -> None:
        """So many bytes stood here and are not kept."""
        self.total += length
        self._gap = self._gap or length > 0

    def stop(self, reason: str) -> None:
        """Ends the capture."""
        self.stopped = self.stopped or reason
        self._close()

    def close(self) -> None:
        """Closes the files, and gives the lock back."""
        self._close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _take_lock(self) -> None:
        self._lock = os.dup(self._fd)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass  # a file system without locks: then a killed keeper may leave the last moment of a loud command behind

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _guarded(self, action: Any, *args: Any) -> None:
        try:
            action(*args)
        except OSError as error:
            self.stop(_WHY.get(error.errno or 0) or os.strerror(error.errno or 0))

    def _open(self, part: int, first: bytes) -> None:
        self._close()
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        self._fd = os.open(os.path.join(self.member, FILES[part]), flags, 0o666)
        self._part, self._written, self._at = part, 0, 0
        self._put([first])

    def _append(self, stream: int, time_ns: int, data: bytes) -> None:
        self._unchecked += len(data)
        if self._unchecked >= _CHECK_EVERY:
            self._check_space()
        if self._gap or self._written + len(data) > (TAIL_BYTES if self._part else self._limit):
            self._open(self._part % 2 + 1, frame(pack_value({"offset": self.total})))
            self._gap = False
        prefix = PREFIX.pack(OUTPUT, stream, 0xCF, time_ns, 0xC6, len(data))
        crc = zlib.crc32(data, zlib.crc32(prefix))
        self._put([header(len(prefix) + len(data), crc), prefix, data])
        self._written += len(data)

    def _put(self, pieces: list[bytes]) -> None:
        length = sum(map(len, pieces))
        if self._part:
            pieces.append(_END)
        if (written := os.pwritev(self._fd, pieces, self._at)) < length:
            os.pwrite(self._fd, b"\0", self._at + written)  # fails with the reason why that was all
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # a torn frame is cut by every reader
        self._at += length

    def _check_space(self) -> None:
        self._unchecked = 0
        disk = os.fstatvfs(self._fd)
        if disk.f_bavail * disk.f_frsize < self._floor:
            self.stopped = "disk nearly full"
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def output_frame(stream: int, time_ns: int, data: bytes) -> bytes:
    """The frame of one output."""
    return frame(PREFIX.pack(OUTPUT, stream, 0xCF, time_ns, 0xC6, len(data)) + data)


def sync_files(member: str) -> None:
    """Makes what was written survive a power cut: the console, and the journals of the run's programs."""
    try:
        names = [name for name in os.listdir(member) if name.startswith(_GROWING)]
    except OSError:
        return  # the directory is gone
    for name in names:
        try:
            fd = os.open(os.path.join(member, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue  # removed meanwhile, or nothing of ours
        try:
            os.fdatasync(fd)
        except OSError:
            pass  # who writes meets the same problem, and says so in the record
        finally:
            os.close(fd)


def wait_for_writer(member: str, timeout_s: float) -> bool:
    """Waits until nobody writes to the console any more, which its keeper's death does not end; False: time is up."""
    deadline = time.monotonic() + timeout_s
    try:
        fd = os.open(os.path.join(member, FILES[0]), os.O_RDONLY)
    except OSError:
        return True
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(_LOOK_S)
            except OSError:
                return True  # a file system without locks
    finally:
        os.close(fd)
