"""How much of a run came out again, in five words.

A verdict is only as strong as the weakest thing it rests on, so the words are ordered, and everything
that compares two things says one of them. Weakest first: `differs`, `unverifiable` (nobody can tell),
`tolerance` (numbers close enough), `semantic` (the same values in another container), `bit`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple


class Level(IntEnum):
    """What two things have in common; the smaller number is the weaker word."""

    DIFFERS = 0
    UNVERIFIABLE = 1
    TOLERANCE = 2
    SEMANTIC = 3
    BIT = 4

    @property
    def word(self) -> str:
        """As it stands in a verdict."""
        return self.name.lower()


class Finding(NamedTuple):
    """What a comparison found.

    `detail` is one sentence for a researcher, empty for `bit`; `first` says where the first difference is.
    """

    level: Level
    detail: str = ""
    first: str | None = None


SAME_BYTES = Finding(Level.BIT)


def weakest(levels: Iterable[Level]) -> Level:
    """The level of the whole; `unverifiable` where there is nothing to compare."""
    return min(levels, default=Level.UNVERIFIABLE)
