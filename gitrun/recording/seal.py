"""Sealing a run out of its live directory: the same for the recorder at the end and for a rescuer later.

What is sealed is what is on disk: the draft, the finished parts, the console, and the exit that the keeper wrote.
What the command's processes reported is brought into draft and parts first (`observing`), once.
Where nobody saw the exit it stays null: `lost` when the processes are proved gone, `unknown` when a person forced
it. One lock per run keeps two processes apart; where somebody else has sealed the run first and said something
else (a recorder that was thought dead comes back), nothing is lost: it becomes a run of its own that
`links.supersedes` the other.
"""

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from gitrun.archive.seal import Part
from gitrun.archive.seal import seal as seal_record
from gitrun.errors import GitrunError
from gitrun.git.packs import Pack
from gitrun.git.refs import RUNS, read_ref
from gitrun.model.canonical import DecodeProblem
from gitrun.model.ids import new_run_id
from gitrun.model.record import status_of
from gitrun.model.times import iso
from gitrun.recording import console
from gitrun.recording.artifacts import entries_there
from gitrun.recording.context import Context
from gitrun.recording.live import LiveDirectory
from gitrun.recording.locking import add_lock
from gitrun.recording.member import clock_problem, last_seen_ns, read_exit
from gitrun.recording.observing import observe
from gitrun.recording.tracing import leave_traces


class Root(NamedTuple):
    """A root as sealing needs it."""

    n: int
    tree: str


class SealedRun(NamedTuple):
    """A run that is sealed now: `run_id` is another than the directory's where it supersedes that one."""

    run_id: str
    status: str
    commit: str
    record: dict[str, Any]
    stored_bytes: int


def seal_live(
    context: Context,
    live: LiveDirectory,
    draft: dict[str, Any],
    *,
    unseen: str = "lost",
    keep: bool = False,
    redact: Callable[[bytes], bytes] | None = None,
) -> SealedRun:
    """Seals the run of a live directory whose seal lock the caller holds, and removes the directory.

    `unseen` is the status of a run whose exit nobody saw, `keep` leaves the directory for a process that may
    still write to it.
    """
    observe(context, live, draft, keep=keep)
    record, parts = finish_record(context, live, draft, unseen, redact)
    facts = draft.get("live") or {}
    pack = Pack(**facts["pack"]) if isinstance(facts.get("pack"), dict) else None
    roots = [Root(int(root["n"]), str(root["tree"])) for root in (record.get("source") or {}).get("roots") or []]
    is_deferred = bool((facts.get("outputs") or {}).get("deferred"))
    if is_deferred:
        from gitrun.recording.deferred import keep_copies, mark_deferred  # there is nearly always time for all

    def seal(record: dict[str, Any]) -> Any:
        if is_deferred:
            mark_deferred(context.gitrun_dir, record["id"])
        return seal_record(
            context.archive, context.store, record, parts, facts.get("snapshot"), record["source"].get("tree"),
            roots, context.monitor, environ=context.environ, snapshot_pack=pack,
        )  # fmt: skip

    done = seal(record)
    if done.conflict:
        links = {**(record.get("links") or {}), "supersedes": record["id"]}
        record = {**record, "id": new_run_id(time.time(), os.urandom(4)), "links": links}
        done = seal(record)
    stored = sum(part.size_bytes() for part in parts.values()) + (pack.size if pack else 0)
    _note_files(context, live, record)
    if not keep:
        if is_deferred:
            keep_copies(context.gitrun_dir, live, record["id"])
        live.remove()
    return SealedRun(record["id"], record["status"], done.commit, record, stored)


def _note_files(context: Context, live: LiveDirectory, record: dict[str, Any]) -> None:
    """Has later runs know the files of one that has just been sealed; never fails."""
    try:
        entries = entries_there(live)
    except (OSError, GitrunError, DecodeProblem):
        return  # the run is sealed, and who reads it finds out what is wrong
    if entries:
        from gitrun.recording.remembering import remember_outputs  # many runs have none

        remember_outputs(context, live, record, entries)
    leave_traces(context, record, entries)


