"""What a run's environment is and whether it can be had here, said without building anything."""

from __future__ import annotations

import os
from typing import Any

from gitrun.archive.archive import Archive
from gitrun.archive.run import Run
from gitrun.archive.since import merged
from gitrun.files.names import check_path
from gitrun.model.canonical import path_bytes
from gitrun.replay.environments.editables import read_editables
from gitrun.replay.environments.outcome import NotRebuilt
from gitrun.replay.environments.present import in_place
from gitrun.replay.environments.rebuilding import kept, place_of, plan_of
from gitrun.replay.environments.recorded import editable, read_recorded

ENV = ".env"  # the directory beside a checkout, as `.roots` and `.loaded` are


def describe_environment(archive: Archive, run: Run) -> dict[str, Any] | None:
    """The environment of a run as `gitrun env RUN --json` prints it; None where its program was no Python.

    `available` is the best way to have it here: `kept`, `can be built`, `in place`, or null with `reason` and `next`.
    Raises NotRebuilt where the record has no description of it.
    """
    recorded = read_recorded(run)
    if recorded is None:
        return None
    editables = read_editables(archive, recorded)
    said: dict[str, Any] = {"available": None, "directory": None, "reason": None, "next": None, "level": None}
    place = place_of(archive, recorded, editables)
    found = kept(archive, recorded, place, "same-version")
    if found is not None:
        said.update(available="kept", directory=found.directory, level=found.level)
        if found.hold is not None:
            found.hold.release()
    else:
        try:
            plan = plan_of(archive, recorded, editables, None)
            said.update(available="can be built", directory=place.prefix, level=plan.python.level)
        except NotRebuilt as problem:
            said.update(reason=problem.message, next=problem.next or None)
            if (here := in_place(archive, recorded)) is not None:
                said.update(available="in place", directory=recorded.path("prefix"), level=here.level)
    lock = merged(run.record, run.events()).get("lock") or {}
    return {
        "run": run.id,
        "digest": recorded.digest,
        "python": recorded.python,
        "distributions": len(recorded.value.get("distributions") or []),
        "editable": [pin.name for pin in editable(recorded)],
        "conda": len(recorded.value.get("conda") or []),
        "lock": {name: lock.get(name) for name in ("state", "reason", "source", "missing", "vendored")},
        **said,
    }


def default_place(run: Run, directory: str) -> str:
    """Where the environment of a checkout in `directory` is made: where it was in the worktree, else beside it."""
    recorded = read_recorded(run)
    worktree = run.record.get("worktree")
    prefix = recorded.path("prefix") if recorded is not None else None
    if prefix is None or not isinstance(worktree, str) or not prefix.startswith(worktree.rstrip("/") + "/"):
        return directory + ENV
    below = prefix[len(worktree.rstrip("/")) + 1 :]
    check_path(path_bytes(below))
    place = os.path.join(directory, below)
    inside = os.path.realpath(os.path.dirname(place)) + os.sep
    is_inside = inside.startswith(os.path.realpath(directory) + os.sep)
    return place if is_inside and not os.path.lexists(place) else directory + ENV
