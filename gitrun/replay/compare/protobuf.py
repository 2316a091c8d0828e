"""Protocol buffers without a schema: the fields of a message as they lie there.

Only as much as is needed to leave one field out and to compare all others as bytes. Groups, and numbers in
another than the shortest form, are not read: two spellings of one message would be one too many.
"""

from __future__ import annotations

from typing import NamedTuple

from gitrun.replay.compare.context import NotThis

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MAX_FIELDS = 1 << 20


class Field(NamedTuple):
    """`value` is the content alone: 8, 4 or any number of bytes; of a varint its bytes."""

    number: int
    wire: int
    value: bytes


def fields(data: bytes) -> list[Field]:
    """The fields in order; raises NotThis where the bytes are no message."""
    found: list[Field] = []
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            begin = at
            _, at = _varint(data, at)
        elif wire == BYTES:
            length, begin = _varint(data, at)
            at = begin + length
        elif wire in (FIXED32, FIXED64):
            begin, at = at, at + (4 if wire == FIXED32 else 8)
        else:
            raise NotThis("a message with groups")
        if at > len(data) or not number or len(found) >= _MAX_FIELDS:
            raise NotThis("a message that is cut off")
        found.append(Field(number, wire, data[begin:at]))
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise NotThis("a message that is cut off")
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            if not byte and shift > 7:
                raise NotThis("a number in a long form")
            return value, at
