"""A replay: a run's command, in its source, with its variables, in its place, recorded as a run of its own.

The replay happens in a checkout below the archive's own directory, so that neither the user's tree
nor an earlier replay can be seen by the program, and the checkout carries the worktree's own name,
because programs look at it. Whatever would make the answer worthless (files missing from the
source, an input that changed, a secret that is not at hand) is found before the program starts,
and then no program starts: the verdict says why.
"""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.archive.replayable import replayable
from gitrun.archive.run import Run
from gitrun.errors import GitrunError, HostilePath
from gitrun.files.names import check_path
from gitrun.files.write import make_dirs
from gitrun.git.executable import clean_environment
from gitrun.model.canonical import path_bytes
from gitrun.model.ids import new_run_id, short
from gitrun.monitor import SILENT, Monitor
from gitrun.recording.record import record
from gitrun.recording.request import Finished, RecordRequest
from gitrun.replay.checkout import checkout
from gitrun.replay.elsewhere import Elsewhere
from gitrun.replay.inputs import Inputs, inputs_of
from gitrun.replay.isolate import as_snapshot, name_of
from gitrun.replay.judging import Judge, Pieces
from gitrun.replay.removal import remove_tree
from gitrun.replay.source import of_run
from gitrun.replay.surroundings import Move, Surroundings, interpreter_of, surroundings
from gitrun.replay.verdict import EXIT_CODES, encode_verdict, ending_of, not_judged

if TYPE_CHECKING:
    from gitrun.archive.archive import Archive

INTERRUPTED = 130
_MAX_CHAIN = 100


class Replayed(NamedTuple):
    """A verdict, the exit status it stands for, and the directory of the replay where it was kept."""

    verdict: dict[str, Any]
    exit_code: int
    directory: str | None


class Recipe(NamedTuple):
    """What is repeated: the run that was asked for, and the one its command and place are taken from."""

    run: Run
    first: Run
    worktree: str | None
    cwd: str


def replay(
    archive: Archive,
    run: Run,
    read_console: Callable[[Run], Pieces],
    *,
    keep: bool = False,
    monitor: Monitor = SILENT,
) -> Replayed:
    """Repeat `run` and judge the repetition; `keep` leaves the checkout where it is.

    Raises GitrunError for a run that is still going on, and what `checkout` and `record` raise.
    """
    if run.is_live:
        raise GitrunError(f"run {run.id} has not ended yet", next=f"gitrun logs -f {short(run.id)}")
    able = replayable(run.record)
    if able["level"] == "no":
        return _not_started(run, able["because"])
    recipe = _recipe(archive, run)
    judge = Judge(run, read_console)
    parent = os.path.join(archive.gitrun_dir, "replays", new_run_id(time.time(), os.urandom(4)))
    directory = os.path.join(parent, name_of(recipe.worktree))
    make_dirs(parent)
    kept = False
    try:
        with _umask(run.record):
            inputs = inputs_of(archive, run, recipe.worktree)
            source = of_run(run)
            checkout(archive, source, directory, monitor, inputs.additions())
            inputs.verify(directory)
            around = _surroundings(archive, recipe, directory, Elsewhere(source, directory))
            lacking = [f"the secret {name} is not in the environment" for name in around.missing_secrets]
            if inputs.problems or lacking:
                return _not_started(run, [*inputs.problems, *lacking])
            kept = keep
            around = around._replace(notes=[*around.notes, *inputs.notes])
            done = _record(archive, recipe, around, directory, inputs, judge, monitor)
            return done._replace(directory=directory if keep else None)
    finally:
        if not kept:
            remove_tree(parent, monitor)


def _not_started(run: Run, causes: list[str]) -> Replayed:
    verdict = not_judged(run.id, ending_of(run.record), causes)
    return Replayed(verdict, EXIT_CODES[verdict["verdict"]], None)


def _recipe(archive: Archive, run: Run) -> Recipe:
    """A replay's own place is gone with it, so a replay of a replay starts from what that one repeated."""
    first = run
    for _ in range(_MAX_CHAIN):
        earlier = (first.record.get("links") or {}).get("replay_of")
        found = archive.run(earlier) if isinstance(earlier, str) else None
        if found is None or found.is_live or found.source_tree != run.source_tree:
            break
        first = found
    worktree, cwd = first.record.get("worktree"), first.record.get("cwd")
    return Recipe(run, first, worktree if isinstance(worktree, str) else None, cwd if isinstance(cwd, str) else ".")


