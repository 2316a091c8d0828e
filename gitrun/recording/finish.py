"""Finishing a run: the command has ended, and what the user's shell sees comes before anything else.

The exit status came over a pipe and is right whatever has become of the files. The run is then sealed out of its
live directory, as a rescuer would do it; what somebody removed from there meanwhile is written again from memory.
"""

import json
import os
from collections.abc import Callable
from typing import Any

from gitrun.errors import DiskFull, GitrunError, NotWritable
from gitrun.files.write import write_file
from gitrun.model.record import status_of
from gitrun.monitor import Monitor
from gitrun.recording.job import Watch
from gitrun.recording.live import LiveDirectory
from gitrun.recording.liveness import make_header
from gitrun.recording.member import read_exit
from gitrun.recording.prepare import Prepared, write_extra
from gitrun.recording.request import Finished, Recorded, RecordRequest
from gitrun.recording.spool import wait_for_writer
from gitrun.recording.unrecorded import cannot_start

KEEPER_DIED = 125
_WRITER_S = 60.0
_IN_PARTS = ("inputs", "environment", "config", "hardware")  # facts that lie in files of the live directory


def finish(request: RecordRequest, prepared: Prepared, handle: Watch, ended: bool, monitor: Monitor) -> Recorded:
    """Seals the run, and says how it went; `ended`: the keeper lived to its end."""
    from gitrun.capture.exposed import in_words
    from gitrun.recording.bugs import save_keeper_log, told  # not loaded before the command has started

    live = prepared.live
    if not ended and not wait_for_writer(live.member, _WRITER_S):  # what the keeper had read is written without it
        monitor.warn("W024", "the console is not complete: it is still being written")
    end = handle.end or read_exit(live.member)
    log = save_keeper_log(prepared.context.gitrun_dir, live)
    code, failure = shell_code(request.command, end, ended, monitor, log)
    if end is not None and (stopped := (end.get("console") or {}).get("stopped")):
        monitor.warn("W024", f"the console is not complete: {stopped}")
    if end is not None and (problem := end.get("output_problem")):
        monitor.warn("W029", f"the command's output could not be passed on: {problem}; what followed is lost")
    source = prepared.draft["source"]
    excluded = source.get("excluded") or []
    left_out = sum(int(entry.get("bytes") or 0) for entry in excluded if entry.get("reason") != "output")
    duration_s = end["duration_ns"] / 1e9 if end is not None and "duration_ns" in end else None
    prepared.facts.settle()
    try:
        sealed = _seal(request, prepared, end, handle.stop_by, monitor)
    except Exception as problem:  # a bug as well: the command has ended, and its exit status is its own
        why = _why_not(problem, told(prepared.context.gitrun_dir, live.run_id, problem))
        if not isinstance(problem, (GitrunError, OSError)):
            monitor.warn("W027", f"the run could not be sealed: {why}")
        return Recorded(live.run_id, code, "running", False, None, duration_s, 0, left_out, failure, why)
    finally:
        if request.source is None and (files := source.get("secrets")):  # what was loaded is looked at when sealing
            monitor.warn("W037", f"recorded with what looks like a secret: {in_words(files)}")
    if isinstance(sealed, int):
        status = str(status_of(*_end_of(end)))
        return Recorded(live.run_id, code, status, False, None, duration_s, 0, left_out, failure, others=sealed)
    outputs = prepared.draft["live"].get("outputs") or {"stored": 0, "left_out": 0, "deferred": 0}
    later = _complete(prepared, handle, sealed.run_id, monitor) if outputs["deferred"] else 0
    if remote := prepared.settings.get("push.auto"):
        _send_on(str(remote), prepared, sealed.run_id, monitor)
    stored, left_out = sealed.stored_bytes + outputs["stored"] + later, left_out + outputs["left_out"] - later
    return Recorded(sealed.run_id, code, sealed.status, True, sealed.commit, duration_s, stored, left_out, failure)


def _send_on(remote: str, prepared: Prepared, run_id: str, monitor: Monitor) -> None:
    """Has a process of its own push the run; what keeps it from that is a warning."""
    from gitrun.recording.sending_on import send_on  # few repositories ask for it

    context = prepared.context
    place = context.archive.worktree or context.archive.git_dir
    try:
        send_on(remote, run_id, place, context.gitrun_dir, context.environ)
    except OSError as problem:
        monitor.warn(
            "W062", f"the run is only here: {problem.strerror or problem}; next: gitrun push {remote} {run_id}"
        )


