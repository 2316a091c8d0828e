"""Replacing secrets in output as it comes: a token that is cut across two reads is one token.

A command writes as it likes, and what is read of it ends anywhere. So each stream is judged as one text: the end of
what has come is held back until it is certain that nothing that follows can belong to it, and only then goes on. That
is nearly always the end of a line; a line may leave something open (a quoted value, a private key), which waits for
more. What is held back is bounded: without a line that ends it is cut where both sides by themselves become what they
become together.

Outputs keep their order, their times and, as far as they are not replaced, their bytes: what stands for a secret goes
to the output in which the secret began, and one of which nothing is left is dropped. One stream's unfinished line
keeps the other stream waiting, for the sake of the order, but not for longer than the bound.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

Output = tuple[int, int, bytes]
"""Stream, time in ns, bytes."""

LONGEST_BYTES = 1 << 14  # a secret of this length is found wherever it is cut; longer values of variables are as well
_WINDOW_BYTES = 1 << 12  # how far back a value may have begun that a line leaves open
_STEPS = (0, 0, 0, 1 << 8, 1 << 10, 1 << 12, 1 << 14)  # how far back to look for a line's end, at least
_HOLE = re.compile(rb"<secret:[A-Za-z0-9_.-]*>")
# Stands for what may follow: where it becomes part of a secret, one is open.
_PROBE = b"4bC9dE2fG7hJ5kL8mN3pQ6rS1t"
_BEGIN, _END, _KEY = b"-----BEGIN ", b"-----END ", b"PRIVATE KEY"


class _Piece(NamedTuple):
    """An output, or the part of one that is judged at once; `done`: its secrets are replaced."""

    stream: int
    time_ns: int
    data: bytes
    done: bool


class Redaction:
    """Takes outputs and gives them back without secrets, each as soon as that is certain.

    `redact` replaces secrets in a text, `values` are those that it knows word by word. `keep` is how many bytes of
    a stream are looked at together at least; up to twice as many are held back.
    """

    def __init__(self, redact: Callable[[bytes], bytes], values: Sequence[bytes] = ()) -> None:
        self._redact = redact
        self.keep = max(LONGEST_BYTES, *map(len, values)) if values else LONGEST_BYTES
        self._in_lines = [value for value in values if b"\n" in value or b"\r" in value]
        self._queue: list[_Piece] = []
        self._raw: dict[int, bytes] = {}
        self._bytes = 0

    def feed(self, output: Output) -> list[Output]:
        """What can go on, now that this has come."""
        stream, time_ns, data = output
        self._queue.append(_Piece(stream, time_ns, data, False))
        self._bytes += len(data)
        raw = self._raw.get(stream, b"") + data
        if len(raw) <= 2 * self.keep and b"\n" not in data and b"\r" not in data:
            self._raw[stream] = raw
            return self._ready()
        cut = self._cut(raw)
        self._raw[stream] = raw[cut:]
        if cut:
            self._judge(stream, raw[:cut])
        return self._ready()

    def finish(self) -> list[Output]:
        """The rest: nothing follows."""
        for stream, raw in self._raw.items():
            if raw:
                self._judge(stream, raw)
        self._raw.clear()
        return self._ready(every=True)

    def drop(self) -> tuple[list[Output], int]:
        """As `finish` where what follows was lost: what is not certain is not given back, only its length."""
        lost = sum(map(len, self._raw.values()))
        self._raw.clear()
        done = self._ready(every=True)
        self._queue.clear()
        self._bytes = 0
        return done, lost

    def _ready(self, every: bool = False) -> list[Output]:
        """The first outputs that are done; all that are, where the queue is too long for waiting."""
        if every or self._bytes > 2 * self.keep:
            done = [piece for piece in self._queue if piece.done]
            self._queue = [piece for piece in self._queue if not piece.done]
        else:
            first = next((n for n, piece in enumerate(self._queue) if not piece.done), len(self._queue))
            done, self._queue = self._queue[:first], self._queue[first:]
        self._bytes -= sum(len(piece.data) for piece in done)
        return [(piece.stream, piece.time_ns, piece.data) for piece in done if piece.data]

    def _judge(self, stream: int, text: bytes) -> None:
        """Replaces the secrets in the next `text` of a stream."""
        plain = self._redact(text)
        frames: list[bytes] = []
        left = len(text)
        queue: list[_Piece] = []
        for piece in self._queue:
            if piece.stream != stream or piece.done or left <= 0:
                queue.append(piece)
                continue
            now, later = piece.data[:left], piece.data[left:]
            left -= len(now)
            frames.append(now)
            queue.append(piece._replace(data=now, done=True))
            if later:
                queue.append(piece._replace(data=later))
        self._queue = queue
        if plain != text:
            self._bytes += len(plain) - len(text)
            self._put(stream, attributed(frames, plain))

    def _put(self, stream: int, pieces: list[bytes]) -> None:
        """Gives the last `len(pieces)` done outputs of a stream other bytes."""
        places = [n for n, piece in enumerate(self._queue) if piece.stream == stream and piece.done][-len(pieces) :]
        for n, data in zip(places, pieces, strict=True):
            self._queue[n] = self._queue[n]._replace(data=data)

    def _cut(self, raw: bytes) -> int:
        """How much of a stream's text can be judged: nothing that follows can belong to a secret in it."""
        to = len(raw)
        for back in _STEPS:
            to = min(to, len(raw) - back)
            cut = max(raw.rfind(b"\n", 0, to), raw.rfind(b"\r", 0, to)) + 1 if to > 0 else 0
            if cut == 0 or self._is_closed(raw, cut):
                break
            to = cut - 1
        else:
            cut = 0
        return cut if len(raw) - cut <= 2 * self.keep else self._forced(raw)

    def _is_closed(self, raw: bytes, cut: int) -> bool:
        """Whether nothing is open where a line ends."""
        begin = raw.rfind(_BEGIN, 0, cut)
        if begin >= 0 and _KEY in raw[begin : begin + 64] and raw.find(_END, begin, cut) < 0:
            return False
        window = raw[max(0, cut - _WINDOW_BYTES) : cut]
        for value in self._in_lines:
            at = -1
            while (at := _line_end(value, at + 1)) >= 0 and at + 1 < len(value):
                if raw.endswith(value[: at + 1], 0, cut):
                    return False
        if b'"' not in window and b"'" not in window and not window.rstrip().endswith((b":", b"=")):
            return True
        return self._redact(window + _PROBE).endswith(_PROBE)

    def _forced(self, raw: bytes) -> int:
        """A cut that changes nothing for what can be seen, `keep` bytes before the end where there is one."""
        for back in range(self.keep, 2 * self.keep, self.keep >> 4):
            cut = len(raw) - back
            start = max(0, cut - self.keep)
            around = raw[start:]
            plain = self._redact(around)
            if plain == around or self._redact(raw[start:cut]) + self._redact(raw[cut:]) == plain:
                return cut
        return len(raw)


