"""What a run wrote, byte for byte: out of its record, or out of the spool while it runs."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import groupby

from gitrun.archive.live_view import LiveRun
from gitrun.archive.run import Run
from gitrun.child.frames import MAX_PAYLOAD, good_length
from gitrun.errors import DamagedRecord
from gitrun.recording.console import collect, is_redacted, read_stream
from gitrun.recording.redaction import redacted
from gitrun.recording.spool import FILES

Piece = tuple[int, int, bytes]
"""Stream (1 stdout, 2 stderr, 0 a note of gitrun's own about bytes not kept), time in ns, bytes."""

PART = "console.zst"
_BLOCK = 1 << 20
_POLL_S = 0.2


def read_console(run: Run, member: int = 0) -> Iterator[Piece]:
    """The output of a run (of one of its members) in the order it was written; empty when none was kept.

    Raises DamagedRecord.
    """
    if isinstance(run, LiveRun):
        redact = None if is_redacted(_member(run, member)) else _redactor()
        yield from read_stream(b"".join(collect(_member(run, member), redact)))
        return
    data = run.part(f"console-{member}.zst" if member else PART)
    if data is not None:
        yield from _decompressed(run.id, data)


def follow(
    run: LiveRun, is_live: Callable[[], bool], sealed: Callable[[], Iterable[Piece]] = tuple, number: int = 0
) -> Iterator[Piece]:
    """The output of a live run as it comes, until `is_live` says that the run has ended, and then all that is left.

    Of a run of several members it is that of the member with this `number`.
    What its keeper holds back, mostly an unfinished line, comes when that goes on or the run ends. `sealed` gives the
    console of the record, once there is one: sealing takes the spool away.
    """
    member = _member(run, number)
    if is_redacted(member) or not os.path.exists(os.path.join(member, FILES[0])):
        return _follow(member, is_live, sealed)
    return redacted(_follow(member, is_live, tuple), _redactor())  # of an earlier gitrun, whose record has other bytes


def _follow(member: str, is_live: Callable[[], bool], sealed: Callable[[], Iterable[Piece]]) -> Iterator[Piece]:
    with closing(SpoolReader(member)) as spool:
        ending = False
        while not ending:
            ending = not is_live()  # asked before the last look, so that nothing written until then is missed
            yield from spool.fresh()
            if not ending:
                time.sleep(_POLL_S)
        yield from spool.unseen(sealed())


def _redactor() -> Callable[[bytes], bytes]:
    """What replaces secrets in a spool that does not say that its keeper has."""
    from gitrun.capture.secrets import Redactor  # other consoles are read without

    text: Callable[[bytes], bytes] = Redactor(os.environ).text
    return text


def _member(run: LiveRun, member: int = 0) -> str:
    return os.path.join(run.directory, "members", str(member))


class SpoolReader:
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
        if any(os.path.exists(os.path.join(self._member, name)) for name in FILES[1:]):
            yield from self._fresh_tail()

    def close(self) -> None:
        """Close the head."""
        if self._head is not None:
            self._head.close()

    def _fresh_head(self) -> Iterator[Piece]:
        if self._head is None:
            try:
                self._head = open(os.path.join(self._member, FILES[0]), "rb")  # noqa: SIM115  kept between looks
            except FileNotFoundError:
                return
        self._rest += self._head.read()
        whole = good_length(self._rest)
        data, self._rest = self._rest[:whole], self._rest[whole:]
        for stream, pieces in groupby(read_stream(data), key=lambda piece: piece[0]):
            times, texts = zip(*(piece[1:] for piece in pieces), strict=True)
            yield stream, times[-1], b"".join(texts)  # at once: what comes late was drawn over already

    def _fresh_tail(self) -> Iterator[Piece]:
        """Beyond the head only the last 1 MiB is kept, so it is read again and what was shown is skipped."""
        yield from self.unseen(read_stream(b"".join(collect(self._member))))

    def unseen(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """What of a whole console was not there at the last look."""
        at = 0
        for stream, time_ns, data in pieces:
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
