"""The console as it was kept: read out of the spool, and packed for the record.

Its frames hold no secrets where the header says so: who wrote them has replaced them. A spool without that word is
from a gitrun that replaced them here, when sealing.

    sealed stream = head, {"gap": n} where n bytes are missing, tail                                  (spec/journal)
"""

import os
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from gitrun.child.frames import frame, pack_value, read_frames
from gitrun.recording.spool import FILES, HEAD, OUTPUT, PREFIX, output_frame

_SMALL_BYTES = 1 << 16


def collect(member: str, redact: Callable[[bytes], bytes] | None = None) -> Iterator[bytes]:
    """The sealed frame stream of one member: head, gap, tail. Yields whole frames (bytes with their header).

    `redact` is for a spool that does not say that its secrets are replaced; each stream is judged up to a gap.
    """
    if redact is not None and is_redacted(member):
        redact = None
    yield HEAD
    for is_gap, items in groupby(_items(member), key=lambda item: isinstance(item, int)):
        if is_gap:
            yield from (frame(pack_value({"gap": missing})) for missing in items)
        elif redact is None:
            yield from map(frame, items)  # type: ignore[arg-type]  # payloads
        else:
            from gitrun.recording.redaction import redacted  # only sealing replaces

            for stream, time_ns, data in redacted(map(_output, items), redact):  # type: ignore[arg-type]
                yield output_frame(stream, time_ns, data)


def is_redacted(member: str) -> bool:
    """Whether the spool says that its secrets are replaced."""
    try:
        with open(os.path.join(member, FILES[0]), "rb") as file:
            return file.read(len(HEAD)) == HEAD
    except FileNotFoundError:
        return False


def _items(member: str) -> Iterator[bytes | int]:
    """The payloads of all output that was kept, and between them how many bytes are missing."""
    seen = 0
    for payload in _payloads(os.path.join(member, FILES[0])):
        if payload[0] == OUTPUT:
            seen += len(payload) - PREFIX.size
            yield payload
    for offset, payloads in sorted(_tails(member), key=lambda tail: tail[0]):
        if offset > seen:
            yield offset - seen
        seen = max(seen, offset)
        for payload in payloads:
            seen += len(payload) - PREFIX.size
            yield payload


def _output(payload: bytes) -> tuple[int, int, bytes]:
    _, stream, _, time_ns, _, _ = PREFIX.unpack_from(payload)
    return stream, time_ns, payload[PREFIX.size :]


def pack(member: str, path: str, redact: Callable[[bytes], bytes] | None = None) -> bool:
    """Writes the sealed part (zstd of the frame stream) to `path`; False when the command wrote nothing."""
    frames = collect(member, redact)
    head, first = next(frames), next(frames, None)
    if first is None:
        return False
    with open(path, "wb") as file:
        data = bytearray(head + first)
        for piece in frames:
            data += piece
            if len(data) > _SMALL_BYTES:
                break
        else:
            file.write(_stored(bytes(data)))
            return True
        import zstandard  # 13 ms that a short console does not pay

        with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as writer:
            writer.write(data)
            for piece in frames:
                writer.write(piece)
    return True


def _stored(data: bytes) -> bytes:
    """A zstd frame that holds `data` as it is (RFC 8878: single segment, 4-byte size, one raw block)."""
    block = (len(data) << 3 | 1).to_bytes(3, "little")
    return b"\x28\xb5\x2f\xfd\xa0" + len(data).to_bytes(4, "little") + block + data


def _tails(member: str) -> Iterator[tuple[int, list[bytes]]]:
    for name in FILES[1:]:
        payloads = list(_payloads(os.path.join(member, name)))
        if payloads:
            yield int(_unpack(payloads[0])["offset"]), payloads[1:]


def _payloads(path: str) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return
    for payload in read_frames(data):
        if not payload:
            return
        yield payload


def read_stream(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(stream, time_ns, bytes) of a sealed frame stream; a gap comes as stream 0 with its length in text."""
    for payload in read_frames(data):
        value = _unpack(payload)
        if isinstance(value, list) and len(value) >= 3 and isinstance(value[2], bytes):
            yield int(value[0]), int(value[1]), value[2]
        elif isinstance(value, dict) and "gap" in value:
            yield 0, 0, b"[%d bytes not kept]" % int(value["gap"])


def _unpack(payload: bytes) -> Any:
    import msgpack  # an extension: only sealing and reading need it

    return msgpack.unpackb(payload, strict_map_key=False, unicode_errors="surrogateescape")
