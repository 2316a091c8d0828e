"""Frames: how a process that may be killed at any moment appends values to a file.

A writer can die in the middle of a write, and a disk can fill up there. So every value is a frame of its own,
`u32 length, u32 crc32, payload` (little-endian), and a reader stops at the first frame that is short or wrong:
what came before it is whole. The payload is one msgpack value, produced here with the standard library alone, and
`struct` only for a float: this module is also loaded into the user's process, where each import would be felt.
"""

from __future__ import annotations

import zlib

TYPE_CHECKING = False  # as in typing, which takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any, Iterator

HEADER_BYTES = 8
# Names of the files of frames in a member's directory: what stands before the pid and eight hex digits.
ARTIFACTS, METRICS, SYSTEM = "artifacts-", "metrics-", "system-"
_WIDTHS = (1, 2, 4, 8)  # in bytes
MAX_PAYLOAD = 1 << 26  # a bound for readers: a longer frame can only be damage


def frame(payload: bytes) -> bytes:
    """One frame around `payload`."""
    return header(len(payload), zlib.crc32(payload)) + payload


def header(length: int, crc32: int) -> bytes:
    """What stands before a payload."""
    return length.to_bytes(4, "little") + crc32.to_bytes(4, "little")


def read_frames(data: bytes) -> Iterator[bytes]:
    """The payloads of `data` in order, up to the last good frame."""
    at, end = 0, len(data)
    while end - at >= HEADER_BYTES:
        length = int.from_bytes(data[at : at + 4], "little")
        crc = int.from_bytes(data[at + 4 : at + HEADER_BYTES], "little")
        at += HEADER_BYTES
        if length > MAX_PAYLOAD or length > end - at:
            return
        payload = bytes(data[at : at + length])
        if zlib.crc32(payload) != crc:
            return
        yield payload
        at += length


def good_length(data: bytes) -> int:
    """How many bytes of `data` are whole frames."""
    return sum(HEADER_BYTES + len(payload) for payload in read_frames(data))


def pack_value(value: Any) -> bytes:
    """The msgpack encoding of a value made of None, bool, int, float, str, bytes, list, tuple and dict.

    Raises TypeError for anything else and OverflowError for integers outside 64 bits.
    """
    parts: list[bytes] = []
    _pack(value, parts)
    return b"".join(parts)


def _pack(value: Any, parts: list[bytes]) -> None:
    if type(value) is bytes and len(value) < 256:  # a report is mostly paths
        parts.append(b"\xc4" + len(value).to_bytes(1, "big") + value)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        parts.append(_head(len(data), 0, -1, 0xC4, 0xC5, 0xC6))
        parts.append(data)
    elif isinstance(value, str):
        data = value.encode("utf-8", "surrogateescape")
        parts.append(_head(len(data), 0xA0, 31, 0xD9, 0xDA, 0xDB))
        parts.append(data)
    elif value is None:
        parts.append(b"\xc0")
    elif value is True:
        parts.append(b"\xc3")
    elif value is False:
        parts.append(b"\xc2")
    elif isinstance(value, int):
        parts.append(_integer(int(value)))
    elif isinstance(value, float):
        import struct  # see above

        parts.append(b"\xcb" + struct.pack(">d", value))
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
    if -32 <= value < 128:
        return (value & 0xFF).to_bytes(1, "big")
    signed = value < 0
    bits = value.bit_length() if not signed else (value + 1).bit_length() + 1
    for step, width in enumerate(_WIDTHS):
        if bits <= 8 * width:
            return bytes(((0xD0 if signed else 0xCC) + step,)) + value.to_bytes(width, "big", signed=signed)
    raise OverflowError("an integer of more than 64 bits")


def _head(length: int, fix: int, fix_max: int, *codes: int | None) -> bytes:
    """The length prefix of a str, bin, array or map: a fixed form, then 8, 16 or 32 bits."""
    if length <= fix_max:
        return (fix | length).to_bytes(1, "big")
    for code, width in zip(codes, _WIDTHS):
        if code is not None and length < 1 << 8 * width:
            return bytes((code,)) + length.to_bytes(width, "big")
    raise OverflowError("a value of more than 4 GiB")
