"""How an entry names the blobs of its file: in its line, or in a blob of their own where they are many.

A line with 40,000 ids is read by everybody who lists the run; one with the id of their list is read by whoever
wants the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gitrun.errors import DamagedRecord
from gitrun.model.ids import is_sha256

INLINE = 16
_ROW_BYTES = 36
Chunks = list[tuple[str, int]]


def place(chunks: Chunks, put: Callable[[bytes], str]) -> dict[str, Any]:
    """The fields `chunks` or `chunk_list` of an entry; `put` stores bytes and returns their blob's id."""
    if len(chunks) <= INLINE:
        return {"chunks": [[blob, length] for blob, length in chunks]}
    return {"chunk_list": put(encode(chunks))}


def chunks_of(entry: Mapping[str, Any], get: Callable[[str], bytes]) -> Chunks:
    """The blobs of an entry's file, in order; `get` reads a blob. Raises DamagedRecord, and what `get` raises."""
    named = entry.get("chunk_list")
    if named is not None:
        if not is_sha256(named):
            raise DamagedRecord("an entry's list of chunks is no blob's id", next="gitrun fsck")
        return decode(get(named))
    rows = entry.get("chunks")
    if type(rows) is not list or not all(_is_row(row) for row in rows):
        raise DamagedRecord("an entry's chunks are no list of blobs and lengths", next="gitrun fsck")
    return [(blob, length) for blob, length in rows]


def encode(chunks: Iterable[tuple[str, int]]) -> bytes:
    """A list of blobs as bytes: for each its raw id and its length (u32, little-endian)."""
    return b"".join([bytes.fromhex(blob) + length.to_bytes(4, "little") for blob, length in chunks])


def decode(data: bytes) -> Chunks:
    """The list again; raises DamagedRecord for bytes that are none."""
    if len(data) % _ROW_BYTES:
        raise DamagedRecord("a list of chunks is cut off", next="gitrun fsck")
    starts = range(0, len(data), _ROW_BYTES)
    return [(data[at : at + 32].hex(), int.from_bytes(data[at + 32 : at + _ROW_BYTES], "little")) for at in starts]


def _is_row(row: Any) -> bool:
    if type(row) is not list or len(row) != 2:
        return False
    return is_sha256(row[0]) and type(row[1]) is int and 0 <= row[1] < 1 << 32
