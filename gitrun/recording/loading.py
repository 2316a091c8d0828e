"""Code that a run loaded and that comes back neither with its source nor with its environment: kept, and named.

Python processes name what they loaded, and a command its program and script. What of it is nobody's goes to the store,
and the facts of the source say what else the run has shown of it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gitrun.capture.held import HeldSource
from gitrun.capture.imports import loaded_files, started_in, worktree_of
from gitrun.capture.loaded import Finder, Findings, Limits
from gitrun.capture.whereabouts import Territory, Whereabouts, prefixes_of
from gitrun.git.objects import reader_on_demand
from gitrun.model.canonical import path_bytes
from gitrun.recording.context import limit
from gitrun.recording.guarded import LeftOut
from gitrun.recording.live import LIMITS
from gitrun.recording.rooting import read_lines, write_lines

if TYPE_CHECKING:
    from gitrun.recording.observing import Subject


def keep_loaded(subject: Subject) -> Any:
    """Keeps what was loaded and is in nobody's keeping; what `coverage.loaded` says then.

    Not for where another host or container is looking: what it finds under these paths are other files.
    """
    context, live, draft = subject.context, subject.live, subject.draft
    source = draft["source"]
    lines = read_lines(live)
    worktree = worktree_of(draft)
    real = subject.observed.places.real  # a replay sees its copy of a root at the root's own place
    paths = {root["n"]: real(path_bytes(root["path"])) for root in source.get("roots") or []}
    starts = [process.start for process in subject.observed.processes]
    prefixes = prefixes_of([*starts, draft.get("interpreter") or {}])
    files = loaded_files(subject.observed, draft["command"], started_in(draft), worktree)
    with reader_on_demand(context.archive) as reader:
        finder = Finder(
            Whereabouts(Territory(worktree, list(paths.items()), prefixes), subject.owners.below),
            HeldSource(source, lines, reader),
            paths,
            worktree,
            context.archive.object_format,
            os.stat(os.path.join(live.member, "header.json")).st_mtime_ns,
        )
        found, shelf = finder.find(files, context.store, Limits(*(limit(draft, key) for key in LIMITS)))
    try:
        if found.lines:
            shelf.commit()
            write_lines(live, [*lines, *found.lines], source.get("roots") or [])  # what a collector looks at
    finally:
        shelf.close()
    _tell_source(source, found, worktree)
    return found.problems or ("complete" if subject.observed.processes else None)


def _tell_source(source: dict[str, Any], found: Findings, worktree: bytes | None) -> None:
    """Writes into the facts of the source what the run has shown of it."""
    if found.changed:
        changed = {*(source.get("changed_during_run") or []), *found.changed}
        source["changed_during_run"] = sorted(changed, key=path_bytes)
    source["roots"] = [dict(root) for root in source.get("roots") or []]  # a replay's are those of its run
    for root in source["roots"]:
        if names := found.imported_from.get(root["n"]):
            root["imported_from"] = sorted({*(root.get("imported_from") or []), *names})
    excluded = list(source.get("excluded") or [])
    named = {entry["path"] for entry in excluded}
    left_out = LeftOut(excluded, worktree)
    left_out.forget_counts()
    left_out.count(found.lines)
    excluded += [entry for entry in found.left_out if entry["path"] not in named]
    if excluded:
        source["excluded"] = sorted(excluded, key=lambda entry: path_bytes(entry["path"]))
