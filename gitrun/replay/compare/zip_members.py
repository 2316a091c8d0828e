"""The members of a zip archive, read in the one way that every reader agrees on.

A zip can be read from its front or from its directory, and a file can be made that says different things to
either. So the two must agree in every field, the members must lie one behind the other from the first byte to
the directory, and names must be unique. Prefixes, gaps, encryption, several disks: not read.
"""

from __future__ import annotations

import bz2
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from gitrun.replay.compare.context import NotThis
from gitrun.replay.compare.unpacking import unpack
from gitrun.replay.compare.window import Window

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END64, _LOCATOR, _DESCRIPTOR = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
_MAX_MEMBERS = 1 << 17
_MAX_DIRECTORY_BYTES = 64 << 20
_FULL32, _FULL16 = 0xFFFFFFFF, 0xFFFF
_HAS_DESCRIPTOR, _UTF8 = 1 << 3, 1 << 11
_KNOWN_FLAGS = _HAS_DESCRIPTOR | _UTF8 | 0b110  # bits 1 and 2 say how hard deflate tried
STORED, DEFLATED, BZIP2 = 0, 8, 12
# Extra fields that hold times, owners or padding: they say nothing of the content.
_TIMES = {0x5455, 0x000A, 0x5855, 0x7855, 0x7875}
_ZIP64, _PADDING = 0x0001, {0x4246, 0xD935}


class Member(NamedTuple):
    """One entry; `data` is as it is stored, `fixed` what must be equal in two archives, `times` what need not."""

    name: bytes
    method: int
    crc: int
    size: int
    data: Window
    fixed: tuple[object, ...]
    times: tuple[object, ...]

    def unpacked(self) -> Iterator[bytes]:
        """The content; raises NotThis at its end where its size or checksum is wrong."""
        crc = size = 0
        for piece in _unpack(self.data, self.method):
            crc, size = zlib.crc32(piece, crc), size + len(piece)
            if size > self.size:
                break
            yield piece
        if (crc, size) != (self.crc, self.size):
            raise NotThis(f"{self.name!r} is damaged")


class Archive(NamedTuple):
    """The members by name, in the order of the directory, and the comment of the whole."""

    members: dict[bytes, Member]
    comment: bytes


def read_zip(window: Window) -> Archive:
    """The archive; raises NotThis where it can be read in more than one way, or in none."""
    count, directory, comment = _end(window)
    members: dict[bytes, Member] = {}
    places: list[tuple[int, int]] = []
    at = 0
    data = directory.all(_MAX_DIRECTORY_BYTES)
    start = window.size - _tail_bytes(window, comment) - directory.size
    for _ in range(count):
        member, begin, end, at = _member(window, data, at)
        if member.name in members:
            raise NotThis(f"two members named {member.name!r}")
        members[member.name] = member
        places.append((begin, end))
    if at != len(data):
        raise NotThis("more in the directory than members")
    reached = 0
    for begin, end in sorted(places):
        if begin != reached:
            raise NotThis("bytes between the members")
        reached = end
    if reached != start:
        raise NotThis("bytes between the members and the directory")
    return Archive(members, comment)


def _tail_bytes(window: Window, comment: bytes) -> int:
    """How much lies behind the directory."""
    short = 22 + len(comment)
    return short + 76 if _is_zip64(window, window.size - short) else short


def _is_zip64(window: Window, end: int) -> bool:
    return end >= 76 and window.read(end - 20, 4) == _LOCATOR and window.read(end - 76, 4) == _END64


def _end(window: Window) -> tuple[int, Window, bytes]:
    """The number of members, the directory and the comment, from the record at the end."""
    tail = window.at_most(max(0, window.size - 22 - _FULL16), 22 + _FULL16)
    found = [
        at
        for at in range(len(tail) - 22, -1, -1)
        if tail[at : at + 4] == _END and len(tail) - at - 22 == int.from_bytes(tail[at + 20 : at + 22], "little")
    ]
    if len(found) != 1:
        raise NotThis("no end of a zip archive, or several")
    at = found[0]
    disk, first_disk, here, count, size, offset, length = struct.unpack("<HHHHIIH", tail[at + 4 : at + 22])
    end = window.size - len(tail) + at
    if disk or first_disk or here != count:
        raise NotThis("an archive in several files")
    if _is_zip64(window, end):
        record = struct.unpack("<QHHIIQQQQ", window.read(end - 72, 52))
        locator = struct.unpack("<IQI", window.read(end - 16, 16))
        rest, _, _, disk, first_disk, here64, count64, size64, offset64 = record
        if rest != 44 or disk or first_disk or here64 != count64 or locator != (0, end - 76, 1):
            raise NotThis("an end of zip64 of another form")
        for short, long, full in ((count, count64, _FULL16), (size, size64, _FULL32), (offset, offset64, _FULL32)):
            if short not in (long, full):
                raise NotThis("two ends that do not agree")
        count, size, offset, end = count64, size64, offset64, end - 76
    if offset + size != end or count > _MAX_MEMBERS:
        raise NotThis("the directory is not where it should be")
    return count, window.part(offset, size), tail[at + 22 : at + 22 + length]


