"""Curves in characters."""

from __future__ import annotations

import math

from gitrun.archive.metrics import Bucket
from gitrun.ui.plot import plot, sparkline


def line(*values: float) -> list[Bucket]:
    return [
        Bucket(n, n, None if math.isnan(value) else value, None if math.isnan(value) else value, value)
        for n, value in enumerate(values)
    ]


def test_sparklines() -> None:
    assert sparkline(line(0, 1, 2, 3, 4, 5, 6, 7)) == "▁▂▃▄▅▆▇█"
    assert sparkline(line(0, 10), plain=True) == "_#"
    assert sparkline(line(1, math.nan, math.inf, 2)) == "▁  █"
    assert sparkline(line(3, 3)) in ("▄▄", "▅▅") and sparkline([]) == ""
    assert sparkline(line(-1.7e308, 0, 1.7e308)) in ("▁▄█", "▁▅█")


def test_a_rising_line() -> None:
    assert plot(line(0, 1, 2, 3), 4, 4, plain=True) == [
        "3 |   *",
        "  |  *",
        "  | *",
        "0 |*",
        "  +----",
        "   0  3",
    ]


def test_a_peak_within_a_bucket_is_drawn() -> None:
    found = plot([Bucket(0, 9, 0.0, 100.0, 0.0), Bucket(10, 19, 0.0, 0.0, 0.0)], 2, 3, plain=True)
    assert found[:3] == ["100 |*", "    |*", "  0 |**"]
    assert found[-1].split() == ["0", "19"]


def test_dots_of_braille() -> None:
    found = plot(line(0, 1, 2, 3), 2, 1)
    assert found[0].endswith("│⡠⠊")


def test_what_cannot_be_drawn() -> None:
    assert plot(line(math.nan), 10, 3) == plot([], 10, 3) == ["(no number that could be drawn)"]
    assert plot(line(1, math.inf, 3), 3, 3, plain=True)[0] == "3 | **"
    assert len(plot(line(5, 5, 5), 3, 3)) == 5
