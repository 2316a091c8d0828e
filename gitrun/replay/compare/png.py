"""PNG: the same picture, whenever and with whichever version it was saved.

Chunks are compared in their order. Left out are the chunk for the time and texts under the names that programs
use for a date or for themselves; any other text may be a result, or the prompt that made the picture.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Generator, Iterator
from itertools import accumulate
from typing import NamedTuple

from gitrun.replay.compare.context import Budget, Context, NotThis
from gitrun.replay.compare.unpacking import unpack
from gitrun.replay.compare.window import Window, same_stream
from gitrun.replay.levels import Finding, Level

_MAGIC = b"\x89PNG\r\n\x1a\n"
_DATA, _END, _TIME = b"IDAT", b"IEND", b"tIME"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_IGNORED = frozenset(
    [b"software", b"creation time", b"date", b"date:create", b"date:modify", b"date:timestamp", b"modification time"]
)
_MAX_CHUNKS = 1 << 20
_TEXT_BYTES = 1 << 20


class _Picture(NamedTuple):
    """`chunks`: kind and content, with one placeholder for all IDAT; `data` is what these hold together."""

    chunks: list[tuple[bytes, Window]]
    data: list[Window]
    ignored: list[tuple[bytes, bytes]]


def fits(path: bytes, head: bytes) -> bool:
    """Whether a content begins like this format."""
    return head.startswith(_MAGIC)


def compare_png(path: bytes, a: Window, b: Window, context: Context) -> Finding:
    """What two pictures have in common."""
    left, right = _read(a), _read(b)
    if [kind for kind, _ in left.chunks] != [kind for kind, _ in right.chunks]:
        return Finding(Level.DIFFERS, "the two pictures are made of other chunks", "the chunks")
    for (kind, x), (_, y) in zip(left.chunks, right.chunks, strict=True):
        if kind != _DATA and not same_stream(x.pieces(), y.pieces()):
            name = kind.decode("latin-1")
            return Finding(Level.DIFFERS, f"{_WORDS.get(kind, 'its')} {name} chunk differs", name)
    if not same_stream(_joined(left.data), _joined(right.data)) and not same_stream(
        _scanlines(left, context.budget), _scanlines(right, context.budget)
    ):
        return Finding(Level.DIFFERS, "the pixels differ", "the pixels")
    what = "time, date or software" if left.ignored != right.ignored else "the compression"
    return Finding(Level.SEMANTIC, f"the same picture, only {what} differs", "its chunks")


_WORDS = {b"IHDR": "the size or form of the picture, in its", **dict.fromkeys(_TEXTS, "a text, in its")}


def _read(window: Window) -> _Picture:
    """The chunks; raises NotThis where a checksum is wrong or anything follows the end."""
    chunks: list[tuple[bytes, Window]] = []
    data: list[Window] = []
    ignored: list[tuple[bytes, bytes]] = []
    at, kind = len(_MAGIC), b""
    while kind != _END:
        before, length = kind, int.from_bytes(window.read(at, 4), "big")
        kind, content = window.read(at + 4, 4), window.part(at + 8, length)
        _check(content, kind, window.read(at + 8 + length, 4))
        at += 12 + length
        if kind == _DATA:
            if data and before != _DATA:
                raise NotThis("pixels in several places")
            if not data:
                chunks.append((kind, content))
            data.append(content)
        elif _is_ignored(kind, content):
            ignored.append((kind, content.all(_TEXT_BYTES)))
        else:
            chunks.append((kind, content))
        if len(chunks) + len(data) + len(ignored) > _MAX_CHUNKS:
            raise NotThis("too many chunks")
    if at != window.size:
        raise NotThis("bytes behind the end")
    return _Picture(chunks, data, ignored)


def _check(content: Window, kind: bytes, told: bytes) -> None:
    crc = zlib.crc32(kind)
    for piece in content.pieces():
        crc = zlib.crc32(piece, crc)
    if crc.to_bytes(4, "big") != told:
        raise NotThis("a chunk is damaged")


def _is_ignored(kind: bytes, content: Window) -> bool:
    if kind == _TIME:
        return True
    if kind not in _TEXTS or content.size > _TEXT_BYTES:
        return False
    keyword, end, _ = content.at_most(0, 81).partition(b"\0")
    return bool(end) and keyword.lower() in _IGNORED


def _joined(windows: list[Window]) -> Iterator[bytes]:
    for window in windows:
        yield from window.pieces()


def _scanlines(picture: _Picture, budget: Budget) -> Iterator[bytes]:
    """The filtered lines of pixels, as every compression of them gives back."""
    joined = _Joined(picture.data)
    if (yield from _paid(unpack(joined, 0, zlib.decompressobj()), budget)) != joined.size:
        raise NotThis("bytes behind the pixels")


def _paid(pieces: Generator[bytes, None, int], budget: Budget) -> Generator[bytes, None, int]:
    while True:
        try:
            piece = next(pieces)
        except StopIteration as stop:
            return int(stop.value)
        budget.spend(len(piece))
        yield piece


class _Joined(Window):
    """Several windows as one, to be read in order."""

    def __init__(self, windows: list[Window]) -> None:
        self._windows = windows
        self._starts = [0, *accumulate(window.size for window in windows)]
        self.size = self._starts[-1]

    def at_most(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes, fewer at the end."""
        parts = []
        for index in range(max(0, bisect_right(self._starts, offset) - 1), len(self._windows)):
            part = self._windows[index].at_most(offset - self._starts[index], length)
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
            if not length:
                break
        return b"".join(parts)
