"""`gitrun.start_run`: a process that is there already records itself, as notebooks, schedulers and actors need it.

What a recorded command would show by how it ends, this has to be told or to find out: an exception that leaves the
`with` block, one that nobody catches, what `sys.exit` was given. A run that is never finished is sealed when the
process exits; when it is killed, by the next gitrun that comes by.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from gitrun.api.cells import PART, Cells, shell
from gitrun.api.telling import Lines
from gitrun.child import artifact, metrics, told
from gitrun.child.running import is_disabled, is_stood_in_for, tell
from gitrun.errors import GitrunError, UsageError, from_os_error
from gitrun.recording.inside import PROGRAM, SESSION, Inside, begin
from gitrun.recording.joining import asked_to_join, launched_together
from gitrun.recording.record import rule_for
from gitrun.recording.request import Join, RecordRequest
from gitrun.recording.unrecorded import runs_unrecorded
from gitrun.ui.words import beginning, ending, leaving

_active: ActiveRun | None = None
_beginning = threading.RLock()  # held by who begins a run, so that two threads do not both find that there is none


def start_run(
    name: str | None = None,
    *,
    tags: str | Iterable[str] = (),
    note: str | None = None,
    group: str | None = None,
    config: Mapping[str, Any] | None = None,
    inputs: str | Iterable[str] = (),
    outputs: str | Iterable[str] = (),
    join: str | None = None,
    members: int | None = None,
    quiet: bool = False,
) -> ActiveRun:
    """Begins to record this process as a run; `finish` it, or use it in a `with` statement.

    The source around the working directory, the environment and the machine are recorded now, and `config` as by
    `gitrun.config.update`; `inputs` and `outputs` are patterns of files. `gitrun.log` and the like belong to this run
    until it is finished, also in the processes that this one starts. With GITRUN_DISABLE=1 the run does nothing.
    Processes that give the same key to `join` are one run, and so are the ranks of one launcher (torchrun, a Slurm
    step, Open MPI) without a key; with an empty one each is alone. `members` says how many will come.
    Raises GitrunError where it cannot be recorded, unless the setting `record.on_problem` says that it goes on all
    the same; UsageError where this process is recording a run already (in a notebook, that one is finished first).
    """
    if is_disabled():
        return ActiveRun(None, Lines(quiet), None)
    values = dict(config or {})  # what is wrong with it shows before there is a run
    request = RecordRequest(
        list(map(os.fsencode, sys.orig_argv)) or [os.fsencode(sys.executable)],
        name=_text(name),
        tags=tuple(_texts(tags)),
        note=_text(note),
        group=_text(group),
        inputs=tuple(map(os.fsencode, _texts(inputs))),
        outputs=tuple(map(os.fsencode, _texts(outputs))),
    )
    if is_stood_in_for():
        run = ActiveRun(None, Lines(quiet), None)
    else:
        with _beginning:
            run = _begin(request, join, members, quiet)
    if values:
        told.config.update(values)
    return run


def _begin(request: RecordRequest, join: str | None, members: int | None, quiet: bool) -> ActiveRun:
    notebook = shell()
    _finish_other(notebook)
    request, lines = request._replace(join=_joined(join, members)), Lines(quiet)
    is_session = notebook is not None or hasattr(sys, "ps1") or bool(sys.flags.interactive)
    try:
        inside = begin(request, SESSION if is_session else PROGRAM, os.environ, lines)
    except Exception as problem:  # a bug as well: a job that waited for a day must not fail for gitrun's sake
        problem = from_os_error(problem, "preparing the recording") if isinstance(problem, OSError) else problem
        if not runs_unrecorded(rule_for(request, os.environ), os.environ):
            raise problem
        bug = "" if isinstance(problem, GitrunError) else f"a bug in gitrun ({type(problem).__name__}): "
        lines.warn("W026", f"NOT RECORDED: {bug}{problem}; the program goes on all the same")
        return ActiveRun(None, lines, None)
    return ActiveRun(inside, lines, notebook)


def _text(given: Any) -> str | None:
    """What somebody gave as a text that can be written: a number is a name as well, and half a character none."""
    text = None if given is None else str(given)
    try:
        (text or "").encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return str(given).encode("utf-8", "backslashreplace").decode()
    return text


def _texts(given: Any) -> list[str]:
    """The texts of a list, or the only one."""
    return [str(_text(one)) for one in ([given] if isinstance(given, str) else given)]


def _joined(key: str | None, members: int | None) -> Join | None:
    """Which run this process is a member of."""
    if members is not None and (key is None or members < 1):
        raise UsageError("members=N says how many processes give the same key to join=", next="start_run(join=KEY)")
    if key is None:
        return launched_together(os.environ)
    return asked_to_join(key, None if members is None else str(members), os.environ)


class ActiveRun:
    """A run that this process records of itself; `id` is None where nothing is recorded."""

    log = staticmethod(metrics.log)
    log_artifact = staticmethod(artifact.log_artifact)
    config = told.config
    summary = told.summary

    def __init__(self, inside: Inside | None, lines: Lines, notebook: Any) -> None:
        global _active
        self._inside, self._lines, self._pid = inside, lines, os.getpid()
        self.id = None if inside is None else inside.run_id
        self._cells: Cells | None = None
        self._watch: _ExitWatch | None = None
        if inside is None:
            return
        _active = self
        lines.note(beginning(inside.started))
        if notebook is not None:
            self._cells = Cells(notebook, inside.redact, lambda data: inside.add_part(PART, data))
        self._watch = _ExitWatch(self._at_exit)

    def finish(self, exit_code: int = 0) -> None:
        """Ends the run and seals it; another call does nothing, nor does one in a forked process."""
        self._finish(_End(exit_code))

    def _finish(self, end: _End) -> None:
        global _active
        inside = self._inside
        if inside is None or os.getpid() != self._pid:
            return
        self._inside, _active = None, None
        if self._watch is not None:
            self._watch.stop()
        if self._cells is not None:
            self._cells.stop()
        done = inside.finish(*end)
        self.id = done.run_id
        if done.others:
            self._lines.note(leaving(done))
        elif done.sealed:
            self._lines.note(ending(done))
        else:
            tell(f"{done.run_id} is not sealed: {done.problem}")

    def _at_exit(self, end: _End) -> None:
        self._finish(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish(_end_by(problem))

    def __repr__(self) -> str:
        if self.id is None:
            return "<gitrun run, not recorded>"
        return f"<gitrun run {self.id}{'' if self._inside is None else ', recording'}>"


class _End(NamedTuple):
    """How a run ended: its exit code, or the signal, and what there is to read about it."""

    code: int | None
    signal: int | None = None
    words: str = ""


def _end_by(problem: BaseException | None) -> _End:
    """The end that an exception makes of a program, as Python itself has it."""
    if problem is None:
        return _End(0)
    if isinstance(problem, SystemExit):
        if problem.code is None or isinstance(problem.code, int):
            return _End((problem.code or 0) & 0xFF)
        return _End(1, None, f"{problem.code}\n")
    words = "".join(traceback.format_exception(problem))
    return _End(None, signal.SIGINT, words) if isinstance(problem, KeyboardInterrupt) else _End(1, None, words)


class _ExitWatch:
    """Calls `end` when the process exits, with how: by an exception that nobody caught, or by `sys.exit`.

    In a session the exceptions of a user's last lines are no end.
    """

    def __init__(self, end: Callable[[_End], None]) -> None:
        self._end = end
        self._before = getattr(sys, "last_value", None)
        self._status: list[Any] = []
        self._exit = sys.exit
        sys.exit = self._note  # type: ignore[assignment]
        atexit.register(self._at_exit)

    def stop(self) -> None:
        """Watches no more."""
        atexit.unregister(self._at_exit)
        if sys.exit == self._note:
            sys.exit = self._exit

    def _note(self, status: Any = None, /) -> None:
        self._status = [status]
        self._exit(status)

    def _at_exit(self) -> None:
        problem = getattr(sys, "last_value", None)
        if hasattr(sys, "ps1") or shell() is not None or problem is self._before:
            problem = SystemExit(*self._status)
        self._end(_end_by(problem))
        if isinstance(problem, KeyboardInterrupt):
            _be_interrupted()


def _be_interrupted() -> None:
    """Lets the process end by SIGINT, as it would have: Python forgets that when other code is evaluated meanwhile."""
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        pass  # what counts is that it left evaluated code


def _after_fork() -> None:
    """In a child: whoever was about to begin a run was a thread of its parent."""
    global _beginning
    _beginning = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


def _finish_other(notebook: Any) -> None:
    """A process records one run at a time; whoever executes the cell of the first one again means another."""
    other = _active
    if other is None or other._pid != os.getpid() or other.id is None:
        return
    if notebook is None:
        raise UsageError(f"this process is recording run {other.id}", next="finish() that run first")
    other.finish()
