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
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from gitrun.errors import CommandNotStarted, GitrunError, UsageError, from_os_error
from gitrun.files.holder import is_alive
from gitrun.git.executable import find_git
from gitrun.git.refs import LIVE, create, update
from gitrun.git.repository import Repository, archive_of, discover
from gitrun.model.canonical import path_bytes
from gitrun.model.record import change_count
from gitrun.monitor import Monitor
from gitrun.own_python import own_command
from gitrun.recording.finish import finish
from gitrun.recording.injection import SITE, can_take_child, with_child, without_child
from gitrun.recording.job import Handle, Job, Watch
from gitrun.recording.keeper import start_keeper
from gitrun.recording.member import started_at_ns
from gitrun.recording.prepare import Prepared, plain_refs, prepare, undo
from gitrun.recording.request import Earlier, Recorded, RecordRequest, Started
from gitrun.recording.signals import FORWARDED, Inherited, hear_of_children, inherited
from gitrun.recording.spool import sync_files
from gitrun.recording.unrecorded import NotExecuted, run_unrecorded, runs_unrecorded
from gitrun.settings import KEYS, load

if TYPE_CHECKING:
    from gitrun.recording.watching import Running

_SYNC_S = 5.0
_LATER_S = 1.0  # what takes a while is not begun for a command that ends before


def record(
    request: RecordRequest, environ: Mapping[str, str], monitor: Monitor, found: Inherited | None = None
) -> Recorded:
    """Runs and records a command.

    `found` is what `signals.inherited()` said when the process started (default: asked now). Raises
    CommandNotStarted when it cannot be recorded and `record.on_problem` says stop; where it says run, this process
    becomes the command and does not return (NotExecuted where it cannot). Raises UsageError for what is no
    command at all.
    """
    found = found or inherited()
    environ = without_child(environ)
    hear_of_children(found)
    if not request.command or any(b"\0" in word for word in request.command):
        raise UsageError("a command needs at least one word, and none with a zero byte in it")
    rule = None
    try:
        load(None, None, environ, request.settings)  # a variable that cannot be understood is told first
        repo, archive = repositories(request, environ)
        settings = load(repo.worktree, repo.config, environ, request.settings)
        rule = settings.get("record.on_problem")
        prepared = prepare(request, repo, archive, settings, environ, monitor)
        handle = _start(request, prepared, environ, found)
    except Exception as problem:  # a bug counts as well: a job that waited for a day must not fail for gitrun's sake
        if not runs_unrecorded(rule or rule_for(request, environ), environ):
            raise _not_started(problem) from problem
        told = from_os_error(problem, "preparing the recording") if isinstance(problem, OSError) else problem
        expected = isinstance(told, GitrunError)
        words = str(told) if expected else f"a bug in gitrun ({type(problem).__name__}: {problem})"
        monitor.warn("W026", f"NOT RECORDED: {words}; the command runs all the same")
        try:
            run_unrecorded(request.command, found, request.workdir)
        except OSError as refusal:
            raise NotExecuted(refusal.errno, refusal.strerror) from refusal
    try:
        return _run(request, prepared, handle, found, monitor)
    finally:
        prepared.lock.release()


def rule_for(request: RecordRequest, environ: Mapping[str, str]) -> str:
    """`record.on_problem` as far as it is known without a repository; one that cannot be understood decides nothing."""
    key, variable = "record.on_problem", "GITRUN_RECORD_ON_PROBLEM"
    try:
        only = {name: environ[name] for name in (variable,) if name in environ}
        flags = {name: text for name, text in request.settings.items() if name == key}
        return str(load(None, None, only, flags).get(key))
    except UsageError:
        return str(KEYS[key].default)


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


def repositories(request: RecordRequest, environ: Mapping[str, str]) -> tuple[Repository, Repository]:
    start = os.getcwd() if request.source is not None or request.workdir is None else request.workdir
    repo = discover(start, find_git(environ=environ), environ)
    return repo, archive_of(repo, environ)


def _start(request: RecordRequest, prepared: Prepared, environ: Mapping[str, str], found: Inherited) -> Handle:
    """Starts keeper and command; raises GitrunError, and leaves nothing behind, when the command cannot be kept."""
    source = prepared.draft["source"]
    try:
        if request.on_start is not None:
            started = Started(prepared.live.run_id, change_count(source), prepared.live.n)
            request.on_start(started if prepared.earlier is None else _resumed(prepared.earlier, prepared, started))
        return start_keeper(_job(request, prepared, environ, found))
    except BaseException:
        undo(prepared.context, prepared.live, prepared.lock)
        raise


def _resumed(earlier: Earlier, prepared: Prepared, started: Started) -> Started:
    from gitrun.recording.resuming import drift_since

    changed = drift_since(prepared.context.archive, earlier, prepared.draft["source"])
    return started._replace(resumes=earlier.run_id, drift=changed)


# -- while it runs


def _run(request: RecordRequest, prepared: Prepared, handle: Handle, found: Inherited, monitor: Monitor) -> Recorded:
    if request.owns_process:
        _give_up_descriptors(found)
    watched = _watched(request.watcher, prepared.live.member, handle, monitor)
    try:
        try:
            ended = while_it_runs(prepared, handle, monitor)
            ended = _wait(prepared, handle, handle.wait(_LATER_S) if ended is None else ended)
        finally:
            watched()
        return finish(request, prepared, handle, ended, monitor)
    finally:
        handle.close()


