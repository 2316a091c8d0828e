"""What a run wrote, byte for byte: out of its record, or out of the spool while it runs."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import groupby

from gitrun.archive.live_view import LiveRun
from gitrun.archive.run import Run
from gitrun.child.frames import MAX_PAYLOAD, good_length
from gitrun.errors import DamagedRecord
from gitrun.recording.console import collect, read_stream
from gitrun.recording.redaction import redacted

Piece = tuple[int, int, bytes]
"""Stream (1 stdout, 2 stderr, 0 a note of gitrun's own about bytes not kept), time in ns, bytes."""

PART = "console.zst"
_BLOCK = 1 << 20
_POLL_S = 0.2
_TAILS = ("console-tail-0", "console-tail-1")


def read_console(run: Run) -> Iterator[Piece]:
    """The output of a run in the order it was written; empty when none was kept. Raises DamagedRecord."""
    if isinstance(run, LiveRun):
        yield from read_stream(b"".join(collect(_member(run), _redactor())))
        return
    data = run.part(PART)
    if data is not None:
        yield from _decompressed(run.id, data)


def follow(run: LiveRun, is_live: Callable[[], bool]) -> Iterator[Piece]:
    """The output of a live run as it comes, until `is_live` says that the run has ended."""
    redact = _redactor()
    held: list[Piece] = []
    with closing(_SpoolReader(_member(run))) as spool:
        while True:
            ending = not is_live()  # asked before the last look, so that nothing written until then is missed
            fresh = list(spool.fresh())
            held += fresh
            # A piece that does not end its line may go on with the rest of a secret: it waits for one more look.
            cut = len(held)
            while fresh and not ending and cut and not held[cut - 1][2].endswith((b"\n", b"\r")):
                cut -= 1
            yield from _plain(held[:cut], redact)
            held = held[cut:]
            if ending:
                return
            time.sleep(_POLL_S)


def _redactor() -> Callable[[bytes], bytes]:
    """What replaces secrets in the spool, which is raw until it is sealed."""
    from gitrun.capture.secrets import Redactor  # a sealed console is read without

    text: Callable[[bytes], bytes] = Redactor(os.environ).text
    return text


def _plain(pieces: list[Piece], redact: Callable[[bytes], bytes]) -> Iterator[Piece]:
    for is_note, group in groupby(pieces, key=lambda piece: piece[0] == 0):
        run = list(group)
        yield from run if is_note else redacted(run, redact)


def _member(run: LiveRun) -> str:
    return os.path.join(run.directory, "members", "0")


class _SpoolReader:
    """Reads what was appended since the last look; the descriptor outlives the sealing of the run."""

    def __init__(self, member: str) -> None:
        self._member = member
        self._head: io.BufferedReader | None = None
        self._rest = b""
        self._seen = 0

    def fresh(self) -> Iterator[Piece]:
        """Output that was not there at the last look."""
        for piece in self._fresh_head():
            self._seen += len(piece[2])
            yield piece
        if any(os.path.exists(os.path.join(self._member, name)) for name in _TAILS):
            yield from self._fresh_tail()

    def close(self) -> None:
        """Close the head."""
        if self._head is not None:
            self._head.close()

    def _fresh_head(self) -> Iterator[Piece]:
        if self._head is None:
            try:
                self._head = open(os.path.join(self._member, "console"), "rb")  # noqa: SIM115  kept between looks
            except FileNotFoundError:
                return
        self._rest += self._head.read()
        whole = good_length(self._rest)
        data, self._rest = self._rest[:whole], self._rest[whole:]
        yield from read_stream(data)

    def _fresh_tail(self) -> Iterator[Piece]:
        """Beyond the head only the last 1 MiB is kept, so it is read again and what was shown is skipped."""
        at = 0
        for stream, time_ns, data in read_stream(b"".join(collect(self._member))):
            if stream == 0:
                at += int(data[1:].split(b" ")[0])
                if at > self._seen:
                    yield stream, time_ns, data
                continue
            if at + len(data) > self._seen:
                yield stream, time_ns, data[max(0, self._seen - at) :]
            at += len(data)
        self._seen = max(self._seen, at)


def _decompressed(run_id: str, data: bytes) -> Iterator[Piece]:
    """The frames of a sealed console, decoded a block at a time."""
    import msgpack  # only where a console is read
    import zstandard

    rest = b""
    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as reader:
            while block := reader.read(_BLOCK):
                rest += block
                whole = good_length(rest)
                yield from read_stream(rest[:whole])
                rest = rest[whole:]
                if len(rest) > MAX_PAYLOAD + _BLOCK:
                    break
    except (zstandard.ZstdError, msgpack.UnpackException, ValueError, TypeError) as problem:
        raise DamagedRecord(f"run {run_id} is damaged: its console cannot be read: {problem}") from problem
    if rest:
        raise DamagedRecord(f"run {run_id} is damaged: its console breaks off")
