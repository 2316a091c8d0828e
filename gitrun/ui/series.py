"""Series while they grow: what of a metric with a million points a sparkline shows, and no more of it in memory."""

from __future__ import annotations

from array import array
from typing import NamedTuple

from gitrun.capture.series import Points
from gitrun.ui.plot import SPARKS


class Span(NamedTuple):
    """The last value of a part of a series."""

    last: float


class Trace:
    """A series of any length in as many values as a sparkline shows: every second one goes when they are too many."""

    def __init__(self) -> None:
        self.last = 0.0
        self.step = 0
        self._stride = 1
        self._seen = 0
        self._values: list[float] = []

    def add(self, steps: array[int], values: array[float]) -> None:
        """Takes further points, in their order."""
        self.last, self.step = values[-1], steps[-1]
        self._values += values[-self._seen % self._stride :: self._stride]
        self._seen += len(values)
        while len(self._values) > 4 * SPARKS:
            self._values = self._values[::2]
            self._stride *= 2

    def spans(self) -> list[Span]:
        """What a sparkline draws."""
        kept = self._values
        width = max(1, -(-len(kept) // SPARKS))
        return [Span(kept[min(n + width, len(kept)) - 1]) for n in range(0, len(kept), width)]


class Traces:
    """The series in the journals of some directories; `read` takes what is new. Of several ranks the first is shown."""

    def __init__(self, members: list[str], prefix: str) -> None:
        self._points = Points(members, prefix)
        self._ranks: dict[str, int] = {}
        self.by_name: dict[str, Trace] = {}

    def add(self, member: str) -> None:
        """Reads the journals of another directory as well from now on."""
        self._points.add_folder(member)

    def read(self) -> None:
        """Takes the points that were written since the last look."""
        for group in self._points.read().groups:
            step_pieces, _, *value_pieces = group.columns
            steps, rank = array("q", b"".join(step_pieces)), -1 if group.rank is None else group.rank
            for name, pieces in zip(group.names, value_pieces, strict=True):
                values = array("d", b"".join(pieces))
                known = self._ranks.get(name, rank)
                if rank < known or name not in self.by_name:
                    self.by_name[name], known = Trace(), rank
                self._ranks[name] = known
                if rank == known and values:
                    self.by_name[name].add(steps, values)
            for pieces in group.columns:
                pieces.clear()
