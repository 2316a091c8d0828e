"""Recording a run: what has to happen before the command starts, while it runs, and when it has ended.

    live directory with a held lock -> HEAD pinned -> snapshot -> draft on disk -> keeper, command      (user waits)
    snapshot durable, live ref moved to it, facts captured, console synced every few seconds           (command runs)
    exit written -> sealed -> live directory gone                                                       (user waits)

Before the keeper, any problem means that nothing can be recorded, and the setting `record.on_problem` decides
whether the command runs all the same. From the keeper on the command cannot be hurt any more, and a problem only
leaves the run in its live directory, where `gitrun recover` finds all of it.
"""

import os
import signal
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from gitrun.errors import CommandNotStarted, DiskFull, GitrunError, from_os_error
from gitrun.files.locks import FileLock
from gitrun.files.write import write_file
from gitrun.git.executable import find_git
from gitrun.git.head import read_head
from gitrun.git.refs import LIVE, create, delete, update
from gitrun.git.repository import Repository, archive_of, discover
from gitrun.model.canonical import encode_line
from gitrun.model.ids import new_run_id
from gitrun.model.times import iso
from gitrun.monitor import Monitor
from gitrun.recording.context import Context
from gitrun.recording.facts import FactFinder, Subject, redacted_command
from gitrun.recording.job import Handle, Job
from gitrun.recording.keeper import start_keeper
from gitrun.recording.live import LiveDirectory
from gitrun.recording.liveness import make_header
from gitrun.recording.member import read_exit, read_pids
from gitrun.recording.processes import is_alive
from gitrun.recording.request import Finished, Recorded, RecordRequest, Started
from gitrun.recording.signals import FORWARDED, Inherited, inherited
from gitrun.recording.unrecorded import cannot_start, run_unrecorded, runs_unrecorded
from gitrun.settings import Settings, load

KEEPER_DIED = 125
_SYNC_S = 5.0


class Prepared(NamedTuple):
    """A run that can start: everything a rescuer needs is on disk."""

    context: Context
    settings: Settings
    live: LiveDirectory
    lock: FileLock
    draft: dict[str, Any]
    facts: FactFinder
    pinned: str | None
    snapshot: Any


def record(
    request: RecordRequest, environ: Mapping[str, str], monitor: Monitor, found: Inherited | None = None
) -> Recorded:
    """Runs and records a command.

    `found` is what `signals.inherited()` said when the process started (default: asked now). Raises
    CommandNotStarted when it cannot be recorded and `record.on_problem` says stop; where it says run, this process
    becomes the command and does not return (OSError when it cannot be executed).
    """
    found = found or inherited()
    settings = load(None, None, environ, request.settings)
    try:
        repo, archive = _repositories(request, environ)
        settings = load(repo.worktree, repo.config, environ, request.settings)
        prepared = _prepare(request, repo, archive, settings, environ, monitor)
    except Exception as problem:  # a bug counts as well: a job that waited for a day must not fail for gitrun's sake
        if not runs_unrecorded(settings.get("record.on_problem"), environ):
            raise _not_started(problem) from problem
        expected = isinstance(problem, (GitrunError, OSError))
        words = str(problem) if expected else f"a bug in gitrun ({type(problem).__name__}: {problem})"
        monitor.warn("W026", f"NOT RECORDED: {words}; the command runs all the same")
        run_unrecorded(request.command, found, request.workdir)
    try:
        return _run(request, prepared, environ, found, monitor)
    finally:
        prepared.lock.release()


def _not_started(problem: Exception) -> Exception:
    if isinstance(problem, OSError):
        problem = from_os_error(problem, "preparing the recording")
    if not isinstance(problem, GitrunError):
        return problem
    return CommandNotStarted(
        f"nothing was started: {problem}",
        kept=problem.kept,
        next=problem.next or "GITRUN_DISABLE=1 runs the command unrecorded",
    )


def _repositories(request: RecordRequest, environ: Mapping[str, str]) -> tuple[Repository, Repository]:
    start = os.getcwd() if request.source is not None or request.workdir is None else request.workdir
    repo = discover(start, find_git(environ=environ), environ)
    return repo, archive_of(repo, environ)


# -- before the command starts


def _prepare(
    request: RecordRequest,
    repo: Repository,
    archive: Repository,
    settings: Settings,
    environ: Mapping[str, str],
    monitor: Monitor,
) -> Prepared:
    context = Context(archive, archive.gitrun_dir(environ), environ, monitor)
    run_id = request.run_id or new_run_id(time.time(), os.urandom(4))
    live, lock = LiveDirectory.create(context.gitrun_dir, run_id, make_header(archive.common_dir))
    try:
        pinned = None
        if repo.common_dir == archive.common_dir and (head := read_head(repo).commit):
            create(_plain_refs(archive), LIVE + run_id, head)
            pinned = head
        snapshot = request.source or _take_snapshot(context, repo, settings)
        facts, draft = _draft(request, context, repo, live, settings, snapshot)
        if snapshot.extra:
            live.write_part("extra.jsonl", b"".join(map(encode_line, snapshot.extra)))
        facts.before_the_start()
        live.write_draft(draft)
        if request.id_file is not None:
            write_file(request.id_file, run_id.encode() + b"\n", sync=False)
        return Prepared(context, settings, live, lock, draft, facts, pinned, snapshot)
    except BaseException:
        delete(archive, LIVE + run_id)
        live.remove()
        lock.release()
        raise


