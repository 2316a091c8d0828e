"""Who else worked in the same directory while a run did: then nobody knows whose a new file is.

A run that began before this one and had not ended was live at its start, one that began later has a later id. Its
parent and its children are no strangers: what a child writes, its parent has had written.
"""

import os
from collections.abc import Iterator
from typing import Any

from gitrun.errors import GitrunError
from gitrun.git.objects import ObjectReader
from gitrun.git.refs import RUNS, read_refs
from gitrun.git.trees import file_of_commit
from gitrun.model.canonical import MAX_BYTES, DecodeProblem, decode
from gitrun.model.ids import second
from gitrun.recording.context import Context
from gitrun.recording.live import live_beside

_MOST = 1000  # runs that are asked


def has_neighbours(context: Context, reader: ObjectReader, draft: dict[str, Any]) -> bool:
    """Whether another run worked at, above or below the directory of this one while it ran."""
    above = _parents(context, draft)
    own = {draft["id"]}
    others = list(_others(context, reader, draft))
    while born := {other.get("id") for other in others if _parent(other) in own} - own:
        own |= born
    return any(
        other.get("id") not in own | above
        and str(other.get("ended_at") or "~") >= draft["started_at"]  # or it had ended in the same second
        and _overlap(draft["worktree"], other.get("worktree"))
        for other in others
    )


def _parent(record: dict[str, Any]) -> Any:
    return (record.get("links") or {}).get("parent")


def _others(context: Context, reader: ObjectReader, draft: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The records of the runs that may have overlapped."""
    run_id = draft["id"]
    refs = {name.removeprefix(RUNS): commit for name, commit in read_refs(context.archive, RUNS).items()}
    earlier = draft["live"].get("neighbours") or []
    later = [name for name in refs if second(name) >= second(run_id)]
    names = {*earlier, *later, *live_beside(context.gitrun_dir, run_id)} - {run_id}
    for name in sorted(names)[:_MOST]:
        try:
            yield _sealed(reader, refs[name]) if name in refs else _live(context, name)
        except (OSError, GitrunError, DecodeProblem, LookupError):
            continue  # sealed or removed just now, or damaged: it can claim nothing


def _live(context: Context, run_id: str) -> dict[str, Any]:
    with open(os.path.join(context.gitrun_dir, "live", run_id, "run.json"), "rb") as file:
        record: dict[str, Any] = decode(file.read(MAX_BYTES))
    return record


def _sealed(reader: ObjectReader, commit: str) -> dict[str, Any]:
    record: dict[str, Any] = decode(file_of_commit(reader, commit, b"run.json", MAX_BYTES))
    return record


def _parents(context: Context, draft: dict[str, Any]) -> set[str]:
    """The run that this one is part of, and those that one is part of; they are live as long as it is."""
    found: set[str] = set()
    parent = _parent(draft)
    while isinstance(parent, str) and parent not in found:
        found.add(parent)
        try:
            parent = _parent(_live(context, parent))
        except (OSError, DecodeProblem):
            break  # it lives in another archive, or no more
    return found


def _overlap(ours: Any, theirs: Any) -> bool:
    if not isinstance(ours, str) or not isinstance(theirs, str):
        return False
    above, below = sorted((ours.rstrip("/") + "/", theirs.rstrip("/") + "/"), key=len)
    return below.startswith(above) and ".git" not in below[len(above) :].split("/")  # a replay has a place in there
