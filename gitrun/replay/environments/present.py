"""Whether the environment of a run is still where it was, as it was: then it need not be built to be had.

Many an environment cannot be built again: conda made it, it is the system's own, there was no index when the run was
recorded. While nobody has changed it, it is the very thing all the same. Everything that environment.json says is
compared: the build of Python, every distribution with the digest of its RECORD, every conda package.
"""

from __future__ import annotations

import os

from gitrun.archive.archive import Archive
from gitrun.capture.environment import capture_environment
from gitrun.capture.program import find_program
from gitrun.model.canonical import path_bytes
from gitrun.replay.environments.outcome import IN_PLACE, Built
from gitrun.replay.environments.recorded import Recorded

_PYTHON = ("PYTHONPATH", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "PYTHONHOME")


def in_place(archive: Archive, recorded: Recorded) -> Built | None:
    """The recorded environment at its old place; None where it is gone or another by now."""
    executable, prefix = recorded.path("executable"), recorded.path("prefix")
    if executable is None or prefix is None or not os.access(executable, os.X_OK):
        return None
    record = recorded.run.record
    variables = (record.get("process") or {}).get("variables") or {}
    environ = {name: value for name, value in archive.environ.items() if name not in _PYTHON}
    environ.update({name: variables[name] for name in _PYTHON if isinstance(variables.get(name), str)})
    cwd = os.path.normpath(os.path.join(str(record.get("worktree") or "/"), str(record.get("cwd") or ".")))
    program = find_program([path_bytes(executable)], environ, path_bytes(cwd))
    found = capture_environment(program, path_bytes(cwd), os.path.join(archive.gitrun_dir, "cache"))
    if found.value != recorded.value:
        return None
    is_virtual = os.path.isfile(os.path.join(prefix, "pyvenv.cfg"))
    note = f"the recorded environment is still in {prefix}, and was used there"
    return Built(prefix if is_virtual else None, executable if is_virtual else None, IN_PLACE, recorded.digest, (note,))