def _take_snapshot(context: Context, repo: Repository, settings: Settings) -> Any:
    from gitrun.capture.snapshot import take_snapshot

    return take_snapshot(repo, context.archive, context.store, settings, context.monitor, environ=context.environ)


def _draft(
    request: RecordRequest, context: Context, repo: Repository, live: LiveDirectory, settings: Settings, snapshot: Any
) -> tuple[FactFinder, dict[str, Any]]:
    """The record as far as it is known before the command starts, and who finds out the rest."""
    from gitrun.capture.facts import place
    from gitrun.capture.secrets import Redactor

    environ = context.environ if request.variables is None else request.variables
    cwd = os.fsencode(request.workdir or os.getcwd())
    top = request.worktree or repo.worktree
    worktree = os.fsencode(top) if top else None
    redactor = Redactor(environ)
    links = {**request.links}
    if parent := context.environ.get("GITRUN_RUN_ID"):
        links.setdefault("parent", parent)
    pack = snapshot.pack._asdict() if snapshot.pack is not None else None
    draft: dict[str, Any] = {
        "format": 1,
        "requires": [],
        "id": live.run_id,
        "status": "running",
        "name": request.name,
        "tags": list(request.tags),
        "notes": [request.note] if request.note else [],
        "group": request.group,
        "command": redacted_command(request.command, redactor),
        "cwd": place(cwd, worktree),
        "worktree": top,
        "started_at": iso(time.time_ns()),
        "ended_at": None,
        "duration_s": None,
        "exit": None,
        "links": links,
        "source": {**snapshot.source, "snapshot": snapshot.commit},
        "process": {"variables": {}},
        "members": [{"n": 0, "host": os.uname().nodename, "rank": None}],
        "coverage": {},
        "origin": None,
        "live": {"snapshot": snapshot.commit, "pack": pack, "finished": False},
    }
    subject = Subject(
        request.command, environ, cwd, worktree, request.config_files, request.inputs,
        tuple(settings.get("record.variables")), context.gitrun_dir, redactor,
    )  # fmt: skip
    return FactFinder(subject, live, draft), draft


# -- while it runs


def _run(
    request: RecordRequest, prepared: Prepared, environ: Mapping[str, str], found: Inherited, monitor: Monitor
) -> Recorded:
    source = prepared.draft["source"]
    if request.on_start is not None:
        changes = sum(len(source.get(kind) or ()) for kind in ("modified", "deleted", "untracked"))
        request.on_start(Started(prepared.live.run_id, changes))
    handle = start_keeper(_job(request, prepared, environ, found))
    if request.owns_process:
        _give_up_descriptors(found)
    try:
        ended = _while_it_runs(prepared, handle, monitor)
        ended = _wait(handle, prepared.live, ended)
        return _finish(request, prepared, ended, monitor)
    finally:
        handle.close()


def _job(request: RecordRequest, prepared: Prepared, environ: Mapping[str, str], found: Inherited) -> Job:
    import sys

    context, live, settings = prepared.context, prepared.live, prepared.settings
    variables = {os.fsencode(k): os.fsencode(v) for k, v in (request.variables or environ).items()}
    archive = context.archive.worktree or context.archive.git_dir
    variables[b"GITRUN_RUN_ID"] = live.run_id.encode()
    variables[b"GITRUN_RUN_DIR"] = os.fsencode(live.path)
    variables[b"GITRUN_ARCHIVE"] = os.fsencode(archive)
    if request.workdir is not None:
        variables[b"PWD"] = os.fsencode(request.workdir)
    return Job(
        command=request.command,
        environment=variables,
        member=live.member,
        found=found,
        directory=request.workdir,
        mode=request.terminal_mode,
        console_max=settings.get("record.console_max"),
        free_space_floor=settings.get("record.free_space_floor"),
        grace_s=settings.get("record.grace"),
        recover=(sys.executable, "-m", "gitrun", "recover", live.run_id),
        recover_directory=archive,
        keep_fds=() if prepared.lock.fd is None else (prepared.lock.fd,),
    )


