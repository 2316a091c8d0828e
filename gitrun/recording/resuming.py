"""Resuming: which earlier run a new one goes on from, and which files of its source are not as they were.

What a program resumes from is its own affair, a checkpoint most often. gitrun links the two runs, so that they can be
read as one, and says where the code has changed between them.

A job that is requeued cannot name the run it had: `auto` finds it. It is the latest run of the given name, else of
this Slurm job, that has not completed and that no other run goes on from. All jobs of an array have one name, so
there the index has to agree as well. Whether a run that is still listed as live has ended is judged as when it is to be
sealed; a scheduler that has started its job again has ended it, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gitrun.archive.archive import Archive
from gitrun.archive.drift import drift
from gitrun.archive.harmless import harmless
from gitrun.archive.live_view import LiveRun
from gitrun.archive.message import VALUE_LIMIT
from gitrun.archive.run import Run
from gitrun.archive.selectors import resolve
from gitrun.capture.scheduler import find_placement
from gitrun.errors import GitrunError, UsageError
from gitrun.files.holder import here
from gitrun.git.objects import open_reader
from gitrun.git.repository import Repository
from gitrun.monitor import Monitor
from gitrun.recording.live import LiveDirectory
from gitrun.recording.liveness import ALIVE, DEAD, judge
from gitrun.recording.recover import recover_all
from gitrun.recording.request import Earlier, RecordRequest
from gitrun.recording.unrecorded import runs_unrecorded
from gitrun.settings import Settings

AUTO = "auto"


def resume(
    request: RecordRequest,
    repo: Repository,
    archive: Repository,
    settings: Settings,
    environ: Mapping[str, str],
    monitor: Monitor,
) -> RecordRequest:
    """The request with the run that it goes on from: link, name and group. Unchanged where `auto` finds none.

    Raises GitrunError for a run that cannot be meant, but where a job would be lost for it: that one starts afresh.
    """
    recover_all(archive, environ, monitor)  # a recorder that was killed may have left a run that had completed
    with Archive(archive, repo, settings, environ, monitor) as opened:
        try:
            found = _latest(opened, request.name, environ) if request.resume == AUTO else _named(opened, request.resume)
            record = {} if found is None else found.record
        except GitrunError as problem:
            if request.resume != AUTO and not runs_unrecorded(settings.get("record.on_problem"), environ):
                raise
            monitor.warn("W044", f"{problem}; the command starts afresh")
            return request
    if found is None:
        return request
    return request._replace(
        links={**request.links, "resumed_from": found.id},
        name=request.name if request.name is not None else record.get("name"),
        group=request.group if request.group is not None else record.get("group"),
        earlier=Earlier(found.id, record.get("source") or {}),
    )


def drift_since(archive: Repository, earlier: Earlier, source: dict[str, Any]) -> list[str] | None:
    """The files of the source that differ from an earlier run's; None where that run's source cannot be read."""
    try:
        with open_reader(archive) as reader:
            return drift(reader, earlier.source, source)
    except GitrunError:
        return None  # it was fetched without its source, or is damaged; the new run is as good as any


def _named(archive: Archive, text: str | None) -> Run:
    """The run that the user named; raises UsageError for one that runs."""
    found = resolve(archive, text or "")
    if isinstance(found, LiveRun) and judge(LiveDirectory(found.directory), here()).state == ALIVE:
        raise UsageError(f"run {found.id} has not ended, so nothing can go on from it", next="gitrun status")
    return found


def _latest(archive: Archive, name: str | None, environ: Mapping[str, str]) -> Run | None:
    """The run that `auto` means; None where there is none, or where the latest may still run."""
    name = None if name is None else harmless(name, VALUE_LIMIT)
    job = _slurm_jobs([{"jobs": find_placement(environ).jobs}])
    if name is None and not job:
        what = "--resume auto needs a --name, or a Slurm job, to know which run is meant"
        raise UsageError(what, next="gitrun record --help")
    for run in _unfinished(archive):
        if name is not None and run.summary.name != name:
            continue
        theirs = _slurm_jobs(run.record.get("members") or [])
        if (_index(theirs) != _index(job)) if name is not None else not _is_same(theirs, job):
            continue
        if isinstance(run, LiveRun) and (why := _may_run(run, theirs, job)):
            archive.monitor.warn("W044", f"run {run.id} may still run ({why}), the command starts afresh")
            return None
        return run
    return None


def _unfinished(archive: Archive) -> Iterator[Run]:
    """The runs that have not completed and that no run goes on from, newest first."""
    continued: set[str] = set()
    for run in archive.newest_first():
        summary = run.summary
        continued.add(summary.resumed_from)
        if run.problem is None and summary.status != "completed" and not summary.replay_of and run.id not in continued:
            yield run


def _may_run(run: LiveRun, theirs: list[dict[str, Any]], job: list[dict[str, Any]]) -> str:
    """Why a live run may not have ended; empty where it has."""
    verdict = judge(LiveDirectory(run.directory), here())
    if verdict.state == DEAD or (verdict.state != ALIVE and _is_same(theirs, job) and _starts(theirs) < _starts(job)):
        return ""
    return verdict.reason


def _slurm_jobs(members: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [job for member in members for job in member.get("jobs") or [] if job.get("kind") == "slurm"]


def _is_same(theirs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> bool:
    return bool(theirs and ours) and theirs[0].get("job_id") == ours[0].get("job_id")


def _index(jobs: list[dict[str, Any]]) -> Any:
    return jobs[0].get("array_index") if jobs else None


def _starts(jobs: list[dict[str, Any]]) -> int:
    """How often the scheduler has started the job again."""
    restarts = str(jobs[0].get("restarts", "0"))
    return int(restarts) if restarts.isdecimal() else 0
