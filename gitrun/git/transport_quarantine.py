"""A place for objects that nobody has judged yet: the repository sees nothing of them until they are taken in.

Problem: a fetch that writes into the repository leaves objects there also when they turn out to be hostile, and one
that is cut leaves parts of packs.
Idea: the objects go to a directory of their own, with the repository's as its alternate, which is how git itself
receives a push. A `Repository` that looks through it sees both.
Reason: what is refused is removed with the directory; what is good is one pack that is published like any other of
gitrun's, marked and durable, before a ref names anything in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from gitrun.errors import GitFailed, from_os_error
from gitrun.files.locks import FileLock
from gitrun.files.write import fsync_dir, make_dirs, remove_quietly
from gitrun.git.packs import PackWriter, publish_staged
from gitrun.git.repository import Repository

_PREFIX = "incoming-"
_LEFTOVER_AGE_S = 3600.0  # beside the proof of a free lock, for filesystems whose locks mean nothing


class Quarantine:
    """A directory of objects beside those of a repository; what was not taken in when it is closed is gone."""

    def __init__(self, repo: Repository, gitrun_dir: str) -> None:
        home = os.path.join(gitrun_dir, "tmp")
        self._real = repo
        self.directory = os.path.join(home, _PREFIX + os.urandom(8).hex())
        try:
            make_dirs(os.path.join(self.directory, "pack"))
            self._lock = FileLock(os.path.join(self.directory, "lock"))
            self._lock.acquire()
            _sweep(home)
        except OSError as problem:
            raise from_os_error(problem, "making a place for objects") from problem
        others = [place for place in (repo.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES"),) if place]
        environ = {
            **repo.environ,
            "GIT_OBJECT_DIRECTORY": self.directory,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join([_quoted(repo.objects_dir), *others]),
        }
        self.repo = repo._replace(objects_dir=self.directory, environ=environ)

    def writer(self) -> PackWriter:
        """A writer of objects into it."""
        return PackWriter(self.directory, self.repo.object_format)

    def take_in(self, only: Sequence[str] | None = None) -> int:
        """Move what was fetched into the repository, durably, in packs of gitrun's own; the bytes of them.

        With `only`, no more than what these commits need. Raises DiskFull, NotWritable, GitFailed.
        """
        if only is not None:
            self._keep_only(only)
        total = 0
        for name in self._packs():
            staged = os.path.join(self.directory, "pack", name)
            total += os.stat(staged + ".pack").st_size
            if os.path.exists(staged + ".promisor"):
                self._move(name)
            else:
                publish_staged(self._real.objects_dir, staged, name)
        return total

    def _packs(self) -> list[str]:
        names = os.listdir(os.path.join(self.directory, "pack"))
        return sorted(name.removesuffix(".idx") for name in names if name.endswith(".idx"))

    def _move(self, name: str) -> None:
        """A pack of a partial clone refers to objects that stay away, and says so; git looks after it, not gitrun."""
        target = os.path.join(self._real.objects_dir, "pack")
        for suffix in ("promisor", "pack", "idx"):
            path = os.path.join(self.directory, "pack", f"{name}.{suffix}")
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(path, os.path.join(target, f"{name}.{suffix}"))
        fsync_dir(target)

    def _keep_only(self, commits: Sequence[str]) -> None:
        """Replace the packs by one with what these commits need and the repository has not."""
        old = self._packs()
        known = self._real.run(["rev-parse", "--revs-only", "--all"]).decode().split()
        wanted = "".join(f"{oid}\n" for oid in commits) + "".join(f"^{oid}\n" for oid in known)
        stage = os.path.join(self.directory, "some")
        how = [
            "-c",
            "pack.packSizeLimit=0",
            "-c",
            "pack.writeReverseIndex=false",
            "pack-objects",
            "-q",
            "--revs",
            stage,
        ]
        made = self.repo.run(how, stdin=wanted.encode()).decode().split()
        if len(made) > 1:
            raise GitFailed(f"git pack-objects made {len(made)} packs where one was asked for")
        for name in old:
            for suffix in ("idx", "pack", "rev", "keep", "promisor"):
                remove_quietly(os.path.join(self.directory, "pack", f"{name}.{suffix}"))
        for name in made:
            for suffix in ("pack", "idx"):
                os.rename(f"{stage}-{name}.{suffix}", os.path.join(self.directory, "pack", f"pack-{name}.{suffix}"))

    def close(self) -> None:
        """Remove what was not taken in."""
        _remove(self.directory)
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _remove(place: str) -> None:
    """Remove a directory and all below it, as far as that can be done; without `shutil`, for a push is short."""
    for directory, below, files in os.walk(place, topdown=False):
        for name in files:
            remove_quietly(os.path.join(directory, name))
        for name in below:
            with suppress(OSError):  # somebody is at it
                os.rmdir(os.path.join(directory, name))
    with suppress(OSError):
        os.rmdir(place)


def _sweep(home: str) -> None:
    """Remove what killed processes left."""
    for name in os.listdir(home):
        place = os.path.join(home, name)
        lock = FileLock(os.path.join(place, "lock"))
        try:
            if not name.startswith(_PREFIX) or time.time() - os.stat(lock.path).st_mtime < _LEFTOVER_AGE_S:
                continue
            if lock.acquire(blocking=False):
                _remove(place)
                lock.release()
        except OSError:
            continue  # gone meanwhile


def _quoted(path: str) -> str:
    """A directory as git reads it in a list: in quotes where it begins with one or has a separator in it."""
    if not (path.startswith('"') or os.pathsep in path or "\n" in path):
        return path
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
