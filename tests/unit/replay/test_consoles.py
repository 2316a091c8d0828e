"""Two consoles, stream by stream."""

from __future__ import annotations

from gitrun.replay.consoles import compare_consoles, console_of, first_difference, last_line


def test_consoles_agree_stream_by_stream_however_they_were_cut() -> None:
    one = console_of([(1, 10, b"ab"), (2, 11, b"x"), (1, 12, b"c")])
    other = console_of([(2, 5, b"y"), (1, 6, b"a"), (1, 7, b"bc")])
    assert compare_consoles(one, other) == {"stdout": True, "stderr": False}


def test_a_console_with_a_gap_is_not_compared() -> None:
    whole = console_of([(1, 10, b"ab")])
    gapped = console_of([(1, 10, b"ab"), (0, 0, b"[5 bytes not kept]")])
    for other in (gapped, None):
        assert compare_consoles(whole, other) == compare_consoles(other, whole) == {"stdout": None, "stderr": None}


def test_the_first_line_that_differs_is_found() -> None:
    one, other = console_of([(1, 0, b"a\nb\n")]), console_of([(1, 0, b"a\nc\nd\n")])
    assert first_difference(one, other, 1) == "line 2: 'b', now 'c'"
    assert first_difference(one, console_of([(1, 0, b"a\n")]), 1) == "line 2: 'b', now no such line"
    assert "line ends" in first_difference(one, console_of([(1, 0, b"a\nb")]), 1)


def test_the_last_words_are_the_last_line_that_says_something() -> None:
    assert last_line(console_of([(2, 0, b"Traceback\nKeyError: 'x'\n\n")])) == "KeyError: 'x'"
    assert last_line(console_of([(1, 0, b"out\n")])) is None
