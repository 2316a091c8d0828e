"""The pack: many blobs in one immutable file, so that a thousand small ones cost one fsync.

    header    16 bytes   magic "GITRUNPK", u16 version, u16 zero, u32 zero
    records              for each blob: 52 bytes of head, then its stored bytes
    index                for each blob: 52 bytes, sorted by blob id
    trailer   24 bytes   u64 offset of the index, u32 count, u32 crc of the index, u32 crc of these, "GPKE"

A record's head repeats what the index says, so the records alone rebuild the index. The index is
sorted and of fixed size, so a lookup is a bisection in its bytes as they lie: opening a pack parses
header and trailer, however many blobs there are. All integers are little-endian; spec/store.md is normative.

This module is pure: bytes in, values out. Every length read from a pack is checked against the
pack's own size and against MAX_BLOB_BYTES before anything is allocated.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from gitrun.errors import DamagedStore, NewerFormat
from gitrun.store.chunking import MAX_BLOB_BYTES
from gitrun.store.codecs import Plain, decode

VERSION = 1

_MAGIC = b"GITRUNPK"
_RECORD_MAGIC = b"BLOB"
_END_MAGIC = b"GPKE"
_HEADER = struct.Struct("<8sHHI")
_HEAD = struct.Struct("<4sB3xII32sI")  # magic, codec, stored bytes, plain bytes, blob id, crc
_ENTRY = struct.Struct("<32sQIIB3x")  # blob id, offset of the record, stored bytes, plain bytes, codec
_TRAILER = struct.Struct("<QIII4s")
_CRC_AT = _HEAD.size - 4
_CACHED_ENTRIES = 1 << 16  # what our writer puts into a pack at most; a longer index stays in its file


class Buffer(Protocol):
    """What a pack is read from: bytes, or a file behind the same two questions."""

    def __len__(self) -> int: ...
    def __getitem__(self, span: slice, /) -> bytes: ...


class Entry(NamedTuple):
    """Where one blob lies in a pack and how it is encoded; `blob` is the raw 32-byte id."""

    blob: bytes
    offset: int
    stored_bytes: int
    plain_bytes: int
    codec: int


class PackWriter:
    """Turns encoded blobs into the bytes of a pack, handed to `write` piece by piece."""

    def __init__(self, write: Callable[[Plain], object]) -> None:
        self._write = write
        self._name = hashlib.sha256()
        self._entries: list[Entry] = []
        self.size = 0
        self.count = 0
        self._emit(_HEADER.pack(_MAGIC, VERSION, 0, 0))

    def add(self, blob: bytes, codec: int, plain_bytes: int, stored: Plain) -> None:
        """Append one blob: its id, how it was encoded, how long it was, and its encoded bytes."""
        assert len(blob) == 32 and plain_bytes <= MAX_BLOB_BYTES and len(stored) <= plain_bytes
        self.count += 1
        self._entries.append(Entry(blob, self.size, len(stored), plain_bytes, codec))
        head = _HEAD.pack(_RECORD_MAGIC, codec, len(stored), plain_bytes, blob, 0)[:_CRC_AT]
        self._emit(head + zlib.crc32(stored, zlib.crc32(head)).to_bytes(4, "little"))
        self._emit(stored)

    def finish(self) -> str:
        """Write index and trailer; the pack's name: the hex sha256 of all its bytes."""
        index = encode_index(self._entries)
        trailer = struct.pack("<QII", self.size, len(self._entries), zlib.crc32(index))
        self._emit(index)
        self._emit(trailer + zlib.crc32(trailer).to_bytes(4, "little") + _END_MAGIC)
        return self._name.hexdigest()

    def _emit(self, data: Plain) -> None:
        self._name.update(data)
        self._write(data)
        self.size += len(data)


