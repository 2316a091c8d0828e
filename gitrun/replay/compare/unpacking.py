"""Unpacking one compressed stream, in pieces of bounded size whatever it unpacks to."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

from gitrun.replay.compare.context import NotThis
from gitrun.replay.compare.window import PIECE_BYTES, Window

_PACKED_BYTES = 1 << 16


class Decoder(Protocol):
    """What zlib, bz2 and lzma have in common."""

    @property
    def eof(self) -> bool:
        """Whether the stream's own end was reached."""

    @property
    def unused_data(self) -> bytes:
        """What came after it."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Some more of the content."""


def unpack(window: Window, start: int, decoder: Decoder) -> Generator[bytes, None, int]:
    """The content of the stream at `start`; returns where it ends. Raises NotThis where it is cut off."""
    at = start
    while True:
        packed = window.at_most(at, _PACKED_BYTES)
        if not packed:
            raise NotThis("a compressed stream is cut off")
        at += len(packed)
        while True:
            piece = decoder.decompress(packed, PIECE_BYTES)
            if piece:
                yield piece
            if decoder.eof:
                return at - len(decoder.unused_data)
            packed = getattr(decoder, "unconsumed_tail", b"")  # zlib hands back what it did not need yet
            if not packed and len(piece) < PIECE_BYTES:
                break