def _member(window: Window, data: bytes, at: int) -> tuple[Member, int, int, int]:
    """One member of the directory, where it begins and ends in the file, and where the next one is listed."""
    if data[at : at + 4] != _CENTRAL:
        raise NotThis("no member where one is listed")
    (
        made_by, needs, flags, method, time, date, crc, packed, size, name_bytes, extra_bytes, comment_bytes,
        disk, internal, external, offset,
    ) = struct.unpack("<HHHHHHIIIHHHHHII", data[at + 4 : at + 46])  # fmt: skip
    end = at + 46 + name_bytes + extra_bytes + comment_bytes
    if end > len(data) or disk or flags & ~_KNOWN_FLAGS:
        raise NotThis("a member of another form")
    name = data[at + 46 : at + 46 + name_bytes]
    fields = _extra(data[at + 46 + name_bytes : end - comment_bytes])
    wide = fields.pop(_ZIP64, b"")
    values = []
    for value in (size, packed, offset):  # the wide field holds those, in this order, that are full here
        if value == _FULL32 and len(wide) >= 8:
            value, wide = int.from_bytes(wide[:8], "little"), wide[8:]
        values.append(value)
    size, packed, offset = values
    if wide:
        raise NotThis("a wide field with more in it than is told")
    start, needed = _data_start(window, offset, (needs, flags, method, time, date, crc, packed, size), name)
    last = start + packed + _descriptor_bytes(window, start + packed, flags, crc, packed, size)
    kept = {number: field for number, field in fields.items() if number not in _TIMES | _PADDING}
    gone = tuple(sorted((number, field) for number, field in fields.items() if number in _TIMES))
    comment = data[end - comment_bytes : end]
    fixed = (made_by, needs, needed, flags & _UTF8, internal, external, comment, tuple(sorted(kept.items())))
    member = Member(name, method, crc, size, window.part(start, packed), fixed, (time, date, gone))
    return member, offset, last, end


def _extra(data: bytes) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise NotThis("an extra field that is cut off")
        number, length = struct.unpack("<HH", data[at : at + 4])
        if at + 4 + length > len(data) or number in fields:
            raise NotThis("an extra field that is cut off, or there twice")
        fields[number] = field = data[at + 4 : at + 4 + length]
        if number in _PADDING and len(set(field)) > 1:
            raise NotThis("padding with something in it")
        at += 4 + length
    return fields


def _data_start(window: Window, offset: int, told: tuple[int, ...], name: bytes) -> tuple[int, int]:
    """Where the content begins, and the version said to be needed.

    Raises NotThis where the member's own header does not say what the directory does.
    """
    header = window.read(offset, 30)
    if header[:4] != _LOCAL:
        raise NotThis("no member where one is told to be")
    here = struct.unpack("<HHHHHIII", header[4:26])
    name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
    if window.read(offset + 30, name_bytes) != name:
        raise NotThis("a member with two names")
    fields = _extra(window.read(offset + 30 + name_bytes, extra_bytes))
    if fields.keys() - _TIMES - _PADDING - {_ZIP64}:
        raise NotThis("a member's header with fields of its own")
    crc, packed, size = here[5:]
    wide = fields.get(_ZIP64, b"")
    if wide and (packed, size) == (_FULL32, _FULL32) and len(wide) == 16:
        size, packed = struct.unpack("<QQ", wide)
    elif wide and len(wide) != 16:
        raise NotThis("a wide field of another form")
    expected = told[5:]
    if told[1] & _HAS_DESCRIPTOR and (crc, packed, size) == (0, 0, 0):
        expected = (0, 0, 0)
    # The version that is needed (the first) may be told differently where only one of the two headers is wide.
    if here[1:5] != told[1:5] or (crc, packed, size) != expected:
        raise NotThis("a member's header does not agree with the directory")
    return offset + 30 + name_bytes + extra_bytes, here[0]


def _descriptor_bytes(window: Window, at: int, flags: int, crc: int, packed: int, size: int) -> int:
    """The length of what follows a content that was written as a stream."""
    if not flags & _HAS_DESCRIPTOR:
        return 0
    for form in ("<IQQ", "<III"):
        if max(packed, size) > _FULL32 and form == "<III":
            break
        exact = _DESCRIPTOR + struct.pack(form, crc, packed, size)
        if window.at_most(at, len(exact)) == exact:
            return len(exact)
    raise NotThis("a content whose end does not agree with the directory")


def _unpack(data: Window, method: int) -> Iterator[bytes]:
    if method == STORED:
        yield from data.pieces()
        return
    if method not in (DEFLATED, BZIP2):
        raise NotThis(f"compression {method}")
    decoder = zlib.decompressobj(-zlib.MAX_WBITS) if method == DEFLATED else bz2.BZ2Decompressor()
    if (yield from unpack(data, 0, decoder)) != data.size:
        raise NotThis("bytes behind a compressed content")