class PackReader:
    """Looks blobs up in the bytes of one pack; raises DamagedStore or NewerFormat when it is not one."""

    def __init__(self, data: Buffer, name: str) -> None:
        self.name = name
        self._data = data
        _check_header(data, name)
        self.bytes = len(data)
        self._index_at, self.count = _read_trailer(data, name)
        self._index: bytes | None = None

    def find(self, blob: bytes) -> Entry | None:
        """The entry of a blob, by bisection; None when this pack does not hold it."""
        rows, start = self._rows()
        return _bisect(rows, start, self.count, blob)

    def entries(self) -> Iterator[Entry]:
        """Every entry, in the order of blob ids."""
        rows, start = self._rows()
        places = range(start, start + self.count * _ENTRY.size, _ENTRY.size)
        return (Entry(*_ENTRY.unpack(rows[at : at + _ENTRY.size])) for at in places)

    def read(self, entry: Entry, *, hashed: bool = True) -> bytes:
        """The content of a blob, verified against its id unless not `hashed`; raises DamagedStore or NewerFormat."""
        return read_blob(self._data, entry, self._index_at, self.name, hashed=hashed)

    def stored(self, entry: Entry) -> bytes:
        """The encoded bytes of a blob that `read` has verified."""
        return stored_in(self._data, entry)

    def tail(self) -> bytes:
        """The last bytes of the pack, its index and trailer: what `Tail` reads."""
        return self._data[self._index_at : self.bytes]

    def _rows(self) -> tuple[Buffer, int]:
        """Where the entries are, and at which offset: in memory from the first look on, unless they are many."""
        if self.count > _CACHED_ENTRIES:
            return self._data, self._index_at
        if self._index is None:
            self._index = self._data[self._index_at : self._index_at + self.count * _ENTRY.size]
        return self._index, 0


