"""Runs that go on where others ended: one training, told in legs.

Each leg is a run of its own and names the run it was resumed from. What people want to see is the training: a list
shows the last leg for all of them, and a name that all legs have means the last one. Links come out of records, so
they may lead nowhere or in a circle; whoever follows them here always arrives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gitrun.archive.drift import drift
from gitrun.errors import GitrunError
from gitrun.git.objects import ObjectReader, open_reader

if TYPE_CHECKING:
    from gitrun.archive.archive import Archive
    from gitrun.archive.run import Run

MOST_LEGS = 10_000


def legs(run_id: str, resumed_from: Mapping[str, str]) -> list[str]:
    """The ids of the runs that led to a run, the first leg first and the run itself last.

    `resumed_from` has the link of each run that has one. A first leg that is not in the archive any more counts.
    """
    found = {run_id: None}
    while (earlier := resumed_from.get(run_id)) and earlier not in found and len(found) < MOST_LEGS:
        found[earlier] = None
        run_id = earlier
    return list(found)[::-1]


def last_legs(run_ids: Iterable[str], resumed_from: Mapping[str, str]) -> list[str]:
    """The same runs in their order, without those that another one of them goes on from."""
    listed = list(run_ids)
    continued: set[str] = set()
    for run_id in listed:
        if run_id not in continued:
            continued.update(legs(run_id, resumed_from)[:-1])
    return [run_id for run_id in listed if run_id not in continued]


def earlier_legs(archive: Archive, run: Run) -> list[Run]:
    """The runs that led to a run, the first leg first, as far as the archive has them."""
    found = {run.id: run}
    while (earlier := run.summary.resumed_from) and earlier not in found and len(found) < MOST_LEGS:
        before = archive.run(earlier)
        if before is None:
            break  # removed, or never fetched
        found[earlier] = run = before
    return list(found.values())[:0:-1]


def describe_legs(archive: Archive, run: Run) -> list[dict[str, Any]]:
    """The legs of a resumed run, itself last; none for a run that was not resumed.

    `drift` has the files of the source that differ from the leg before; None where there is none, or it cannot be read.
    """
    found = [*earlier_legs(archive, run), run]
    if len(found) == 1:
        return []
    described = []
    with open_reader(archive.repo) as reader:
        for before, leg in zip([None, *found], found, strict=False):
            described.append(
                {
                    "id": leg.id,
                    "status": leg.summary.status,
                    "started_at": leg.summary.started or None,
                    "duration_s": leg.summary.duration_s,
                    "drift": None if before is None else _drift(reader, before, leg),
                }
            )
    return described


def _drift(reader: ObjectReader, before: Run, leg: Run) -> list[str] | None:
    try:
        return drift(reader, before.record.get("source") or {}, leg.record.get("source") or {})
    except GitrunError:
        return None  # of a damaged run nobody knows what it ran from, and it says so itself
