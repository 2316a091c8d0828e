"""What two runs wrote to their consoles, compared stream by stream.

A console informs: one timestamp in it makes every replay differ, so it decides only where the user says so. Where a
stream differs, the first line that does is what a researcher looks for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

STREAMS = {1: "stdout", 2: "stderr"}
Pieces = Iterable[tuple[int, int, bytes]]
_KEPT = 4 << 20  # of each stream, to find the first line that differs
_SHOWN = 120


class Console(NamedTuple):
    """What a command wrote: the sha256 of each stream's bytes, and how they begin.

    `is_whole` is false where capture left some out.
    """

    digests: Mapping[int, str]
    is_whole: bool
    heads: Mapping[int, bytes] = {}


def console_of(pieces: Pieces) -> Console:
    """The console out of (stream, time_ns, bytes) pieces; a piece of stream 0 stands for bytes that were not kept."""
    streams = {stream: hashlib.sha256() for stream in STREAMS}
    heads = {stream: bytearray() for stream in STREAMS}
    whole = True
    for stream, _, data in pieces:
        if stream in streams:
            streams[stream].update(data)
            heads[stream] += data[: max(0, _KEPT - len(heads[stream]))]
        else:
            whole = False
    digests = {stream: digest.hexdigest() for stream, digest in streams.items()}
    return Console(digests, whole, {stream: bytes(head) for stream, head in heads.items()})


def console_of_run(pieces: Pieces, record: Mapping[str, Any]) -> Console:
    """The console of a run; not whole where its record says that something is missing."""
    complete = (record.get("coverage") or {}).get("console", "complete") == "complete"
    console = console_of(pieces)
    return console._replace(is_whole=console.is_whole and complete)


def is_merged(record: Mapping[str, Any]) -> bool:
    """Whether both streams went through one pipe or terminal, where they cannot be told apart."""
    return bool((record.get("process") or {}).get("merged_streams"))


def compare_consoles(recorded: Console | None, replayed: Console | None) -> dict[str, bool | None]:
    """Whether each stream has the same bytes; None where a console is missing or not whole."""
    if recorded is None or replayed is None or not (recorded.is_whole and replayed.is_whole):
        return dict.fromkeys(STREAMS.values())
    return {name: recorded.digests[stream] == replayed.digests[stream] for stream, name in STREAMS.items()}


def first_difference(recorded: Console, replayed: Console, stream: int) -> str:
    """The first line of a stream that differs, in words."""
    lines = (console.heads.get(stream, b"").splitlines() for console in (recorded, replayed))
    for number, (a, b) in enumerate(zip_longest(*lines), 1):
        if a != b:
            return f"line {number:,}: {_quoted(a)}, now {_quoted(b)}"
    return "the difference lies behind its first 4 MiB, or in line ends alone"


def last_line(console: Console, stream: int = 2) -> str | None:
    """The last line that says something, None where there is none or the stream was too long to be kept."""
    head = console.heads.get(stream, b"")
    lines = [line for line in head.splitlines() if line.strip()]
    return _text(lines[-1]) if lines and len(head) < _KEPT else None


def _quoted(line: bytes | None) -> str:
    return "no such line" if line is None else repr(_text(line))


def _text(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip("\r\n")
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
