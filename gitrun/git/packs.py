"""gitrun's own packs: written in one go, kept from the user's gc, found again without a process.

Problem: a run's objects must survive `git gc --prune=now` from before any ref names them, a
thousand runs must not make a thousand packs, and asking "is this object there already?" must cost
less than writing it.
Idea: each writer makes one pack of plain zlib entries and publishes it as `.keep`, then `.pack`, then
`.idx`: Git sees a pack when its index appears, and by then the mark that saves it is there. Packs
whose `.keep` says "gitrun" are gitrun's own; their indexes are mapped and searched in place.
Reason: an object in an own pack is there for good (packs are only replaced by a superset), which is
more than can be said of an object that Git merely knows: it may be loose and about to be pruned.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from gitrun.errors import DamagedStore, from_os_error
from gitrun.files.write import fsync_dir, fsync_path, make_dirs, remove_quietly, write_all
from gitrun.git import multipackindex
from gitrun.git.hashing import RAW_BYTES, new_hash, object_id
from gitrun.git.packindex import IndexEntry, PackIndex, encode_index
from gitrun.git.publishing import KEEP_MARK, Staged, Temporary, publish, read_chunks

_TYPES = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_HEADER_BYTES = 12
_FLUSH_BYTES = 8 << 20
# A margin beside the proof (a free lock), for filesystems whose locks are not to be trusted.
_LEFTOVER_AGE_S = 3600.0


class Pack(NamedTuple):
    """A pack that is in place: `directory`/`name`.{pack,idx,keep}; `relied` are packs its writer left objects to."""

    directory: str
    name: str
    size: int
    relied: tuple[str, ...] = ()

    def path(self, suffix: str) -> str:
        """The file of the pack with this suffix: "pack", "idx" or "keep"."""
        return os.path.join(self.directory, f"{self.name}.{suffix}")

    def sync(self) -> None:
        """Make the pack durable, and with it every pack it relies on; raises DiskFull, GitrunError."""
        own = [self.path(suffix) for suffix in ("keep", "pack", "idx")]
        sync_files(self.directory, [*own, *self.relied])


def sync_files(directory: str, paths: list[str]) -> None:
    """Make files of packs durable, and their names."""
    try:
        for path in paths:
            try:
                fsync_path(path)
            except FileNotFoundError:
                continue  # folded away meanwhile: its superset was durable before it went
        fsync_dir(directory)
    except OSError as problem:
        raise from_os_error(problem, "making a pack durable") from problem


class OwnPacks:
    """The packs whose `.keep` says gitrun, as they were when first asked about."""

    def __init__(self, objects_dir: str, fmt: str) -> None:
        self.directory = os.path.join(objects_dir, "pack")
        self.fmt = fmt
        self._indexes: list[PackIndex] | None = None

    def packs(self) -> list[Pack]:
        """Every own pack that is whole, listed now."""
        found = []
        for name, suffixes in _own_files(self.directory).items():
            if {"keep", "pack", "idx"} <= suffixes:
                try:
                    size = os.stat(os.path.join(self.directory, name + ".pack")).st_size
                except FileNotFoundError:
                    continue  # folded away since it was listed
                found.append(Pack(self.directory, name, size))
        return found

    def find(self, oid: str) -> str | None:
        """The path of the index of an own pack that holds the object."""
        if self._indexes is None:
            self._indexes = list(self._open())
        raw = bytes.fromhex(oid)
        for index in self._indexes:
            if index.contains(raw):
                return index.path
        return None

    def contains(self, oid: str) -> bool:
        """Whether an own pack holds the object."""
        return self.find(oid) is not None

    def _open(self) -> Iterator[PackIndex]:
        for pack in self.packs():
            try:
                yield open_index(pack, self.fmt)
            except FileNotFoundError:
                continue  # folded away since it was listed; not to know it only writes an object twice
            except DamagedStore:
                continue  # nothing may rely on it: what it holds is written again; `fsck` reports it


def open_index(pack: Pack, fmt: str) -> PackIndex:
    """The index of a pack that is one, as Git judges it; raises DamagedStore where a power cut or else has cut it off.

    Pack and index reach the disk in any order: an index alone is no reason to rely on what it lists.
    """
    index = PackIndex(pack.path("idx"), fmt)
    fd = os.open(pack.path("pack"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.pread(fd, _HEADER_BYTES, 0)
        tail = os.pread(fd, RAW_BYTES[fmt], max(0, os.fstat(fd).st_size - RAW_BYTES[fmt]))
    finally:
        os.close(fd)
    if head != struct.pack(">4sII", b"PACK", 2, index.count) or tail != index.pack_checksum:
        raise DamagedStore(f"{pack.path('pack')} is not the pack that its index is about", next="gitrun fsck --repair")
    return index


def _own_files(directory: str) -> dict[str, set[str]]:
    """The suffixes there are of each pack with gitrun's mark."""
    found: dict[str, set[str]] = {}
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return found
    for file in names:
        name, _, suffix = file.rpartition(".")
        if name.startswith("pack-"):
            found.setdefault(name, set()).add(suffix)
    return {n: s for n, s in found.items() if "keep" in s and _is_marked(os.path.join(directory, n + ".keep"))}


