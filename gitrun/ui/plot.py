"""Curves in characters: a sparkline for a list, a plot with axes for one metric.

A screen has a hundred columns, a metric a million points. So both are given buckets of points, and draw for each from
its least to its largest value: a peak of one point is still seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gitrun.archive.metrics import Bucket

_BLOCKS = "▁▂▃▄▅▆▇█"
_PLAIN_BLOCKS = "_.-=*#"
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # of a braille character, by column and row
BRAILLE = 0x2800
SPARKS = 24  # characters of a sparkline


class HasLast(Protocol):
    """What a sparkline needs of a bucket."""

    @property
    def last(self) -> float: ...


def sparkline(buckets: Sequence[HasLast], plain: bool = False) -> str:
    """The last values as blocks of eight heights; `plain` for a screen without them."""
    blocks = _PLAIN_BLOCKS if plain else _BLOCKS
    numbers = [bucket.last for bucket in buckets if math.isfinite(bucket.last)]
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)
    return "".join(
        blocks[round(_part(bucket.last, low, high) * (len(blocks) - 1))] if math.isfinite(bucket.last) else " "
        for bucket in buckets
    )


def plot(buckets: Sequence[Bucket], width: int, height: int, plain: bool = False) -> list[str]:
    """Lines with a curve of `width` by `height` characters, and its axes.

    A plot of braille has room for `2 * width` buckets, a plain one for `width`.
    """
    return overlay([buckets], width, height, plain, lambda _, dots: "*" if plain else chr(BRAILLE + dots))


def overlay(
    curves: Sequence[Sequence[Bucket]], width: int, height: int, plain: bool, draw: Callable[[int, int], str]
) -> list[str]:
    """As `plot`, several curves over the same axes.

    `draw` makes a character of the number of a curve and of its dots there; where curves meet the first one is seen.
    """
    ends = [
        value
        for buckets in curves
        for bucket in buckets
        for value in (bucket.min, bucket.max)
        if value is not None and math.isfinite(value)
    ]
    if not ends:
        return ["(no number that could be drawn)"]
    low, high = min(ends), max(ends)
    first = min(buckets[0].step for buckets in curves if buckets)
    last = max(buckets[-1].last_step for buckets in curves if buckets)
    canvas = [[" "] * width for _ in range(height)]
    for number, buckets in reversed(list(enumerate(curves))):
        for (row, column), dots in _dots(buckets, (first, last), (low, high), (width, height), plain).items():
            canvas[row][column] = draw(number, dots)
    labels = {0: f"{high:.6g}", height - 1: f"{low:.6g}"}
    margin = max(map(len, labels.values()))
    bar, corner, line = ("|", "+", "-") if plain else ("│", "└", "─")
    lines = [f"{labels.get(n, '').rjust(margin)} {bar}{''.join(row)}".rstrip() for n, row in enumerate(canvas)]
    lines.append(f"{' ' * margin} {corner}{line * width}")
    room = max(len(str(last)) + 1, width - len(str(first)))
    return [*lines, f"{' ' * (margin + 2)}{first}{str(last).rjust(room)}"]


def _dots(
    buckets: Sequence[Bucket],
    steps: tuple[int, int],
    values: tuple[float, float],
    size: tuple[int, int],
    plain: bool,
) -> dict[tuple[int, int], int]:
    """The dots of a curve in each character that it passes, by row and column."""
    across, up = (1, 1) if plain else (2, 4)
    found: dict[tuple[int, int], int] = {}
    for bucket in buckets:
        column = round(_part(bucket.step, *steps) * (size[0] * across - 1))
        for row in _rows(bucket, *values, size[1] * up):
            place = row // up, column // across
            found[place] = found.get(place, 0) | (1 if plain else _DOTS[column % across][row % up])
    return found


def _rows(bucket: Bucket, low: float, high: float, rows: int) -> range:
    """The rows of dots, from the top, that a bucket covers."""
    if bucket.min is None or bucket.max is None:
        return range(0)
    top, bottom = (round((1 - _part(value, low, high)) * (rows - 1)) for value in (bucket.max, bucket.min))
    return range(top, bottom + 1)


def _part(value: float, low: float, high: float) -> float:
    """Where a value lies between two others, from 0 to 1; what is beyond them, at the end."""
    if not low < high:
        return 0.5
    half = high / 2 - low / 2  # the difference itself may be beyond the largest float
    return min(1.0, max(0.0, (value / 2 - low / 2) / half))
