"""What files all over the machine contain, so that a data set is hashed once and not once a run and repository.

A digest is believed as long as the file's device, inode, size and times are what they were, by the rule of
`store.stat_cache`: one that was written to a moment before it was read is not remembered, because a second change
could leave the same times behind. Files of one directory are read together, so they are remembered together:

    $XDG_CACHE_HOME/gitrun/digests/<32 hex of the directory's path>     magic, crc32 of the rest, rows

It is a cache of one user: never synced, never needed, the oldest make room for new ones, and what is damaged is not
there.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Mapping

from gitrun.errors import GitrunError
from gitrun.files.read import read_plain
from gitrun.files.room import make_room
from gitrun.files.user_cache import user_cache as cache_of
from gitrun.files.write import make_dirs, write_file
from gitrun.store.stat_cache import clock, settled_before

WORTH_BYTES = 16 << 10  # below this, reading is as quick as asking
MOST_ROWS = 200_000  # of one directory
MOST_BYTES = 64 << 20  # of all together
_MAGIC = b"GITRUNDG"
_HEAD = struct.Struct("<8sI")
_ROW = struct.Struct("<QQQqq32s")
Rows = dict[tuple[int, int], tuple[int, int, int, bytes]]  # (device, inode) -> size, times, digest


def user_cache(environ: Mapping[str, str], worktree: bytes | None) -> str | None:
    """Where a user's digests lie; None where the user has no place for them, or only one inside the worktree."""
    return cache_of(environ, None if worktree is None else os.fsdecode(worktree), "digests")


class Digests:
    """The digests below `directory`, None for a user without one; never fails."""

    def __init__(self, directory: str | None) -> None:
        self._directory = directory
        self._clock: os.stat_result | None = None
        self._known: dict[str, Rows] = {}
        self._changed: set[str] = set()

    def get(self, path: bytes, found: os.stat_result) -> str | None:
        """The sha256 of a file that is as it was; None where it has to be read, by whoever asks, after this."""
        if self._directory is None or found.st_size < WORTH_BYTES:
            return None
        row = self._rows(path).get((found.st_dev, found.st_ino))
        if row is None or row[:3] != (found.st_size, found.st_mtime_ns, found.st_ctime_ns):
            return None
        return row[3].hex()

    def put(self, path: bytes, found: os.stat_result, sha256: str) -> None:
        """Remember a digest; `found` is from after the file was read."""
        if self._directory is None or found.st_size < WORTH_BYTES or self._clock is None:
            return
        if max(found.st_mtime_ns, found.st_ctime_ns) >= settled_before(self._clock, found.st_dev):
            return
        rows = self._rows(path)
        if len(rows) >= MOST_ROWS:
            rows.clear()  # most are of files that are gone
        value = found.st_size, found.st_mtime_ns, found.st_ctime_ns, bytes.fromhex(sha256)
        rows[found.st_dev, found.st_ino] = value
        self._changed.add(self._name(path))

    def save(self) -> None:
        """Write what was learned."""
        if self._directory is None or not self._changed:
            return
        try:
            for name in self._changed:
                rest = b"".join([_ROW.pack(*key, *value) for key, value in self._known[name].items()])
                path = os.path.join(self._directory, name)
                write_file(path, _HEAD.pack(_MAGIC, zlib.crc32(rest)) + rest, sync=False)
            make_room(self._directory, size=MOST_BYTES)
        except (OSError, GitrunError):
            pass  # a full disk, or a directory that is not ours to write: files are hashed again
        self._changed.clear()

    def _name(self, path: bytes) -> str:
        return hashlib.sha256(os.path.dirname(path)).hexdigest()[:32]

    def _rows(self, path: bytes) -> Rows:
        name = self._name(path)
        if name not in self._known:
            assert self._directory is not None
            if self._clock is None:
                self._clock = _look_at_clock(self._directory)  # before anything is read
            self._known[name] = _read(os.path.join(self._directory, name))
        return self._known[name]


def _look_at_clock(directory: str) -> os.stat_result | None:
    try:
        make_dirs(directory)
    except (OSError, GitrunError):
        return None
    return clock(directory)


def _read(path: str) -> Rows:
    try:
        data = read_plain(path, _HEAD.size + MOST_ROWS * _ROW.size)
    except OSError:
        return {}  # nothing known
    rest = data[_HEAD.size :]
    if data[: _HEAD.size] != _HEAD.pack(_MAGIC, zlib.crc32(rest)) or len(rest) % _ROW.size:
        return {}
    return {(dev, ino): (size, mtime, ctime, digest) for dev, ino, size, mtime, ctime, digest in _ROW.iter_unpack(rest)}