def workdir_of(directory: str, cwd: str) -> str:
    """Where the command starts: the recorded place in the checkout, made where Git ignores all that was in it.

    Raises HostilePath for a place that is not below `directory`, also by way of a link in the source.
    """
    if os.path.isabs(cwd):
        return os.path.normpath(cwd)
    if cwd == os.curdir:
        return directory
    check_path(path_bytes(cwd))
    workdir = os.path.join(directory, cwd)
    if not os.path.realpath(workdir).startswith(os.path.realpath(directory) + os.sep):
        raise HostilePath(f"the recorded directory {cwd!r} leads out of the checkout")
    os.makedirs(workdir, exist_ok=True)
    return workdir


def _surroundings(archive: Archive, recipe: Recipe, directory: str, elsewhere: Elsewhere) -> Surroundings:
    recorded = (recipe.first.record.get("process") or {}).get("variables") or {}
    more = tuple(archive.settings.get("record.variables"))
    move = Move(recipe.worktree, directory, elsewhere.place)
    around = surroundings(recipe.first.record["command"], recorded, archive.environ, more, move)
    variables = elsewhere.with_paths(around.variables)
    around = around._replace(variables=variables, notes=[*around.notes, *elsewhere.notes()])
    old_cwd = None if recipe.worktree is None else os.path.join(recipe.worktree, recipe.cwd)
    program = interpreter_of(around.command, os.path.join(directory, recipe.cwd), old_cwd)
    if program is None:
        return around
    note = f"{around.command[0]} is not part of the source; {program} was run"
    return around._replace(command=[program, *around.command[1:]], notes=[*around.notes, note])


def _record(
    archive: Archive,
    recipe: Recipe,
    around: Surroundings,
    directory: str,
    inputs: Inputs,
    judge: Judge,
    monitor: Monitor,
) -> Replayed:
    """Run the command as a run of the same archive, with the verdict sealed into it."""
    run, environ = recipe.run, _environ(archive)
    verdict: dict[str, Any] = {}

    def before_seal(finished: Finished) -> dict[str, bytes]:
        verdict.update(judge.judged(finished, around.notes, environ))
        return {"verdict.json": encode_verdict(verdict)}

    request = RecordRequest(
        [os.fsencode(word) for word in around.command],
        name=None,
        inputs=tuple(os.fsencode(glob.escape(path)) for path in inputs.paths(directory)),
        links={"replay_of": run.id},
        settings={"record.on_problem": "stop"},
        workdir=workdir_of(directory, recipe.cwd),
        source=as_snapshot(archive, of_run(run), run.snapshot),
        variables=around.variables,
        terminal_mode=(run.record.get("process") or {}).get("terminal_mode"),
        before_seal=before_seal,
    )
    with _standing_in(directory):
        done = record(request, environ, monitor)
    if done.failure:
        monitor.warn("W035", done.failure)
    if not verdict:
        raise GitrunError(f"the replay {done.run_id} has no verdict: {done.problem}", next="gitrun recover")
    interrupted = done.status == "interrupted"
    return Replayed(verdict, INTERRUPTED if interrupted else EXIT_CODES[verdict["verdict"]], None)


def _environ(archive: Archive) -> dict[str, str]:
    """The recorder's own environment: the archive is this one, wherever the recorder stands."""
    environ = clean_environment(archive.environ)
    environ["GITRUN_ARCHIVE"] = archive.repo.common_dir
    environ["GITRUN_DIR"] = archive.gitrun_dir
    return environ


@contextmanager
def _umask(record: Mapping[str, Any]) -> Iterator[None]:
    """The recorded umask, for the files of the checkout and for the command."""
    recorded = (record.get("process") or {}).get("umask")
    own = os.umask(0o022)
    os.umask(int(recorded, 8) & 0o777 if isinstance(recorded, str) else own)
    try:
        yield
    finally:
        os.umask(own)


@contextmanager
def _standing_in(directory: str) -> Iterator[None]:
    """The checkout as the current directory, so that the recorder takes it for the worktree."""
    own = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir(directory)
    try:
        yield
    finally:
        os.fchdir(own)
        os.close(own)