def _is_marked(keep: str) -> bool:
    try:
        with open(keep, "rb") as file:
            return file.read(len(KEEP_MARK)) == KEEP_MARK
    except OSError:
        return False  # gone, or not ours to read: then not ours


class PackWriter:
    """Collects objects into one pack; `finish` publishes it, `abort` (or a kill) leaves nothing visible."""

    def __init__(self, objects_dir: str, fmt: str, *, own: OwnPacks | None = None) -> None:
        self._directory = os.path.join(objects_dir, "pack")
        self._fmt = fmt
        self._own = own
        self._relied: set[str] = set()
        self._entries: list[IndexEntry] = []
        self._here: set[str] = set()
        self._buffer = bytearray(_HEADER_BYTES)
        self._flushed = 0
        self._file: Temporary | None = None

    @property
    def count(self) -> int:
        """Objects in this pack so far."""
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Bytes of this pack so far."""
        return self._flushed + len(self._buffer)

    def contains(self, oid: str) -> bool:
        """Whether the object is in this pack or an own one, which this pack then relies on."""
        if oid in self._here:
            return True
        if self._own is None or (index := self._own.find(oid)) is None:
            return False
        self._relied.update((index, index[: -len("idx")] + "pack", index[: -len("idx")] + "keep"))
        return True

    def add(self, kind: str, data: bytes, oid: str | None = None, *, level: int = 1) -> str:
        """Put an object in, unless it is here already, and return its id (`oid` where the caller knows it).

        `level` is how hard zlib tries; 0 for what is compressed already, which costs ten times less.
        """
        oid = oid or object_id(kind, data, self._fmt)
        if not self.contains(oid):
            entry = _entry_header(_TYPES[kind], len(data)) + zlib.compress(data, level)
            self._append(oid, entry, zlib.crc32(entry))
        return oid

    def absorb(self, pack: Pack) -> bool:
        """Take every entry of an own pack as it is; False when it holds deltas, which cannot be moved so.

        Raises DamagedStore when an entry is not what its index says.
        """
        entries = PackIndex(pack.path("idx"), self._fmt).entries()
        with open(pack.path("pack"), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            ends = [*(entry.offset for entry in entries[1:]), len(data) - RAW_BYTES[self._fmt]]
            if any(not _HEADER_BYTES <= e.offset < end for e, end in zip(entries, ends, strict=True)):
                raise DamagedStore(f"{pack.path('pack')} is shorter than its index says", next="git fsck")
            if any(data[entry.offset] >> 4 & 7 not in _TYPES.values() for entry in entries):
                return False
            for entry, end in zip(entries, ends, strict=True):
                content = data[entry.offset : end]
                if zlib.crc32(content) != entry.crc32:
                    raise DamagedStore(f"{pack.path('pack')} is damaged at byte {entry.offset}", next="git fsck")
                if (oid := entry.oid.hex()) not in self._here:
                    self._append(oid, content, entry.crc32)
        return True

    def _append(self, oid: str, entry: bytes, crc32: int) -> None:
        self._entries.append(IndexEntry(bytes.fromhex(oid), crc32, self.size_bytes))
        self._here.add(oid)
        self._buffer += entry
        if len(self._buffer) >= _FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        try:
            if self._file is None:
                make_dirs(self._directory)
                self._file = Temporary(self._directory, "tmp_pack_")
            write_all(self._file.fd, memoryview(self._buffer))
        except OSError as problem:
            self.abort()
            raise from_os_error(problem, "writing a pack") from problem
        self._flushed += len(self._buffer)
        self._buffer = bytearray()

    def finish(self, *, sync: bool) -> Pack | None:
        """Publish the pack, durably when `sync`; None when everything was there already (then that is durable).

        Raises DiskFull, NotWritable or GitrunError, and leaves nothing visible then.
        """
        if not self._entries:
            if self._relied:
                sync_files(self._directory, sorted(self._relied))
            return None
        try:
            pack = self._publish(sync)
        except OSError as problem:
            raise from_os_error(problem, "writing a pack") from problem
        finally:
            self.abort()
        if sync:
            pack.sync()
        return pack

    def abort(self) -> None:
        """Drop what was collected."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _publish(self, sync: bool) -> Pack:
        header = struct.pack(">4sII", b"PACK", 2, len(self._entries))
        checksum = new_hash(self._fmt)
        if self._flushed:
            self._flush()
            assert self._file is not None
            os.pwrite(self._file.fd, header, 0)
            for chunk in read_chunks(self._file.fd):
                checksum.update(chunk)
        else:
            self._buffer[:_HEADER_BYTES] = header
            checksum.update(self._buffer)
        self._buffer += checksum.digest()
        self._flush()
        assert self._file is not None
        index = Temporary(self._directory, "tmp_idx_")
        try:
            write_all(index.fd, encode_index(self._entries, checksum.digest(), self._fmt))
            name = f"pack-{checksum.hexdigest()}"
            publish(self._directory, name, self._file, index, sync=sync)
        finally:
            index.close()
        return Pack(self._directory, name, self._flushed, tuple(sorted(self._relied)))


