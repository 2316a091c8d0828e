"""Recovering: sealing what a dead recorder left behind, with the truth about how it ended.

Later commands call this on their way, and the keeper does when its recorder is gone. Nothing is sealed that is
not proved dead (liveness), nothing is sealed twice (the seal lock and the create-only ref), and a directory
without a draft, whose recorder died before it had accepted anything, is only removed.
"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from gitrun.archive.message import decode_message
from gitrun.capture.private import sweep
from gitrun.errors import DamagedRecord, GitFailed, GitrunError, LiveElsewhere, RunNotFound
from gitrun.files.holder import LOCAL, Here, filesystem_of, here
from gitrun.files.locks import held_by_other
from gitrun.git.objects import open_reader
from gitrun.git.refs import LIVE, RUNS, delete, read_ref, read_refs
from gitrun.git.repository import Repository
from gitrun.git.trees import parse_commit
from gitrun.git.unusable import put_unusable_aside
from gitrun.model.canonical import MAX_BYTES, DecodeProblem
from gitrun.monitor import Monitor
from gitrun.recording.bugs import save_keeper_log
from gitrun.recording.context import Context
from gitrun.recording.deferred import keep_copies
from gitrun.recording.live import UNBORN, LiveDirectory, live_directories
from gitrun.recording.liveness import ALIVE, DEAD, judge, judge_member
from gitrun.recording.lost_source import forget_lost_source
from gitrun.recording.member import read_exit
from gitrun.recording.merging import was_started
from gitrun.recording.seal import is_sealed, seal_live
from gitrun.store.config import load_or_create

_LOCK_WAIT_S = 30.0
_UNBORN_S = 3600.0


class Recovered(NamedTuple):
    """A run that was sealed just now."""

    run_id: str
    status: str
    commit: str


def recover_all(
    archive: Repository, environ: Mapping[str, str], monitor: Monitor, *, place: Here | None = None
) -> list[Recovered]:
    """Seals every run of the archive that is proved dead; the others are left alone.

    Live refs of sealed runs that have come back go as well, and what killed snapshots left below cache/.
    """
    context = Context(archive, archive.gitrun_dir(environ), environ, monitor)
    place = place or here()
    recovered = []
    for live in live_directories(context.gitrun_dir):
        if _was_never_born(live):
            live.remove_if_possible()
            continue
        try:
            if judge(live, place).state != DEAD and not _has_ended_here(context, live, place):
                continue
            found = _recover(context, live, lambda live=live: judge(live, place).state == DEAD, "lost", keep=False)  # type: ignore[misc]
        except (GitrunError, OSError) as problem:
            monitor.warn("W011", f"run {live.run_id} could not be sealed: {problem}")
            continue
        if found is not None:
            recovered.append(found)
    _drop_left_refs(context)
    sweep(context.gitrun_dir)
    return recovered


def _drop_left_refs(context: Context) -> None:
    """Removes the live refs that a `git pack-refs` beside a recorder's death has brought back.

    Only where the run is sealed, whose commit then holds all that the live ref held, and has no live directory.
    Where neither is there nothing is proved: the directory may lie below another `GITRUN_DIR`.
    """
    for name in read_refs(context.archive, LIVE):
        run_id = name.removeprefix(LIVE)
        if is_sealed(context, run_id) and not os.path.lexists(os.path.join(context.gitrun_dir, "live", run_id)):
            with suppress(GitrunError):  # it does no harm; the next one who comes by tries again
                delete(context.archive, name)


def recover(
    archive: Repository,
    run_id: str,
    environ: Mapping[str, str],
    monitor: Monitor,
    *,
    force: bool = False,
    place: Here | None = None,
) -> Recovered | None:
    """Seals one run; None when there is nothing left to seal.

    Raises LiveElsewhere where it may be alive, unless `force`: then it is sealed as `unknown`, and its directory
    stays for a recorder that may still come back. Raises DamagedRecord where what it left cannot be read, unless
    `force`: then that is put aside. Raises RunNotFound where there is no such run.
    """
    context = Context(archive, archive.gitrun_dir(environ), environ, monitor)
    place = place or here()
    live = next((live for live in live_directories(context.gitrun_dir) if live.run_id == run_id), None)
    if live is None:
        if is_sealed(context, run_id):
            return None
        raise RunNotFound(f"there is no run {run_id}", next="gitrun ls")
    _has_ended_here(context, live, place)
    verdict = judge(live, place)
    if verdict.state == DEAD:
        try:
            return _recover(context, live, lambda: judge(live, place).state == DEAD, "lost", keep=False)
        except DamagedRecord as problem:
            if not force:
                raise
            monitor.warn("W028", f"{problem}; all there is of it was moved to {live.set_aside()}")
            return None
    if verdict.state == ALIVE or not force:
        raise LiveElsewhere(
            f"run {run_id} may be alive: {verdict.reason}",
            kept="its live directory",
            next="wait for its end" if verdict.state == ALIVE else f"gitrun recover {run_id} --force",
        )
    if is_sealed(context, run_id):
        return None
    return _recover(context, live, lambda: judge(live, place).state != ALIVE, "unknown", keep=True)


def _recover(
    context: Context, live: LiveDirectory, still: Callable[[], bool], unseen: str, keep: bool
) -> Recovered | None:
    lock = live.seal_lock()
    try:
        taken = lock.acquire(timeout=_LOCK_WAIT_S)
    except GitrunError:
        if not live.exists():
            return None  # sealed and removed by somebody else while we looked
        raise
    try:
        if not taken or not live.exists() or not still():
            return None
        if not keep:
            _drop_dead_locks(context, live.run_id.removeprefix(UNBORN))
            put_unusable_aside(context.archive, context.monitor)  # before anything relies on what it lists
        return _seal(context, live, unseen, keep)
    finally:
        lock.release()


def _has_ended_here(context: Context, live: LiveDirectory, place: Here) -> bool:
    """Has members that are proved dead leave, which another host could not prove; whether all of them have by now."""
    if live.numbers() in ([], [0]) or all(judge_member(m, place).state != DEAD for m in live.members()):
        return False
    from gitrun.recording.leaving import settle_dead  # most runs have one member

    with suppress(GitrunError):  # somebody else seals it, or it is gone
        lock = live.seal_lock()
        if lock.acquire(timeout=_LOCK_WAIT_S):
            try:
                settle_dead(context, live, place)
            finally:
                lock.release()
    return judge(live, place).state == DEAD


def _drop_dead_locks(context: Context, run_id: str) -> None:
    """Removes the lock files on this run's own refs: only its recorder takes them, and that is proved dead."""
    for prefix in (LIVE, RUNS):
        try:
            os.unlink(os.path.join(context.archive.common_dir, prefix + run_id + ".lock"))
        except FileNotFoundError:
            continue  # as nearly always


