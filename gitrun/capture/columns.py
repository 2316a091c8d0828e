"""Points as columns: what lies together in a journal is cut by slices with a stride, not taken apart one by one.

A loop logs the same few names again and again, so most of a journal is a few frames that repeat. Where they do, one
slice with a stride takes a byte of thousands of points, and what is left to do for each is its crc32.
"""

from __future__ import annotations

import struct
import zlib

from gitrun.child.frames import HEADER_BYTES

_WINDOW = 64  # repetitions that are first looked for together
_CYCLE = 8  # frames that may repeat together
_PATIENCE = 1023


class Group:
    """Points of the same names and rank: `columns` are step, time and each value, 64 bits each, in pieces.

    A row is a frame: `head` stands in it before the step (only its crc32 varies), which is `lead` bytes. Without
    `has_step` or `has_time` that column is zeros.
    """

    def __init__(self, names: tuple[str, ...], rank: int | None, head: bytes = b"") -> None:
        self.names = names
        self.rank = rank
        self.head = head
        self.lead = lead = len(head)
        self.has_step = self.has_time = True
        self.size = lead + 16 + 8 * len(names)
        self.count = 0
        self.rows: list[bytes] = []  # those that are not in the columns yet
        self.columns: list[list[bytes]] = [[] for _ in range(2 + len(names))]

    def settle(self) -> None:
        """Brings the rows into the columns."""
        if self.rows:
            data = b"".join(self.rows)
            self.rows.clear()
            self.take(data, 0, self.size, len(data) // self.size)

    def take(self, data: bytes, begin: int, stride: int, count: int) -> None:
        """Adds `count` rows that lie in `data`, from `begin` on and `stride` bytes apart."""
        self.settle()
        for number, column in enumerate(self.columns):
            column.append(_every(data, begin + self.lead + 8 * number, stride, count))
        self.count += count


class Pattern:
    """Finds where frames repeat, and takes them together: a loop logs the same few schemas again and again."""

    def __init__(self) -> None:
        self._trail: list[tuple[int, Group]] = []  # where the last few frames begin
        self._window = _WINDOW
        self._wait = self._patience = 0  # frames until the next try, and how many after one in vain

    def take(self, data: bytes, at: int, group: Group) -> int:
        """Takes what repeats from `at` on, where a whole frame of `group` begins; returns how many bytes that is."""
        if self._wait:
            self._wait -= 1
            return 0
        if self._trail and self._trail[-1][0] + self._trail[-1][1].size != at:
            self._trail = []  # something else lies between, which is in no column
        cycle = self._cycle(group)
        if cycle:
            self._trail = []
            if taken := self._repeated(data, at, cycle):
                self._patience = 0
                return taken
            self._wait = self._patience = min(2 * self._patience + 1, _PATIENCE)
        self._trail.append((at, group))
        return 0

    def _cycle(self, group: Group) -> list[tuple[int, Group]]:
        """The last few frames from the last one of `group` on; none where there is none."""
        for number in range(len(self._trail) - 1, max(-1, len(self._trail) - _CYCLE), -1):
            if self._trail[number][1] is group:
                return self._trail[number:]
        return []

    def _repeated(self, data: bytes, at: int, cycle: list[tuple[int, Group]]) -> int:
        first = cycle[0][0]
        period = at - first
        count = most = min((len(data) - at) // period, self._window)
        for begin, group in cycle:
            if count < 2:
                break
            count = _alike(data, at + begin - first, period, group, count)
        self._window = self._window * 4 if count == most else _WINDOW
        if count < 2:
            return 0
        for begin, group in cycle:
            group.take(data, at + begin - first, period, count)
        return count * period


def _alike(data: bytes, begin: int, stride: int, group: Group, count: int) -> int:
    """How many of `count` frames that lie `stride` bytes apart are whole points of this group, before one is not."""
    for byte in (*range(4), *range(HEADER_BYTES, group.lead)):
        column = data[begin + byte : begin + byte + (count - 1) * stride + 1 : stride]
        count = min(count, len(column) - len(column.lstrip(group.head[byte : byte + 1])))
    crc32, view, size = zlib.crc32, memoryview(data), group.size
    crcs = [crc32(view[at + HEADER_BYTES : at + size]) for at in range(begin, begin + count * stride, stride)]
    told = struct.unpack(f"<{count}I", _every(data, begin + 4, stride, count, 4))
    return count if told == tuple(crcs) else next(n for n in range(count) if told[n] != crcs[n])


def _every(data: bytes, begin: int, stride: int, count: int, width: int = 8) -> bytes:
    """`width` bytes at `begin`, and at `count` places in all that are `stride` bytes apart."""
    column = bytearray(count * width)
    end = begin + (count - 1) * stride + 1
    for byte in range(width if count else 0):
        column[byte::width] = data[begin + byte : end + byte : stride]
    return bytes(column)
