"""A list as a table on a terminal, as clean lines in a pipe, or as CSV.

In a pipe there is no header, no padding and no truncation: one record a line, tabs between
fields, so that `cut` and `awk` work. On a terminal the last column gives way to the width.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TextIO

from gitrun.ui.terminal import Screen


class Cell(NamedTuple):
    """A text and its style."""

    text: str
    style: str | None = None


def print_table(screen: Screen, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Print rows with a header, columns as wide as their widest cell, nothing beyond the screen."""
    lines = [[Cell(title, "bold") for title in header], *rows]
    widths = [max(columns(cell.text) for cell in column) for column in zip(*lines, strict=True)]
    for row in lines:
        left = screen.width
        line = ""
        for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
            last = number == len(row) - 1
            text = shorten(cell.text, max(8, left) if last else width)
            line += screen.style(text, cell.style) + ("" if last else " " * (width - columns(text) + 2))
            left -= width + 2
        screen.line(line.rstrip(" "))


def print_lines(screen: Screen, rows: Iterable[Sequence[str]]) -> None:
    """Print rows as lines with a tab between fields."""
    for row in rows:
        screen.line("\t".join(row))


def print_csv(stream: TextIO, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows as CSV with a header line (RFC 4180 quoting, `\\n` line ends)."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(character) for character in text)


def shorten(text: str, width: int) -> str:
    """`text` cut to `width` columns, with an ellipsis where something is missing."""
    if columns(text) <= width:
        return text
    kept, used = "", 1
    for character in text:
        used += _columns_of(character)
        if used > width:
            break
        kept += character
    return kept + "…"


def _columns_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