def _seal(context: Context, live: LiveDirectory, unseen: str, keep: bool) -> Recovered | None:
    try:
        draft = live.read_draft()
    except DecodeProblem as problem:
        raise _damaged(live, problem) from problem
    if draft is None or not (keep or _was_started(live)) or not _has_more_to_say(context, live):
        if not keep:
            delete(context.archive, LIVE + live.run_id.removeprefix(UNBORN))
            keep_copies(context.gitrun_dir, live, live.run_id)  # sealed, and then killed
            live.remove()
        return None
    if not draft.get("origin"):
        draft["origin"] = load_or_create(context.gitrun_dir).writer
    if not keep:
        forget_lost_source(context, live, draft)
    if not (draft.get("live") or {}).get("finished"):
        draft.setdefault("coverage", {})["recorder"] = ["it was killed; what it had not yet captured is missing"]
    if (log := save_keeper_log(context.gitrun_dir, live)) is not None:
        context.monitor.warn("W023", f"the keeper of run {live.run_id} failed by a bug in gitrun (traceback: {log})")
    try:
        if draft["live"].get("join"):
            from gitrun.recording.leaving import seal_together, settle_dead  # most runs have one member

            live.write_draft(draft)
            settle_dead(context, live, here())
            sealed = seal_together(context, live, unseen=unseen, keep=keep, redact=redactor(context.environ))
        else:
            sealed = seal_live(context, live, draft, unseen=unseen, keep=keep, redact=redactor(context.environ))
    except (LookupError, TypeError, ValueError, AttributeError) as problem:  # JSON, but not as any recorder wrote it
        raise _damaged(live, problem) from problem
    return Recovered(sealed.run_id, sealed.status, sealed.commit)


def _was_started(live: LiveDirectory) -> bool:
    """Whether its command may have run: not before the file `keeper` is there. An exit says so as well."""
    return any(was_started(live.of(n)) for n in live.numbers())


def _was_never_born(live: LiveDirectory) -> bool:
    """Whether this is what a recorder left that was killed before it had written its header.

    Nothing was run there, and nobody can say whose it is: the most that removing it can cost is the start of a
    recorder that has been making it for an hour.
    """
    if not live.run_id.startswith(UNBORN) or os.path.lexists(os.path.join(live.member, "header.json")):
        return False
    try:
        age_s = time.time() - os.stat(live.path).st_mtime
        held = held_by_other(os.path.join(live.member, "lock"))
    except (GitrunError, OSError):
        return False  # gone by now, or not ours to look at
    return age_s > _UNBORN_S and not held and filesystem_of(live.path) in LOCAL


def _damaged(live: LiveDirectory, problem: Exception) -> DamagedRecord:
    return DamagedRecord(
        f"the draft of run {live.run_id} is damaged: {problem}",
        kept=live.path,
        next=f"gitrun recover {live.run_id} --force",
    )


def unsealed(archive: Repository, environ: Mapping[str, str]) -> list[str]:
    """The runs that are proved dead and not sealed all the same, because something stands in the way."""
    place = here()
    directories = live_directories(archive.gitrun_dir(environ))
    return [live.run_id for live in directories if judge(live, place).state == DEAD]


def _has_more_to_say(context: Context, live: LiveDirectory) -> bool:
    """Whether the run is not sealed yet, or only as `unknown` while its end is written here."""
    commit = read_ref(context.archive, RUNS + live.run_id)
    if commit is None:
        return True
    try:
        with open_reader(context.archive) as reader:
            message = parse_commit(reader.read(commit, MAX_BYTES)[1]).message
    except (KeyError, DamagedRecord, GitFailed) as problem:
        raise DamagedRecord(
            f"run {live.run_id} is sealed, and its commit {commit} cannot be read", kept=live.path, next="git fsck"
        ) from problem
    summary = decode_message(message.decode("utf-8", "replace"))
    return summary is not None and summary.status == "unknown" and read_exit(live.member) is not None


def redactor(environ: Mapping[str, str]) -> Callable[[bytes], bytes]:
    """What replaces secrets in the console."""
    from gitrun.capture.secrets import Redactor  # a reader with nothing to recover does not pay for it

    text: Callable[[bytes], bytes] = Redactor(environ).text
    return text