def _entry_header(kind: int, size: int) -> bytes:
    byte, size = kind << 4 | size & 15, size >> 4
    out = bytearray()
    while size:
        out.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    out.append(byte)
    return bytes(out)


def publish_staged(objects_dir: str, staged: str, name: str) -> Pack:
    """Publish the pack `staged`.{pack,idx}, which git wrote outside the object directory, under `name`."""
    directory = os.path.join(objects_dir, "pack")
    try:
        parent = os.stat(directory)
        pack, index = Staged(staged + ".pack", parent), Staged(staged + ".idx", parent)
        try:
            size = os.fstat(pack.fd).st_size
            publish(directory, name, pack, index, sync=True)
        finally:
            pack.close()
            index.close()
    except OSError as problem:
        raise from_os_error(problem, "publishing a pack") from problem
    return Pack(directory, name, size)


def replace_by_superset(objects_dir: str, fmt: str, old: list[Pack], new: Pack) -> None:
    """Remove the `old` packs once `new`, made durable first, is seen to hold every object of theirs.

    Raises DamagedStore, and removes nothing, when an object is missing from `new`.
    """
    new.sync()
    index = PackIndex(new.path("idx"), fmt)
    going = [pack for pack in old if pack.name != new.name]
    for pack in going:
        try:
            ids = PackIndex(pack.path("idx"), fmt).ids()
        except FileNotFoundError:
            continue  # another superset took it
        if lost := next((oid for oid in ids if not index.contains(oid)), None):
            raise DamagedStore(f"{new.name} was to replace {pack.name} but lacks {lost.hex()}", kept="both packs")
    try:
        multipackindex.forget(new.directory, [pack.name for pack in going])
        for pack in going:
            for suffix in ("idx", "pack", "keep"):
                remove_quietly(pack.path(suffix))
        fsync_dir(new.directory)
    except OSError as problem:
        raise from_os_error(problem, "removing a replaced pack") from problem


def release(objects_dir: str, fmt: str, before_s: float) -> int:
    """Take gitrun's mark off its packs that are older than `before_s`, so that git may clean them up; how many."""
    old = [pack for pack in OwnPacks(objects_dir, fmt).packs() if os.stat(pack.path("pack")).st_mtime < before_s]
    for pack in old:
        remove_quietly(pack.path("keep"))
    return len(old)


def remove_leftovers(objects_dir: str, now_s: float | None = None) -> int:
    """Remove what killed writers and folds left: own packs without an index that nobody holds; how many."""
    directory = os.path.join(objects_dir, "pack")
    now_s = time.time() if now_s is None else now_s
    removed = 0
    for name, suffixes in _own_files(directory).items():
        keep = os.path.join(directory, name + ".keep")
        if "idx" not in suffixes and _is_abandoned(keep, now_s):
            remove_quietly(os.path.join(directory, name + ".pack"))
            remove_quietly(keep)
            removed += 1
    return removed


def _is_abandoned(keep: str, now_s: float) -> bool:
    try:
        with open(keep, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return now_s - os.fstat(file.fileno()).st_mtime > _LEFTOVER_AGE_S
    except OSError:
        return False  # held by its writer, or gone
