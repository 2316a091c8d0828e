"""Memory that the keeper and its scribe share: a loud command's output goes from one to the other without a copy
through the kernel, and what of it was not looked through yet is in no file.

Positions count all bytes ever put. The scribe says up to where it has taken them, and the keeper never writes over
what is not taken; when the scribe has set it free, the ring simply holds the last bytes, and who reads asks afterwards
whether they were still there.
"""

import mmap
import struct

_COUNTERS = struct.Struct("<QQ")  # taken, claimed
_COUNTER = struct.Struct("<Q")
_START = 4096
_FREE = 1 << 62
_MARGIN_BYTES = 1 << 20  # of what is about to be written over nothing is trusted


class Ring:
    """`size` bytes of shared memory; raises OSError where there is none."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._memory = mmap.mmap(-1, _START + size)

    def has_room(self, at: int, length: int) -> bool:
        """Whether so many bytes can be put at a position."""
        taken, _ = _COUNTERS.unpack_from(self._memory, 0)
        return bool(at + length - taken <= self._size)

    def put(self, at: int, data: bytes) -> None:
        """Writes bytes to a position, over those that were there `size` bytes before."""
        _COUNTER.pack_into(self._memory, 8, at + len(data))
        start = at % self._size
        first = min(len(data), self._size - start)
        view = memoryview(data)
        self._memory[_START + start : _START + start + first] = view[:first]
        if first < len(data):
            self._memory[_START : _START + len(data) - first] = view[first:]

    def get(self, at: int, length: int) -> bytes:
        """The bytes at a position."""
        start = at % self._size
        first = min(length, self._size - start)
        data = self._memory[_START + start : _START + start + first]
        return data if first == length else data + self._memory[_START : _START + length - first]

    def is_kept(self, at: int) -> bool:
        """Whether the bytes from this position on are certainly not written over yet."""
        _, claimed = _COUNTERS.unpack_from(self._memory, 0)
        return bool(claimed - at <= self._size - _MARGIN_BYTES)

    def take(self, to: int) -> None:
        """All bytes up to a position may be written over."""
        _COUNTER.pack_into(self._memory, 0, to)

    def set_free(self) -> None:
        """All bytes may be written over, now and later."""
        self.take(_FREE)
