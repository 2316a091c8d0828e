"""What a repeated command finds around it: its variables, its words, its place.

Recorded settings are laid over the environment the replay is typed in: a recorded one gets its
value back, one that gitrun records but that was absent is removed, and everything else (identity
such as a job's number, and what no record holds) is inherited. Variables that would point Git or
gitrun at the user's own repository are removed, so that the command sees the checkout's.

Two things a record cannot hold as they were. Secrets: a record has `<secret:NAME>` in their place,
and the replay asks the environment for NAME. And the place: the run's worktree may be full of later
edits, so a word or a variable that names something the source holds is moved to the checkout,
while what was never source (a virtual environment, a data directory) stays where it was.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gitrun.capture.variables import replay_variables

SECRET = re.compile(r"<secret:([^<>\s]+)>")
_REPOSITORY_VARIABLES = {
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE",
    "GIT_PREFIX", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GITRUN_RUN_ID", "GITRUN_RUN_DIR", "GITRUN_MEMBER",
    "GITRUN_DISABLE",
}  # fmt: skip


class Surroundings(NamedTuple):
    """The command and its environment, with what had to be said about them."""

    command: list[str]
    variables: dict[str, str]
    missing_secrets: list[str]
    notes: list[str]


class Move:
    """Turns paths below the recorded worktree into paths below the checkout, where the checkout has them.

    `elsewhere` answers for a path outside the worktree; None leaves it as it is.
    """

    def __init__(
        self, worktree: str | None, directory: str, elsewhere: Callable[[str], str | None] = lambda text: None
    ) -> None:
        self._elsewhere = elsewhere
        self._worktree = worktree.rstrip("/") if worktree and worktree != "/" else None
        self._directory = directory

    def word(self, text: str) -> str:
        """One word: an absolute path, also after `--option=`."""
        before, equals, value = text.partition("=")
        if equals and before.startswith("-"):
            return before + equals + self._path(value)
        return self._path(text)

    def variable(self, text: str) -> str:
        """A variable's value: every path of a list joined by colons."""
        return ":".join(self._path(part) for part in text.split(":"))

    def _path(self, text: str) -> str:
        if self._worktree is None or not (text == self._worktree or text.startswith(self._worktree + "/")):
            return (self._elsewhere(text) if text.startswith("/") else None) or text
        moved = self._directory + text[len(self._worktree) :]
        return moved if os.path.lexists(moved) else text


def surroundings(
    command: Iterable[str], recorded: Mapping[str, str], environ: Mapping[str, str], more: Sequence[str], move: Move
) -> Surroundings:
    """What to run and in which environment; `more` names variables recorded beside the built-in list."""
    missing: set[str] = set()
    words = [_fill(word, environ, missing) for word in command]
    moved = [move.word(word) for word in words]
    notes = [f"{old} was moved to {new}" for old, new in zip(words, moved, strict=True) if old != new]
    own = {name: value for name, value in environ.items() if name not in _REPOSITORY_VARIABLES}
    variables, lacking = replay_variables(recorded, own, more)
    for name, value in recorded.items():
        if variables.get(name) == value:
            variables[name] = move.variable(value)
    return Surroundings(moved, variables, sorted(missing.union(lacking)), notes)


def _fill(word: str, environ: Mapping[str, str], missing: set[str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in environ:
            missing.add(name)
        return environ.get(name, match[0])

    return SECRET.sub(value, word)


def interpreter_of(command: list[str], cwd: str, recorded_cwd: str | None) -> str | None:
    """The program by its old place, where it belongs to a virtual environment that is no part of the source.

    `.venv/bin/python` is typed relative to a worktree whose checkout has no `.venv`: the environment
    is not source, so the one that stands at the recorded place is used.
    """
    program = command[0]
    if recorded_cwd is None or "/" not in program or os.path.isabs(program):
        return None
    if os.path.lexists(os.path.join(cwd, program)):
        return None
    old = os.path.normpath(os.path.join(recorded_cwd, program))
    environment = os.path.dirname(os.path.dirname(old))
    return old if os.path.isfile(os.path.join(environment, "pyvenv.cfg")) and os.access(old, os.X_OK) else None


def turned(around: Surroundings, recorded: Mapping[str, Any], directory: str, cwd: str | None) -> Surroundings:
    """The same with the built environment in `directory` in the place of the recorded one.

    `recorded` is `run.json.interpreter`, `cwd` where the command had started. The program's own word is turned, and
    PATH; the built programs come first where the recorded environment was on no PATH (a shim had found it).
    """
    prefix, executable = (str(recorded.get(name) or "") for name in ("prefix", "executable"))
    scripts, built = os.path.join(prefix, "bin"), os.path.join(directory, "bin")
    command, notes = list(around.command), list(around.notes)
    word = command[0] if os.path.isabs(command[0]) or cwd is None else os.path.normpath(os.path.join(cwd, command[0]))
    if "/" in command[0]:
        name = os.path.basename(word)
        if os.path.dirname(word) == scripts:
            if built != scripts and os.path.lexists(os.path.join(built, name)):
                command[0] = os.path.join(built, name)
        elif word in (executable, str(recorded.get("real"))):
            command[0] = os.path.join(built, "python")
    if command[0] != around.command[0]:
        notes.append(f"{around.command[0]} was turned to {command[0]}")
    path = around.variables.get("PATH", os.defpath).split(":")
    turned_path = [built if part == scripts else part for part in path]
    if built not in turned_path and "/" not in command[0]:
        turned_path.insert(0, built)
    variables = {**around.variables, "PATH": ":".join(turned_path)}
    if directory != prefix and built in turned_path:
        variables["VIRTUAL_ENV"] = directory
    return around._replace(command=command, variables=variables, notes=notes)


class Machine(NamedTuple):
    """What a process gets of a machine when nobody says how many threads it may use, and the zone it is in."""

    usable_cores: int | None
    quota_cores: float | None
    timezone: str | None


_THREADS = (  # a variable, and which of the observed counts it sets
    ("OMP_NUM_THREADS", ("omp", "torch_intra")),
    ("OPENBLAS_NUM_THREADS", ("openblas",)),
    ("MKL_NUM_THREADS", ("mkl",)),
)


def as_on(record: Mapping[str, Any], there: Machine, here: Machine) -> tuple[dict[str, str], list[str]]:
    """Variables that make up for a machine with other cores, or another time zone, and a note for each.

    They are not set where both machines give the same by themselves: a program may look whether they are.
    """
    process = record.get("process") or {}
    recorded = process.get("variables") or {}
    found: dict[str, str] = {}
    notes: list[str] = []
    if (there.usable_cores, there.quota_cores) != (here.usable_cores, here.quota_cores):
        processes = (process.get("observed") or {}).get("processes") or [{}]
        threads = (processes[0].get("numerics") or {}).get("threads") or {}
        for name, kinds in _THREADS:
            counts = [threads[kind] for kind in kinds if type(threads.get(kind)) is int and threads[kind] > 0]
            if counts and name not in recorded:
                count = counts[0]
                found[name] = str(count)
                notes.append(f"{name}={count} was set: the run used that many threads, on {there.usable_cores} core(s)")
    if there.timezone and there.timezone != here.timezone and "TZ" not in recorded:
        found["TZ"] = there.timezone
        notes.append(f"TZ={there.timezone} was set: the run had that time zone")
    return found, notes
