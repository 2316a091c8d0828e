"""What is repeated: a run, and the run that its command and its place are taken from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.archive.run import Run
from gitrun.errors import HostilePath
from gitrun.files.names import check_path
from gitrun.model.canonical import path_bytes

if TYPE_CHECKING:
    from gitrun.archive.archive import Archive

_MAX_CHAIN = 100


class Recipe(NamedTuple):
    """The run that was asked for, and the one its command and place are taken from."""

    run: Run
    first: Run
    worktree: str | None
    cwd: str

    @property
    def process(self) -> dict[str, Any]:
        """What the record says of the process it was."""
        found = self.run.record.get("process")
        return found if isinstance(found, dict) else {}

    @property
    def interpreter(self) -> dict[str, Any]:
        """Where the Python lay that ran; empty for other programs."""
        found = self.first.record.get("interpreter")
        return found if isinstance(found, dict) else {}

    @property
    def old_cwd(self) -> str | None:
        """Where the command had started, as an absolute path."""
        return None if self.worktree is None else os.path.normpath(os.path.join(self.worktree, self.cwd))


def recipe_of(archive: Archive, run: Run) -> Recipe:
    """A replay's own place is gone with it, so a replay of a replay starts from what that one repeated."""
    first = run
    for _ in range(_MAX_CHAIN):
        earlier = (first.record.get("links") or {}).get("replay_of")
        found = archive.run(earlier) if isinstance(earlier, str) else None
        if found is None or found.is_live or found.source_tree != run.source_tree:
            break
        first = found
    worktree, cwd = first.record.get("worktree"), first.record.get("cwd")
    return Recipe(run, first, worktree if isinstance(worktree, str) else None, cwd if isinstance(cwd, str) else ".")


def workdir_of(directory: str, cwd: str) -> str:
    """Where the command starts: the recorded place in the checkout, made where Git ignores all that was in it.

    Raises HostilePath for a place that is not below `directory`, also by way of a link in the source.
    """
    if os.path.isabs(cwd):
        return os.path.normpath(cwd)
    if cwd == os.curdir:
        return directory
    check_path(path_bytes(cwd))
    workdir = os.path.join(directory, cwd)
    if not os.path.realpath(workdir).startswith(os.path.realpath(directory) + os.sep):
        raise HostilePath(f"the recorded directory {cwd!r} leads out of the checkout")
    os.makedirs(workdir, exist_ok=True)
    return workdir
