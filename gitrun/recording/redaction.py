"""Replacing secrets in output that came in pieces: a token that is cut across two frames is one token.

A command writes as it likes, and a frame is what one read gave. So each stream's output is judged as one text, a
block at a time, and the end of a block is held back and judged again with what follows. Blocks are cut between
frames, where cutting changes nothing: both sides by themselves must become what they become together.

Frames keep their times and, as far as they are not replaced, their bytes: what stands for a secret goes to the
frame in which the secret began, and a frame of which nothing is left is dropped.
"""

import re
from collections.abc import Callable, Iterable, Iterator

Output = tuple[int, int, bytes]
"""Stream, time in ns, bytes."""

BLOCK_BYTES = 1 << 20
HELD_BYTES = 1 << 17  # longer than any variable's value (Linux: 128 KiB with the name) and any key file
_MOST_BYTES = 4 << 20  # without a place to cut, a block grows up to this
_HOLE = re.compile(rb"<secret:[A-Za-z0-9_.-]*>")


def redacted(outputs: Iterable[Output], redact: Callable[[bytes], bytes]) -> Iterator[Output]:
    """`outputs` in their order with the secrets in each stream replaced; holds a few MiB at most."""
    block: list[Output] = []
    size, due = 0, BLOCK_BYTES
    for output in outputs:
        block.append(output)
        size += len(output[2])
        if size < due:
            continue
        done, ready = _first_part(block, redact)
        if not done and size >= _MOST_BYTES:
            done, ready = len(block), _spread(block, _plain(block, redact))
        yield from ready
        block = block[done:]
        size = sum(len(data) for _, _, data in block)
        due = size + BLOCK_BYTES
    yield from _spread(block, _plain(block, redact))


def _first_part(block: list[Output], redact: Callable[[bytes], bytes]) -> tuple[int, list[Output]]:
    """How many outputs can go, and what becomes of them; 0 where no cut between them is safe."""
    whole = _plain(block, redact)
    clean = all(plain == _text(block, stream) for stream, plain in whole.items())
    held = HELD_BYTES
    while cut := _index(block, held):
        if clean:
            return cut, block[:cut]
        before, after = _plain(block[:cut], redact), _plain(block[cut:], redact)
        if all(before.get(stream, b"") + after.get(stream, b"") == plain for stream, plain in whole.items()):
            return cut, _spread(block[:cut], before)
        held *= 2
    return 0, []


def _index(block: list[Output], held: int) -> int:
    """How many outputs lie before the last `held` bytes."""
    cut = len(block)
    while cut and held > 0:
        cut -= 1
        held -= len(block[cut][2])
    return cut


def _plain(block: list[Output], redact: Callable[[bytes], bytes]) -> dict[int, bytes]:
    """Each stream's text without its secrets."""
    return {stream: redact(_text(block, stream)) for stream in {stream for stream, _, _ in block}}


def _spread(block: list[Output], plain: dict[int, bytes]) -> list[Output]:
    """The block with each stream's text replaced as a whole."""
    pieces = {
        stream: iter(attributed([data for other, _, data in block if other == stream], text))
        for stream, text in plain.items()
    }
    spread = [(stream, time_ns, next(pieces[stream])) for stream, time_ns, _ in block]
    return [output for output in spread if output[2]]


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


def _text(block: list[Output], stream: int) -> bytes:
    return b"".join(data for other, _, data in block if other == stream)