def _complete(prepared: Prepared, handle: Watch, run_id: str, monitor: Monitor) -> int:
    """Stores what there was no time for, until somebody wants the process to end; how many bytes that were."""
    from gitrun.archive.archive import Archive
    from gitrun.recording.completing import complete, tell

    context = prepared.context

    def end() -> float:
        return 0.0 if handle.is_enough() else float("inf")

    try:
        with Archive(context.archive, None, prepared.settings, context.environ, monitor) as archive:
            done = complete(archive, run_id, end)
    except Exception as problem:  # a bug as well: the run is sealed, and the exit status is the command's
        monitor.warn("W042", f"outputs are not stored yet: {problem}, next: gitrun recover")
        return 0
    if done is None:
        return 0
    tell(done, run_id, monitor)
    return done.bytes


def shell_code(
    command: list[bytes], end: dict[str, Any] | None, ended: bool, monitor: Monitor, log: str | None = None
) -> tuple[int, str | None]:
    """What the shell shall see, and the line for a command that could not be executed; `log`: a keeper's traceback."""
    died = f"failed by a bug in gitrun (traceback: {log})" if log else "was killed"
    if end is not None and end.get("start_error"):
        return cannot_start(command, end["start_error"]["errno"], end["start_error"]["message"])
    if end is None or (end["code"] is None and end["signal"] is None):
        who = "command's session leader" if ended else "keeper"
        monitor.warn("W023", f"the {who} {died}, so nobody saw how the command ended")
        return KEEPER_DIED, None
    if not ended:
        monitor.warn("W023", f"the keeper {died}; what was written after the command had ended may be missing")
    return end["code"] if end["code"] is not None else 128 + int(end["signal"]), None


def _seal(
    request: RecordRequest,
    prepared: Prepared,
    end: dict[str, Any] | None,
    stop_by: Callable[[], float | None],
    monitor: Monitor,
) -> Any:
    from gitrun.capture.secrets import Redactor
    from gitrun.recording.observing import observe  # sealing is not loaded before the command has started
    from gitrun.recording.seal import finish_record, seal_live

    draft = prepared.draft
    context = prepared.context._replace(stop_by=stop_by)
    redact: Callable[[bytes], bytes] = Redactor(context.environ).text
    live = _put_back(prepared, end)
    if request.join is not None:
        from gitrun.recording.leaving import leave  # most runs have one member

        took_s = 0.0 if end is None else (end.get("duration_ns") or 0) / 1e9
        wait_s = max(0.0, prepared.settings.get("record.join_wait") - took_s)
        return leave(context, live, draft, redact, wait_s)
    with live.seal_lock():
        if request.before_seal is not None:
            observe(context, live, draft)
            finished, _ = finish_record(context, live, draft, "lost", redact)
            try:
                for name, data in request.before_seal(Finished(finished, live.member)).items():
                    live.write_part(name, data)
            except Exception as problem:  # what a caller adds is not worth the run
                monitor.warn("W025", f"a part is missing: {type(problem).__name__}: {problem}")
        return seal_live(context, live, draft, redact=redact)


def _put_back(prepared: Prepared, end: dict[str, Any] | None) -> LiveDirectory:
    """Sealing reads files alone: what was removed meanwhile, or refused by a full disk, is written again.

    Returns what there is to seal: of a run that others have sealed without this member, what it had itself.
    Raises NotWritable where the whole archive is gone: nothing is made anew at a place that somebody cleared.
    """
    context, live, draft = prepared.context, prepared.live, prepared.draft
    if not live.exists():
        if not prepared.archive_is_there():
            raise NotWritable(
                f"{context.archive.common_dir} was moved or removed while the command ran",
                kept="all that was captured is in its live directory, if that still is somewhere",
                next="gitrun recover, where the repository is now",
            )
        prepared.lock.release()
        header = make_header(context.archive.common_dir)
        live, lock = LiveDirectory.create(context.gitrun_dir, live.run_id, header)
        prepared.lock.fd = lock.fd
        for name in ("console", *_IN_PARTS):
            if name in draft["coverage"] or name == "console":
                draft["coverage"][name] = ["lost: the live directory was removed while the command ran"]
        for name in ("child", "outputs"):
            draft["coverage"][name] = ["lost: the live directory was removed while the command ran"]
        draft["live"]["observed"] = True  # what the processes had reported is gone
        write_extra(live, prepared.snapshot)
        live.write_draft(draft)
    if end is not None and read_exit(live.member) != end:
        write_file(os.path.join(live.member, "exit"), json.dumps(end).encode() + b"\n", sync=False)
    return live


def _end_of(end: dict[str, Any] | None) -> tuple[int | None, int | None, bool]:
    """Exit code, signal, and whether that came by way of gitrun."""
    end = end or {}
    return end.get("code"), end.get("signal"), end.get("signal") in (end.get("forwarded") or [])


def _why_not(problem: Exception, words: str) -> str:
    kept, next = "all of it is kept", "gitrun recover"
    if isinstance(problem, DiskFull):
        next = f"{problem.next.removesuffix(', then try again')}, then {next}"
    elif isinstance(problem, GitrunError):
        kept, next = problem.kept or kept, problem.next or next
    return f"{words}; {kept}, next: {next}"
