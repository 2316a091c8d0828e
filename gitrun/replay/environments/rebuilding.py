"""Having the environment of a run again, by the first way that gives it exactly: kept, built, still there.

The kept one is named by what determines it: the digest of environment.json (which covers the build of Python and every
distribution's content) and the entry points of what was edited in place. Only where none of these ways is open, a
lower level that the user allowed is taken; else the refusal says precisely what is missing, and what to type.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gitrun.archive.archive import Archive
from gitrun.archive.run import Run
from gitrun.capture.environment import capture_environment
from gitrun.capture.facts import file_marks
from gitrun.capture.program import find_program
from gitrun.errors import DestinationExists
from gitrun.files.write import make_dirs
from gitrun.model.canonical import encode
from gitrun.model.ids import short
from gitrun.model.listing import listed
from gitrun.monitor import SILENT, Monitor
from gitrun.replay.environments.building import Plan, build
from gitrun.replay.environments.editables import VARIABLE, Editable, paths, read_editables
from gitrun.replay.environments.outcome import (
    ALLOWED,
    CURRENT,
    Built,
    NotRebuilt,
    is_allowed,
)
from gitrun.replay.environments.present import in_place
from gitrun.replay.environments.pythons import find_python, how_to_get
from gitrun.replay.environments.recorded import Recorded, read_locked, read_recorded
from gitrun.replay.environments.requirements import requirements
from gitrun.replay.environments.shelf import Place, shelf_of

_VERSION = 1  # of how environments are built: another one is another place on the shelf
_POLL_S = 0.05
_KEY_DIGITS = 24  # a longer path would not fit the first line of a script


def rebuild(
    archive: Archive,
    run: Run,
    *,
    allow: str | None = None,
    monitor: Monitor = SILENT,
    places: Mapping[str, str] | None = None,
    tool: str = "auto",
) -> Built | None:
    """The environment of a run, to run in; None where its program was no Python.

    `allow` is None, `same-version` or `current`. `places` says where recorded directories (the worktree, roots) will
    be for the program, for what was installed to be edited in place. Raises NotRebuilt, DamagedRecord, DamagedStore.
    """
    assert allow is None or allow in ALLOWED, allow
    try:
        recorded = read_recorded(run)
    except NotRebuilt as problem:
        if allow != CURRENT:
            raise
        return Built(None, None, CURRENT, "", (f"not rebuilt: {problem.message}",))
    if recorded is None:
        return None
    editables = read_editables(archive, recorded)
    place = place_of(archive, recorded, editables)
    found = kept(archive, recorded, place, allow)
    if found is None:
        try:
            found = _built(archive, recorded, editables, place, allow, monitor, tool)
        except NotRebuilt as problem:
            found = _otherwise(archive, recorded, problem, allow)
    return _with_places(found, editables, places or {})


def create(
    archive: Archive,
    run: Run,
    directory: str,
    *,
    allow: str | None = None,
    monitor: Monitor = SILENT,
    places: Mapping[str, str] | None = None,
    tool: str = "auto",
) -> Built | None:
    """Build the environment of a run in a new or empty directory, for its user to keep; None as for `rebuild`.

    Raises NotRebuilt, and DestinationExists for a directory that is in use.
    """
    if os.path.lexists(directory) and not (os.path.isdir(directory) and not os.listdir(directory)):
        raise DestinationExists(
            f"{directory} is there already", kept="nothing was written", next="name a new directory"
        )
    recorded = read_recorded(run)
    if recorded is None:
        return None
    editables = read_editables(archive, recorded)
    plan = plan_of(archive, recorded, editables, allow)
    directory = os.path.abspath(directory)
    make_dirs(os.path.dirname(directory))
    was_there = os.path.isdir(directory)
    try:
        made = build(archive, plan, directory, monitor, {} if places is None else places, tool)
    except BaseException:
        if was_there:
            make_dirs(directory)
        raise
    with open(os.path.join(directory, ".gitignore"), "w", encoding="ascii") as file:
        file.write("*\n")  # in a checkout it is no file of the project
    return Built(directory, made.python, made.level, recorded.digest, made.notes)


def place_of(archive: Archive, recorded: Recorded, editables: Sequence[Editable]) -> Place:
    """Where on the shelf an environment is kept."""
    what = [_VERSION, recorded.digest, [each.key() for each in editables]]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return Place(os.path.join(shelf_of(archive), key[:_KEY_DIGITS]))


def kept(archive: Archive, recorded: Recorded, place: Place, allow: str | None) -> Built | None:
    """The environment on the shelf, where it is still what was put there."""
    said = place.complete()
    if said is None or said.get("digest") != recorded.digest or not is_allowed(str(said.get("level")), allow):
        return None
    hold = place.hold()
    said = place.complete()
    python = os.path.join(place.prefix, "bin", "python")
    if said is None or not _is_as_it_was(archive, python, said):
        hold.release()
        return None
    place.touch()
    notes = tuple(map(str, said.get("notes") or ()))
    return Built(place.prefix, python, str(said["level"]), recorded.digest, notes, cached=True, hold=hold)


def _built(
    archive: Archive,
    recorded: Recorded,
    editables: Sequence[Editable],
    place: Place,
    allow: str | None,
    monitor: Monitor,
    tool: str,
) -> Built:
    """Build the environment on the shelf, or wait for who builds it; raises NotRebuilt."""
    plan = plan_of(archive, recorded, editables, allow)
    hold = place.hold()
    try:
        while not hold.alone(wait=False):
            if (found := kept(archive, recorded, place, allow)) is not None:  # somebody has built it meanwhile
                hold.release()
                return found
            if place.complete() is not None:
                raise NotRebuilt(f"the one in {place.prefix} was changed, and is in use", next="wait for its end")
            time.sleep(_POLL_S)
        said = place.complete()
        python = os.path.join(place.prefix, "bin", "python")
        cached = _would_be_again(archive, plan, python, said, allow)
        if said is None or not cached:
            said = _build_there(archive, plan, place, python, monitor, tool)
        hold.share()
        if not is_allowed(str(said["level"]), allow):
            again = f"gitrun replay {short(recorded.run.id)} --allow same-version"
            raise NotRebuilt("; ".join(map(str, said["notes"])), next=again)
    except BaseException:
        hold.release()
        raise
    notes = tuple(map(str, said["notes"]))
    return Built(place.prefix, python, str(said["level"]), recorded.digest, notes, cached=cached, hold=hold)


def _would_be_again(
    archive: Archive, plan: Plan, python: str, said: Mapping[str, Any] | None, allow: str | None
) -> bool:
    """Whether building would give what is there: it is good enough, or no better one can come of the same Python."""
    if said is None or said.get("digest") != plan.recorded.digest:
        return False
    good = is_allowed(str(said.get("level")), allow) or said.get("python") == plan.python.path
    return good and _is_as_it_was(archive, python, said)


def _build_there(
    archive: Archive, plan: Plan, place: Place, python: str, monitor: Monitor, tool: str
) -> dict[str, Any]:
    """Build on the shelf; what is said of it from then on."""
    place.clear()
    made = build(archive, plan, place.prefix, monitor, None, tool)
    said = {
        "digest": plan.recorded.digest,
        "level": made.level,
        "notes": list(made.notes),
        "run": plan.recorded.run.id,
        "python": plan.python.path,
        "marks": file_marks(os.fsencode(plan.python.path)),
        "installed": _installed(archive, python),
    }
    place.set_complete(said)
    return said


def plan_of(archive: Archive, recorded: Recorded, editables: Sequence[Editable], allow: str | None) -> Plan:
    """What would be built; raises NotRebuilt where something is missing that no installer could bring."""
    again = f"gitrun lock {short(recorded.run.id)}"
    if recorded.is_conda:
        raise NotRebuilt("it is a conda environment, which is not built again", next=_current(recorded))
    locked = read_locked(archive, recorded.run)
    needed = requirements(recorded, locked)
    if locked.reason is not None and (needed.wanted or needed.problems):
        raise NotRebuilt(f"it has no lockfile: {locked.reason}", next=again)
    if needed.problems:
        raise NotRebuilt(listed(needed.problems), next=again)
    python = find_python(recorded, archive.environ)
    if not is_allowed(python.level, allow):
        raise NotRebuilt(
            f"Python {recorded.version} is here ({python.path}), but is another build than the recorded one",
            next=f"{how_to_get(recorded)}, or gitrun replay {short(recorded.run.id)} --allow same-version",
        )
    return Plan(recorded, python, needed, editables)


def _otherwise(archive: Archive, recorded: Recorded, problem: NotRebuilt, allow: str | None) -> Built:
    """What there is instead of a built environment: itself, or whatever is found here."""
    here = in_place(archive, recorded)
    if here is not None:
        why = problem.message.partition(": ")[0]  # `gitrun env` says all of it
        return here._replace(notes=(f"{here.notes[0]}; it was not rebuilt: {why}",))
    if allow == CURRENT:
        return Built(None, None, CURRENT, recorded.digest, (f"not rebuilt: {problem.message}",))
    raise NotRebuilt(
        f"the environment of run {recorded.run.id} was not rebuilt: {problem.message}",
        kept=problem.kept,
        next=problem.next or _current(recorded),
    ) from problem


def _current(recorded: Recorded) -> str:
    return f"gitrun replay {short(recorded.run.id)} --allow current"


def _with_places(built: Built, editables: Sequence[Editable], places: Mapping[str, str]) -> Built:
    """With the variable that leads to what was edited in place."""
    if not editables or built.hold is None:
        return built
    known, lost = paths(editables, places)
    variables = ((VARIABLE, os.pathsep.join(known)),)
    more = (f"the source of {listed(lost)}, edited in place, has no place here",) if lost else ()
    return built._replace(variables=variables, notes=(*built.notes, *more))


def _installed(archive: Archive, python: str) -> str:
    """What lies in a built environment now, as a digest; remembered while no RECORD changes."""
    program = find_program([os.fsencode(python)], {}, b"/")
    found = capture_environment(program, b"/", os.path.join(archive.gitrun_dir, "cache"))
    return hashlib.sha256(encode(found.value)).hexdigest()


def _is_as_it_was(archive: Archive, python: str, said: Mapping[str, Any]) -> bool:
    """Whether its Python is the one it was built on, and nothing was installed into it since."""
    base = said.get("python")
    if not isinstance(base, str) or file_marks(os.fsencode(base)) != said.get("marks"):
        return False
    return os.path.exists(python) and _installed(archive, python) == said.get("installed")
