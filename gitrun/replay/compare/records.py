"""TFRecord files: records with a checksum on either side, as TensorBoard's event files are made of.

The checksum is CRC-32C, which the standard library does not have. It is checked all the same: of two event
files every record holds another time, so a wrong checksum would go unseen. Two bytes at a time through one
table make 30 MB a second.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from functools import lru_cache

from gitrun.replay.compare.context import NotThis
from gitrun.replay.compare.window import Window

MAX_FILE_BYTES = 256 << 20
_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8


def read_records(window: Window) -> Iterator[bytes]:
    """The records in order; raises NotThis where a checksum is wrong or the last one is cut off."""
    if window.size > MAX_FILE_BYTES:
        raise NotThis("too long for its checksums")
    at = 0
    while at < window.size:
        head = window.read(at, 12)
        (length, crc) = struct.unpack("<QI", head)
        if crc != masked_crc(head[:8]):
            raise NotThis("a record is damaged")
        data = window.read(at + 12, length)
        if struct.unpack("<I", window.read(at + 12 + length, 4))[0] != masked_crc(data):
            raise NotThis("a record is damaged")
        yield data
        at += 16 + length


def masked_crc(data: bytes) -> int:
    """The checksum as TFRecord stores it: turned, so that a checksum of checksums is of use."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), as of RFC 3720."""
    table = _table()
    words = array("H", data[: len(data) & ~1])
    if sys.byteorder == "big":
        words.byteswap()
    crc = 0xFFFFFFFF
    for word in words:
        crc = table[(crc ^ word) & 0xFFFF] ^ (crc >> 16)
    if len(data) & 1:
        crc ^= data[-1]
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@lru_cache
def _table() -> array[int]:
    """What 16 bits do to the checksum."""
    bytewise = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        bytewise.append(value)
    table = array("L", bytes(65536 * array("L").itemsize))
    for word in range(65536):
        low = bytewise[word & 255]
        table[word] = bytewise[(low ^ (word >> 8)) & 255] ^ (low >> 8)
    return table
