"""The runs that were recorded inside another run.

A child names its parent, a sealed parent cannot name its children. But a child starts while its parent lives, and
ids begin with the second in which a run started: so only the runs of that time are looked at, however many there are.
"""

from __future__ import annotations

from gitrun.archive.archive import Archive
from gitrun.archive.run import Run
from gitrun.model.ids import second

_MOST = 100_000


def children_of(archive: Archive, run: Run) -> list[Run]:
    """The runs whose parent is `run`, the one that started first first."""
    first, last = second(run.id), _word_of(run.record.get("ended_at"))
    within = [other for other in archive.run_ids() if first <= second(other) <= (last or other) and other != run.id]
    found = [other for other in archive.runs(within[-_MOST:]) if other.summary.parent == run.id]
    return sorted(found, key=lambda child: (child.summary.started, child.id))


def _word_of(time: object) -> str | None:
    """`2026-11-24T06:12:46.123456Z` as an id has it, `20261124-061246`."""
    return str(time)[:19].replace("-", "").replace(":", "").replace("T", "-") if time else None
