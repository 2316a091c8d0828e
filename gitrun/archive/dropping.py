"""Letting go of the content of files while the record of them stays.

The checkpoints of an old run are the bulk of it, and the least of what one wants to know about it. So their content
can go while digest, size and lineage stay: an event names the paths, every reader shows them as `dropped`, and the
next collection gives back the space of what nothing else needs.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitrun.archive.archive import Archive
from gitrun.archive.entries import Entry
from gitrun.archive.picking import pick
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
    if run.is_live:
        raise LiveElsewhere(f"run {run.id} is being recorded", kept="the run", next="wait for its end")
    refuse_pinned(run, "dropped")
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