def _watched(
    watcher: "Callable[[Running], None] | None", member: str, handle: Handle, monitor: Monitor
) -> Callable[[], None]:
    """Has a command watched, where somebody asked for that; what is returned says that it has ended."""
    if watcher is None:
        return lambda: None
    from gitrun.recording.watching import Watching  # replays of a beginning alone

    return Watching(watcher, member, handle, monitor).end


def _job(request: RecordRequest, prepared: Prepared, environ: Mapping[str, str], found: Inherited) -> Job:
    context, live, settings = prepared.context, prepared.live, prepared.settings
    variables = {os.fsencode(k): os.fsencode(v) for k, v in (request.variables or environ).items()}
    seen = str if request.view is None else request.view.seen
    directory = None if request.workdir is None else seen(request.workdir)
    variables.update(run_variables(prepared, seen))
    if directory is not None:
        variables[b"PWD"] = os.fsencode(directory)
    if request.view is not None:
        from gitrun.capture.places import write_places  # only replays have a view of their own

        write_places(live.member, request.view.pairs)
    return Job(
        command=request.command,
        environment=with_child(variables, seen(SITE)) if can_take_child(request.command) else variables,
        member=live.member,
        found=found,
        directory=directory,
        mode=request.terminal_mode,
        console_max=settings.get("record.console_max"),
        free_space_floor=settings.get("record.free_space_floor"),
        grace_s=settings.get("record.grace"),
        recover=own_command("recover", live.run_id),
        recover_directory=context.archive.worktree or context.archive.git_dir,
        enter=None if request.view is None else request.view.enter,
        window=request.window,
        keep_fds=() if prepared.lock.fd is None else (prepared.lock.fd,),
    )


def run_variables(prepared: Prepared, seen: Callable[[str], str] = str) -> dict[bytes, bytes]:
    """What tells a program which run it belongs to; `seen` gives the name that it sees a path of ours under."""
    live, settings = prepared.live, prepared.settings
    variables = {
        b"GITRUN_RUN_ID": live.run_id.encode(),
        b"GITRUN_RUN_DIR": os.fsencode(seen(live.path)),
        b"GITRUN_MEMBER": b"%d" % live.n,
        b"GITRUN_ARCHIVE": os.fsencode(seen(prepared.context.archive.common_dir)),  # a worktree may go, or show no way
    }
    if settings.get("record.opened") == "no":
        variables[b"GITRUN_RECORD_OPENED"] = b"no"  # the setting's own variable, which the child knows as well
    for key in ("record.output_bytes", "record.output_floor"):
        if (value := settings.get(key)) != KEYS[key].default:
            variables[b"GITRUN_" + key.upper().replace(".", "_").encode()] = b"%d" % value  # for gitrun.log_artifact
    return variables


def _give_up_descriptors(found: Inherited) -> None:
    """The user's pipes end when the command and the keeper let go of them, not when sealing is over."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    os.close(null)
    for fd in found.extra_fds:
        os.close(fd)


def while_it_runs(prepared: Prepared, handle: Watch, monitor: Monitor) -> bool | None:
    """Finds out the rest, and makes durable what a power cut could take; nothing here may fail the run.

    A command that has ended by then is sealed at once, which makes all of it durable. Returns what `wait` said.
    """
    live, draft, snapshot = prepared.live, prepared.draft, prepared.snapshot
    ended = None
    try:
        prepared.facts.while_it_runs()
        _note_changes(prepared)
        draft["live"]["finished"] = True
        live.write_draft(draft)
        from gitrun.recording.ahead import loading

        for _ in loading():  # now, while nobody waits for it
            ended = handle.wait(0)
            if ended is not None:
                return ended
        if not prepared.archive_is_there():
            return ended  # nothing is made anew in its place
        live.sync()
        if snapshot.pack is not None:
            snapshot.pack.sync()
        if live.n:
            return ended  # the run's source is its founder's
        archive = plain_refs(prepared.context.archive)
        if prepared.pinned is None:
            create(archive, LIVE + live.run_id, snapshot.commit)
        elif prepared.pinned != snapshot.commit:
            update(archive, LIVE + live.run_id, snapshot.commit, prepared.pinned)
    except Exception as problem:  # a bug as well: the command runs, and its exit status is its own
        from gitrun.capture.secrets import Redactor
        from gitrun.recording.bugs import told

        monitor.warn("W027", f"not all was recorded: {told(prepared.context.gitrun_dir, live.run_id, problem)}")
        draft["coverage"]["recorder"] = [f"not all was recorded: {Redactor(os.environ).text(str(problem))}"]
    return ended


def _note_changes(prepared: Prepared) -> None:
    """Names the files that were edited between the snapshot's look at them and the start of the command."""
    from gitrun.capture.watch import changed_since

    started_ns = started_at_ns(prepared.live.member)
    if prepared.snapshot.watch is None or started_ns is None:
        return
    changes = changed_since(prepared.snapshot.watch, started_ns)
    source = prepared.draft["source"]
    source["changed_during_run"] = sorted({*source["changed_during_run"], *changes.paths}, key=path_bytes)
    if changes.gaps:
        prepared.draft["coverage"]["source"] = changes.gaps


def _wait(prepared: Prepared, handle: Handle, ended: bool | None) -> bool:
    """Waits for the command's written end; False when the keeper died, and then for the command itself."""
    while ended is None:
        prepared.facts.while_it_runs_on()
        ended = handle.wait(_SYNC_S)
        if ended is None:
            sync_files(prepared.live.member)
    if not ended:
        _outlive_keeper(handle)
    return ended


def _outlive_keeper(handle: Handle) -> None:
    """The keeper was killed: the command has lost its pipes and may live all the same; the user waits for it."""
    handle.lost()
    command = handle.pids.get("command")
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
