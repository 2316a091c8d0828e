"""What was found out about large files, so that one that did not change is not read again at the next run.

An entry belongs to a device and inode, and holds as long as size, modification and change time are what they
were. That is Git's way, and so is its gap: a file written twice within one tick of the clock looks the same.
So an entry is only made of a file whose times are older than the moment before it was read, by the clock of
the file system itself: whatever is written after that gets a later time. A file on another device has
another clock, and must be older by more than any file system's tick.

    cache/files/<32 hex of kind, device and inode>    magic, crc32 of the rest, five numbers, the value

It is a cache: entries are not synced, the oldest make room for new ones, and an entry that is damaged, or
about another file, is none.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib

from gitrun.errors import GitrunError
from gitrun.files.read import read_plain
from gitrun.files.room import make_room
from gitrun.files.write import create, make_dirs, remove_quietly, temporary_path, write_file

WORTH_BYTES = 1 << 20  # below this, reading is as quick as asking
MOST_ENTRIES = 2048
MOST_BYTES = 32 << 20
_OTHER_CLOCK_NS = 3 * 10**9
_MAGIC = b"GITRUNSC"
_HEAD = struct.Struct("<8sI")
_FACTS = struct.Struct("<QQQqq")


def clock(directory: str) -> os.stat_result | None:
    """The stat of a file that is made now in `directory`, and so the time there; None where none can be made."""
    try:
        path = temporary_path(directory)
        fd = create(path)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)
            remove_quietly(path)
    except (OSError, GitrunError):
        return None


def settled_before(now: os.stat_result, device: int) -> int:
    """The time before which a file on `device` must have been written last, for one that is read after `clock()`."""
    return now.st_mtime_ns if now.st_dev == device else now.st_mtime_ns - _OTHER_CLOCK_NS


class StatCache:
    """Values by the stat of the file they were made from, each of a `kind`; never fails."""

    def __init__(self, gitrun_dir: str) -> None:
        self._directory = os.path.join(gitrun_dir, "cache", "files")
        self._has_room = False

    def get(self, kind: str, found: os.stat_result) -> bytes | None:
        """The value of a file that is as it was; None when there is none."""
        if found.st_size < WORTH_BYTES:
            return None
        try:
            data = read_plain(self._path(kind, found), MOST_BYTES + 1)
        except OSError:
            return None  # nothing known
        rest = data[_HEAD.size :]
        if data[: _HEAD.size] != _HEAD.pack(_MAGIC, zlib.crc32(rest)) or rest[: _FACTS.size] != _facts(found):
            return None
        return rest[_FACTS.size :]

    def clock_ns(self, found: os.stat_result) -> int:
        """The time before which a file must have been written last, were it read from now on; 0 for a small file."""
        if found.st_size < WORTH_BYTES:
            return 0
        try:
            make_dirs(self._directory)
        except (OSError, GitrunError):
            return 0  # then nothing is remembered
        now = clock(self._directory)
        return 0 if now is None else settled_before(now, found.st_dev)

    def put(self, kind: str, found: os.stat_result, clock_ns: int, value: bytes) -> None:
        """Remember a value; `clock_ns` is from before, `found` from after the file was read."""
        if max(found.st_mtime_ns, found.st_ctime_ns) >= clock_ns or len(value) > MOST_BYTES // 2:
            return
        rest = _facts(found) + value
        try:
            self._make_room()
            write_file(self._path(kind, found), _HEAD.pack(_MAGIC, zlib.crc32(rest)) + rest, sync=False)
        except (OSError, GitrunError):
            return  # a full disk, or a directory that is not ours to write

    def _path(self, kind: str, found: os.stat_result) -> str:
        key = f"{kind} {found.st_dev} {found.st_ino}".encode("ascii")
        return os.path.join(self._directory, hashlib.sha256(key).hexdigest()[:32])

    def _make_room(self) -> None:
        """Once a process."""
        if not self._has_room:
            self._has_room = True
            make_room(self._directory, files=MOST_ENTRIES - 1, size=MOST_BYTES)


def _facts(found: os.stat_result) -> bytes:
    return _FACTS.pack(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
