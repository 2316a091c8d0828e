"""How many there are; the first few of many, and how many more: in a sentence, or in lines."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 5


def plural(count: int, noun: str) -> str:
    """`1 file`, `3 files`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(items: Sequence[str], shown: int = SHOWN) -> str:
    """`a, b and 3 more`."""
    more = len(items) - shown
    return ", ".join(items[:shown]) + (f" and {more:,} more" if more > 0 else "")


def first_lines(items: Sequence[str], shown: int = SHOWN) -> list[str]:
    """The first ones, and where there are more a line `… and 3 more`."""
    more = len(items) - shown
    return [*items[:shown], *([f"… and {more:,} more"] if more > 0 else [])]
