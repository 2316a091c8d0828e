"""Pack index files, version 2 (gitformat-pack(5)): written whole, read through a map.

    magic, version | fan-out: 256 counts | ids, sorted | crc32s | 31-bit offsets | 63-bit offsets
    | checksum of the pack | checksum of all that

A 31-bit offset with its top bit set is a position in the table of 63-bit ones.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gitrun.errors import DamagedStore
from gitrun.git.hashing import RAW_BYTES, new_hash

_MAGIC = b"\377tOc\0\0\0\2"
_FANOUT = struct.Struct(">256I")
_FIRST_ID = len(_MAGIC) + _FANOUT.size
_LARGE = 1 << 31


class IndexEntry(NamedTuple):
    """One object of a pack: raw id, crc32 of its bytes in the pack, offset of their first."""

    oid: bytes
    crc32: int
    offset: int


def encode_index(entries: Sequence[IndexEntry], pack_checksum: bytes, fmt: str) -> bytes:
    """The bytes of the index of a pack with these entries."""
    ordered = sorted(entries)
    counts = [0] * 256
    for entry in ordered:
        counts[entry.oid[0]] += 1
    total = 0
    for first, count in enumerate(counts):
        total = counts[first] = total + count
    large = [entry.offset for entry in ordered if entry.offset >= _LARGE]
    place = iter(range(len(large)))
    offsets = [e.offset if e.offset < _LARGE else _LARGE | next(place) for e in ordered]
    body = b"".join(
        [
            _MAGIC,
            _FANOUT.pack(*counts),
            *[entry.oid for entry in ordered],
            struct.pack(f">{len(ordered)}I", *[entry.crc32 for entry in ordered]),
            struct.pack(f">{len(ordered)}I", *offsets),
            struct.pack(f">{len(large)}Q", *large),
            pack_checksum,
        ]
    )
    checksum = new_hash(fmt)
    checksum.update(body)
    return body + checksum.digest()


class PackIndex:
    """An index on disk; it stays readable after its file is gone. Raises DamagedStore for one that cannot be right."""

    def __init__(self, path: str, fmt: str) -> None:
        self.path = path
        self._len = RAW_BYTES[fmt]
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            self._map = mmap.mmap(fd, size, access=mmap.ACCESS_READ) if size else b""
        finally:
            os.close(fd)
        if size < _FIRST_ID + 2 * self._len or self._map[:8] != _MAGIC:
            raise DamagedStore(f"{path} is no pack index of version 2")
        self._fanout = _FANOUT.unpack(self._map[8:_FIRST_ID])
        self.count = self._fanout[255]
        self._crcs = _FIRST_ID + self.count * self._len
        self._offsets = self._crcs + 4 * self.count
        self._large = self._offsets + 4 * self.count
        rest = size - self._large - 2 * self._len
        if rest < 0 or rest % 8 or list(self._fanout) != sorted(self._fanout):
            raise DamagedStore(f"{path} is damaged: its tables do not fit its size")

    @property
    def pack_checksum(self) -> bytes:
        """What the pack ends with."""
        return self._map[-2 * self._len : -self._len]

    def contains(self, oid: bytes) -> bool:
        """Whether the raw id is in the index."""
        low = self._fanout[oid[0] - 1] if oid[0] else 0
        high = self._fanout[oid[0]]
        width, data = self._len, self._map
        while low < high:
            middle = (low + high) // 2
            at = _FIRST_ID + middle * width
            if (found := data[at : at + width]) == oid:
                return True
            if found < oid:
                low = middle + 1
            else:
                high = middle
        return False

    def ids(self) -> Iterator[bytes]:
        """The raw ids, sorted."""
        for at in range(_FIRST_ID, self._crcs, self._len):
            yield self._map[at : at + self._len]

    def entries(self) -> list[IndexEntry]:
        """All entries in the order of the pack."""
        crcs = struct.unpack(f">{self.count}I", self._map[self._crcs : self._offsets])
        small = struct.unpack(f">{self.count}I", self._map[self._offsets : self._large])
        found = [
            IndexEntry(oid, crc, offset if offset < _LARGE else self._large_offset(offset - _LARGE))
            for oid, crc, offset in zip(self.ids(), crcs, small, strict=True)
        ]
        return sorted(found, key=lambda entry: entry.offset)

    def _large_offset(self, n: int) -> int:
        at = self._large + 8 * n
        if at + 8 > len(self._map) - 2 * self._len:
            raise DamagedStore(f"{self.path} is damaged: it has no offset {n}")
        offset: int = struct.unpack_from(">Q", self._map, at)[0]
        return offset
