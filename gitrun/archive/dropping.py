"""Letting go of the content of files while the record of them stays.

The checkpoints of an old run are the bulk of it, and the least of what one wants to know about it. So their content
can go while digest, size and lineage stay: an event names the paths, every reader shows them as `dropped`, and the
next collection gives back the space of what nothing else needs.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitrun.archive.archive import Archive
from gitrun.archive.entries import Entry
from gitrun.archive.picking import pick, some_of
from gitrun.archive.run import Run
from gitrun.archive.since import DROP, entries_of
from gitrun.archive.tagging import refuse_pinned, say
from gitrun.errors import GitrunError, LiveElsewhere
from gitrun.model.canonical import path_text
from gitrun.model.ids import short


def droppable(run: Run, patterns: Iterable[str]) -> list[Entry]:
    """The stored files and directories that the patterns mean; a link has no content.

    Raises LiveElsewhere for a run that is being recorded, and GitrunError where there are none, or the run is pinned.
    """
    _refuse(run)
    return _stored(run, patterns)


def droppable_of(runs: list[Run], patterns: Iterable[str]) -> dict[str, list[Entry]]:
    """As `droppable` of each of several runs, by id; those that have no such file are left out.

    Raises as `droppable`: one run that is pinned or live refuses for all, before anything is dropped.
    """
    patterns = list(patterns)
    if len(runs) == 1:
        return {runs[0].id: droppable(runs[0], patterns)}
    for run in runs:
        _refuse(run)
    found = {run.id: [e for e in some_of(entries_of(run), patterns) if e.stored and e.type != "link"] for run in runs}
    if not any(found.values()):
        raise GitrunError(f"none of these {len(runs):,} runs has such a file stored", next="gitrun artifacts --help")
    return {run_id: entries for run_id, entries in found.items() if entries}


def _refuse(run: Run) -> None:
    if run.is_live:
        raise LiveElsewhere(f"run {run.id} is being recorded", kept="the run", next="wait for its end")
    refuse_pinned(run, "dropped")


def _stored(run: Run, patterns: Iterable[str]) -> list[Entry]:
    chosen = pick(entries_of(run), patterns, run.id)
    stored = [entry for entry in chosen if entry.stored and entry.type != "link"]
    if not stored:
        raise GitrunError(
            f"nothing is stored of these files of run {run.id}", kept="all", next=f"gitrun artifacts {short(run.id)}"
        )
    return stored


def drop(archive: Archive, run: Run, entries: Iterable[Entry]) -> None:
    """Say durably that the content of these entries may go."""
    say(archive, run, DROP, {"paths": sorted({path_text(entry.path) for entry in entries})})
