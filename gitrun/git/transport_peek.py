"""A look at the commits of a remote without what they name: enough for a list of its runs.

Git can fetch commits without trees, where the server lets it, and without history. Both leave marks in a repository (a
promisor, a shallow boundary) that would change how the user's own git behaves. So it happens in a bare repository
beside the archive, which includes the user's configuration and is a cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from gitrun.files.write import make_dirs
from gitrun.git.config import Config
from gitrun.git.objects import open_reader
from gitrun.git.repository import Repository
from gitrun.git.transport import trouble
from gitrun.git.transport_git import converse
from gitrun.model.canonical import MAX_BYTES
from gitrun.monitor import Monitor

_FIRST = 16  # commits that are asked for before it is known whether their trees come along
_AT_ONCE = 2000
_FETCH = (
    "-c", "fetch.unpackLimit=1", "-c", "fetch.writeCommitGraph=false",
    "fetch", "--progress", "--depth=1", "--filter=tree:0", "--no-tags", "--no-prune", "--no-auto-gc",
    "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=",
)  # fmt: skip


class Peek:
    """The commits of one remote that were looked at, in the directory `cache`."""

    def __init__(self, repo: Repository, cache: str) -> None:
        self._real = repo
        environ = {k: v for k, v in repo.environ.items() if k not in ("GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")}
        self._repo = repo._replace(
            worktree=None,
            git_dir=cache,
            common_dir=cache,
            objects_dir=os.path.join(cache, "objects"),
            config=Config(),
            environ=environ,
        )

    def commits(
        self, wants: Mapping[str, str], target: str, is_named: bool, name: str, monitor: Monitor
    ) -> tuple[dict[str, bytes], bool]:
        """The commits that could be had, by their ids, and whether the server sends commits alone."""
        self._make()
        found = self._read(wants.values())
        left = [ref for ref, oid in wants.items() if oid not in found]
        has_filter = True
        at, count = 0, _FIRST
        while at < len(left) and has_filter:
            has_filter = self._fetch(left[at : at + count], target, is_named, name, monitor)
            at, count = at + count, _AT_ONCE
        return {**found, **self._read(wants[ref] for ref in left[:at])}, has_filter

    def _make(self) -> None:
        if not os.path.exists(os.path.join(self._repo.git_dir, "HEAD")):
            make_dirs(os.path.dirname(self._repo.git_dir))
            git = self._real.require_git("a look at a remote")
            words = ["init", "-q", "--bare", f"--object-format={self._real.object_format}", self._repo.git_dir]
            git.run(words, cwd=os.path.dirname(self._repo.git_dir))

    def _fetch(self, refs: list[str], target: str, is_named: bool, name: str, monitor: Monitor) -> bool:
        config = os.path.join(self._real.common_dir, "config")
        words = ["-c", "protocol.version=2", "-c", f"include.path={config}", "-c", "core.bare=true"]
        if is_named:
            words += ["-c", f"remote.{target}.mirror=false"]
        env = self._repo.environment()
        place = self._real.worktree or self._real.git_dir  # an address may be relative to it
        done = converse(self._real, [*words, *_FETCH, target, *refs], env, monitor, f"asking: {name}", place)
        if done.code != 0:
            raise trouble(name, done.words, f"gitrun ls --remote {name}")
        return "filtering not recognized" not in done.words

    def _read(self, oids: Iterable[str]) -> dict[str, bytes]:
        found = {}
        with open_reader(self._repo) as reader:
            for oid in oids:
                try:
                    kind, data = reader.read(oid, MAX_BYTES)
                except KeyError:
                    continue  # it was not brought: of that run only the id is known
                if kind == "commit":
                    found[oid] = data
        return found
