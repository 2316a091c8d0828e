"""A replay: a run's command, in its source, its environment, its place, with its variables, recorded as a run.

Whatever would make the answer worthless (files missing from the source, an input that changed, an environment that
cannot be had, a secret that is not at hand) is found before the program starts, and then no program starts: the
verdict says why. How its surroundings are made is told elsewhere: `stage` and `place` (where it runs), `environments`
(in what), `inputs` (on what), `surroundings` and `clean` (with which variables); `judging` says what came of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.archive.entries import Entry
from gitrun.archive.replayable import replayable
from gitrun.archive.run import Run
from gitrun.archive.traces import files_of
from gitrun.child.running import STANDS_IN
from gitrun.errors import GitrunError
from gitrun.model.ids import new_run_id, short
from gitrun.monitor import SILENT, Monitor
from gitrun.replay.carrying import Carried
from gitrun.replay.checkout import checkout
from gitrun.replay.clean import cleaned, is_state, state_notes, state_places
from gitrun.replay.consoles import Pieces
from gitrun.replay.elsewhere import Elsewhere
from gitrun.replay.environments import Built, NotRebuilt, rebuild
from gitrun.replay.environments.outcome import CURRENT, SAME_VERSION
from gitrun.replay.inputs import Inputs, inputs_of
from gitrun.replay.judging import Judge
from gitrun.replay.prefix import Goal, PrefixWatch, watch_for
from gitrun.replay.recipe import Recipe, recipe_of
from gitrun.replay.repeating import Repeated, repeat
from gitrun.replay.source import Source, of_run
from gitrun.replay.stage import Stage
from gitrun.replay.stdin import Stdin, stdin_of
from gitrun.replay.surroundings import Machine, Move, Surroundings, as_on, interpreter_of, surroundings, turned
from gitrun.replay.verdict import Options, ending_of, exit_status, not_judged

if TYPE_CHECKING:
    from gitrun.archive.archive import Archive

RECORDED = "recorded"
_OPTIONS = Options()


class Wishes(NamedTuple):
    """How a replay shall be made.

    `env` is `recorded` or `current`; `allow` the least exact environment that will do instead of the recorded one
    (`same-version`, `current`); `clean` gives the program an empty home; `keep` leaves the checkout where it is.
    """

    env: str = RECORDED
    allow: str | None = None
    clean: bool = False
    keep: bool = False


class Replayed(NamedTuple):
    """A verdict, the exit status it stands for, and the directory of the replay where it was kept."""

    verdict: dict[str, Any]
    exit_code: int
    directory: str | None


class Leg(NamedTuple):
    """What is special about a replay that is one of several: what it finds, leaves, and adds to its verdict."""

    carried: Carried
    amend: Callable[[dict[str, Any]], None]


_WISHES = Wishes()


def replay(
    archive: Archive,
    run: Run,
    read_console: Callable[[Run], Pieces],
    *,
    options: Options = _OPTIONS,
    goal: Goal | None = None,
    wishes: Wishes = _WISHES,
    leg: Leg | None = None,
    monitor: Monitor = SILENT,
) -> Replayed:
    """Repeat `run` and judge the repetition.

    Raises GitrunError for a run that is still going on, and what `checkout` and `record` raise.
    """
    if run.is_live:
        raise GitrunError(f"run {run.id} has not ended yet", next=f"gitrun logs -f {short(run.id)}")
    able = replayable(run.record)
    if able["level"] == "no":
        return not_started(run, able["because"])
    recipe = recipe_of(archive, run)
    judge = Judge(archive, run, read_console, options)
    watch = None if goal is None else watch_for(run, goal, options)
    run_id = new_run_id(time.time(), os.urandom(4))
    with _umask(recipe), Stage(archive, recipe, run_id, monitor) as stage:
        try:
            ready = _prepare(archive, recipe, stage, wishes, leg, monitor)
        except NotRebuilt as problem:
            told = [f"environment: {problem.message}", *([f"next: {problem.next}"] if problem.next else [])]
            return not_started(run, told)
        if isinstance(ready, list):
            return not_started(run, ready)
        stage.keep = wishes.keep
        return _run(archive, recipe, stage, ready, judge, watch, leg, monitor)


def not_started(run: Run, causes: list[str]) -> Replayed:
    """The answer where the program was not started, and why."""
    verdict = not_judged(run.id, ending_of(run.record), causes)
    return Replayed(verdict, exit_status(verdict), None)


class _Ready(NamedTuple):
    """All that a command needs to be run again."""

    around: Surroundings
    inputs: Inputs
    stdin: Stdin
    environment: Built | None


def _prepare(
    archive: Archive, recipe: Recipe, stage: Stage, wishes: Wishes, leg: Leg | None, monitor: Monitor
) -> _Ready | list[str]:
    """Makes the stage ready, or says why nothing can be started; raises NotRebuilt, and what `checkout` raises."""
    source = of_run(recipe.run)
    at_place = stage.may_be_at_place()
    environment = _environment(archive, recipe, stage, source, wishes, at_place, monitor)
    places = state_places(archive.environ)
    there = leg.carried.paths if leg is not None else ()
    inputs = inputs_of(archive, recipe.run, recipe.worktree, there, _lackable(places) if wishes.clean else _none_may)
    made = checkout(archive, source, stage.directory, monitor, inputs.additions())
    if leg is not None:
        leg.carried.bring(stage.directory)
    inputs.verify(stage.directory)
    stdin = stdin_of(recipe, stage.directory)
    if at_place and not stage.take_place(source, made, environment, inputs.outside()):
        # it was expected, and what was installed to be edited would be looked for there
        environment = _environment(archive, recipe, stage, source, wishes, False, monitor)
    around = _surroundings(archive, recipe, stage, source, environment)
    if wishes.clean:
        around = around._replace(variables=cleaned(around.variables, stage.scratch))
    lacking = [f"the secret {name} is not in the environment" for name in around.missing_secrets]
    if problems := [*inputs.problems, *stdin.problems, *lacking]:
        return problems
    state = state_notes(files_of(archive, recipe.run), places, wishes.clean)
    around = around._replace(notes=[*around.notes, *inputs.notes, *state])
    return _Ready(around, inputs, stdin, environment)


def _none_may(_: Entry) -> bool:
    return False


def _lackable(places: list[str]) -> Callable[[Entry], bool]:
    return lambda entry: is_state(entry, places)


def _environment(
    archive: Archive,
    recipe: Recipe,
    stage: Stage,
    source: Source,
    wishes: Wishes,
    at_place: bool,
    monitor: Monitor,
) -> Built | None:
    """The environment to run in; None for the one that is found here. Raises NotRebuilt."""
    if wishes.env != RECORDED:
        return None
    places = {} if recipe.worktree is None else {recipe.worktree: recipe.worktree if at_place else stage.directory}
    for root in source.roots:
        if root.is_outside:
            path = os.fsdecode(root.path)
            is_there = at_place and os.path.isdir(path)
            places[path] = path if is_there else os.path.join(f"{stage.directory}.roots", str(root.n))
    # A replay is not locked: where it ran in the environment of the run that it repeated, that one's lockfile counts.
    run = recipe.first if _digest(recipe.first) == _digest(recipe.run) else recipe.run
    return rebuild(archive, run, allow=wishes.allow, monitor=monitor, places=places)


def _digest(run: Run) -> Any:
    return ((run.record.get("parts") or {}).get("environment.json") or {}).get("sha256")


def _surroundings(
    archive: Archive, recipe: Recipe, stage: Stage, source: Source, environment: Built | None
) -> Surroundings:
    """The command and its variables, with what had to be said about them."""
    recorded = (recipe.first.record.get("process") or {}).get("variables") or {}
    more = tuple(archive.settings.get("record.variables"))
    elsewhere = Elsewhere(source, stage.directory, stage.seen)
    linked = False
    if stage.is_at_place:
        move = Move(None, stage.directory, elsewhere.place)
    else:
        linked = stage.link_environment(environment)
        move = Move(recipe.worktree, stage.directory, elsewhere.place)
    around = surroundings(recipe.first.record["command"], recorded, archive.environ, more, move)
    variables, told = as_on(recipe.run.record, _there(recipe.run), _here(archive))
    variables = {**around.variables, **variables, **dict(environment.variables if environment is not None else ())}
    if "inside" in (recipe.first.record.get("process") or {}):
        variables[STANDS_IN] = "1"  # `start_run` began the run, and a run goes on already
    notes = [*around.notes, *told, *elsewhere.notes(), *stage.notes()]
    around = around._replace(variables=elsewhere.with_paths(variables), notes=notes)
    if environment is not None:
        around = around._replace(notes=[*_told(environment), *around.notes])
    if environment is not None and environment.directory is not None:
        interpreter = {name: move.word(text) for name, text in recipe.interpreter.items() if isinstance(text, str)}
        seen = stage.seen(environment.directory)
        directory = interpreter.get("prefix", seen) if linked else seen
        return turned(around, interpreter, directory, recipe.old_cwd)
    if stage.is_at_place:
        return around
    program = interpreter_of(around.command, os.path.join(stage.directory, recipe.cwd), recipe.old_cwd)
    if program is None:
        return around
    note = f"{around.command[0]} is not part of the source; {program} was run"
    return around._replace(command=[program, *around.command[1:]], notes=[*around.notes, note])


def _told(environment: Built) -> list[str]:
    """What a verdict says of the environment: what it is less than the recorded one."""
    is_less = environment.level in (SAME_VERSION, CURRENT)
    words = {SAME_VERSION: "the same versions, not the same build", CURRENT: "the one that is found here"}
    return [*([f"environment: {words[environment.level]}"] if is_less else []), *environment.notes]


def _there(run: Run) -> Machine:
    relevant = (run.value("hardware.json") or {}).get("relevant") or {}
    zone = (run.record.get("process") or {}).get("timezone")
    return _machine(relevant, zone)


def _here(archive: Archive) -> Machine:
    from gitrun.capture.hardware import capture_hardware
    from gitrun.capture.process import timezone

    relevant = capture_hardware(environ=archive.environ).value.get("relevant") or {}
    return _machine(relevant, timezone({}))


def _machine(relevant: dict[str, Any], zone: Any) -> Machine:
    cores, quota = relevant.get("usable_cores"), relevant.get("cpu_quota_cores")
    return Machine(
        cores if type(cores) is int else None,
        float(quota) if isinstance(quota, (int, float)) else None,
        zone if isinstance(zone, str) else None,
    )


def _run(
    archive: Archive,
    recipe: Recipe,
    stage: Stage,
    ready: _Ready,
    judge: Judge,
    watch: PrefixWatch | None,
    leg: Leg | None,
    monitor: Monitor,
) -> Replayed:
    done: Repeated = repeat(
        archive,
        recipe,
        stage,
        ready.around,
        ready.inputs,
        ready.stdin,
        judge,
        watch,
        None if leg is None else leg.amend,
        monitor,
    )
    if leg is not None:
        leg.carried.take(archive, stage, done.run_id)
    return Replayed(done.verdict, done.exit_code, stage.directory if stage.keep else None)


@contextmanager
def _umask(recipe: Recipe) -> Iterator[None]:
    """The recorded umask, for the files of the checkout and for the command."""
    recorded = recipe.process.get("umask")
    own = os.umask(0o022)
    os.umask(int(recorded, 8) & 0o777 if isinstance(recorded, str) else own)
    try:
        yield
    finally:
        os.umask(own)
