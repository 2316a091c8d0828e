"""How a blob's bytes are written down. It is no part of what the blob is: the id is the plain bytes' hash.

zstd level 1 is nearly as small as level 3 on what runs leave behind, for a quarter less time. What
it does not shrink by 2 % (weights, images, archives) is stored as it is and costs nothing to read.
"""

from __future__ import annotations

import threading
from typing import Any

from gitrun.errors import DamagedStore, NewerFormat

RAW = 0
ZSTD = 1
# 2 and 3 are reserved: see spec/store.md, Codecs.

Plain = bytes | memoryview

_LEVEL = 1
_TOO_SMALL_BYTES = 64
_LOCAL = threading.local()


class Encoder:
    """Encodes blobs one after the other, with one compression context; not for two threads at once."""

    def __init__(self) -> None:
        self._compressor: Any = None

    def encode(self, plain: Plain) -> tuple[int, Plain]:
        """The codec and the bytes to store; what zstd makes keeps the room it was given, as much as `plain`."""
        if len(plain) < _TOO_SMALL_BYTES:
            return RAW, plain
        if self._compressor is None:
            import zstandard  # heavy, and not needed by a run that stores nothing

            self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
        packed = self._compressor.compress(plain)
        if len(packed) * 100 > len(plain) * 98:
            return RAW, plain
        return ZSTD, packed


def decode(codec: int, stored: bytes, plain_bytes: int, where: str) -> bytes:
    """Undo an encoding, never making more than the declared `plain_bytes`; `where` is for the message."""
    if codec == RAW:
        return stored
    if codec != ZSTD:
        raise NewerFormat(f"E022 {where}: encoding {codec} is not known here", next="update gitrun")
    import zstandard  # heavy, as above

    try:
        # The decompressor trusts the size in the frame: check that first, since it is what gets allocated.
        if zstandard.frame_content_size(stored) != plain_bytes:
            raise DamagedStore(f"E027 {where}: the frame's content size is not the declared {plain_bytes}")
        if not hasattr(_LOCAL, "decompressor"):
            _LOCAL.decompressor = zstandard.ZstdDecompressor()  # one a thread: making one takes as long as 100 kB do
        plain: bytes = _LOCAL.decompressor.decompress(stored, allow_extra_data=False)
        return plain
    except zstandard.ZstdError as problem:
        raise DamagedStore(f"E027 {where}: {problem}") from problem
