"""What a run's record says of its environment, in the form in which it can be built again.

Three parts speak of it: environment.json (what was there), pylock.toml (where that can be had), vendored.jsonl (what
the store has of it). A lockfile that was made after the run is an annotation and comes before the sealed one. All of
it is read from the archive and may have been written by anybody, so names, versions and hashes are taken only in the
form that `packaging` knows.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from gitrun.archive.annotations import LOCK
from gitrun.archive.archive import Archive
from gitrun.archive.lockfile import PYLOCK, lockfile
from gitrun.archive.run import Run
from gitrun.archive.since import merged
from gitrun.capture.lock.pins import EDITABLE, Pin, read_pins
from gitrun.errors import DamagedRecord
from gitrun.replay.environments.outcome import NotRebuilt

ENVIRONMENT, VENDORED = "environment.json", "vendored.jsonl"


class Recorded(NamedTuple):
    """The environment of one run: its digest, its Python, its distributions, where it lay."""

    run: Run
    digest: str
    value: dict[str, Any]
    python: dict[str, Any]
    pins: tuple[Pin, ...]
    unpinned: tuple[str, ...]
    interpreter: dict[str, Any]

    @property
    def version(self) -> str:
        """The full version of its Python, as exact as it was found."""
        return str(self.python.get("version") or "")

    @property
    def is_conda(self) -> bool:
        """Whether conda made it."""
        return bool(self.value.get("conda"))

    def path(self, name: str) -> str | None:
        """An absolute path of `run.json.interpreter`: `executable`, `real`, `prefix`, `base_prefix`."""
        found = self.interpreter.get(name)
        return found if isinstance(found, str) and os.path.isabs(found) and "\0" not in found else None


class Locked(NamedTuple):
    """What can be had again: packages of the lockfile and stored wheels by name; `reason` says why there is no file."""

    packages: dict[str, dict[str, Any]]
    vendored: dict[str, dict[str, Any]]
    reason: str | None


def read_recorded(run: Run) -> Recorded | None:
    """The environment of a run, None where its program was no Python; raises NotRebuilt without a description."""
    place = (run.record.get("parts") or {}).get(ENVIRONMENT) or {}
    value = run.value(ENVIRONMENT)
    if not isinstance(value, dict) or not isinstance(place.get("sha256"), str):
        raise NotRebuilt(f"run {run.id} has no description of its environment", next="gitrun replay --env current")
    python = value.get("python")
    if not isinstance(python, dict):
        return None
    distributions = value.get("distributions")
    distributions = distributions if isinstance(distributions, list) else []
    pins, _ = read_pins(distributions)
    known = {pin.name for pin in pins}
    unpinned = [
        str(each.get("name"))[:80] for each in distributions if isinstance(each, dict) and not read_pins([each])[0]
    ]
    assert len(known) == len(pins), "one distribution of a name counts"
    interpreter = run.record.get("interpreter")
    interpreter = interpreter if isinstance(interpreter, dict) else {}
    return Recorded(run, place["sha256"], value, python, tuple(pins), tuple(unpinned), interpreter)


def read_locked(archive: Archive, run: Run) -> Locked:
    """The run's lockfile and stored wheels; raises DamagedRecord or DamagedStore."""
    lock = merged(run.record, run.events()).get("lock") or {}
    data = lockfile(archive, run)
    said = [event.body for event in run.events() if event.kind == LOCK]
    lines = said[-1].get("wheels") if said else run.value(VENDORED)
    vendored = {str(line["name"]): line for line in lines or [] if isinstance(line, dict) and "name" in line}
    if data is None:
        return Locked({}, vendored, str(lock.get("reason") or "no lockfile was made"))
    return Locked(_packages(data), vendored, None)


def _packages(data: bytes) -> dict[str, dict[str, Any]]:
    import tomllib  # both for what is not kept yet

    from packaging.pylock import Pylock, PylockValidationError

    try:
        fields = tomllib.loads(data.decode("utf-8"))
        Pylock.from_dict(fields)  # which validates it
    except (PylockValidationError, ValueError, TypeError, RecursionError) as problem:
        raise DamagedRecord(f"{PYLOCK} cannot be read: {problem}") from problem
    return {str(package["name"]): package for package in fields.get("packages") or []}


def editable(recorded: Recorded) -> tuple[Pin, ...]:
    """The distributions that were edited in place; what they were is source, and not in the lockfile."""
    return tuple(pin for pin in recorded.pins if pin.origin == EDITABLE)
