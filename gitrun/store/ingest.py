"""Putting blobs: found stored already, or gathered into a pack that appears whole and durable.

Whether a blob is there already may only be trusted after the session has promised to rely on it
(see sessions). A promise costs an fsync, so blobs that seem to be there wait, content and all, until
there are 16 MiB of them; then one promise covers them, and those that have gone meanwhile are
stored after all. Memory stays bounded by that and by one piece of one file.

The order for a pack: its bytes synced under a temporary name, the promise for its name synced, the
rename, the directory synced. A kill at any step leaves a temporary file or a whole pack.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from gitrun.errors import GitrunError, from_os_error
from gitrun.files.write import create, fsync_dir, make_dirs, remove_quietly, temporary_path, write_all
from gitrun.store.chunking import MAX_BLOB_BYTES, Chunking, Readable, cut, read_head
from gitrun.store.codecs import Plain
from gitrun.store.config import load_or_create
from gitrun.store.layout import find_edges
from gitrun.store.pack import PackWriter
from gitrun.store.place import place
from gitrun.store.sessions import SessionFile
from gitrun.store.workers import Piece, Workers

if TYPE_CHECKING:
    from gitrun.store.blobs import BlobStore
    from gitrun.store.pack import Entry, PackReader, ScannedPack

PACK_BYTES = 32 << 20
PACK_BLOBS = 1 << 16
_PENDING_BYTES = 16 << 20
_BUFFER_BYTES = 1 << 20
_SMALL_BYTES = 64 << 10
_KIND = "content"  # in the stat cache


class Content(NamedTuple):
    """What is stored of a file: its sha256 (hex), its length, and its blobs as (blob id, length)."""

    sha256: str
    bytes: int
    chunks: list[tuple[str, int]]


class Session:
    """One ingest. What it returns may be relied on after `commit()`; a failed one stays failed."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._promises = SessionFile(store.directory)
        self.stat_cache = store.stat_cache
        self._workers = Workers(self._take, self._seems_stored)
        self._chunking: Chunking | None = None
        self._is_placed = False
        self._taken: set[bytes] = set()
        self._pending: dict[bytes, bytes] = {}
        self._pending_bytes = 0
        self._file: PackFile | None = None
        self._failure: GitrunError | None = None

    @property
    def failed(self) -> bool:
        """Whether the store refused something, so that nothing more can be put."""
        return self._failure is not None

    def put(self, data: bytes) -> str:
        """Store at most 16 MiB as one blob; its id (hex)."""
        if len(data) > MAX_BLOB_BYTES:
            raise ValueError(f"{len(data)} bytes are too many for one blob: put_bytes cuts them")
        digest = hashlib.sha256(data).digest()
        self._workers.hand(data, [], digest)
        return digest.hex()

    def put_encoded(self, digest: bytes, plain: bytes, codec: int, stored: bytes) -> None:
        """Store a blob that came encoded from another store, by its raw id, which the caller has verified."""
        self._workers.settle()
        self._take(Piece(digest, plain, (codec, stored), []))

    def put_bytes(self, data: bytes) -> Content:
        """Store bytes of any length as a file's content."""
        return self.put_stream(io.BytesIO(data))

    def put_file(self, file: str | bytes | int, read: Callable[[int], None] | None = None) -> Content:
        """Store a regular file by path or descriptor: as many bytes as it has when it is opened.

        A large one that was stored before, still is, and has not changed since, is not read. `read` is called
        with the length of each piece that was read; what it raises ends this file and not the session.
        """
        try:
            # Without waiting: a FIFO would hold us until somebody writes to it.
            fd = file if isinstance(file, int) else os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with open(fd, "rb", buffering=0, closefd=fd is not file) as source:
                facts = os.fstat(fd)
                if not stat.S_ISREG(facts.st_mode):
                    raise GitrunError(f"not a regular file: {file!r}")
                return self._recall(facts) or self._read_file(source, facts, read)
        except OSError as problem:
            raise from_os_error(problem, "reading a file to store") from problem

    def _read_file(self, source: io.FileIO, facts: os.stat_result, read: Callable[[int], None] | None) -> Content:
        clock_ns = self.stat_cache.clock_ns(facts)
        content = self.put_stream(_Bounded(source, facts.st_size, read), (source.fileno(), facts.st_size))
        if clock_ns:
            after = os.fstat(source.fileno())
            if after.st_size == content.bytes:
                self.stat_cache.put(_KIND, after, clock_ns, _encode(content))
        return content

    def _recall(self, facts: os.stat_result) -> Content | None:
        """What is stored of a file that is as it was, promised; None where it has to be read."""
        content = _decode(self.stat_cache.get(_KIND, facts), facts.st_size)
        if self._failure is not None or content is None or not self._are_held(content):
            return None
        self._prepare()
        try:
            self._promises.publish("blob", [blob for blob, _ in content.chunks])
        except (OSError, GitrunError) as problem:
            raise self._fail(problem) from problem
        if not self._are_held(content):
            return None  # a collector took one meanwhile
        self._taken.update(bytes.fromhex(blob) for blob, _ in content.chunks)
        return content

    def _are_held(self, content: Content) -> bool:
        digests = [bytes.fromhex(blob) for blob, _ in content.chunks]
        return all(digest in self._taken or self._store.holds(digest) for digest in digests)

    def put_stream(self, source: Readable, file: tuple[int, int] | None = None) -> Content:
        """Store everything `source` has to read, one piece in memory at a time.

        `file` is the descriptor and the size of a file with the same bytes, whose layout then helps to cut them.
        """
        if self._chunking is None:
            self._chunking = load_or_create(self._store.gitrun_dir).chunking
        head = read_head(source, self._chunking)
        if len(head) <= self._chunking.whole_bytes:
            return self._put_whole(head)
        edges = [] if file is None else find_edges(*file, self._chunking.min_bytes)
        whole = hashlib.sha256()
        chunks: list[tuple[str, int]] = []
        size = 0
        for piece in cut(head, source, self._chunking, self._store.monitor, edges):
            whole.update(piece)
            size += len(piece)
            self._workers.hand_copy(piece, chunks, self._chunking.max_bytes)
        self._workers.settle()
        return Content(whole.hexdigest(), size, chunks)

    def _put_whole(self, data: bytes) -> Content:
        """A file of one blob, hashed once and not waited for; one of none."""
        digest = hashlib.sha256(data)
        if data:
            self._workers.hand(data, [], digest.digest())
        return Content(digest.hexdigest(), len(data), [(digest.hexdigest(), len(data))] if data else [])

    def commit(self) -> None:
        """Make everything that was put durable; the session can go on."""
        self._workers.settle()
        self._settle()
        self._finish_pack()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workers.stop()
        if self._file is not None:
            self._file.abort()
            self._file = None
        self._pending.clear()
        self._promises.end()

    def _prepare(self) -> None:
        """Before anything is written: have the store where it belongs."""
        if not self._is_placed:
            place(self._store.gitrun_dir, self._store.path)
            self._is_placed = True

    def _seems_stored(self, digest: bytes) -> bool:
        """Whether it is not worth encoding a blob yet; asked by other threads, and no promise."""
        return digest in self._taken or self._store.seems_to_hold(digest)

    def _take(self, piece: Piece) -> None:
        """Have a blob stored, or wait for the promise that lets us rely on the stored one."""
        if self._failure is not None:
            raise self._failure
        self._prepare()
        digest, plain, encoded, chunks = piece
        chunks.append((digest.hex(), len(plain)))
        if digest in self._taken:
            return
        self._taken.add(digest)
        if self._store.holds(digest):
            self._pending[digest] = bytes(plain)  # it waits longer than a piece under way may
            self._pending_bytes += len(plain)
            if self._pending_bytes >= _PENDING_BYTES:
                self._settle()
        else:
            self._write(digest, plain, encoded)

    def _settle(self) -> None:
        """Promise to rely on the blobs that seemed to be there, then look again."""
        if not self._pending:
            return
        try:
            self._promises.publish("blob", [digest.hex() for digest in self._pending])
        except (OSError, GitrunError) as problem:
            raise self._fail(problem) from problem
        for digest, data in self._pending.items():
            if not self._store.holds(digest):
                self._write(digest, data)
        self._pending.clear()
        self._pending_bytes = 0

    def _write(self, digest: bytes, data: Plain, encoded: tuple[int, Plain] | None = None) -> None:
        codec, stored = encoded or self._workers.encode(data)
        try:
            if self._file is None:
                self._file = PackFile(os.path.join(self._store.directory, "tmp"))
            self._file.writer.add(digest, codec, len(data), stored)
        except (OSError, GitrunError) as problem:
            raise self._fail(problem) from problem
        if self._file.writer.size >= PACK_BYTES or self._file.writer.count >= PACK_BLOBS:
            self._finish_pack()

    def _finish_pack(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._file is None:
            return
        try:
            name = self._file.finish()
            self._promises.publish("pack", [name])
            self._file.publish(self._store.pack_path(name))
        except (OSError, GitrunError) as problem:
            raise self._fail(problem) from problem
        self._file = None
        self._store.adopt(name)
        self._store.write_index()

    def _fail(self, problem: OSError | GitrunError) -> GitrunError:
        """Drop the unfinished pack; blobs already reported may be gone with it, so nothing may follow."""
        if self._file is not None:
            self._file.abort()
            self._file = None
        if isinstance(problem, OSError):
            problem = from_os_error(problem, "storing content", kept="what was stored before is whole")
        self._failure = problem
        return problem


def _encode(content: Content) -> bytes:
    listed = [bytes.fromhex(blob) + length.to_bytes(4, "little") for blob, length in content.chunks]
    return bytes.fromhex(content.sha256) + b"".join(listed)


def _decode(data: bytes | None, size: int) -> Content | None:
    if data is None:
        return None
    rows = [data[at : at + 36] for at in range(32, len(data), 36)]
    return Content(data[:32].hex(), size, [(row[:32].hex(), int.from_bytes(row[32:], "little")) for row in rows])


class PackFile:
    """A pack being written under a temporary name."""

    def __init__(self, directory: str) -> None:
        make_dirs(directory)
        self.path = temporary_path(directory)
        self._fd = create(self.path, 0o444)
        self._buffer = bytearray()  # heads and small blobs; a large one goes straight to the file
        self.writer = PackWriter(self._write)

    def finish(self) -> str:
        """Write what is left and sync; the pack's name."""
        name = self.writer.finish()
        self._flush()
        os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1
        return name

    def publish_in(self, store: BlobStore) -> str | None:
        """Finish the pack and have the store hold it; its name, None for one without a blob, which is dropped."""
        if not self.writer.count:
            self.abort()
            return None
        name = self.finish()
        self.publish(store.pack_path(name))
        store.adopt(name)
        return name

    def copy(self, reader: PackReader | ScannedPack, entry: Entry) -> None:
        """Append a blob of another pack as it is stored; the caller has verified it."""
        self.writer.add(entry.blob, entry.codec, entry.plain_bytes, reader.stored(entry))

    def publish(self, path: str) -> None:
        """Give the finished pack its name, durably."""
        directory = os.path.dirname(path)
        make_dirs(directory)
        os.rename(self.path, path)
        fsync_dir(directory)

    def abort(self) -> None:
        """Remove what was written."""
        if self._fd >= 0:
            os.close(self._fd)
        remove_quietly(self.path)

    def _write(self, data: Plain) -> None:
        if len(data) < _SMALL_BYTES:
            self._buffer += data
        if len(self._buffer) >= _BUFFER_BYTES or len(data) >= _SMALL_BYTES:
            self._flush()
        if len(data) >= _SMALL_BYTES:
            write_all(self._fd, data)

    def _flush(self) -> None:
        write_all(self._fd, memoryview(self._buffer))
        self._buffer = bytearray()


class _Bounded:
    """At most `size` bytes of a file, however fast it grows."""

    def __init__(self, source: Readable, size: int, read: Callable[[int], None] | None = None) -> None:
        self._source = source
        self._left = size
        self._tell = read or (lambda length: None)

    def read(self, size: int) -> bytes:
        piece = self._source.read(min(size, self._left)) or b""
        self._left -= len(piece)
        self._tell(len(piece))
        return piece

    def readinto(self, room: memoryview) -> int:
        count = self._source.readinto(room[: self._left]) or 0
        self._left -= count
        self._tell(count)
        return count
