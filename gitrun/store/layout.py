"""Where the parts of a file begin and end that stay as they are while others change: tensors, members of an archive.

Cuts found by content alone need up to a whole piece after a change until they are where they were. In a checkpoint
of which only some layers are trained, each small change so costs the large unchanged tensors around it, and torch
writes its file's name in front of every tensor. So a cut is forced at both ends of every large tensor or member;
between those, content decides as ever. It is a hint: a file that is not what it seems is merely cut elsewhere.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator

_ZIP, _DIRECTORY_END, _LOCATOR = b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x07"
_MOST_HEADER_BYTES = 4 << 20  # of what lists the parts; a longer list is not worth its memory
_MOST_EDGES = 1 << 16
_END = struct.Struct("<4s4x2xHIIH")  # entries, size, offset, comment
_WIDE_END = struct.Struct("<4s36xQQ")  # size, offset
_ENTRY = struct.Struct("<4s16xIIHHH8xI")  # packed and plain size, three lengths, offset
_LOCAL = struct.Struct("<4s22xHH")
_WIDE = 0xFFFFFFFF


def find_edges(fd: int, size: int, least_bytes: int) -> list[int]:
    """Where cuts are forced in a regular file: rising offsets inside it, around parts of at least so many bytes."""
    try:
        head = os.pread(fd, 9, 0)
        if head[:4] == _ZIP:
            parts = _zip_members(fd, size, least_bytes)
        elif head[8:] == b"{" and (length := int.from_bytes(head[:8], "little")) <= _MOST_HEADER_BYTES:
            parts = _tensors(os.pread(fd, length, 8), 8 + length)
        else:
            return []
        edges = {edge for start, end in parts if end - start >= least_bytes for edge in (start, end)}
    except (OSError, struct.error, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return []  # not what its first bytes promised
    return sorted(edge for edge in edges if 0 < edge < size)[:_MOST_EDGES]


def _tensors(header: bytes, start: int) -> Iterator[tuple[int, int]]:
    """The tensors of a safetensors file, whose data begins at `start`."""
    for name, facts in json.loads(header).items():
        if name != "__metadata__":
            first, last = facts["data_offsets"]
            yield start + int(first), start + int(last)


def _zip_members(fd: int, size: int, least_bytes: int) -> Iterator[tuple[int, int]]:
    """The content of the members of a zip archive without a comment, as torch and numpy write it."""
    length, first = _zip_directory(fd, size)
    if length > _MOST_HEADER_BYTES:
        return
    directory, at = os.pread(fd, length, first), 0
    while at + _ENTRY.size <= len(directory):
        _, packed, plain, name, extra, comment, offset = _ENTRY.unpack_from(directory, at)
        at += _ENTRY.size + name
        if _WIDE in (packed, offset):
            packed, offset = _wide_sizes(directory[at : at + extra], packed, plain, offset)
        at += extra + comment
        if packed >= least_bytes:
            _, name, extra = _LOCAL.unpack(os.pread(fd, _LOCAL.size, offset))
            start = offset + _LOCAL.size + name + extra
            yield start, start + packed


def _zip_directory(fd: int, size: int) -> tuple[int, int]:
    """Length and offset of the list of members."""
    magic, count, length, first, comment = _END.unpack(os.pread(fd, _END.size, size - _END.size))
    if magic != _DIRECTORY_END or comment:
        return 0, 0
    if _WIDE in (length, first) or count == 0xFFFF:
        locator = os.pread(fd, 20, size - _END.size - 20)
        if locator[:4] == _LOCATOR:
            at = int.from_bytes(locator[8:16], "little")
            _, length, first = _WIDE_END.unpack(os.pread(fd, _WIDE_END.size, at))
    return length, first


def _wide_sizes(extra: bytes, packed: int, plain: int, offset: int) -> tuple[int, int]:
    """Size and offset where they need 64 bits: from the field with id 1, which holds those that do, in order."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            values = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            if plain == _WIDE:
                next(values)
            return next(values) if packed == _WIDE else packed, next(values) if offset == _WIDE else offset
        at += 4 + length
    raise ValueError("a size of 64 bits is missing")
