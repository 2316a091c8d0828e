"""What the replay of one leg leaves for the next: the files that it wrote, and that no source has.

A resumed training goes on from files of the leg before. Where a whole chain is replayed, those are the files that
the replay of that leg has made, not the recorded ones.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gitrun.archive.traces import files_of
from gitrun.files.write import make_dirs
from gitrun.replay.removal import remove_tree

if TYPE_CHECKING:
    from gitrun.archive.archive import Archive
    from gitrun.replay.stage import Stage


class Carried:
    """Files on their way from one checkout to the next, in the `directory`, which is made when there are any."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.paths: set[bytes] = set()

    def take(self, archive: Archive, stage: Stage, run_id: str) -> None:
        """Move the outputs of a replay, and what it had found of an earlier one, out of its checkout."""
        if stage.keep:
            return
        archive.look_again()
        run = archive.run(run_id)
        made = files_of(archive, run) if run is not None and not run.is_live else []
        inside = {entry.path for entry in made if entry.kind == "output" and entry.is_inside}
        wanted, self.paths = inside | self.paths, set()
        for path in sorted(wanted):
            if _move(os.fsencode(stage.directory), os.fsencode(self._directory), path):
                self.paths.add(path)

    def bring(self, directory: str) -> None:
        """Move them to where a new checkout leaves their places free."""
        self.paths = {path for path in self.paths if _move(os.fsencode(self._directory), os.fsencode(directory), path)}

    def remove(self) -> None:
        """Remove what nobody fetched."""
        if os.path.isdir(self._directory):
            remove_tree(self._directory)


def _move(old: bytes, new: bytes, path: bytes) -> bool:
    """Move one file or link between two of our directories, through no link; whether it is there now."""
    source, target = os.path.join(old, path), os.path.join(new, path)
    try:
        if not _is_straight(old, path):
            return False
        make_dirs(os.fsdecode(os.path.dirname(target)))
        if not _is_straight(new, path) or os.path.lexists(target):
            return False
        os.rename(source, target)
    except OSError:
        return False  # the program has removed it, or the source has a file where it needs a directory
    return True


def _is_straight(top: bytes, path: bytes) -> bool:
    """Whether no link leads to the directory of `path` below `top`."""
    below, wanted = os.path.dirname(path), os.path.realpath(top)
    return os.path.realpath(os.path.join(top, below)) == (os.path.join(wanted, below) if below else wanted)
