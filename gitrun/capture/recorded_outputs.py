"""Which untracked files are outputs that a run has recorded, so that they are not taken for source again.

A program that leaves `results.csv` behind would have another source at its next run, with nobody having edited
anything. So each sealed run notes the files that it left in the working tree, and a snapshot leaves out those that
still are what was recorded: unread where their stat says so, else compared by content. One that was edited since
is source again.

    cache/outputs/<32 hex of the working tree's path>     magic, crc32 of the rest, then the rows, ending in zero bytes
    row: 64 hex sha256, f or l (link), 16 hex of size, 48 of mtime, ctime, inode
         (zeros: not proved), run id, path

It is a cache: the newest run wins a path, the oldest runs lose theirs where there is no room, and without the
file everything untracked is source.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

from gitrun.files.read import pieces, read_plain
from gitrun.files.write import write_file

MOST_BYTES = 64 << 20
_MAGIC = b"gitrun outputs 1\n"
_SIZE, _RUN, _PATH = 65, 129, 151  # where a row's size, run id and path begin
_UNPROVED = b"%016x" + b"0" * 48
_LINK, _FILE = b"l", b"f"


class Recorded(NamedTuple):
    """An untracked file that is left out: the run that wrote it, and its digest."""

    path: bytes
    size: int
    run: str
    sha256: str


class RecordedOutputs:
    """The outputs that earlier runs left in one working tree; `runs` names the runs that are still there."""

    def __init__(self, gitrun_dir: str, worktree: str, runs: Callable[[], Iterable[str]]) -> None:
        self._path = file_of(gitrun_dir, worktree)
        self._gitrun_dir = gitrun_dir
        self._runs = runs
        self._rows: dict[bytes, bytes] | None = None
        self._known: frozenset[str] | None = None

    def divide(
        self, candidates: Iterable[tuple[bytes, os.stat_result]], top: bytes, prefix: bytes
    ) -> tuple[list[tuple[bytes, os.stat_result]], list[Recorded]]:
        """The untracked files (below `top`, which is `prefix` of the working tree) that may be source, and the rest."""
        if self._rows is None:
            self._rows = load(self._path)
        if not self._rows:
            return list(candidates), []
        source, outputs = [], []
        for path, found in candidates:
            head = self._rows.get(prefix + path)
            recorded = None if head is None else self._find(head, top, path, found)
            if recorded is None:
                source.append((path, found))
            else:
                outputs.append(recorded)
        return source, outputs

    def _find(self, head: bytes, top: bytes, path: bytes, found: os.stat_result) -> Recorded | None:
        """Whether a file is what a row says a run left there."""
        run, digest = head[_RUN:].decode("ascii"), head[:64].decode("ascii")
        if not self._is_there(run):
            return None
        if head[_SIZE:_RUN] != _marks(found):
            is_link = head[_SIZE - 1 : _SIZE] == _LINK
            if int(head[_SIZE : _SIZE + 16], 16) != found.st_size or not self._is_same(
                top + path, found, is_link, digest
            ):
                return None
        return Recorded(path, found.st_size, run, digest)

    def _is_there(self, run: str) -> bool:
        """Whether the run was not removed: its outputs are nobody's then."""
        if self._known is None:
            self._known = frozenset(self._runs())
        return run in self._known

    def _is_same(self, path: bytes, found: os.stat_result, is_link: bool, digest: str) -> bool:
        if stat.S_ISLNK(found.st_mode) != is_link:
            return False
        try:
            if is_link:
                return hashlib.sha256(os.readlink(path)).hexdigest() == digest
            return self._hash(path) == digest
        except OSError:
            return False  # gone, or not readable: whoever takes it says so

    def _hash(self, path: bytes) -> str | None:
        """The digest of a file; a large one that is as it was is not read again. None for one that changed."""
        from gitrun.store.stat_cache import StatCache  # nearly always the stat tells

        cache, kind = StatCache(self._gitrun_dir), "sha256"
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            before = os.fstat(fd)
            if (known := cache.get(kind, before)) is not None:
                return known.hex()
            clock_ns = cache.clock_ns(before)
            digest = hashlib.sha256()
            for piece in pieces(fd, before.st_size):
                digest.update(piece)
            after = os.fstat(fd)
        finally:
            os.close(fd)
        if _marks(before) != _marks(after):
            return None
        if clock_ns:
            cache.put(kind, after, clock_ns, digest.digest())
        return digest.hexdigest()


def file_of(gitrun_dir: str, worktree: str) -> str:
    """Where it is kept what runs left in a working tree."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(worktree))).hexdigest()[:32]
    return os.path.join(gitrun_dir, "cache", "outputs", name)


def _marks(found: os.stat_result) -> bytes:
    bits = (1 << 64) - 1
    return b"%016x%016x%016x%016x" % (
        found.st_size, found.st_mtime_ns & bits, found.st_ctime_ns & bits, found.st_ino & bits
    )  # fmt: skip


def encode(sha256: str, is_link: bool, size: int, found: os.stat_result | None, run: str) -> bytes:
    """A row without its path; `found` is None where the file may have other bytes than these."""
    stat_now = _UNPROVED % size if found is None else _marks(found)
    return sha256.encode("ascii") + (_LINK if is_link else _FILE) + stat_now + run.encode("ascii")


def run_of(row: bytes) -> bytes:
    """The run that a row is of; as text its order is that of time."""
    return row[_RUN:_PATH]


def write(path: str, rows: dict[bytes, bytes]) -> None:
    """Replace the file of a working tree; raises DiskFull or NotWritable."""
    body = b"".join([row + name + b"\0" for name, row in rows.items()])
    write_file(path, _MAGIC + b"%08x\n" % zlib.crc32(body) + body, sync=False)


def load(path: str) -> dict[bytes, bytes]:
    """The rows by path; none where the file is missing, damaged or another release's."""
    try:
        data = read_plain(path, MOST_BYTES)
    except OSError:
        return {}
    head = len(_MAGIC) + 9
    body = data[head:]
    if data[:head] != _MAGIC + b"%08x\n" % zlib.crc32(body):
        return {}
    return {row[_PATH:]: row[:_PATH] for row in body.split(b"\0") if row}
