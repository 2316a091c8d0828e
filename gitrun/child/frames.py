"""Frames: how a process that may be killed at any moment appends values to a file.

A writer can die in the middle of a write, and a disk can fill up there. So every value is a frame of its own,
`u32 length, u32 crc32, payload` (little-endian), and a reader stops at the first frame that is short or wrong:
what came before it is whole. The payload is one msgpack value, produced here with `struct` alone, because this
module is also loaded into the user's process, where a third-party import would be felt.
"""

import struct
import zlib
from typing import Any, Iterator

HEADER = struct.Struct("<II")
_UNSIGNED = ((0xCC, "B"), (0xCD, "H"), (0xCE, "I"), (0xCF, "Q"))
_SIGNED = ((0xD0, "b"), (0xD1, "h"), (0xD2, "i"), (0xD3, "q"))
MAX_PAYLOAD = 1 << 26  # a bound for readers: a longer frame can only be damage


def frame(payload: bytes) -> bytes:
    """One frame around `payload`."""
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def read_frames(data: bytes) -> Iterator[bytes]:
    """The payloads of `data` in order, up to the last good frame."""
    at, end = 0, len(data)
    while end - at >= HEADER.size:
        length, crc = HEADER.unpack_from(data, at)
        at += HEADER.size
        if length > MAX_PAYLOAD or length > end - at:
            return
        payload = bytes(data[at : at + length])
        if zlib.crc32(payload) != crc:
            return
        yield payload
        at += length


def good_length(data: bytes) -> int:
    """How many bytes of `data` are whole frames."""
    return sum(HEADER.size + len(payload) for payload in read_frames(data))


def pack_value(value: Any) -> bytes:
    """The msgpack encoding of a value made of None, bool, int, float, str, bytes, list, tuple and dict.

    Raises TypeError for anything else and OverflowError for integers outside 64 bits.
    """
    parts = []  # type: list[bytes]
    _pack(value, parts)
    return b"".join(parts)


def _pack(value: Any, parts: "list[bytes]") -> None:
    if value is None:
        parts.append(b"\xc0")
    elif value is True:
        parts.append(b"\xc3")
    elif value is False:
        parts.append(b"\xc2")
    elif isinstance(value, int):
        parts.append(_integer(int(value)))
    elif isinstance(value, float):
        parts.append(struct.pack(">Bd", 0xCB, value))
    elif isinstance(value, str):
        data = value.encode("utf-8", "surrogateescape")
        parts.append(_head(len(data), 0xA0, 31, 0xD9, 0xDA, 0xDB))
        parts.append(data)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        parts.append(_head(len(data), 0, -1, 0xC4, 0xC5, 0xC6))
        parts.append(data)
    elif isinstance(value, (list, tuple)):
        parts.append(_head(len(value), 0x90, 15, None, 0xDC, 0xDD))
        for item in value:
            _pack(item, parts)
    elif isinstance(value, dict):
        parts.append(_head(len(value), 0x80, 15, None, 0xDE, 0xDF))
        for key, item in value.items():
            _pack(key, parts)
            _pack(item, parts)
    else:
        raise TypeError(f"cannot pack a {type(value).__name__}")


def _integer(value: int) -> bytes:
    if 0 <= value < 128:
        return struct.pack(">B", value)
    if -32 <= value < 0:
        return struct.pack(">b", value)
    bits = value.bit_length() if value >= 0 else (value + 1).bit_length() + 1
    for (code, letter), width in zip(_UNSIGNED if value >= 0 else _SIGNED, (8, 16, 32, 64)):
        if bits <= width:
            return struct.pack(">B" + letter, code, value)
    raise OverflowError("an integer of more than 64 bits")


def _head(length: int, fix: int, fix_max: int, *codes: "int | None") -> bytes:
    """The length prefix of a str, bin, array or map: a fixed form, then 8, 16 or 32 bits."""
    if length <= fix_max:
        return struct.pack(">B", fix | length)
    for code, letter, limit in zip(codes, "BHI", (1 << 8, 1 << 16, 1 << 32)):
        if code is not None and length < limit:
            return struct.pack(">B" + letter, code, length)
    raise OverflowError("a value of more than 4 GiB")
