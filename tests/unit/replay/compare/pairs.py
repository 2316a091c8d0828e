"""Two contents compared, and files of formats written by hand for these tests."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Mapping

from gitrun.replay.compare import Tolerance, compare_contents
from gitrun.replay.compare.records import masked_crc
from gitrun.replay.levels import Finding

DEFAULT = Tolerance()


def found(path: str, a: bytes, b: bytes, tolerance: Tolerance = DEFAULT) -> Finding:
    """What two contents have in common; whichever comes first."""
    one = compare_contents(path.encode(), io.BytesIO(a), io.BytesIO(b), tolerance)
    other = compare_contents(path.encode(), io.BytesIO(b), io.BytesIO(a), tolerance)
    assert one.level is other.level, (one, other)
    return one


def level(path: str, a: bytes, b: bytes, tolerance: Tolerance = DEFAULT) -> str:
    return found(path, a, b, tolerance).level.word


def npy(values: Iterable[float], shape: tuple[int, ...] | None = None, descr: str = "<f8", version: int = 1) -> bytes:
    """An array of one of struct's types, as numpy writes it."""
    values = list(values)
    letter = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i"}[descr[1:]]
    data = struct.pack(f"{descr[0]}{len(values)}{letter}", *values)
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape or (len(values),)}, }}".encode()
    prefix = 10 if version == 1 else 12
    head += b" " * (-(prefix + len(head) + 1) % 64) + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(head))
    return b"\x93NUMPY" + bytes([version, 0]) + length + head + data


def zipped(members: Mapping[str, bytes], year: int = 2026, method: int = zipfile.ZIP_STORED, **fields: object) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, (year, 1, 2, 3, 4, 6))
            info.compress_type = method
            for field, value in fields.items():
                setattr(info, field, value)
            archive.writestr(info, data)
    return out.getvalue()


def tarred(members: Mapping[str, bytes], mtime: float = 1, layout: int = tarfile.PAX_FORMAT, **fields: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=layout) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), mtime
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def record(data: bytes) -> bytes:
    """A TFRecord."""
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked_crc(head)) + data + struct.pack("<I", masked_crc(data))


def field(number: int, data: bytes) -> bytes:
    """A field of a message with bytes in it."""
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def event(time: float, step: int, tag: bytes, value: float) -> bytes:
    """A scalar as TensorBoard's writer logs it."""
    scalar = field(1, tag) + b"\x15" + struct.pack("<f", value)
    return record(b"\x09" + struct.pack("<d", time) + bytes([0x10, step]) + field(5, field(1, scalar)))
