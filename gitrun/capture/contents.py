"""From a path to what the snapshot holds of it: read whole, looked at twice, hashed as Git hashes.

A file may be written to, cut short, replaced or removed while it is read. Its stat data before and
after the read must agree, else it is read again, at most three times; what cannot be had in one
piece even so is taken as it was read last, and reported.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from gitrun.capture.findings import View
from gitrun.git.packs import PackWriter

if TYPE_CHECKING:
    from gitrun.store.blobs import BlobStore
    from gitrun.store.ingest import Content, Session
    from gitrun.store.stat_cache import StatCache

FILE, EXECUTABLE, SYMLINK, TREE, GITLINK = 0o100644, 0o100755, 0o120000, 0o040000, 0o160000
_ATTEMPTS = 3
_VANISHED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV}


# What a tree holds of a path: mode and raw object id. A plain tuple, since there are as many as files.
Held = tuple[int, bytes]


class Whole(NamedTuple):
    """The bytes of a file, its stat data when they were read, and whether they may be torn."""

    data: bytes
    found: os.stat_result
    torn: bool


class Unreadable(Exception):
    """The file is there and may not be read."""


def read_whole(path: bytes) -> Whole | None:
    """The file or the target of the link at the absolute `path`; None when neither is there (any more).

    Raises Unreadable where permission is missing or the disk gives no answer.
    """
    for _ in range(_ATTEMPTS):
        try:
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                return Whole(os.readlink(path), found, False)
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                before = os.fstat(fd)
                if not stat.S_ISREG(before.st_mode):
                    return None
                data = _read_all(fd, before.st_size)
                after = os.fstat(fd)
            finally:
                os.close(fd)
        except OSError as problem:
            if problem.errno == errno.ELOOP or problem.errno == errno.EINVAL:
                continue  # it became a link, or stopped being one, between two calls
            if problem.errno in _VANISHED:
                return None
            raise Unreadable(problem.strerror) from problem
        if len(data) == after.st_size and same_moment(before, after):
            return Whole(data, after, False)
    return Whole(data, after, True)


def same_moment(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether nobody wrote to the file between two looks at it, as far as its times and size tell."""
    return (
        before.st_mtime_ns == after.st_mtime_ns
        and before.st_ctime_ns == after.st_ctime_ns
        and before.st_size == after.st_size
    )


def _read_all(fd: int, size: int) -> bytes:
    data = os.read(fd, size + 1)
    if len(data) == size:
        return data
    pieces = [data]
    while piece := os.read(fd, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


class Contents:
    """Puts the files of one worktree where they belong: small ones into the pack, large ones into the store."""

    def __init__(self, top: bytes, fmt: str, writer: PackWriter, shelf: Shelf, view: View, large: int) -> None:
        self.top = top
        self.writer = writer
        self.shelf = shelf
        self.view = view
        self.large = large
        self.seen: dict[bytes, os.stat_result] = {}  # how each file was when it was last read
        self._new = hashlib.sha1 if fmt == "sha1" else hashlib.sha256

    def blob_id(self, data: bytes) -> bytes:
        """The raw id of a blob."""
        return self._new(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).digest()

    def read(self, path: bytes) -> Whole | None:
        """The file at `path`; None, with a word in the findings where it is due, when there is nothing to take."""
        try:
            whole = read_whole(self.top + path)
        except Unreadable:
            self.view.exclude(path, "unreadable", 0)
            return None
        if whole is None or whole.torn:
            self.view.changed(path)
        if whole is not None:
            self.seen[path] = whole.found
        return whole

    def put(self, data: bytes) -> bytes:
        """Put a blob into the pack; its raw id."""
        oid = self.blob_id(data)
        self.writer.add("blob", data, oid.hex())
        return oid

    def hash_large(self, path: bytes) -> bytes | None:
        """The raw id a large file would have as a blob, without holding it in memory; None when it changed."""
        try:
            with open(self.top + path, "rb", buffering=0, opener=_careful) as file:
                self.seen[path] = before = os.fstat(file.fileno())
                cache, kind = self.shelf.stat_cache(), "blob " + self._new().name
                if (known := cache.get(kind, before)) is not None:
                    return known
                clock_ns = cache.clock_ns(before)
                started = self._new(b"blob %d\0" % before.st_size, usedforsecurity=False)
                while piece := file.read(1 << 20):
                    started.update(piece)
                if not same_moment(before, os.fstat(file.fileno())):
                    return None
                cache.put(kind, before, clock_ns, started.digest())
                return started.digest()
        except OSError:
            return None  # `put_large` meets the same problem and reports it

    def put_large(self, path: bytes, mode: int, reason: str) -> bool:
        """Put a file into the store and name it beside the tree; False when it could not be read."""
        for _ in range(_ATTEMPTS):
            try:
                fd = _careful(self.top + path, os.O_RDONLY)
            except OSError as problem:
                if problem.errno in _VANISHED:
                    self.view.changed(path)
                else:
                    self.view.exclude(path, "unreadable", 0)
                return False
            try:
                before = os.fstat(fd)
                if not stat.S_ISREG(before.st_mode):
                    return False
                self.seen[path] = before
                content = self.shelf.session().put_file(fd)
                if same_moment(before, os.fstat(fd)) and content.bytes == before.st_size:
                    break
            finally:
                os.close(fd)
        else:
            self.view.changed(path)
        self.view.beside(path, FILE if mode == SYMLINK else mode, reason, content)  # core.symlinks=false
        return True


class Shelf:
    """The store, opened when the first file needs it."""

    def __init__(self, store: Callable[[], BlobStore]) -> None:
        self._store = store
        self._session: Session | None = None

    def session(self) -> Session:
        """The one session of this snapshot."""
        if self._session is None:
            self._session = self._store().session()
            self._session.__enter__()
        return self._session

    def stat_cache(self) -> StatCache:
        """What is known of large files that were read before."""
        return self.session().stat_cache

    def put(self, data: bytes) -> Content:
        """Store bytes that are in memory anyway."""
        return self.session().put_bytes(data)

    def commit(self) -> None:
        """Make everything stored durable."""
        if self._session is not None:
            self._session.commit()

    def close(self) -> None:
        """End the session, whatever happened."""
        if self._session is not None:
            self._session.__exit__(None, None, None)
            self._session = None


def _careful(path: str | bytes, flags: int) -> int:
    """An opener that follows no link and waits for no FIFO."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