def redacted(
    outputs: Iterable[Output], redact: Callable[[bytes], bytes], values: Sequence[bytes] = ()
) -> Iterator[Output]:
    """`outputs` in their order with the secrets in each stream replaced."""
    redaction = Redaction(redact, values)
    for output in outputs:
        yield from redaction.feed(output)
    yield from redaction.finish()


def attributed(frames: list[bytes], plain: bytes) -> list[bytes]:
    """`plain`, which is the text of the frames with some of it replaced, in as many pieces as there are frames."""
    text = b"".join(frames)
    kept = _kept(text, plain)
    pieces, end, last, n = [], 0, 0, 0
    for data in frames:
        end += len(data)
        while n + 1 < len(kept) and kept[n + 1][0] <= end:
            n += 1
        at, to, length = kept[n]
        cut = to + end - at
        if end > at + length:  # inside what was replaced: all that stands for it goes to this frame
            cut = kept[n + 1][1] if n + 1 < len(kept) else len(plain)
        pieces.append(plain[last:cut])
        last = cut
    return pieces


def _kept(text: bytes, plain: bytes) -> list[tuple[int, int, int]]:
    """What both have in common, in order: where it is in `text`, where in `plain`, and its length."""
    found: list[tuple[int, int, int]] = []
    at = to = 0
    for hole in [*_HOLE.finditer(plain), None]:
        length = (hole.start() if hole else len(plain)) - to
        if not found:
            at = 0
        elif hole is None:
            at = len(text) - length
        else:
            at = max(at, text.find(plain[to : to + length], at))
        found.append((at, to, length))
        at += length
        to = hole.end() if hole else to
    return found


def _line_end(text: bytes, at: int) -> int:
    """Where the next line ends."""
    ends = [end for end in (text.find(b"\n", at), text.find(b"\r", at)) if end >= 0]
    return min(ends, default=-1)
