"""The command of a replay, run and recorded as a run of the same archive, with the verdict sealed into it."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.errors import GitrunError
from gitrun.git.executable import clean_environment
from gitrun.model.canonical import path_bytes
from gitrun.monitor import Monitor
from gitrun.recording.record import record
from gitrun.recording.request import Finished, RecordRequest, View
from gitrun.replay.inputs import Inputs
from gitrun.replay.isolate import as_snapshot
from gitrun.replay.judging import Judge
from gitrun.replay.place import Place
from gitrun.replay.prefix import PrefixWatch
from gitrun.replay.recipe import Recipe, workdir_of
from gitrun.replay.source import of_run
from gitrun.replay.stage import Stage
from gitrun.replay.stdin import Stdin
from gitrun.replay.surroundings import Surroundings
from gitrun.replay.verdict import INTERRUPTED, encode_verdict, exit_status

if TYPE_CHECKING:
    from gitrun.archive.archive import Archive

# What a replay needs not say again: its environment is the locked one, or a choice of the moment.
_SETTINGS = {"record.on_problem": "stop", "lock.resolver": "none", "lock.vendor": "none"}
_PATTERNS = ("config", "outputs", "keep", "no_keep", "metrics")


class Repeated(NamedTuple):
    """The run that the replay is, its verdict, and the exit status that stands for it."""

    run_id: str
    verdict: dict[str, Any]
    exit_code: int


def repeat(
    archive: Archive,
    recipe: Recipe,
    stage: Stage,
    around: Surroundings,
    inputs: Inputs,
    stdin: Stdin,
    judge: Judge,
    watch: PrefixWatch | None,
    amend: Callable[[dict[str, Any]], None] | None,
    monitor: Monitor,
) -> Repeated:
    """Run the command; `amend` may add to the verdict before it is sealed. Raises GitrunError without a verdict."""
    environ = _environ(archive)
    verdict: dict[str, Any] = {}

    def before_seal(finished: Finished) -> dict[str, bytes]:
        elsewhere = None if stage.is_at_place else stage.directory
        verdict.update(judge.judged(finished, around.notes, environ, stage.directory, watch=watch, elsewhere=elsewhere))
        if amend is not None:
            amend(verdict)
        return {"verdict.json": encode_verdict(verdict)}

    request = _request(archive, recipe, stage, around, inputs)._replace(before_seal=before_seal, watcher=watch)
    with stdin.in_place(), _standing_in(stage.directory):
        done = record(request, environ, monitor)
    if done.failure:
        monitor.warn("W035", done.failure)
    if not verdict:
        raise GitrunError(f"the replay {done.run_id} has no verdict: {done.problem}", next="gitrun recover")
    interrupted = done.status == "interrupted" and (watch is None or watch.stopped is None)
    return Repeated(done.run_id, verdict, INTERRUPTED if interrupted else exit_status(verdict))


def _request(archive: Archive, recipe: Recipe, stage: Stage, around: Surroundings, inputs: Inputs) -> RecordRequest:
    run, place = recipe.run, stage.place
    asked = _asked(recipe, stage.directory)
    return RecordRequest(
        [os.fsencode(word) for word in around.command],
        run_id=stage.run_id,
        name=None,
        config_files=asked["config"],
        inputs=tuple(os.fsencode(glob.escape(path)) for path in inputs.paths(stage.directory)),
        outputs=asked["outputs"],
        keep=asked["keep"],
        no_keep=asked["no_keep"],
        metrics=asked["metrics"],
        links={"replay_of": run.id},
        settings=_SETTINGS,
        workdir=workdir_of(stage.directory, recipe.cwd),
        source=as_snapshot(archive, of_run(run), run.snapshot),
        variables=around.variables,
        terminal_mode=_mode(recipe),
        window=_window(recipe),
        view=View(place.enter, place.seen, place.pairs()) if isinstance(place, Place) else None,
    )


def _asked(recipe: Recipe, directory: str) -> dict[str, tuple[bytes, ...]]:
    """The files and patterns that the run's user had named, those below its worktree as they are in the checkout."""
    asked = recipe.first.record.get("asked")
    asked = asked if isinstance(asked, dict) else {}
    worktree = None if recipe.worktree is None else os.fsencode(recipe.worktree).rstrip(b"/") + b"/"

    def here(pattern: bytes) -> bytes:
        if worktree is None or not pattern.startswith(worktree):
            return pattern
        return os.path.join(os.fsencode(directory), pattern[len(worktree) :])

    found: dict[str, tuple[bytes, ...]] = {}
    for name in _PATTERNS:
        listed = asked.get(name)
        texts = listed if isinstance(listed, list) else []
        found[name] = tuple(here(path_bytes(text)) for text in texts if isinstance(text, str) and "\0" not in text)
    return found


def _mode(recipe: Recipe) -> str | None:
    mode = recipe.process.get("terminal_mode")
    return mode if mode in ("pty", "pipes") else None


def _window(recipe: Recipe) -> tuple[int, int] | None:
    """The size of the terminal that the run had, in rows and columns."""
    terminal = recipe.process.get("terminal")
    rows, columns = (terminal.get(name) if isinstance(terminal, dict) else None for name in ("rows", "columns"))
    if type(rows) is int and type(columns) is int and 0 <= rows < 1 << 16 and 0 <= columns < 1 << 16:
        return rows, columns
    return None


def _environ(archive: Archive) -> dict[str, str]:
    """The recorder's own environment: the archive is this one, wherever the recorder stands."""
    environ = clean_environment(archive.environ)
    environ["GITRUN_ARCHIVE"] = archive.repo.common_dir
    environ["GITRUN_DIR"] = archive.gitrun_dir
    return environ


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
