"""The runs of one repository: which refs are runs, what is being recorded, in which order they began.

Every reading command starts here. The cost of a look must grow with what is looked at: refs are
read in one go, a run by its full id reads nothing else, and a list is read in growing chunks so
that "the last run" of ten thousand costs as much as of ten.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Self

from gitrun.archive.live_view import LiveRun, SoFar, live_ids, open_live
from gitrun.archive.objects import CHUNK, RunObjects
from gitrun.archive.run import Run, SealedRun
from gitrun.errors import NotARepository
from gitrun.git.executable import find_git
from gitrun.git.refs import RUNS, RefProblem, read_ref, scan_refs
from gitrun.git.repository import Repository, archive_of, discover
from gitrun.model.ids import is_run_id, second
from gitrun.monitor import SILENT, Monitor
from gitrun.settings import Settings, load
from gitrun.store.blobs import BlobStore
from gitrun.store.config import load_or_create

_LOOK_BYTES = 4 << 20  # of the journals of live runs, that a list reads of all together
_LEAST_BYTES = 64 << 10  # and of each run


class Archive:
    """An open archive; close it, or use it as a context manager."""

    def __init__(
        self,
        repo: Repository,
        here: Repository | None,
        settings: Settings,
        environ: Mapping[str, str],
        monitor: Monitor = SILENT,
    ) -> None:
        self.repo = repo
        self.here = here
        self.settings = settings
        self.environ = environ
        self.monitor = monitor
        self.gitrun_dir = repo.gitrun_dir(environ)
        self.objects = RunObjects(repo, lambda: self.store, monitor)
        self.so_far: Callable[[str, int], SoFar] | None = None  # reads what the programs of a live run have said
        self._store: BlobStore | None = None
        self._refs: tuple[dict[str, str], list[RefProblem]] | None = None

    @classmethod
    def open(cls, start: str, environ: Mapping[str, str], monitor: Monitor = SILENT) -> Self:
        """The archive for a directory: `GITRUN_ARCHIVE`, else the repository around it.

        Raises NotARepository, UnsafeRepository or UnsupportedRepository.
        """
        git = find_git(environ=environ)
        here: Repository | None = None
        try:
            here = discover(start, git, environ, bare_ok=True)
        except NotARepository:
            if not environ.get("GITRUN_ARCHIVE"):
                raise
        repo = archive_of(here, environ, git=git)
        around = here or repo
        return cls(repo, here, load(around.worktree, around.config, environ), environ, monitor)

    @property
    def store(self) -> BlobStore:
        """The blobs beside Git, opened on first use."""
        if self._store is None:
            own = load(None, self.repo.config, self.environ)  # a working tree elsewhere has no say in it
            self._store = BlobStore(self.gitrun_dir, self.monitor, own.get("store.path"))
        return self._store

    def writer_id(self) -> str | None:
        """The name of this clone as a writer of runs, None before its first run."""
        if not os.path.exists(os.path.join(self.gitrun_dir, "config.json")):
            return None
        return load_or_create(self.gitrun_dir).writer

    def run_ids(self) -> list[str]:
        """The ids of all runs, live ones included, the latest id first."""
        return sorted(self.sealed().keys() | set(live_ids(self.gitrun_dir)), reverse=True)

    def foreign_refs(self) -> list[RefProblem]:
        """Refs where runs are that are none, and why; gitrun leaves them alone."""
        self.sealed()
        return self._refs[1] if self._refs else []

    def run(self, run_id: str) -> Run | None:
        """The run of a full id, None when there is none."""
        commit = read_ref(self.repo, RUNS + run_id) if self._refs is None else self._refs[0].get(run_id)
        if commit is not None:
            return SealedRun(self.objects, run_id, commit)
        return self._live([run_id], time.time())[0] if run_id in live_ids(self.gitrun_dir) else None

    def live_runs(self) -> list[LiveRun]:
        """The runs being recorded, newest first."""
        sealed, now_s = self.sealed(), time.time()
        live = sorted(live_ids(self.gitrun_dir), reverse=True)
        return self._live([run_id for run_id in live if run_id not in sealed], now_s)

    def _live(self, run_ids: list[str], now_s: float) -> list[LiveRun]:
        room = max(_LEAST_BYTES, _LOOK_BYTES // max(1, len(run_ids)))
        look = None if self.so_far is None else partial(_look, self.so_far, room)
        return [open_live(self.gitrun_dir, run_id, now_s, look) for run_id in run_ids]

    def live_leftovers(self) -> list[str]:
        """Live directories of runs that are sealed: a recorder was stopped while it tidied up."""
        return sorted(self.sealed().keys() & set(live_ids(self.gitrun_dir)))

    def newest_first(self) -> Iterator[Run]:
        """All runs with their summaries, the one that started last first."""
        pending = self.run_ids()
        at, size = 0, 32
        while at < len(pending):
            end = min(at + size, len(pending))
            while end < len(pending) and second(pending[end]) == second(pending[end - 1]):
                end += 1  # runs of one second stay together: only their start times can order them
            runs = self.runs(pending[at:end])
            yield from sorted(runs, key=lambda run: (second(run.id), run.summary.started, run.id), reverse=True)
            at, size = end, min(size * 4, CHUNK)

    def runs(self, run_ids: list[str]) -> list[Run]:
        """The runs of these ids, their commits read in one round."""
        commits, now_s = self.sealed(), time.time()
        sealed = [SealedRun(self.objects, run_id, commits[run_id]) for run_id in run_ids if run_id in commits]
        self.objects.load_commits(sealed)
        live = self._live([run_id for run_id in run_ids if run_id not in commits], now_s)
        return [*sealed, *live]

    def with_records(self, runs: Iterable[Run], parts: tuple[str, ...] = ()) -> Iterator[Run]:
        """The same runs, their records and the named parts read in rounds instead of one by one."""
        return self.objects.read_ahead(runs, parts)

    def show_only(self, runs: dict[str, str]) -> None:
        """Take these runs, ids to commits, for all there are, whatever refs there may be."""
        self._refs = runs, []

    def look_again(self) -> None:
        """Forget which runs there are and what was said of them: another process may have added to both."""
        self._refs = None
        self.objects.forget_events()

    def close(self) -> None:
        """Let go of the pipe to Git."""
        self.objects.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def sealed(self) -> dict[str, str]:
        """Run id to commit for every run ref, read once."""
        if self._refs is None:
            refs, problems = scan_refs(self.repo, RUNS)
            at = len(RUNS)
            runs = {run_id: oid for name, oid in refs.items() if is_run_id(run_id := name[at:])}
            if len(runs) < len(refs):
                strangers = [name for name in refs if name[at:] not in runs]
                problems = [*problems, *(RefProblem(name, "its name is not a run id") for name in strangers)]
            self._refs = runs, problems
        return self._refs[0]


def _look(read: Callable[[str, int], SoFar], room: int, directory: str) -> SoFar:
    return read(directory, room)
