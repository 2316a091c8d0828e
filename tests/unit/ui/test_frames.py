"""Progress bars: what a line came to, however its bytes come in pieces."""

from __future__ import annotations

import random

import pytest

from gitrun.ui.frames import Collapser, last_writing

BAR = b"start\n" + b"".join(b"\r%3d%%|####  |" % n for n in range(101)) + b"\nend\r\nlast"


def collapsed(pieces: list[bytes], redraw: bool = False) -> bytes:
    collapser = Collapser(redraw)
    return b"".join([*map(collapser.feed, pieces), collapser.finish()])


def on_a_terminal(data: bytes) -> bytes:
    """What a terminal of endless width shows: every line in its last state."""
    lines = []
    for line in data.split(b"\n"):
        shown = b""
        for text in line.replace(b"\r\x1b[K", b"\r").split(b"\r"):
            shown = text or shown
        lines.append(shown)
    return b"\n".join(lines)


@pytest.mark.parametrize("seed", range(20))
def test_pieces_make_no_difference(seed: int) -> None:
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(len(BAR)), 30))
    pieces = [BAR[a:b] for a, b in zip([0, *cuts], [*cuts, len(BAR)], strict=True)]
    assert collapsed(pieces) == b"start\n100%|####  |\nend\nlast"
    assert on_a_terminal(collapsed(pieces, redraw=True)) == b"start\n100%|####  |\nend\nlast"


def test_a_terminal_sees_an_unfinished_line_grow_and_change() -> None:
    collapser = Collapser(redraw=True)
    assert [collapser.feed(piece) for piece in (b"name: ", b"x", b"\r", b" 5%", b"\n")] == [
        b"name: ", b"x", b"", b"\r\x1b[K 5%", b"\n",
    ]  # fmt: skip


def test_elsewhere_only_whole_lines_are_shown() -> None:
    collapser = Collapser(redraw=False)
    assert [collapser.feed(piece) for piece in (b"\r 5%", b"\r10%", b"\n")] == [b"", b"", b"10%\n"]


def test_text_without_a_return_is_as_it_is() -> None:
    text = b"\x00\xff one\n\n two"
    assert collapsed([text]) == collapsed([bytes([byte]) for byte in text], redraw=True) == text


def test_a_line_without_an_end_takes_no_memory() -> None:
    collapser = Collapser(redraw=False)
    shown = b"".join(collapser.feed(b"x" * 1000) for _ in range(1000)) + collapser.finish()
    assert shown == b"x" * 1_000_000 and len(collapser._line) < 100_000


def test_a_bar_that_was_wiped_shows_what_follows() -> None:
    assert last_writing(b"\r 50%\r     \rnext") == b"next"