def is_sealed(context: Context, run_id: str) -> bool:
    """Whether the run has its ref."""
    return read_ref(context.archive, RUNS + run_id) is not None


def finish_record(
    context: Context, live: LiveDirectory, draft: dict[str, Any], unseen: str, redact: Callable[[bytes], bytes] | None
) -> tuple[dict[str, Any], dict[str, Part]]:
    """The record as it will be sealed, and its parts, from what the live directory holds."""
    end = read_exit(live.member)
    record = {key: value for key, value in draft.items() if key != "live"}
    record["source"] = {key: value for key, value in (draft.get("source") or {}).items() if key != "snapshot"}
    record["coverage"] = dict(draft.get("coverage") or {})
    record["process"] = dict(draft.get("process") or {})
    member = dict((draft.get("members") or [{"n": 0}])[0])
    if end is None or "ended_ns" not in end:
        record.update(status=unseen, exit=None, ended_at=None, duration_s=None)
        seen_ns = last_seen_ns(live.member)
        member["last_seen_at"] = None if seen_ns is None else iso(seen_ns)
    else:
        _tell_end(record, end)
    member.update(exit=record["exit"], status=record["status"], ended_at=record["ended_at"])
    record["members"] = [member]
    if end is not None:
        _tell_process(record, end)
    parts = {name: Part(path=path) for name, path in live.part_paths().items()}
    try:
        packed = console.pack(live.member, os.path.join(live.parts, "console.zst"), redact)
    except OSError as problem:
        raise GitrunError(f"the console could not be packed: {problem.strerror}", next="gitrun recover") from problem
    if packed:
        parts["console.zst"] = Part(path=os.path.join(live.parts, "console.zst"))
    add_lock(live, record, parts)
    if live.n == 0 and (live.numbers() != [0] or (draft.get("live") or {}).get("join")):
        return _with_members(context, live, draft, record, parts, unseen, redact)
    return record, parts


def _with_members(
    context: Context,
    live: LiveDirectory,
    draft: dict[str, Any],
    record: dict[str, Any],
    parts: dict[str, Part],
    unseen: str,
    redact: Callable[[bytes], bytes] | None,
) -> tuple[dict[str, Any], dict[str, Part]]:
    """The record of member 0 as that of the whole run."""
    from gitrun.recording.merging import merge, was_started  # most runs have one member

    others = []
    for n in live.numbers():
        one = live.of(n)
        if n and was_started(one) and (theirs := one.read_draft()) is not None:
            others.append((one, *finish_record(context, one, theirs, unseen, redact)))
    return merge(live, record, parts, others, ((draft.get("live") or {}).get("join") or {}).get("members") or 0)


def _tell_end(record: dict[str, Any], end: dict[str, Any]) -> None:
    code, signal, forwarded = end.get("code"), end.get("signal"), end.get("forwarded") or []
    status = status_of(code, signal, signal in forwarded)
    seen = code is not None or signal is not None
    record.update(status=status, exit={"code": code, "signal": signal} if seen else None)
    record["started_at"] = iso(int(end["started_ns"]))
    record["ended_at"] = iso(int(end["ended_ns"]))
    record["duration_s"] = int(end["duration_ns"]) / 1e9


def _tell_process(record: dict[str, Any], end: dict[str, Any]) -> None:
    process = record["process"]
    for key in ("user_s", "system_s", "max_rss_bytes", "left_behind", "forwarded", "start_error"):
        process[key] = end.get(key)
    if end.get("oom_kills"):
        process["oom_kills"] = end["oom_kills"]
    if problem := clock_problem(end):
        record["coverage"]["clock"] = [problem]
    process["terminal_mode"] = end.get("mode")
    process["merged_streams"] = end.get("merged")
    known = record["coverage"].get("console")
    problems = list(known) if isinstance(known, list) else []
    if stopped := (end.get("console") or {}).get("stopped"):
        problems.append(f"capture stopped: {stopped}")
    if refused := end.get("output_problem"):
        problems.append(f"the user's side refused the output: {refused}")
    record["coverage"]["console"] = problems or "complete"
