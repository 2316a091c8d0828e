"""gzip, bzip2 and xz: one content behind a header.

gzip writes when and from which file it was made; that, and how hard it tried, says nothing of the content. The
content itself is then judged by its own name: `table.csv.gz` as `table.csv`.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial

from gitrun.replay.compare.context import Context, NotThis
from gitrun.replay.compare.unpacking import Decoder, unpack
from gitrun.replay.compare.window import Window, compare_unpacked
from gitrun.replay.levels import Finding, Level, weakest

_GZIP, _BZIP2, _XZ = b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00"
_CHECKSUM, _NAME = 2, 8
_TEXT_BYTES = 1 << 16
_XZ_MEMORY_BYTES = 256 << 20
_SUFFIXES = {_GZIP: (b".gz", b".gzip"), _BZIP2: (b".bz2",), _XZ: (b".xz",)}
_UNPACKED_SUFFIXES = {b".tgz": b".tar", b".tbz2": b".tar", b".txz": b".tar", b".svgz": b".svg"}


def fits(path: bytes, head: bytes) -> bool:
    """Whether a content begins like one of these formats."""
    return head.startswith(tuple(_SUFFIXES))


def compare_packed(path: bytes, a: Window, b: Window, context: Context) -> Finding:
    """What two compressed files have in common."""
    magic = next(magic for magic in _SUFFIXES if a.at_most(0, 8).startswith(magic))
    if not b.at_most(0, 8).startswith(magic):
        raise NotThis("compressed in two ways")
    found = compare_unpacked(_inner_path(path, magic), _content(a, magic), _content(b, magic), context)
    if found.level is Level.BIT:
        gone = "only the time, the name or the compression differ" if magic == _GZIP else "only the compression differs"
        return Finding(Level.SEMANTIC, f"the same content, {gone}", "the header")
    return found._replace(level=weakest((Level.SEMANTIC, found.level)))


def _inner_path(path: bytes, magic: bytes) -> bytes:
    for suffix in _SUFFIXES[magic]:
        if path.lower().endswith(suffix):
            return path[: -len(suffix)]
    stem, dot, last = path.rpartition(b".")
    return stem + _UNPACKED_SUFFIXES.get(dot + last.lower(), dot + last)


def _content(window: Window, magic: bytes) -> Callable[[], Iterator[bytes]]:
    if magic == _GZIP:
        return partial(_gunzip, window)
    maker: Callable[[], Decoder] = bz2.BZ2Decompressor if magic == _BZIP2 else _xz_decoder
    return partial(_streams, window, maker)


def _xz_decoder() -> Decoder:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)


def _streams(window: Window, maker: Callable[[], Decoder]) -> Iterator[bytes]:
    """Every stream of a file, one behind the other."""
    at = 0
    while at < window.size:
        try:
            at = yield from unpack(window, at, maker())
        except OSError as problem:  # bz2 says so of damaged data
            raise NotThis(str(problem)) from None


def _gunzip(window: Window) -> Iterator[bytes]:
    """Every member of a gzip file; raises NotThis where a length or checksum is wrong or bytes are left over."""
    at = 0
    while at < window.size:
        at = _header_end(window, at)
        crc = size = 0
        pieces = unpack(window, at, zlib.decompressobj(-zlib.MAX_WBITS))
        try:
            while True:
                piece = next(pieces)
                crc, size = zlib.crc32(piece, crc), size + len(piece)
                yield piece
        except StopIteration as stop:
            at = stop.value
        if struct.unpack("<II", window.read(at, 8)) != (crc, size & 0xFFFFFFFF):
            raise NotThis("a gzip member is damaged")
        at += 8


def _header_end(window: Window, start: int) -> int:
    """Where a member's data begins; raises NotThis for a comment or fields of others, which are content to somebody."""
    head = window.read(start, 10)
    flags, at = head[3], start + 10
    if head[:3] != _GZIP or flags & ~(1 | _CHECKSUM | _NAME):
        raise NotThis("a gzip header of another form")
    if flags & _NAME:
        end = window.at_most(at, _TEXT_BYTES).find(b"\0")
        if end < 0:
            raise NotThis("a gzip name without an end")
        at += end + 1
    if flags & _CHECKSUM:
        if zlib.crc32(window.read(start, at - start)) & 0xFFFF != int.from_bytes(window.read(at, 2), "little"):
            raise NotThis("a gzip header is damaged")
        at += 2
    return at
