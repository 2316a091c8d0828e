"""numpy's `.npy`: a header, then the values.

The header is a dictionary written as Python. It is matched and never evaluated; one that numpy itself would not
write (objects, records, another order of keys) is compared as bytes.
"""

from __future__ import annotations

import re
import struct
from math import prod

from gitrun.replay.compare.arrays import Tensor, compare_tensor
from gitrun.replay.compare.context import Context, NotThis
from gitrun.replay.compare.floats import COMPLEX64, COMPLEX128, FLOAT16, FLOAT32, FLOAT64
from gitrun.replay.compare.window import Window
from gitrun.replay.levels import Finding, Level

MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    rb"\{'descr': '([<>|=])([a-zA-Z])(\d{1,9})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,18},?(?: \d{1,18}(?:, \d{1,18})*)?)?)\), \} *\n"
)
_KINDS = {"f8": FLOAT64, "f4": FLOAT32, "f2": FLOAT16, "c8": COMPLEX64, "c16": COMPLEX128}
_EXACT = frozenset("biuSUfcmMV")
_HEADER_BYTES = 1 << 16


def fits(path: bytes, head: bytes) -> bool:
    """Whether a content begins like this format."""
    return head.startswith(MAGIC)


def compare_npy(path: bytes, a: Window, b: Window, context: Context) -> Finding:
    """What two arrays have in common."""
    found = compare_tensor(read_npy(a), read_npy(b), context.tolerance)
    # The same array behind another header: an older version of the format, or other padding.
    same = Finding(Level.SEMANTIC, "the same array, the header is written in another way", "the header")
    return same if found.level is Level.BIT else found


def read_npy(window: Window) -> Tensor:
    """The array; raises NotThis where it is not one of plain numbers or strings, or does not fill the file."""
    if window.read(0, 6) != MAGIC:
        raise NotThis("no .npy file")
    version = window.read(6, 2)
    if version not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise NotThis("an unknown version of .npy")
    start = 10 if version == b"\x01\x00" else 12
    (length,) = struct.unpack("<H" if start == 10 else "<I", window.read(8, start - 8))
    if length > _HEADER_BYTES:
        raise NotThis("a long header")
    match = _HEADER.fullmatch(window.read(start, length))
    if match is None:
        raise NotThis("a header of another form")
    order, letter, digits = match[1].decode(), match[2].decode(), int(match[3])
    shape = tuple(int(each) for each in match[5].replace(b",", b" ").split())
    if letter not in _EXACT or (len(shape) == 1) != match[5].endswith(b","):
        raise NotThis("no plain numbers")
    item_bytes = digits * 4 if letter == "U" else digits
    data = window.part(start + length, window.size - start - length)
    if order == "=" or data.size != prod(shape) * item_bytes:
        raise NotThis("the values do not fill the file")
    kind = _KINDS.get(f"{letter}{digits}")
    if kind is not None:
        kind = kind._replace(is_big_endian=order == ">")
    return Tensor(f"{order}{letter}{digits}", shape, kind, max(1, item_bytes), data, match[4] == b"True")
