"""The first few of many, and how many more there are: in a sentence, or in lines."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 5


def listed(items: Sequence[str], shown: int = SHOWN) -> str:
    """`a, b and 3 more`."""
    more = len(items) - shown
    return ", ".join(items[:shown]) + (f" and {more:,} more" if more > 0 else "")


def first_lines(items: Sequence[str], shown: int = SHOWN) -> list[str]:
    """The first ones, and where there are more a line `… and 3 more`."""
    more = len(items) - shown
    return [*items[:shown], *([f"… and {more:,} more"] if more > 0 else [])]
