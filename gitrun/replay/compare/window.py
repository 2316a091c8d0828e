"""A stretch of a seekable file, and whether two stretches or streams hold the same bytes.

A member of an archive is a stretch of it, so a checkpoint of gigabytes is compared where it lies. Memory is
bounded by the pieces that are read, whatever the sizes are.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

from gitrun.replay.compare.context import Context, NotThis
from gitrun.replay.levels import SAME_BYTES, Finding

PIECE_BYTES = 1 << 20
_IN_MEMORY_BYTES = 16 << 20


class Window:
    """`size` bytes of `file`, from `start` on; offsets count from there."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self.start, self.size = file, start, size

    @classmethod
    def whole(cls, file: BinaryIO) -> Window:
        """All of a seekable file."""
        return cls(file, 0, file.seek(0, io.SEEK_END))

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; raises NotThis where the window, or the file, ends before."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise NotThis("it ends too early")
        data = self.at_most(offset, length)
        if len(data) != length:
            raise NotThis("it ends too early")
        return data

    def at_most(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes, fewer at the end."""
        length = max(0, min(length, self.size - offset))
        self._file.seek(self.start + offset)
        data = self._file.read(length)
        while len(data) < length:  # a raw file may return less than was asked for
            more = self._file.read(length - len(data))
            if not more:
                break
            data += more
        return data

    def all(self, most: int) -> bytes:
        """The whole content; raises NotThis where that is more than `most` bytes."""
        if self.size > most:
            raise NotThis(f"more than {most} bytes")
        return self.read(0, self.size)

    def part(self, offset: int, size: int) -> Window:
        """A window in this one; raises NotThis where it does not lie inside."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise NotThis("it ends too early")
        return Window(self._file, self.start + offset, size)

    def descriptor(self) -> int | None:
        """The descriptor of the file underneath, for another process to read by place; None where it has none."""
        try:
            fd = self._file.fileno()
            self._file.flush()  # a file in memory has just been written out
            return fd
        except (OSError, ValueError, AttributeError):
            return None

    def pieces(self, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
        """The content in order."""
        for offset in range(0, self.size, piece_bytes):
            yield self.read(offset, min(piece_bytes, self.size - offset))


def first_difference(a: Window, b: Window) -> int | None:
    """The offset of the first byte that differs, or where the shorter one ends; None for the same bytes."""
    common = min(a.size, b.size)
    for offset in range(0, common, PIECE_BYTES):
        length = min(PIECE_BYTES, common - offset)
        left, right = a.at_most(offset, length), b.at_most(offset, length)
        if left != right:
            return offset + _first_in(left, right)
        if len(left) < length:
            return offset + len(left)  # both files are shorter than they said: nobody can call that the same
    return None if a.size == b.size else common


def _first_in(a: bytes, b: bytes) -> int:
    low, high = 0, min(len(a), len(b))
    while low < high:  # a[:low] is known to be the same
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


Unpack = Callable[[], Iterator[bytes]]


def same_stream(a: Iterator[bytes], b: Iterator[bytes]) -> bool:
    """Whether two streams, cut anywhere, are the same bytes; both are read to their ends when they are."""
    left, right = b"", b""
    while True:
        left, right = left or _next(a), right or _next(b)
        if not left or not right:
            return not left and not right
        length = min(len(left), len(right))
        if left[:length] != right[:length]:
            return False
        left, right = left[length:], right[length:]


def _next(pieces: Iterator[bytes]) -> bytes:
    return next((piece for piece in pieces if piece), b"")


def compare_unpacked(path: bytes, a: Unpack, b: Unpack, context: Context) -> Finding:
    """What two compressed contents have in common; each is unpacked to a file only where they differ.

    `a` and `b` start their stream anew each time, and raise where the stream is damaged.
    """
    if same_stream(context.budget.metered(a()), context.budget.metered(b())):
        return SAME_BYTES
    with (
        tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as left,
        tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as right,
    ):
        for unpack, file in ((a, left), (b, right)):
            for piece in context.budget.metered(unpack()):
                file.write(piece)
        return context.inside(path, Window.whole(_binary(left)), Window.whole(_binary(right)))


def _binary(file: tempfile.SpooledTemporaryFile[bytes]) -> BinaryIO:
    return file  # type: ignore[return-value]  # it has what a window uses: read and seek
