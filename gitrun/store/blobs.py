"""The store: put bytes in and get a name for them, give the name and get exactly those bytes.

A blob's id is the sha256 of its content, so equal content is stored once, and every byte that
comes out is checked against the name it was asked by. Blobs lie in packs of about 32 MiB; nothing
is loose, so durability costs one fsync per pack and not per file.

    with store.session() as session:
        content = session.put_file(path)     # nothing is promised yet
        session.commit()                     # every blob of it is durable
        ...write what names the blobs...     # leaving the block ends the promise to a collector

A run that stores nothing never imports a codec and never touches the store's directory.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from gitrun.errors import BlobNotFound, DamagedStore, GitrunError, from_os_error
from gitrun.monitor import SILENT, Monitor
from gitrun.store.index import MANY_PACKS, Index, Indexed
from gitrun.store.ingest import Content, Session
from gitrun.store.pack import Buffer, Entry, PackReader, ScannedPack
from gitrun.store.place import check_there
from gitrun.store.stat_cache import StatCache

__all__ = ["BlobStore", "Content", "Session"]

PACK_SUFFIX = ".gpk"
Answer = TypeVar("Answer")
_BLOB_ID = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """The blobs below `<gitrun_dir>/store`; reading needs nothing but the packs themselves.

    A store that is not made yet is made below the directory `path` instead, where that is given.
    """

    def __init__(self, gitrun_dir: str, monitor: Monitor = SILENT, path: str = "") -> None:
        self.gitrun_dir = gitrun_dir
        self.directory = os.path.join(gitrun_dir, "store")
        self.path = path
        self.stat_cache = StatCache(gitrun_dir)
        self.monitor = monitor
        self._packs: dict[str, PackReader | ScannedPack] = {}
        self._refused: set[str] = set()  # warned about once
        self._index = Index(self.directory)
        self._recent: list[PackReader | ScannedPack] = []  # the pack that was read last: the next blob is there too
        self._listed = False
        self.elsewhere: Callable[[str], bool] | None = None  # has a blob stored that is in no pack; whether it did

    def session(self) -> Session:
        """An ingest: a context manager through which blobs are put."""
        return Session(self)

    def has(self, blob: str) -> bool:
        """Whether a pack on disk holds the blob with this id (64 hex digits) now."""
        digest = _digest(blob)
        return self.holds(digest) or (bool(self.refresh()) and self.holds(digest))

    def lacking(self, blobs: Iterable[bytes]) -> set[bytes]:
        """Of these raw ids those that no pack on disk holds now."""
        left = {blob for blob in blobs if not self.holds(blob)}
        return {blob for blob in left if not self.holds(blob)} if left and self.refresh() else left

    def can_get(self, blob: str) -> bool:
        """Whether a pack names the blob, be it one in the trash, which nobody who stores may rely on."""
        return self.has(blob) or any(reader.find(_digest(blob)) for reader in self._trashed())

    def get(self, blob: str) -> bytes:
        """The content of a blob, verified; raises BlobNotFound, DamagedStore or NewerFormat."""
        return self._get(blob, hashed=True)

    def _get(self, blob: str, *, hashed: bool) -> bytes:
        digest = _digest(blob)
        problem: GitrunError | None = None
        for reader in self._candidates(digest):
            try:
                entry = reader.find(digest)
                if entry is not None:
                    self._recent = [reader]
                    return reader.read(entry, hashed=hashed)
            except GitrunError as damage:
                problem = damage  # another pack may have a good copy
        if problem is None and self.elsewhere is not None and self.elsewhere(blob) and self.has(blob):
            return self._get(blob, hashed=hashed)
        raise problem or BlobNotFound(f"no pack holds the blob {blob}")

    def find(self, blob: str) -> tuple[PackReader | ScannedPack, Entry] | None:
        """The pack that holds a blob, and where in it; None where none does."""
        digest = _digest(blob)
        for reader in self._candidates(digest):
            try:
                entry = reader.find(digest)
            except GitrunError:
                continue  # this pack is gone or damaged; another may have it
            if entry is not None:
                self._recent = [reader]
                return reader, entry
        return None

    def read(self, chunks: Iterable[tuple[str, int]]) -> Iterator[bytes]:
        """The content of a file, one verified blob at a time, from its (blob id, length in bytes) list."""
        return self._pieces(chunks, hashed=True)

    def read_file(self, chunks: Sequence[tuple[str, int]], sha256: str) -> Iterator[bytes]:
        """The content of a file with this digest, which is verified as a whole, at half the cost of each blob as well.

        Only the end of the iteration says that the bytes were right: raises DamagedStore there, and where `read` does.
        """
        digest = hashlib.sha256()
        for data in self._pieces(chunks, hashed=False):
            digest.update(data)
            yield data
        if digest.hexdigest() != sha256:
            for _ in self.read(chunks):
                pass  # names the blob that is damaged
            raise DamagedStore(f"E031 the blobs of a file are whole, and are not the file {sha256}")

    def _pieces(self, chunks: Iterable[tuple[str, int]], *, hashed: bool) -> Iterator[bytes]:
        for blob, length in chunks:
            data = self._get(blob, hashed=hashed)
            if len(data) != length:
                raise DamagedStore(f"E031 blob {blob} has {len(data)} bytes where its file says {length}")
            yield data

    def holds(self, digest: bytes) -> bool:
        """Whether a known pack, still on disk, holds the blob with this raw id."""
        if any(self._is_whole(pack) for pack in self._index.find(digest)):
            return True
        for name, reader in list(self._known().items()):
            try:
                if reader.find(digest) is None:
                    continue
                if os.path.exists(self.pack_path(name)):
                    return True
            except BlobNotFound:
                pass  # the same, seen earlier: a collector moved the pack away
            del self._packs[name]
        return False

    def seems_to_hold(self, digest: bytes) -> bool:
        """Whether a pack known by now names the blob with this raw id; from any thread, looking at nothing new."""
        try:
            return bool(self._index.find(digest)) or any(reader.find(digest) for reader in list(self._packs.values()))
        except GitrunError:
            return False  # `holds` meets the same problem, and deals with it

    def refresh(self) -> list[str]:
        """Look for packs that appeared since the last look; their names."""
        check_there(self.directory)
        self._listed = True
        names = _list_packs(os.path.join(self.directory, "packs"))
        return [name for name in names if not self._is_known(name) and self.adopt(name)]

    def write_index(self) -> None:
        """Write down what the packs hold that had to be asked one by one, where they have become many."""
        asked = [pack for name, pack in self._packs.items() if not self._index.covers(name)]
        readers = [pack for pack in asked if isinstance(pack, PackReader)]
        if len(readers) > MANY_PACKS:
            self._index.add(
                (Indexed(pack.name, pack.bytes), [entry.blob for entry in pack.entries()]) for pack in readers
            )
            self._packs = {name: pack for name, pack in self._packs.items() if not self._index.covers(name)}

    def compact_index(self) -> None:
        """Write the index again without the packs that went."""
        self._index.compact(self.has_pack)

    def adopt(self, name: str) -> bool:
        """Know one pack from now on; False when it is gone or is no pack."""
        reader = self.open_pack(self.pack_path(name), name)
        if reader is not None:
            self._packs[name] = reader
        return reader is not None

    def open_pack(self, path: str, name: str) -> PackReader | ScannedPack | None:
        """A pack wherever it lies, through its index or else its records; None when it is gone or cannot be read."""
        try:
            data = _File(path)
            return PackReader(data, name)
        except BlobNotFound:
            return None
        except DamagedStore as problem:
            self.monitor.warn("W021", f"{problem}; reading it record by record")
        except GitrunError as problem:
            self.monitor.warn("W022", f"{problem}; its blobs cannot be read")
            self._refused.add(name)
            return None
        try:
            return ScannedPack(data, name)
        except DamagedStore:
            self._refused.add(name)  # it does not even begin like a pack: just warned about
            return None

    def bytes_of(self, path: str) -> Buffer:
        """The bytes of a pack's file, read as they are asked for; raises BlobNotFound."""
        return _File(path)

    def pack_names(self) -> list[str]:
        """The names of all packs on disk, whatever they hold."""
        return sorted(_list_packs(os.path.join(self.directory, "packs")))

    def pack(self, name: str) -> PackReader | ScannedPack | None:
        """One pack by its name; None when it is gone or cannot be read."""
        if name not in self._packs and name not in self._refused:
            self.adopt(name)
        return self._packs.get(name)

    def has_pack(self, name: str) -> bool:
        """Whether a pack is in its place on disk."""
        return os.path.exists(self.pack_path(name))

    def forget(self, name: str) -> None:
        """No longer know a pack that was moved away."""
        self._packs.pop(name, None)
        self._recent = []

    def pack_path(self, name: str) -> str:
        """Where the pack with this name lies."""
        return os.path.join(self.directory, "packs", name[:2], name + PACK_SUFFIX)

    def _known(self) -> dict[str, PackReader | ScannedPack]:
        if not self._listed:
            self.refresh()
        return self._packs

    def _is_known(self, name: str) -> bool:
        return name in self._packs or name in self._refused or self._index.covers(name)

    def _is_whole(self, pack: Indexed) -> bool:
        """Whether a pack that the index names is in its place, as long as it was."""
        try:
            return os.stat(self.pack_path(pack.name)).st_size == pack.bytes
        except FileNotFoundError:
            return False

    def _candidates(self, digest: bytes) -> Iterator[PackReader | ScannedPack]:
        """The pack read last, those the index names, those known, those that appeared since, and the trash."""
        yield from self._recent
        for pack in self._index.find(digest):
            reader = self.pack(pack.name)
            if reader is not None:
                yield reader
        yield from list(self._known().values())
        yield from [self._packs[name] for name in self.refresh()]
        yield from self._trashed()

    def has_trash(self) -> bool:
        """Whether a collector has moved packs away that it has not deleted."""
        return bool(_names(os.path.join(self.directory, "trash")))

    def _trashed(self) -> Iterator[PackReader | ScannedPack]:
        """What a collector has moved away and not deleted: where it was killed, a run may need some of it."""
        trash = os.path.join(self.directory, "trash")
        for name in _names(trash):
            reader = self.open_pack(os.path.join(trash, name), name.removesuffix(PACK_SUFFIX))
            if reader is not None:
                yield reader


