"""The console: what the command wrote, kept without ever being in its way.

A spool that fails must not touch the command, so every failure here ends the capture and nothing else: a full
disk, a low disk, an I/O error. A command may also print for weeks. So the head is kept up to a limit, and after
it the end, in two files that take turns: while one is filled with 1 MiB the other holds the MiB before it. Both
are files like the head, so a killed keeper loses none of it, and both are written over in place (new pages for
each turn would cost a loud command half its speed): an empty frame after the last one ends what is valid.

    console          frames: {"format": 1, ...}, then [stream, time_ns, bytes] (stream 1 stdout, 2 stderr)
    console-tail-0/1 frames: {"offset": n} (bytes of output before this file), the same, an empty frame

The sealed stream is head, {"gap": n} where n bytes are missing, tail (spec/journal).
"""

import errno
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from gitrun.child.frames import HEADER, frame, pack_value, read_frames

FORMAT = 1
TAIL_BYTES = 1 << 20
HEAD = frame(pack_value({"format": FORMAT, "kind": "console", "requires": []}))
_CHECK_EVERY = 8 << 20  # bytes between two looks at the free space
_END = frame(b"")
_PREFIX = struct.Struct(">BBBQBI")  # msgpack: array of 3, stream, u64 time, bin32; the output follows
_OUTPUT = 0x93
_SMALL_BYTES = 1 << 16
_NAMES = ("console", "console-tail-0", "console-tail-1")


class Spool:
    """Appends output to the console files of one member directory; never raises.

    `limit` bounds the head in bytes; below `floor` free bytes on the disk capture stops. `stopped` is the reason
    why it did, `total` counts the bytes offered.
    """

    def __init__(self, member: str, limit: int, floor: int) -> None:
        self._member = member
        self._limit = limit
        self._floor = floor
        self._part = 0  # 0 head, then 1 and 2 in turn
        self._written = 0  # bytes of output in this part
        self._at = 0  # where its next frame goes
        self._unchecked = _CHECK_EVERY
        self._fd = -1
        self.total = 0
        self.stopped: str | None = None
        self._guarded(self._open, 0, HEAD)

    def write(self, stream: int, time_ns: int, data: bytes) -> None:
        """One frame of output as it was read."""
        if self.stopped is None:
            self._guarded(self._append, stream, time_ns, data)
        self.total += len(data)

    def sync(self) -> None:
        """Makes what was written survive a power cut."""
        if self.stopped is None:
            self._guarded(os.fdatasync, self._fd)

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _guarded(self, action: Any, *args: Any) -> None:
        try:
            action(*args)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self.stopped = self.stopped or ("disk full" if full else os.strerror(error.errno or 0))
            self.close()

    def _open(self, part: int, first: bytes) -> None:
        self.close()
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        self._fd = os.open(os.path.join(self._member, _NAMES[part]), flags, 0o666)
        self._part, self._written, self._at = part, 0, 0
        self._put([first])

    def _append(self, stream: int, time_ns: int, data: bytes) -> None:
        self._unchecked += len(data)
        if self._unchecked >= _CHECK_EVERY:
            self._check_space()
        if self._written + len(data) > (TAIL_BYTES if self._part else self._limit):
            self._open(self._part % 2 + 1, frame(pack_value({"offset": self.total})))
        prefix = _PREFIX.pack(_OUTPUT, stream, 0xCF, time_ns, 0xC6, len(data))
        crc = zlib.crc32(data, zlib.crc32(prefix))
        self._put([HEADER.pack(len(prefix) + len(data), crc), prefix, data])
        self._written += len(data)

    def _put(self, pieces: list[bytes]) -> None:
        length = sum(map(len, pieces))
        if self._part:
            pieces.append(_END)
        if os.pwritev(self._fd, pieces, self._at) < length:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # a torn frame is cut by every reader
        self._at += length

    def _check_space(self) -> None:
        self._unchecked = 0
        disk = os.fstatvfs(self._fd)
        if disk.f_bavail * disk.f_frsize < self._floor:
            self.stopped = "disk nearly full"
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def collect(member: str, redact: Callable[[bytes], bytes] | None = None) -> Iterator[bytes]:
    """The sealed frame stream of one member: head, gap, tail. Yields whole frames (bytes with their header).

    `redact` is applied to each stream's output as it goes on over its frames, up to a gap.
    """
    yield HEAD
    for is_gap, items in groupby(_items(member), key=lambda item: isinstance(item, int)):
        if is_gap:
            yield from (frame(pack_value({"gap": missing})) for missing in items)
        elif redact is None:
            yield from map(frame, items)  # type: ignore[arg-type]  # payloads
        else:
            from gitrun.recording.redaction import redacted  # only sealing replaces

            for stream, time_ns, data in redacted(map(_output, items), redact):  # type: ignore[arg-type]
                yield frame(_PREFIX.pack(_OUTPUT, stream, 0xCF, time_ns, 0xC6, len(data)) + data)


def _items(member: str) -> Iterator[bytes | int]:
    """The payloads of all output that was kept, and between them how many bytes are missing."""
    seen = 0
    for payload in _payloads(os.path.join(member, _NAMES[0])):
        if payload[0] == _OUTPUT:
            seen += len(payload) - _PREFIX.size
            yield payload
    for offset, payloads in sorted(_tails(member), key=lambda tail: tail[0]):
        if offset > seen:
            yield offset - seen
        seen = max(seen, offset)
        for payload in payloads:
            seen += len(payload) - _PREFIX.size
            yield payload


def _output(payload: bytes) -> tuple[int, int, bytes]:
    _, stream, _, time_ns, _, _ = _PREFIX.unpack_from(payload)
    return stream, time_ns, payload[_PREFIX.size :]


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
    for name in _NAMES[1:]:
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
