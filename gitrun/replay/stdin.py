"""Standard input of a replay: nothing where the run had nothing, the same file where it was one, else the caller's.

What came through a pipe or was typed is in no record.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from gitrun.capture.facts import sha256_of
from gitrun.replay.recipe import Recipe


class Stdin(NamedTuple):
    """A file to be read from a position on, None for the caller's own input; `problems` says why it cannot be had."""

    path: str | None = None
    position: int = 0
    problems: tuple[str, ...] = ()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Descriptor 0 of this process, which the command inherits."""
        if self.path is None:
            yield
            return
        saved, file = os.dup(0), os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if self.position:
                os.lseek(file, self.position, os.SEEK_SET)
            os.dup2(file, 0)
            yield
        finally:
            os.dup2(saved, 0)
            os.close(saved)
            os.close(file)


def stdin_of(recipe: Recipe, directory: str) -> Stdin:
    """The standard input of a run whose checkout is `directory`."""
    terminal = recipe.process.get("terminal")
    kind = terminal.get("stdin") if isinstance(terminal, dict) else None
    if kind == "null":
        return Stdin(os.devnull)
    known = recipe.process.get("stdin")
    if kind != "file" or not isinstance(known, dict):
        return Stdin()
    path, digest, position = (known.get(name) for name in ("path", "sha256", "position"))
    if not isinstance(path, str) or "\0" in path or not isinstance(digest, str):
        return Stdin(problems=("the file it read from standard input was not recorded",))
    place = os.path.join(directory, path)
    if not os.path.isabs(path) and recipe.worktree is not None and not os.path.exists(place):
        place = os.path.join(recipe.worktree, path)  # not source: where it still is
    if sha256_of(place) != digest:
        return Stdin(problems=(f"standard input: {place} is missing, or its content has changed since the run",))
    return Stdin(place, position if type(position) is int and position > 0 else 0)