class Tail:
    """Index and trailer of a pack that lies elsewhere: which blobs it has, and where; `bytes` is its whole length.

    Raises DamagedStore when they are none. What it tells of a blob is checked when its record is read.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self._data = data
        end = len(data) - _TRAILER.size
        if end < 0:
            raise DamagedStore(f"E023 pack {name}: its index is cut off")
        self.index_at, self.count, crc_index, crc, magic = _TRAILER.unpack(data[end:])
        if magic != _END_MAGIC or zlib.crc32(data[end : end + 16]) != crc or self.count * _ENTRY.size != end:
            raise DamagedStore(f"E023 pack {name}: its trailer is damaged or cut off")
        if zlib.crc32(data[:end]) != crc_index or self.index_at < _HEADER.size:
            raise DamagedStore(f"E023 pack {name}: its index is damaged")
        self.bytes = self.index_at + len(data)

    def find(self, blob: bytes) -> Entry | None:
        """The entry of a blob, by bisection; None when this pack does not hold it."""
        return _bisect(self._data, 0, self.count, blob)

    def entries(self) -> Iterator[Entry]:
        """Every entry, in the order of blob ids."""
        return (Entry(*row) for row in _ENTRY.iter_unpack(self._data[: self.count * _ENTRY.size]))


class ScannedPack:
    """A pack whose index or trailer is damaged, read through an index made from its records."""

    def __init__(self, data: Buffer, name: str) -> None:
        self.name = name
        self._data = data
        self._entries = {entry.blob: entry for entry in scan(data, name)}

    def find(self, blob: bytes) -> Entry | None:
        """The entry of a blob, or None."""
        return self._entries.get(blob)

    def entries(self) -> Iterator[Entry]:
        """Every entry, in the order of blob ids."""
        return iter(sorted(self._entries.values()))

    def read(self, entry: Entry, *, hashed: bool = True) -> bytes:
        """The content of a blob, verified against its id unless not `hashed`; raises DamagedStore or NewerFormat."""
        return read_blob(self._data, entry, len(self._data), self.name, hashed=hashed)

    def stored(self, entry: Entry) -> bytes:
        """The encoded bytes of a blob that `read` has verified."""
        return stored_in(self._data, entry)


def span_of(entry: Entry) -> tuple[int, int]:
    """Where the record of a blob begins and ends in its pack."""
    return entry.offset, entry.offset + _HEAD.size + entry.stored_bytes


def _bisect(rows: Buffer, start: int, count: int, blob: bytes) -> Entry | None:
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        at = start + middle * _ENTRY.size
        if rows[at : at + 32] < blob:
            low = middle + 1
        else:
            high = middle
    at = start + low * _ENTRY.size
    if low == count or rows[at : at + 32] != blob:
        return None
    return Entry(*_ENTRY.unpack(rows[at : at + _ENTRY.size]))


def encode_index(entries: list[Entry]) -> bytes:
    """The index of a pack: its entries sorted by blob id."""
    return b"".join(_ENTRY.pack(*entry) for entry in sorted(entries))


def scan(data: Buffer, name: str) -> Iterator[Entry]:
    """The entries as the records alone tell them, in file order; stops where no whole record follows."""
    _check_header(data, name)
    at, size = _HEADER.size, len(data)
    while at + _HEAD.size <= size:
        magic, codec, stored_bytes, plain_bytes, blob, _crc = _HEAD.unpack(data[at : at + _HEAD.size])
        end = at + _HEAD.size + stored_bytes
        if magic != _RECORD_MAGIC or end > size or not stored_bytes <= plain_bytes <= MAX_BLOB_BYTES:
            return
        yield Entry(blob, at, stored_bytes, plain_bytes, codec)
        at = end


def read_blob(data: Buffer, entry: Entry, limit: int, name: str, *, hashed: bool = True) -> bytes:
    """The plain bytes of the record at `entry`, which must end by `limit`, verified against checksum and blob id.

    Not `hashed`: against the checksum alone, for who verifies the whole that they are a piece of.
    """
    blob, at, stored_bytes, plain_bytes, codec = entry
    start = at + _HEAD.size
    where = f"pack {name}, blob {blob.hex()}"
    if at < _HEADER.size or start + stored_bytes > limit or not stored_bytes <= plain_bytes <= MAX_BLOB_BYTES:
        raise DamagedStore(f"E024 {where}: its index entry points outside the pack")
    head, stored = data[at:start], data[start : start + stored_bytes]  # apart: what is stored raw is not copied
    if head[:_CRC_AT] != _HEAD.pack(_RECORD_MAGIC, codec, stored_bytes, plain_bytes, blob, 0)[:_CRC_AT]:
        raise DamagedStore(f"E024 {where}: the record is not the one its index entry describes")
    if zlib.crc32(stored, zlib.crc32(head[:_CRC_AT])) != int.from_bytes(head[_CRC_AT:], "little"):
        raise DamagedStore(f"E025 {where}: the record does not have its checksum")
    plain = decode(codec, stored, plain_bytes, where)
    if len(plain) != plain_bytes or (hashed and hashlib.sha256(plain).digest() != blob):
        raise DamagedStore(f"E026 {where}: the content does not have this hash")
    return plain


def stored_in(data: Buffer, entry: Entry) -> bytes:
    """The encoded bytes of a blob in the bytes of its pack; the caller has verified it."""
    start = entry.offset + _HEAD.size
    return data[start : start + entry.stored_bytes]


def _check_header(data: Buffer, name: str) -> None:
    header = data[: _HEADER.size]
    if len(header) < _HEADER.size or header[:8] != _MAGIC:
        raise DamagedStore(f"E020 pack {name}: it does not begin like a pack")
    _magic, version, zero16, zero32 = _HEADER.unpack(header)
    if version != VERSION or zero16 or zero32:
        raise NewerFormat(f"E021 pack {name} has format {version}", next="update gitrun")


def _read_trailer(data: Buffer, name: str) -> tuple[int, int]:
    """Where the index begins and how many entries it has."""
    end = len(data) - _TRAILER.size
    if end < _HEADER.size:
        raise DamagedStore(f"E023 pack {name}: it has no trailer")
    trailer = data[end:]
    index_at, count, _crc_index, crc, magic = _TRAILER.unpack(trailer)
    if magic != _END_MAGIC or zlib.crc32(trailer[:16]) != crc:
        raise DamagedStore(f"E023 pack {name}: its trailer is damaged or cut off")
    if index_at < _HEADER.size or index_at + count * _ENTRY.size != end:
        raise DamagedStore(f"E023 pack {name}: the index it states does not fit it")
    return index_at, count
