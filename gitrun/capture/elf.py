"""What identifies a program or library in ELF format: its build id, its soname, and the libraries it names.

The linker puts a digest of what it linked into a note of the file, so a few kilobytes tell one build from another
where hashing would read hundreds of megabytes. A file may be anything: every offset is checked against its size.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

_MOST_HEADERS = 256
_MOST_BYTES = 64 << 10  # of one segment; what is longer in a real file is not what is looked for
_MOST_NOTES = 16  # segments
_MOST_NAME = 256
_MOST_NEEDED = 200
_LOAD, _DYNAMIC, _NOTE = 1, 2, 4
_NEEDED, _STRTAB, _SONAME = 1, 5, 14
_BUILD_ID = 3


class Elf(NamedTuple):
    """`build_id` in hex and `soname`, None where the file has none; `needed` are the libraries that it names."""

    build_id: str | None
    soname: bytes | None
    needed: list[bytes]


class _Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    size: int
    align: int


def read_elf(fd: int) -> Elf | None:
    """The facts of an open file; None for one that is no ELF file, or a damaged one. Raises OSError."""
    start = os.pread(fd, 64, 0)
    if len(start) < 52 or start[:4] != b"\x7fELF" or start[4] not in (1, 2) or start[5] not in (1, 2):
        return None
    try:
        return _Reader(fd, wide=start[4] == 2, order="<" if start[5] == 1 else ">").read(start)
    except (struct.error, ValueError):
        return None


class _Reader:
    def __init__(self, fd: int, wide: bool, order: str) -> None:
        self._fd = fd
        self._wide = wide
        self._order = order

    def read(self, start: bytes) -> Elf:
        segments = self._segments(start)
        build_id: str | None = None
        soname: bytes | None = None
        needed: list[bytes] = []
        for segment in [segment for segment in segments if segment.kind == _NOTE][:_MOST_NOTES]:
            notes = self._bytes(segment.offset, segment.size)
            build_id = build_id or self._build_id(notes, 8 if segment.align == 8 else 4)
        dynamic = next((segment for segment in segments if segment.kind == _DYNAMIC), None)
        if dynamic is not None:
            soname, needed = self._names(self._bytes(dynamic.offset, dynamic.size), segments)
        return Elf(build_id, soname, needed)

    def _bytes(self, offset: int, size: int) -> bytes:
        return os.pread(self._fd, min(size, _MOST_BYTES), offset) if 0 <= offset < 1 << 62 else b""

    def _unpack(self, layout: str, data: bytes, at: int = 0) -> tuple[int, ...]:
        return struct.unpack_from(self._order + layout, data, at)

    def _segments(self, start: bytes) -> list[_Segment]:
        if self._wide:
            (offset,) = self._unpack("Q", start, 32)
            length, count = self._unpack("HH", start, 54)
        else:
            (offset,) = self._unpack("I", start, 28)
            length, count = self._unpack("HH", start, 42)
        count = min(count, _MOST_HEADERS)
        table = self._bytes(offset, length * count)
        segments = []
        for at in range(0, length * count, length or 1):
            if self._wide:
                kind, _, begin, address, _, size, _, align = self._unpack("IIQQQQQQ", table, at)
            else:
                kind, begin, address, _, size, _, _, align = self._unpack("IIIIIIII", table, at)
            segments.append(_Segment(kind, begin, address, size, align))
        return segments

    def _build_id(self, notes: bytes, align: int) -> str | None:
        at = 0
        while at + 12 <= len(notes):
            name, size, kind = self._unpack("III", notes, at)
            begin = at + _padded(12 + name, align)
            if kind == _BUILD_ID and notes[at + 12 : at + 16] == b"GNU\0" and 0 < size <= 64:
                return notes[begin : begin + size].hex() or None
            at = begin + _padded(size, align)
        return None

    def _names(self, dynamic: bytes, segments: list[_Segment]) -> tuple[bytes | None, list[bytes]]:
        layout, width = ("qQ", 16) if self._wide else ("iI", 8)
        entries = [self._unpack(layout, dynamic, at) for at in range(0, len(dynamic) - width + 1, width)]
        addresses = [value for tag, value in entries if tag == _STRTAB]
        offset = next((_offset_of(address, segments) for address in addresses), None)
        if offset is None:
            return None, []

        def name(at: int) -> bytes:
            return self._bytes(offset + at, _MOST_NAME).partition(b"\0")[0]

        soname = next((name(value) for tag, value in entries if tag == _SONAME), b"")
        return soname or None, [name(value) for tag, value in entries if tag == _NEEDED][:_MOST_NEEDED]


def _padded(size: int, align: int) -> int:
    return (size + align - 1) & -align


def _offset_of(address: int, segments: list[_Segment]) -> int | None:
    for segment in segments:
        if segment.kind == _LOAD and segment.address <= address < segment.address + segment.size:
            return address - segment.address + segment.offset
    return None