def _give_up_descriptors(found: Inherited) -> None:
    """The user's pipes end when the command and the keeper let go of them, not when sealing is over."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    os.close(null)
    for fd in found.extra_fds:
        os.close(fd)


def _while_it_runs(prepared: Prepared, handle: Handle, monitor: Monitor) -> bool | None:
    """Finds out the rest, and makes durable what a power cut could take; nothing here may fail the run.

    A command that has ended by then is sealed at once, which makes all of it durable. Returns what `wait` said.
    """
    live, draft, snapshot = prepared.live, prepared.draft, prepared.snapshot
    ended = None
    try:
        prepared.facts.while_it_runs()
        draft["live"]["finished"] = True
        live.write_draft(draft)
        ended = handle.wait(0)
        if ended is not None:
            return ended
        import gitrun.recording.seal  # noqa: F401  now, while nobody waits for it

        if snapshot.pack is not None:
            snapshot.pack.sync()
        archive = _plain_refs(prepared.context.archive)
        if prepared.pinned is None:
            create(archive, LIVE + live.run_id, snapshot.commit)
        elif prepared.pinned != snapshot.commit:
            update(archive, LIVE + live.run_id, snapshot.commit, prepared.pinned)
    except (GitrunError, OSError) as problem:
        monitor.warn("W027", f"not all was recorded: {problem}")
        draft["coverage"]["recorder"] = [f"not all was recorded: {problem}"]
    return ended


def _plain_refs(archive: Repository) -> Repository:
    """The same repository, with its refs changed by lock files of our own: no git process for a single ref."""
    return archive._replace(git=None) if archive.ref_storage == "files" else archive


def _wait(handle: Handle, live: LiveDirectory, ended: bool | None) -> bool:
    """Waits for the command's written end; False when the keeper died, and then for the command itself."""
    while ended is None:
        ended = handle.wait(_SYNC_S)
        if ended is None:
            _sync_console(live)
    if not ended:
        _outlive_keeper(handle, live)
    return ended


def _sync_console(live: LiveDirectory) -> None:
    for name in ("console", "console-tail-0", "console-tail-1"):
        try:
            fd = os.open(os.path.join(live.member, name), os.O_RDONLY)
        except OSError:
            continue  # not there (yet)
        try:
            os.fdatasync(fd)
        except OSError:
            pass  # the keeper meets the same problem when it writes, and says so in the record
        finally:
            os.close(fd)


def _outlive_keeper(handle: Handle, live: LiveDirectory) -> None:
    """The keeper was killed: the command has lost its pipes and may live all the same; the user waits for it."""
    handle.lost()
    command = read_pids(live.member).get("command")
    if command is None:
        return

    def forward(number: int, _: object) -> None:
        if is_alive(command):
            os.kill(command.pid, number)

    for number in FORWARDED:
        if number != signal.SIGTSTP and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, forward)
    while is_alive(command):
        time.sleep(0.1)


# -- when it has ended


def _finish(request: RecordRequest, prepared: Prepared, ended: bool, monitor: Monitor) -> Recorded:
    live, draft = prepared.live, prepared.draft
    end = read_exit(live.member)
    code = KEEPER_DIED
    failure = None
    if not ended:
        monitor.warn("W023", "the keeper was killed, so nobody saw how the command ended")
    elif end is not None and end.get("start_error"):
        code, failure = cannot_start(request.command, end["start_error"]["errno"], end["start_error"]["message"])
    elif end is not None:
        code = end["code"] if end["code"] is not None else 128 + (end["signal"] or 0)
    if end is not None and (stopped := (end.get("console") or {}).get("stopped")):
        monitor.warn("W024", f"the console is not complete: {stopped}")
    excluded = draft["source"].get("excluded") or []
    left_out = sum(int(entry.get("bytes") or 0) for entry in excluded)
    duration_s = end["duration_ns"] / 1e9 if end is not None and "duration_ns" in end else None
    try:
        sealed = _seal(request, prepared, monitor)
    except (GitrunError, OSError) as problem:
        return Recorded(live.run_id, code, "running", False, None, duration_s, 0, left_out, failure, _why_not(problem))
    return Recorded(
        sealed.run_id, code, sealed.status, True, sealed.commit, duration_s, sealed.stored_bytes, left_out, failure
    )


def _seal(request: RecordRequest, prepared: Prepared, monitor: Monitor) -> Any:
    from gitrun.recording.recover import redactor  # sealing is not loaded before the command has started
    from gitrun.recording.seal import finish_record, seal_live

    context, live, draft = prepared.context, prepared.live, prepared.draft
    redact = redactor(context.environ)
    with live.seal_lock():
        if request.before_seal is not None:
            finished, _ = finish_record(context, live, draft, "lost", redact)
            try:
                for name, data in request.before_seal(Finished(finished, live.member)).items():
                    live.write_part(name, data)
            except Exception as problem:  # what a caller adds is not worth the run
                monitor.warn("W025", f"a part is missing: {type(problem).__name__}: {problem}")
        return seal_live(context, live, draft, redact=redact)


def _why_not(problem: Exception) -> str:
    if isinstance(problem, DiskFull):
        return f"{problem}; free some space"
    return str(problem)
