"""What the keeper saw of the machine, brought into the record: the part `system.parquet`, and in short `system`.

The file has the form of the metrics: a name, a step (seconds since the start), a time, a value. Where several members
took part their number stands as the rank.
"""

from __future__ import annotations

import os
import re
from array import array
from math import fsum
from typing import TYPE_CHECKING, Any

from gitrun.capture.columns import Group
from gitrun.capture.series import Points
from gitrun.child.frames import SYSTEM

if TYPE_CHECKING:
    from gitrun.recording.observing import Subject

PART = "system.parquet"
LEAST_LOOKS = 3  # what fewer points say is in the short form, which costs nothing
_GPU = re.compile("gpu/([0-9]+)/")


def keep_system_series(subject: Subject) -> Any:
    """Writes the part and the short form, where the run was looked at; what is missing, in sentences."""
    members = subject.live.members()
    devices = [device for member in subject.draft.get("members") or [] for device in member.get("devices") or []]
    found, problems = read_system_series(members)
    names = {name for group in found for name in group.names if _is_of_run(name, devices)}
    if not names:
        return problems or None
    subject.draft["system"] = short = {name: summary(found, name) for name in sorted(names)}
    if max(series["count"] for series in short.values()) >= LEAST_LOOKS:
        from gitrun.capture.parquet import tables, write_parquet  # Arrow: a tenth of a second

        write_parquet(tables(found, names), os.path.join(subject.live.parts, PART))
    return problems or "complete"


def read_system_series(members: list[str]) -> tuple[list[Group], list[str]]:
    """The points of the directories of members, and what is wrong with them."""
    groups: list[Group] = []
    problems: list[str] = []
    for member in members:
        points = Points([member], SYSTEM).read()
        problems += points.problems
        for group in points.groups:
            group.rank = int(os.path.basename(member)) if len(members) > 1 else None
            groups += [group] if group.count else []
    return groups, problems


def summary(groups: list[Group], name: str) -> dict[str, Any]:
    """A series in a few numbers, over all members."""
    values: list[float] = []
    for group in groups:
        if name in group.names:
            column = group.columns[2 + group.names.index(name)]
            values += array("d", b"".join(column))
    return {"count": len(values), "mean": fsum(values) / len(values), "min": min(values), "max": max(values)}


def _is_of_run(name: str, devices: list[Any]) -> bool:
    """Whether a series is of the run's own devices: on a large machine others work on the rest."""
    match = _GPU.match(name)
    numbers = {device.get("index") for device in devices if isinstance(device, dict)}
    return match is None or not numbers or int(match[1]) in numbers
