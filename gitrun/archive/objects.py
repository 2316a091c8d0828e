"""The Git objects of many runs, read through one pipe in rounds.

Reading a run alone takes four questions: its commit, its tree, its record, its parts. Asked run
by run they make ten thousand runs slow; asked kind by kind, hundreds of runs at a time, they cost
little more than the bytes. What runs share (one environment, one machine) is decoded once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from gitrun.archive.annotations import Annotations, Event
from gitrun.archive.run import Problem, Run, SealedRun, decode_part
from gitrun.errors import DamagedRecord, DamagedStore, GitFailed, GitrunError
from gitrun.git.objects import ObjectReader, open_reader
from gitrun.git.repository import Repository
from gitrun.git.trees import parse_commit, parse_tree
from gitrun.model.canonical import MAX_BYTES
from gitrun.monitor import SILENT, Monitor
from gitrun.store.blobs import BlobStore

CHUNK = 512
_AHEAD_BYTES = 1 << 20  # of a record or part that is held before it is asked for; hundreds are at a time
_SHARED = 256
_FEW = 8


class RunObjects:
    """Commits, trees, records and parts of the sealed runs of one repository."""

    def __init__(self, repo: Repository, store: Callable[[], BlobStore], monitor: Monitor = SILENT) -> None:
        self._repo = repo
        self._store = store
        self._monitor = monitor
        self._reader: ObjectReader | None = None
        self._ahead: dict[str, bytes] = {}
        self._values: dict[str, tuple[str, Any]] = {}
        self._annotations: Annotations | None = None

    @property
    def reader(self) -> ObjectReader:
        """The pipe, opened on first use."""
        if self._reader is None:
            self._reader = open_reader(self._repo)
        return self._reader

    def close(self) -> None:
        """Close the pipe; a later question opens another."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def load_commits(self, runs: list[SealedRun]) -> None:
        """Read the commits of runs in one round."""
        found = self._many({run.commit for run in runs})
        for run in runs:
            kind, data = found.get(run.commit, ("", b""))
            try:
                run.set_header(parse_commit(data) if kind == "commit" else None)
            except DamagedRecord:
                run.set_header(None)

    def load_trees(self, runs: list[SealedRun]) -> None:
        """Read the record trees of runs whose commits are there, in one round."""
        found = self._many({run.header.tree for run in runs})
        for run in runs:
            kind, data = found.get(run.header.tree, ("", b""))
            entries = None
            if kind == "tree":
                with suppress(DamagedRecord):  # one problem and one word for all that is no tree
                    entries = parse_tree(data, len(run.commit) // 2)
            if entries is None:
                run.problem = Problem("E011", f"its tree {run.header.tree} is missing or corrupt")
                entries = []
            run.entries = {entry.name.decode("utf-8", "surrogateescape"): entry.oid for entry in entries}

    def read_ahead(self, runs: Iterable[Run], parts: tuple[str, ...] = ()) -> Iterator[Run]:
        """The same runs, each with its record and the named parts at hand."""
        chunk: list[Run] = []
        for run in runs:
            chunk.append(run)
            if len(chunk) == CHUNK:
                yield from self._with_records(chunk, parts)
                chunk = []
        yield from self._with_records(chunk, parts)

    def blob(self, oid: str) -> bytes:
        """The content of a Git blob; raises KeyError when it is not there, too big for a record, or not a blob."""
        data = self._ahead.pop(oid, None)
        if data is not None:
            return data
        kind, data = self._alone(oid)
        if kind != "blob":
            raise KeyError(oid)
        return data

    def shared_value(self, run_id: str, oid: str, name: str) -> tuple[str, Any]:
        """The sha256 and the decoded value of a part in Git."""
        known = self._values.get(oid)
        if known is None:
            data = self.blob(oid)
            known = hashlib.sha256(data).hexdigest(), decode_part(run_id, name, data)
            if len(self._values) >= _SHARED:
                self._values.pop(next(iter(self._values)))
            self._values[oid] = known
        return known

    def events(self, run_id: str) -> list[Event]:
        """What was said of a run, by all writers that the repository knows."""
        return self.annotations.of(run_id)

    @property
    def annotations(self) -> Annotations:
        """What was said of all runs, as it was when this was first asked for."""
        if self._annotations is None:
            self._annotations = Annotations(self._repo, lambda: self.reader, self._monitor)
        return self._annotations

    def forget_events(self) -> None:
        """Read them anew when they are asked for: something was said."""
        self._annotations = None

    def from_store(self, chunks: list[Any], size_bytes: int) -> bytes:
        """The bytes of a part in the store; raises DamagedStore when they are not as many as the record says."""
        content, length = [], 0
        for piece in self._store().read([(str(blob), int(size)) for blob, size in chunks]):
            content.append(piece)
            length += len(piece)
            if length > size_bytes:
                break
        if length != size_bytes:
            raise DamagedStore(f"a part of {size_bytes} bytes came back from the store with another length")
        return b"".join(content)

    def _with_records(self, runs: list[Run], parts: tuple[str, ...]) -> list[Run]:
        sealed = [run for run in runs if isinstance(run, SealedRun) and run.summary and run.problem is None]
        self.load_trees(sealed)
        self._ahead = {}
        self._take({oid for run in sealed if (oid := (run.entries or {}).get("run.json"))})
        for run in sealed:
            try:
                run.record  # noqa: B018  read now, while its bytes are at hand
            except GitrunError:
                continue  # the run carries its problem
        wanted = {oid for run in sealed for name in parts if (oid := (run.entries or {}).get(name))}
        self._take(wanted - self._values.keys())
        return runs

    def _take(self, oids: set[str]) -> None:
        found = self._many(oids, _AHEAD_BYTES)
        self._ahead.update((oid, data) for oid, (kind, data) in found.items() if kind == "blob")

    def _many(self, oids: set[str], limit: int = MAX_BYTES) -> dict[str, tuple[str, bytes]]:
        """Kind and content of those that can be read; one missing, corrupt or too big costs the others nothing."""
        if len(oids) <= _FEW:  # no process of their own
            return {oid: self._alone(oid, limit) for oid in oids}
        found: dict[str, tuple[str, bytes]] = {}
        pending = sorted(oids)
        at = 0
        while at < len(pending):
            try:
                for oid, kind, data in self.reader.many(pending[at:], limit):
                    found[oid] = kind, data
                    at += 1
            except (KeyError, GitFailed):  # git dies of a corrupt object, perhaps one that was asked ahead
                found[pending[at]] = self._alone(pending[at], limit)
                at += 1
        return found

    def _alone(self, oid: str, limit: int = MAX_BYTES) -> tuple[str, bytes]:
        """One object, an empty kind when it is missing, corrupt or too big."""
        try:
            return self.reader.read(oid, limit)
        except KeyError:
            return "", b""
        except GitFailed:
            self.close()  # that process is dead; the next question gets another
            return "", b""
