"""Screens and tables: colours only where wanted, widths in columns, patches that cannot drive a terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest

from gitrun.ui.table import Cell, columns, print_table, shorten
from gitrun.ui.terminal import Screen


class Tty(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return True

    @property
    def written(self) -> bytes:
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue()


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours(environ: Mapping[str, str], coloured: bool) -> None:
    assert (Screen(Tty(), environ).style("x", "red") == "\x1b[31mx\x1b[0m") is coloured
    assert Screen(io.StringIO(), environ).style("x", "red") == "x"


def test_a_table_is_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    tty = Tty()
    print_table(Screen(tty, {"NO_COLOR": "1"}), ("A", "B"), [[Cell("日本"), Cell("y" * 40)], [Cell("x"), Cell("")]])
    assert tty.written.decode().splitlines() == ["A     B", "日本  " + "y" * 13 + "…", "x"]


@pytest.mark.parametrize(
    ("text", "width", "short"), [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 4, "日…"), ("é", 1, "é")]
)
def test_shorten(text: str, width: int, short: str) -> None:
    assert shorten(text, width) == short
    assert columns(short) <= width


def test_a_patch_keeps_git_colours_and_nothing_else() -> None:
    tty = Tty()
    Screen(tty, {}).foreign(b"\x1b[31m-a\x1b[m\x1b]0;owned\x07\r\n\tb\x1b[2J")
    assert tty.written == b"\x1b[31m-a\x1b[m^[]0;owned^G^M\n\tb^[[2J"
    pipe = io.TextIOWrapper(io.BytesIO())
    Screen(pipe, {}).foreign(b"\x1b]0;raw\x07")
    assert pipe.buffer.getvalue() == b"\x1b]0;raw\x07"  # type: ignore[attr-defined]
