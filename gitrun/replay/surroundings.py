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
from typing import NamedTuple

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
