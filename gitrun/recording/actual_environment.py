"""The environment a run really had, where a Python process has said so: it may be another than was expected.

A shell script, `uv run` or a launcher decides by itself which Python starts. What was captured when the command had
just started was a guess from its words; the first process that reported knows better, and its environment is described
instead: while the command runs, as soon as a process has reported, and in any case before the run is sealed.
"""

import os
from typing import TYPE_CHECKING, Any

from gitrun.capture.facts import clean_text
from gitrun.capture.imports import started_in, worktree_of
from gitrun.capture.secrets import Redactor
from gitrun.files.write import remove_quietly
from gitrun.model.canonical import encode, path_bytes, path_text
from gitrun.model.listing import listed
from gitrun.recording.live import LiveDirectory
from gitrun.recording.locking import STATE, UNFINISHED

if TYPE_CHECKING:
    from gitrun.capture.environment import Environment
    from gitrun.capture.observed import Observed, Process

_NATIVES = "native.json"
# Written in Python, and at work in an environment of their own.
CHOOSERS = frozenset(("conda", "mamba", "poetry", "pipenv", "pdm", "hatch", "tox", "nox", "pipx", "dvc", "pyenv"))
_NOT_LOCKED = "which Python the command chose was not known while it was recorded (gitrun lock RUN makes it)"


def has_spoken(observed: "Observed") -> bool:
    """Whether a process has reported that is the program, and no tool which chooses an environment for it."""
    return any(process.is_introduced and not _is_chooser(process) for process in observed.processes)


def find_actual(draft: dict[str, Any], observed: "Observed", gitrun_dir: str) -> "Environment | None":
    """The environment of the run by its processes' own account; None where the draft's is that one."""
    from gitrun.capture.environment import is_another, of_process

    process = _speaker(observed)
    sites = (draft.get("live") or {}).get("sites")
    expected = [path_bytes(site) for site in sites] if isinstance(sites, list) else None
    if process is None or not is_another(process.start, draft.get("interpreter"), expected):
        return None
    variables = (draft.get("process") or {}).get("variables") or {}
    environ = {name: value for name, value in variables.items() if isinstance(value, str)}
    return of_process(process.start, environ, started_in(draft), os.path.join(gitrun_dir, "cache"))


def settle_environment(live: LiveDirectory, draft: dict[str, Any], observed: "Observed", gitrun_dir: str) -> Any:
    """Describes the environment anew where it was another; what `coverage.environment` says then, else None."""
    others = _others(observed)
    actual = find_actual(draft, observed, gitrun_dir)
    if actual is None:
        known = (draft.get("coverage") or {}).get("environment")
        return [*(known if isinstance(known, list) else []), *others] if others else None
    live.write_part("environment.json", encode(actual.value))
    draft["interpreter"] = actual.interpreter
    remove_quietly(os.path.join(live.home, STATE))  # what was locked is the one that was expected
    draft["lock"] = {**UNFINISHED, "reason": _NOT_LOCKED}
    draft.setdefault("live", {})["sites"] = [path_text(site) for site in actual.sites]
    return list(map(clean_text, [*actual.problems, *others])) or "complete"


def _speaker(observed: "Observed") -> "Process | None":
    """The process whose environment is the run's: the first that is no tool which chooses an environment for others."""
    processes = observed.processes
    return next((process for process in processes if not _is_chooser(process)), processes[0] if processes else None)


def _is_chooser(process: "Process") -> bool:
    argv = process.start.get("argv")
    words = os.fsdecode(argv[0]).split("/") if isinstance(argv, list) and argv else []
    name = words[-2] if len(words) > 1 and words[-1] == "__main__.py" else "".join(words[-1:])
    return name in CHOOSERS


def _others(observed: "Observed") -> list[str]:
    """One sentence about further environments that took part."""
    process = _speaker(observed)
    if process is None:
        return []
    found = (other.start.get("prefix") for other in observed.processes if not _is_chooser(other))
    prefixes = {prefix for prefix in found if isinstance(prefix, bytes) and prefix != process.start.get("prefix")}
    if not prefixes:
        return []
    named = listed(sorted(path_text(prefix) for prefix in prefixes))
    words = "environment: Python processes of other environments took part, which are not described"
    return [clean_text(f"{words}: {named}")]


def describe_libraries(live: LiveDirectory, draft: dict[str, Any], observed: "Observed", redactor: Redactor) -> Any:
    """Writes the native libraries that the processes had mapped, as a part of its own; None where there are none."""
    from gitrun.capture.native import native_libraries
    from gitrun.capture.whereabouts import prefixes_of

    mapped = {path for process in observed.processes for path in process.mapped}
    prefixes = prefixes_of([*(process.start for process in observed.processes), draft.get("interpreter") or {}])
    worktree = worktree_of(draft)
    found = native_libraries(mapped, prefixes, worktree)
    if found is None:
        return None
    live.write_part(_NATIVES, encode(found.value))
    return list(map(redactor.text, found.problems)) or "complete"
