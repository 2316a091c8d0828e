"""What a run's programs have said while it is being recorded: read out of their journals, for lists and pages.

A list is asked for many runs at once, and a journal may have gigabytes. So of long ones the beginning and the end are
read: first and last values are right, and the names, the configuration and the summary are there as far as they were
said there; how many points there are, and which is the least, nobody knows then. `gitrun metrics` and `gitrun show`
read all of it.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from gitrun.archive.live_view import SoFar
from gitrun.capture.columns import Group
from gitrun.capture.series import Points
from gitrun.model.metrics import SUMMARY
from gitrun.recording.live import LiveDirectory
from gitrun.recording.measuring import said


def so_far(directory: str, most_bytes: int) -> SoFar:
    """What was said until now in a live directory; never raises for what lies there."""
    points = Points(LiveDirectory(directory).members(), most_bytes=most_bytes).read()
    places: dict[str, list[tuple[Group, int]]] = {}
    for group in points.groups:
        for number, name in enumerate(group.names):
            if group.count:
                places.setdefault(name, []).append((group, 2 + number))
    metrics = {name: _summary(places[name], points.is_partial) for name in sorted(places)}
    return SoFar(metrics, said(points, "summary"), said(points, "config"))


def _summary(places: list[tuple[Group, int]], is_partial: bool) -> dict[str, Any]:
    """What is known of a metric as a whole: of rank 0 and of no rank, else of the lowest rank that has it."""
    lowest = min((group.rank or 0 for group, _ in places), default=0)
    chosen = [(group, at) for group, at in places if (group.rank or 0) == lowest]
    steps, times, values = array("q"), array("q"), array("d")
    for group, at in chosen:
        steps.frombytes(b"".join(group.columns[0]))
        times.frombytes(b"".join(group.columns[1]))
        values.frombytes(b"".join(group.columns[at]))
    first, last = _ends(steps, times)
    found = dict.fromkeys(SUMMARY)
    found |= {"first": values[first], "last": values[last], "last_step": steps[last]}
    if not is_partial:
        numbers = range(len(values)) if sum(values) == sum(values) else [n for n, v in enumerate(values) if v == v]
        found["count"] = len(values)
        for end, choose in (("min", min), ("max", max)):
            place = choose(numbers, key=values.__getitem__, default=None)
            found[end], found[f"{end}_step"] = (None, None) if place is None else (values[place], steps[place])
    return found


def _ends(steps: Sequence[int], times: Sequence[int]) -> tuple[int, int]:
    """The places of the first and of the last point, by step and then by time, of equal ones the later written last."""
    order = range(len(steps))
    if steps[0] == min(steps) and steps[-1] == max(steps) and times[0] <= times[-1]:
        return 0, len(steps) - 1
    return min(order, key=lambda n: (steps[n], times[n])), max(order, key=lambda n: (steps[n], times[n], n))
