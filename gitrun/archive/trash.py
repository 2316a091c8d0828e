"""Removing runs, and having them back: a removed run keeps its commit under another name until its grace is over.

A ref below refs/gitrun/ has no reflog, so deleting it is final for whoever did not write its id down. So `rm`
only moves the ref. When that was is written beside it, in `<gitrun dir>/trash/<id>`: a ref says no time. Where
that file is missing, the grace begins when a collector first looks.
"""

from __future__ import annotations

import os
import time

from gitrun.archive.archive import Archive
from gitrun.archive.run import SealedRun
from gitrun.archive.tagging import PIN, refuse_pinned
from gitrun.errors import AmbiguousRun, GitrunError, LiveElsewhere, RunNotFound
from gitrun.files.write import make_dirs, remove_quietly, write_file
from gitrun.git.refs import RUNS, TRASH, RefTransaction, read_ref, read_refs
from gitrun.model import canonical
from gitrun.model.ids import is_run_id, short
from gitrun.model.times import iso, parse_iso


def remove(archive: Archive, run_id: str) -> None:
    """Move a sealed run to the trash.

    Raises RunNotFound, LiveElsewhere while it is being recorded, and GitrunError where it is pinned.
    """
    commit = read_ref(archive.repo, RUNS + run_id)
    if commit is None:
        if archive.run(run_id) is not None:
            raise LiveElsewhere(f"run {run_id} is being recorded", kept="the run", next=f"gitrun recover {run_id}")
        raise RunNotFound(f"there is no run {run_id}", next="gitrun ls")
    refuse_pinned(SealedRun(archive.objects, run_id, commit), "removed")
    _write_time(archive, run_id)
    _move(archive, run_id, RUNS, TRASH, commit)


def undelete(archive: Archive, text: str) -> str:
    """Give a removed run its name back, by its id or the end of it; the id."""
    run_id = _find(removed(archive), text)
    commit = read_ref(archive.repo, TRASH + run_id)
    if commit is None:
        raise RunNotFound(f"run {run_id} is no longer in the trash", next="gitrun ls")
    _move(archive, run_id, TRASH, RUNS, commit)
    remove_quietly(_time_path(archive, run_id))
    return run_id


def removed(archive: Archive) -> dict[str, str]:
    """The commits of the runs in the trash by their ids."""
    refs = read_refs(archive.repo, TRASH)
    found = {name.removeprefix(TRASH): commit for name, commit in refs.items()}
    return {run_id: commit for run_id, commit in found.items() if is_run_id(run_id)}


def expired(archive: Archive, grace_s: float, now_s: float) -> dict[str, str]:
    """Those of them whose grace is over and that are not pinned; one of unknown time begins its grace now."""
    found = {}
    for run_id, commit in removed(archive).items():
        at_s = _read_time(archive, run_id)
        if at_s is None:
            _write_time(archive, run_id)
        elif now_s - at_s >= grace_s and PIN not in SealedRun(archive.objects, run_id, commit).tags:
            found[run_id] = commit
    return found


def forget(archive: Archive, run_id: str, commit: str) -> None:
    """Take a run out of the trash for good."""
    transaction = RefTransaction(archive.repo)
    transaction.delete(TRASH + run_id, commit)
    if not transaction.commit():
        raise GitrunError(f"the ref of removed run {run_id} changed meanwhile", kept="the run", next="gitrun gc")
    remove_quietly(_time_path(archive, run_id))


def _move(archive: Archive, run_id: str, source: str, target: str, commit: str) -> None:
    transaction = RefTransaction(archive.repo)
    there = read_ref(archive.repo, target + run_id)
    if there is None:
        transaction.create(target + run_id, commit)
    elif there != commit:
        raise GitrunError(f"{target}{run_id} is another run", kept="both runs", next="gitrun fsck")
    transaction.delete(source + run_id, commit)
    if not transaction.commit():
        raise GitrunError(f"the ref of run {run_id} changed meanwhile", kept="the run", next="gitrun ls")


def _find(known: dict[str, str], text: str) -> str:
    found = [run_id for run_id in known if text in (run_id, short(run_id))] or [key for key in known if text in key]
    if not found or not text:
        raise RunNotFound(f"no removed run answers to {text!r}", next="gitrun ls")
    if len(found) > 1:
        raise AmbiguousRun(f"{text!r} could be {len(found)} removed runs", sorted(found), next="use the id")
    return found[0]


def _time_path(archive: Archive, run_id: str) -> str:
    return os.path.join(archive.gitrun_dir, "trash", run_id)


def _write_time(archive: Archive, run_id: str) -> None:
    path = _time_path(archive, run_id)
    make_dirs(os.path.dirname(path))
    write_file(path, canonical.encode({"format": 1, "removed_at": iso(time.time_ns())}))


def _read_time(archive: Archive, run_id: str) -> float | None:
    try:
        with open(_time_path(archive, run_id), "rb") as file:
            return parse_iso(canonical.decode(file.read(1 << 12))["removed_at"]) / 1e9
    except (OSError, ValueError, KeyError, TypeError):
        return None  # the grace begins anew, which keeps the run longer
