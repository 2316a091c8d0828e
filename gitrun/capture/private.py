"""A corner of our own in which git may write: a copy of the index, and new objects beside the user's.

Some questions only git can answer (filters, split and sparse indexes), and it answers by writing an
index or an object. Both are redirected: nothing of the user's changes, and what was written is
thrown away once it has been read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from gitrun.files.write import create, make_dirs, remove_quietly, write_all
from gitrun.git.executable import Argument
from gitrun.git.repository import Repository

_PREFIX = "private-"
_LEFT_S = 86_400.0


class PrivateGit:
    """git with an index and an object directory of its own; a context manager."""

    def __init__(self, repo: Repository, index_path: str, environ: Mapping[str, str]) -> None:
        self._repo = repo
        name = f"{_PREFIX}{os.getpid()}-{os.urandom(4).hex()}"
        self.directory = os.path.join(repo.gitrun_dir(environ), "cache", name)
        self.objects = os.path.join(self.directory, "objects")
        self.index = os.path.join(self.directory, "index")
        make_dirs(self.objects)
        self._shared = _times_of_shared_indexes(os.path.dirname(index_path))
        self._copy_index(index_path)

    def _copy_index(self, source: str) -> None:
        try:
            with open(source, "rb") as file:
                data, facts = file.read(), os.fstat(file.fileno())
        except FileNotFoundError:
            return  # nothing was ever added
        fd = create(self.index)
        try:
            write_all(fd, data)
        finally:
            os.close(fd)
        os.utime(self.index, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # git compares entries with this time

    def environment(self) -> dict[str, str]:
        """What redirects a git to this corner."""
        quote = '"' + self._repo.objects_dir.replace("\\", "\\\\").replace('"', '\\"') + '"'
        others = self._repo.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")
        return {
            "GIT_INDEX_FILE": self.index,
            "GIT_OBJECT_DIRECTORY": self.objects,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": quote + (os.pathsep + others if others else ""),
            "GIT_NO_LAZY_FETCH": "1",
        }

    def run(self, args: Sequence[Argument], stdin: bytes = b"") -> bytes:
        """What git says on stdout; raises GitFailed."""
        return self._repo.run(args, stdin=stdin, env=self.environment())

    def repository(self) -> Repository:
        """The repository as seen from here: with the objects that were written here."""
        return self._repo._replace(objects_dir=self.objects, environ={**self._repo.environ, **self.environment()})

    def __enter__(self) -> PrivateGit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for path, times in self._shared.items():
            try:
                if os.stat(path).st_mtime_ns != times[1]:
                    os.utime(path, ns=times)
            except OSError:
                pass  # removed meanwhile, or somebody else's: git could not touch that one either
        _remove(self.directory)


def sweep(gitrun_dir: str) -> None:
    """Remove the corners that killed processes left; none is in use for longer than git takes to answer."""
    cache = os.path.join(gitrun_dir, "cache")
    try:
        left = [name for name in os.listdir(cache) if name.startswith(_PREFIX)]
    except FileNotFoundError:
        return
    for name in left:
        path = os.path.join(cache, name)
        try:
            if time.time() - os.stat(path).st_mtime > _LEFT_S:
                _remove(path)
        except FileNotFoundError:
            continue  # somebody else sweeps as well


def _remove(corner: str) -> None:
    for directory, _, names in os.walk(corner, topdown=False):
        for name in names:
            remove_quietly(os.path.join(directory, name))
        try:
            os.rmdir(directory)
        except OSError:
            pass  # what is left is below cache/, where nothing is ever read again


def _times_of_shared_indexes(directory: str) -> dict[str, tuple[int, int]]:
    """The times of the files that split indexes share: git touches them whenever it reads such an index."""
    with os.scandir(directory) as entries:
        found = [entry for entry in entries if entry.name.startswith("sharedindex.")]
    return {entry.path: (entry.stat().st_atime_ns, entry.stat().st_mtime_ns) for entry in found}
