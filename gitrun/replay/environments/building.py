"""Building one environment at one place: an empty virtual environment, the recorded wheels, a look at every file.

The place is where the environment will lie. What fails leaves nothing there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitrun.archive.archive import Archive
from gitrun.capture.interpreter import read_interpreter
from gitrun.capture.lock.pins import EDITABLE
from gitrun.capture.lock.running import GivenUp, run
from gitrun.errors import from_os_error
from gitrun.model.listing import listed
from gitrun.monitor import Monitor
from gitrun.replay.environments.editables import Editable, lay, paths
from gitrun.replay.environments.installing import Job, bundled, install
from gitrun.replay.environments.outcome import SAME_BUILD, SAME_VERSION, NotRebuilt
from gitrun.replay.environments.pythons import Python
from gitrun.replay.environments.recorded import Recorded
from gitrun.replay.environments.requirements import Requirements
from gitrun.replay.environments.verifying import verify
from gitrun.replay.removal import remove_tree

_VENV_S = 120.0


class Plan(NamedTuple):
    """What is built: the record, the Python to build on, what to install, and what is edited in place."""

    recorded: Recorded
    python: Python
    needed: Requirements
    editables: Sequence[Editable]


class Made(NamedTuple):
    """An environment that was built: its interpreter, how near it is to the recorded one, and sentences about it."""

    python: str
    level: str
    notes: tuple[str, ...]


def build(
    archive: Archive, plan: Plan, prefix: str, monitor: Monitor, places: Mapping[str, str] | None, tool: str = "auto"
) -> Made:
    """Build at `prefix`, which must not be there; raises NotRebuilt with nothing left of it.

    `places` says where the source of editable distributions is; None leaves that to a variable.
    """
    import tempfile  # one that is kept is not built again

    try:
        with tempfile.TemporaryDirectory(prefix="gitrun-env-") as scratch:
            total = len(plan.needed.wanted)
            with monitor.task("environment", total, "packages") as task:
                made = _build(archive, plan, prefix, scratch, places, tool)
                task.advance(total)
            return made
    except BaseException as problem:
        if os.path.lexists(prefix):
            remove_tree(prefix)
        if isinstance(problem, OSError):
            raise from_os_error(problem, f"building an environment in {prefix}") from problem
        raise


def _build(
    archive: Archive, plan: Plan, prefix: str, scratch: str, places: Mapping[str, str] | None, tool: str
) -> Made:
    python = _empty(plan.python.path, prefix, scratch, archive.environ)
    site = os.fsdecode(read_interpreter(os.fsencode(python), {}, b"/").sites[0])
    around = archive.here or archive.repo
    job = Job(python, plan.python.path, plan.needed.wanted, scratch, archive.environ, around.worktree or "/")
    by = install(archive, job, tool)
    absent = _seed(plan, site)
    expected = [pin for pin in plan.recorded.pins if pin.origin != EDITABLE]
    checked = verify(site, expected, absent)
    if checked.wrong:
        next = "uv cache clean, then again" if by == "uv" and checked.damaged else ""
        raise NotRebuilt(f"what was installed is not what was recorded: {'; '.join(checked.wrong)}", next=next)
    known, lost = (None, []) if places is None else paths(plan.editables, places)
    lay(site, os.path.dirname(python), python, plan.editables, known)
    notes = (
        [f"{listed(sorted(absent))} is not installed; it is an installer, and not in the lockfile"] if absent else []
    )
    if lost:
        notes.append(f"the source of {listed(lost)}, edited in place, is not here")
    level = plan.python.level
    if level == SAME_VERSION:
        notes.append(f"Python {plan.recorded.version} is another build than the recorded one")
    if checked.other:
        level = SAME_VERSION
        notes.append(f"the version is the recorded one, the content is not known to be: {listed(checked.other)}")
    return Made(python, SAME_BUILD if level == SAME_BUILD else SAME_VERSION, tuple(notes))


def _empty(base: str, prefix: str, scratch: str, environ: Mapping[str, str]) -> str:
    """An empty virtual environment of `base`; its interpreter."""
    own = {name: value for name, value in environ.items() if not name.startswith(("PYTHON", "GITRUN_"))}
    words = [base, "-I", "-m", "venv", "--without-pip", "--symlinks", prefix]
    try:
        given = run(words, b"", cwd=scratch, environ=own, stop=lambda: False, limit_s=_VENV_S)
    except GivenUp:
        raise NotRebuilt(f"{base} -m venv did not end within {_VENV_S:.0f} s") from None
    python = os.path.join(prefix, "bin", "python")
    if given.code != 0 or not os.path.exists(python):
        lines = (given.err or given.out.decode("utf-8", "replace")).strip().splitlines()
        raise NotRebuilt(f"{base} cannot make virtual environments: {lines[-1] if lines else given.code}")
    return python


def _seed(plan: Plan, site: str) -> frozenset[str]:
    """Put in the installers that came with the recorded environment; the names of those that cannot be had.

    Python brings wheels of some for every environment that it makes, so those of the same Python are the same.
    """
    absent = {pin.name for pin in plan.needed.seeds}
    wheels = bundled(plan.python.path)
    for pin in plan.needed.seeds:
        wheel = wheels.get(pin.name)
        if wheel is not None and os.path.basename(wheel).startswith(f"{pin.name}-{pin.version}-"):
            _unpack(wheel, site)
            absent.discard(pin.name)
    needed = sorted(name for name in absent if name == "setuptools")
    if needed:
        version = next(pin.version for pin in plan.needed.seeds if pin.name == "setuptools")
        raise NotRebuilt(f"setuptools {version} is not in the lockfile", next="gitrun lock RUN --again")
    return frozenset(absent)


def _unpack(wheel: str, site: str) -> None:
    """A wheel of pure modules, as an installer would unpack it, without its scripts."""
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
