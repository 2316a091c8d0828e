"""What a remote has: the ids of its runs from its refs, and of each what its commit says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from gitrun.archive.archive import Archive
from gitrun.archive.message import Summary, decode_message
from gitrun.errors import DamagedRecord
from gitrun.git.refs import RUNS
from gitrun.git.transport import Remote
from gitrun.git.trees import parse_commit
from gitrun.monitor import Monitor
from gitrun.remote.known import runs_in


class There(NamedTuple):
    """A run of a remote: its commit there, whether it is here, and what its commit says where that is known."""

    run_id: str
    commit: str
    is_here: bool
    summary: Summary | None


def list_runs(archive: Archive, remote: Remote, limit: int | None, monitor: Monitor) -> tuple[list[There], int, bool]:
    """The runs of a remote, the latest id first, `limit` of them; how many more there are, and whether their commits
    could be had without all that they name. Raises RemoteFailed."""
    theirs = runs_in(remote.refs([RUNS], monitor))
    ids = sorted(theirs, reverse=True)
    shown = ids if limit is None else ids[:limit]
    local = archive.sealed()
    here = {run.id: run.summary for run in archive.runs([run_id for run_id in shown if run_id in local])}
    wants = {RUNS + run_id: theirs[run_id] for run_id in shown if run_id not in here}
    cache = os.path.join(archive.gitrun_dir, "cache", "remotes", f"{remote.key}.git")
    commits, has_all = remote.commits(wants, cache, monitor) if wants else ({}, True)
    summaries = {run_id: _summary(commits.get(theirs[run_id])) for run_id in shown if run_id not in here}
    found = [
        There(run_id, theirs[run_id], run_id in here, here.get(run_id) or summaries.get(run_id)) for run_id in shown
    ]
    return found, len(ids) - len(shown), has_all or all(there.summary for there in found)


def _summary(data: bytes | None) -> Summary | None:
    if data is None:
        return None
    try:
        return decode_message(parse_commit(data).message.decode("utf-8", "replace"))
    except DamagedRecord:
        return None


def headers(found: Sequence[There]) -> list[list[str]]:
    """Each run as fields of a line: id, name, status, exit, start, seconds, here or there, command."""
    return [_fields(there) for there in found]


def _fields(there: There) -> list[str]:
    said = there.summary or Summary(there.run_id, "")
    took = "" if said.duration_s is None else f"{said.duration_s:.3f}"
    where = "here" if there.is_here else ""
    return [there.run_id, said.name, said.status, said.exit, said.started, took, where, said.command]
