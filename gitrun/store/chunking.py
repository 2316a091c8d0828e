"""Cutting large files so that a small edit stores a small part of them again.

A file of up to 2 MiB is one blob. A larger one is cut by FastCDC (2020): a rolling hash of the
content decides where a chunk ends, so an insertion moves the cuts with it. Where two files share
bytes they share chunks only if they were cut alike, so the parameters are frozen in the store's
config when it is made, and the same bytes must always give the same cuts: both implementations in
pyfastcdc do, the compiled one 200 times as fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from gitrun.errors import DamagedStore, GitrunError, NewerFormat
from gitrun.monitor import Monitor

ALGORITHM = "fastcdc-2020"
MAX_BLOB_BYTES = 16 << 20


class Readable(Protocol):
    """What content is read from: at most so many bytes a call, b"" or 0 at the end."""

    def read(self, size: int, /) -> bytes | None: ...
    def readinto(self, room: memoryview, /) -> int | None: ...


class Chunking(NamedTuple):
    """Where files are cut: sizes in bytes, FastCDC's normalization level, no seed.

    The defaults were measured on 96 MiB with 24 edits of 42 kB: level 2 stored 8.9 % again in chunks
    of 298 KiB on average, level 1 12.0 % in chunks of 332 KiB.
    """

    whole_bytes: int = 2 << 20
    min_bytes: int = 64 << 10
    average_bytes: int = 256 << 10
    max_bytes: int = 1 << 20
    normalization: int = 2

    def to_json(self) -> dict[str, Any]:
        """The `chunking` object of the store's config."""
        return {"algorithm": ALGORITHM, **self._asdict()}


def from_json(value: Any) -> Chunking:
    """The parameters in a store's config; raises NewerFormat or DamagedStore."""
    try:
        if value["algorithm"] != ALGORITHM:
            raise NewerFormat(f"E028 the store cuts files by {value['algorithm']!r}", next="update gitrun")
        chunking = Chunking(*(value[name] for name in Chunking._fields))
    except (TypeError, KeyError) as problem:
        raise DamagedStore(f"E028 the store's chunking parameters are incomplete: {problem}") from problem
    if not all(type(number) is int for number in chunking) or not _is_possible(chunking):
        raise DamagedStore(f"E028 the store's chunking parameters are out of bounds: {tuple(chunking)}")
    return chunking


def _is_possible(chunking: Chunking) -> bool:
    """Whether the algorithm takes these sizes and every piece fits a blob."""
    whole, least, average, most, level = chunking
    return (
        64 <= least <= 1 << 20
        and 1 << 10 <= average <= 1 << 22
        and least <= average <= most <= whole <= MAX_BLOB_BYTES
        and 0 <= level <= 3
    )


def read_head(source: Readable, chunking: Chunking) -> bytes:
    """The beginning of `source`: all of it where it is one blob, one byte more than that where it is cut."""
    pieces, left = [], chunking.whole_bytes + 1
    while left and (piece := source.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def cut(
    head: bytes, source: Readable, chunking: Chunking, monitor: Monitor, edges: Iterable[int] = ()
) -> Iterator[memoryview]:
    """The pieces of a file that is not one blob: its head, then the rest; each is valid until the next is asked for.

    A piece ends at every offset of `edges`, which rise.
    """
    chunker = _chunker(chunking, monitor)
    whole, at = _Joined(head, source), 0
    for edge in edges:
        for chunk in chunker.cut_stream(_Part(whole, edge - at)):
            yield chunk.data
        at = edge
    for chunk in chunker.cut_stream(whole):
        yield chunk.data


class _Joined:
    """The bytes already read, then the rest."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = memoryview(head)
        self._rest = rest

    def readinto(self, room: memoryview) -> int:
        if not self._head:
            return self._rest.readinto(room) or 0
        piece, self._head = self._head[: len(room)], self._head[len(room) :]
        room[: len(piece)] = piece
        return len(piece)


class _Part:
    """The next so many bytes of a file."""

    def __init__(self, whole: _Joined, size: int) -> None:
        self._whole = whole
        self._left = size

    def readinto(self, room: memoryview) -> int:
        count = self._whole.readinto(room[: self._left]) if self._left else 0
        self._left -= count
        return count


def _chunker(chunking: Chunking, monitor: Monitor) -> Any:
    import warnings  # both heavy, and needed by large files alone

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said below, through the monitor
            from pyfastcdc import FastCDC
    except ImportError as problem:
        raise GitrunError(
            "a file over 2 MiB cannot be cut: pyfastcdc is not installed", next="pip install pyfastcdc"
        ) from problem
    if not FastCDC.__module__.startswith("pyfastcdc.cy"):
        monitor.warn("W020", "pyfastcdc has no compiled module here: large files are stored, but very slowly")
    return FastCDC(
        chunking.average_bytes,
        min_size=chunking.min_bytes,
        max_size=chunking.max_bytes,
        normalized_chunking=chunking.normalization,  # type: ignore[arg-type]  # 0 to 3, checked above
        seed=0,
    )
