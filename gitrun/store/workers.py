"""Hashing and compressing pieces on every core, in the order they came.

hashlib and zstandard let go of the interpreter's lock while they work, so threads are enough. What is under
way is bounded in bytes, whatever the source, and a piece that is stored already is not compressed.

The pieces of a large file lie in a few slots that are used again and again: memory that is new costs more to
touch than the copy itself. A slot is free once its piece was taken, so whoever takes one keeps no view of it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from gitrun.store.codecs import Encoder, Plain

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_UNDER_WAY_BYTES = 6 << 20
_WORTH_A_THREAD_BYTES = 64 << 10
_MOST_THREADS = 3


class Piece(NamedTuple):
    """One blob to be; `encoded` is its codec and stored bytes where that was done already, `chunks` its file's list."""

    digest: bytes
    plain: Plain
    encoded: tuple[int, Plain] | None
    chunks: list[tuple[str, int]]


class Workers:
    """Gives each piece to `take` in the order it was handed over; `is_stored` answers from any thread."""

    def __init__(self, take: Callable[[Piece], None], is_stored: Callable[[bytes], bool]) -> None:
        self._take = take
        self._is_stored = is_stored
        self._local = threading.local()
        self._pool: ThreadPoolExecutor | None = None
        self._under_way: deque[tuple[Future[Piece], int, memoryview | None]] = deque()
        self._bytes = 0
        self._free: list[memoryview] = []
        # a process that exits may start no thread any more: one that has recorded itself seals then
        self._cores = len(os.sched_getaffinity(0)) if threading.main_thread().is_alive() else 1

    def hand(self, plain: bytes, chunks: list[tuple[str, int]], digest: bytes | None = None) -> None:
        """Have a piece named (unless it is) and encoded; once taken, its name and length are in `chunks`."""
        self._hand(plain, chunks, digest, None)

    def hand_copy(self, piece: Plain, chunks: list[tuple[str, int]], most_bytes: int) -> None:
        """The same with a piece that is valid only now; no piece of its file has more than `most_bytes`."""
        if len(piece) < _WORTH_A_THREAD_BYTES:
            self._hand(bytes(piece), chunks, None, None)  # a slot is more than it needs
            return
        while self._under_way and self._bytes + len(piece) > _UNDER_WAY_BYTES:
            self._take_first()  # which is what frees a slot
        slot = self._free.pop() if self._free else memoryview(bytearray(most_bytes))
        if len(slot) < most_bytes:
            slot = memoryview(bytearray(most_bytes))  # those of a smaller limit go as they come
        plain = slot[: len(piece)]
        plain[:] = piece
        self._hand(plain, chunks, None, slot)

    def settle(self) -> None:
        """Wait for everything that was handed over."""
        while self._under_way:
            self._take_first()

    def stop(self) -> None:
        """Forget what is under way."""
        self._under_way.clear()
        self._free.clear()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def encode(self, plain: Plain) -> tuple[int, Plain]:
        """Encode in this thread."""
        if not hasattr(self._local, "encoder"):
            self._local.encoder = Encoder()
        encoded: tuple[int, Plain] = self._local.encoder.encode(plain)
        return encoded

    def _hand(self, plain: Plain, chunks: list[tuple[str, int]], digest: bytes | None, slot: memoryview | None) -> None:
        if self._cores < 2 or (len(plain) < _WORTH_A_THREAD_BYTES and not self._under_way):
            self._take(Piece(digest or hashlib.sha256(plain).digest(), plain, None, chunks))
            if slot is not None:
                self._free.append(slot)
            return
        while self._under_way and self._bytes + len(plain) > _UNDER_WAY_BYTES:
            self._take_first()
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # brings logging along; small runs do without

            # The thread that hands over reads, cuts, hashes the whole and writes: it keeps a core to itself.
            self._pool = ThreadPoolExecutor(min(_MOST_THREADS, self._cores - 1))
        self._under_way.append((self._pool.submit(self._work, plain, chunks, digest), len(plain), slot))
        self._bytes += len(plain)

    def _work(self, plain: Plain, chunks: list[tuple[str, int]], digest: bytes | None) -> Piece:
        digest = digest or hashlib.sha256(plain).digest()
        return Piece(digest, plain, None if self._is_stored(digest) else self.encode(plain), chunks)

    def _take_first(self) -> None:
        future, size, slot = self._under_way.popleft()
        self._bytes -= size
        self._take(future.result())
        if slot is not None:
            self._free.append(slot)
