"""What a run wrote, byte for byte: out of its record, or out of the spool while it runs."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing

from gitrun.archive.live_view import LiveRun
from gitrun.archive.run import Run
from gitrun.child.frames import MAX_PAYLOAD, good_length
from gitrun.errors import DamagedRecord
from gitrun.recording.console import collect, is_redacted, read_stream
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
        redact = None if is_redacted(_member(run)) else _redactor()
        yield from read_stream(b"".join(collect(_member(run), redact)))
        return
    data = run.part(PART)
    if data is not None:
        yield from _decompressed(run.id, data)


def follow(run: LiveRun, is_live: Callable[[], bool]) -> Iterator[Piece]:
    """The output of a live run as it comes, until `is_live` says that the run has ended.

    What its keeper holds back, mostly an unfinished line, comes when that goes on or the run ends.
    """
    pieces = _follow(run, is_live)
    return pieces if is_redacted(_member(run)) else redacted(pieces, _redactor())


def _follow(run: LiveRun, is_live: Callable[[], bool]) -> Iterator[Piece]:
    with closing(_SpoolReader(_member(run))) as spool:
        while True:
            ending = not is_live()  # asked before the last look, so that nothing written until then is missed
            yield from spool.fresh()
            if ending:
                return
            time.sleep(_POLL_S)


def _redactor() -> Callable[[bytes], bytes]:
    """What replaces secrets in a spool that does not say that its keeper has."""
    from gitrun.capture.secrets import Redactor  # other consoles are read without

    text: Callable[[bytes], bytes] = Redactor(os.environ).text
    return text


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
