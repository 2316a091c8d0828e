"""What every comparison of a family of formats is given: the tolerance, how deep it is, and what it may still spend.

Files are hostile: an archive in an archive in an archive unpacks to more than any disk. One budget of unpacked
bytes and one depth are shared by all that is opened on behalf of two files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from gitrun.replay.levels import Finding, Level

if TYPE_CHECKING:
    from gitrun.replay.compare.window import Window

MAX_DEPTH = 4
UNPACKED_BYTES = 4 << 30
UNPACKED_RATIO = 40


class NotThis(ValueError):
    """The bytes are not of this format, or can be read in more than one way."""


class Tolerance(NamedTuple):
    """Numbers are close when |a - b| <= atol + rtol * min(|a|, |b|): numpy.isclose, in both directions."""

    rtol: float = 1e-5
    atol: float = 1e-8


class Budget:
    """How many bytes may still be unpacked; raises NotThis when they are spent."""

    def __init__(self, total: int) -> None:
        self._left = total

    def spend(self, count: int) -> None:
        """Take `count` bytes off."""
        self._left -= count
        if self._left < 0:
            raise NotThis("it unpacks to more than can be looked at")

    def metered(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces, each paid for as it comes."""
        for piece in pieces:
            self.spend(len(piece))
            yield piece


class Context(NamedTuple):
    """`compare` judges what lies inside, one level deeper."""

    tolerance: Tolerance
    depth: int
    budget: Budget
    compare: Callable[[bytes, Window, Window, Context], Finding]

    def inside(self, path: bytes, a: Window, b: Window) -> Finding:
        """What the contents of two containers have in common; raises NotThis below the depth that is looked at."""
        if self.depth >= MAX_DEPTH:
            raise NotThis("containers in containers, deeper than is looked at")
        return self.compare(path, a, b, self._replace(depth=self.depth + 1))


def worst(findings: list[tuple[str, Finding]], what: str) -> Finding | None:
    """The weakest of what was found for each named part, told by the first part that is so weak; None for all `bit`.

    `what` is the plural of the parts.
    """
    apart = [(name, finding) for name, finding in findings if finding.level is not Level.BIT]
    if not apart:
        return None
    level = min(finding.level for _, finding in apart)
    name, finding = next((name, finding) for name, finding in apart if finding.level is level)
    more = f" ({len(apart)} of {len(findings)} {what} are not the same bytes)" if len(findings) > 1 else ""
    first = name if finding.first is None else f"{name}: {finding.first}"
    return Finding(level, f"{name}: {finding.detail}{more}", first)