class _File:
    """A pack's file as a buffer. Thousands of packs may be known, so none is kept open or mapped."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._size = self._ask(lambda: os.stat(path).st_size)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, span: slice) -> bytes:
        start, end, _ = span.indices(self._size)
        data = self._ask(lambda: self._read(start, end - start))
        if len(data) != end - start:
            raise DamagedStore(f"E023 {self._path} has shrunk")
        return data

    def _read(self, at: int, size: int) -> bytes:
        fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, size, at)
        finally:
            os.close(fd)

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        try:
            return question()
        except FileNotFoundError as problem:
            raise BlobNotFound(f"{self._path} is gone") from problem
        except OSError as problem:
            raise from_os_error(problem, "reading a pack") from problem


def _digest(blob: str) -> bytes:
    """The raw id; ids come out of records, so they may be anything."""
    if not isinstance(blob, str) or not _BLOB_ID.fullmatch(blob):
        raise DamagedStore(f"E032 not a blob id: {blob!r:.80}")
    return bytes.fromhex(blob)


def _list_packs(directory: str) -> Iterator[str]:
    for fan in _names(directory):
        for name in _names(os.path.join(directory, fan)):
            stem = name.removesuffix(PACK_SUFFIX)
            if len(stem) == 64 and stem != name and stem[:2] == fan:
                yield stem


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []  # no store yet, or not one of its directories
    except OSError as problem:
        raise from_os_error(problem, "looking for packs") from problem
