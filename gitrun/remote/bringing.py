"""Bringing blobs from the stores of remotes, each verified against its id before it is kept.

    with Bringing(archive, stores, monitor) as bring:
        bring.runs(runs)               # what a record needs; with files=True also what it read and wrote
        ...make the refs...            # leaving the block ends the promise that keeps them from a collector

Blobs that lie side by side in a pack are read in one go. Where the place has ranges nothing else of the pack is
read, unless the gap costs less than another question.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from gitrun.archive.archive import Archive
from gitrun.archive.run import SealedRun
from gitrun.errors import GitrunError
from gitrun.monitor import SILENT, Monitor, Task
from gitrun.remote.needs import steps_of
from gitrun.remote.stores.index import RemoteIndex
from gitrun.remote.stores.protocol import BlobStoreBackend
from gitrun.store.chunking import MAX_BLOB_BYTES
from gitrun.store.ingest import Session
from gitrun.store.pack import Entry, Tail, read_blob, span_of, stored_in

_GAP_BYTES = 128 << 10
_SPAN_BYTES = 8 << 20
_AHEAD = 3  # questions under way, where the place is far away


class Brought(NamedTuple):
    """What came: blobs, their bytes as stored, the ids (hex) of those that no store had whole.

    `problems`: of runs that could not be looked through to the end, by their ids.
    """

    blobs: int
    bytes: int
    missing: list[str]
    problems: dict[str, GitrunError]


class Bringing:
    """One visit to the stores of one or more remotes; what it brought is promised until it ends."""

    def __init__(self, archive: Archive, stores: Sequence[BlobStoreBackend], monitor: Monitor = SILENT) -> None:
        self._archive = archive
        self._stores = [(store, RemoteIndex(store, archive.gitrun_dir, monitor)) for store in stores]
        self._monitor = monitor
        self._session: Session | None = None
        self._refreshed: set[int] = set()
        self.problem: GitrunError | None = None

    def runs(self, runs: Iterable[SealedRun], *, files: bool = False, wheels: bool = False) -> Brought:
        """What runs need and is not here, in the measure of `needs.steps_of`.

        The objects of the runs must be here. One that cannot be read costs no other.
        """
        steps = {run.id: steps_of(self._archive, run, files=files, wheels=wheels) for run in runs}
        blobs, size, missing, problems = 0, 0, set[str](), dict[str, GitrunError]()
        while steps:
            wanted: set[str] = set()
            for run_id, step in list(steps.items()):
                try:
                    wanted |= next(step)
                except StopIteration:
                    del steps[run_id]
                except GitrunError as problem:
                    problems[run_id] = problem
                    del steps[run_id]
            came = self.blobs(wanted)
            blobs, size, missing = blobs + came.blobs, size + came.bytes, missing | set(came.missing)
        return Brought(blobs, size, sorted(missing), problems)

    def blobs(self, blobs: Iterable[str]) -> Brought:
        """These blobs (hex ids), those that are not here; what one store lacks or has damaged is asked of the next.

        Raises RemoteFailed where no store could be asked. Where only some could, `problem` is what kept the others.
        """
        left = self._archive.store.lacking(bytes.fromhex(blob) for blob in blobs)
        counts = [0, 0]
        problems: list[tuple[str, GitrunError]] = []
        for number, (backend, index) in enumerate(self._stores):
            if not left:
                break
            try:
                if number not in self._refreshed:
                    index.refresh()
                    self._refreshed.add(number)
                left -= self._from(backend, index, left, counts)
            except GitrunError as problem:
                problems.append((backend.where, problem))
        if left and problems:
            self.problem = problems[0][1]
            if len(problems) == len(self._stores):
                raise self.problem
        for where, why in problems:
            self._monitor.warn("W051", f"{where}: {why}")
        return Brought(counts[0], counts[1], sorted(blob.hex() for blob in left), {})

    def close(self) -> None:
        """End the promises, and let go of the stores."""
        if self._session is not None:
            self._session.__exit__(None, None, None)
            self._session = None
        for backend, _ in self._stores:
            backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _from(self, backend: BlobStoreBackend, index: RemoteIndex, left: set[bytes], counts: list[int]) -> set[bytes]:
        """The blobs that came from one store, durable."""
        places = index.find(left)
        by_pack: dict[str, tuple[Tail, list[Entry]]] = {}
        for tail, entry in places.values():
            by_pack.setdefault(tail.name, (tail, []))[1].append(entry)
        if not places:
            return set()
        if self._session is None:
            self._session = self._archive.store.session()
        came: set[bytes] = set()
        total = sum(entry.stored_bytes for _, entry in places.values())
        with self._monitor.task("bringing", total, "bytes") as task:
            backend.expect(sorted(by_pack))
            for name in sorted(by_pack):
                for entry in self._take(backend, *by_pack[name], self._session, task):
                    came.add(entry.blob)
                    counts[0] += 1
                    counts[1] += entry.stored_bytes
            self._session.commit()
        return came

    def _take(
        self, backend: BlobStoreBackend, tail: Tail, entries: list[Entry], session: Session, task: Task
    ) -> Iterator[Entry]:
        """Put the blobs of one pack into one's own store, those that are whole."""
        for span, data in _read_spans(backend, tail, sorted(entries, key=lambda entry: entry.offset)):
            window = _Window(data, span[0].offset, tail.bytes)
            for entry in span:
                task.advance(entry.stored_bytes)
                try:
                    plain = read_blob(window, entry, tail.index_at, tail.name)
                except GitrunError as problem:
                    self._monitor.warn("W052", f"{backend.where}: {problem}")
                    continue
                session.put_encoded(entry.blob, plain, entry.codec, stored_in(window, entry))
                yield entry


class _Window:
    """A piece of a pack, addressed as the pack is."""

    def __init__(self, data: bytes, start: int, size: int) -> None:
        self._data, self._start, self._size = data, start, size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, span: slice) -> bytes:
        return self._data[max(0, span.start - self._start) : max(0, span.stop - self._start)]


def _read_spans(backend: BlobStoreBackend, tail: Tail, entries: list[Entry]) -> Iterator[tuple[list[Entry], bytes]]:
    """The records of these entries of one pack, side by side ones together, a few questions ahead of who takes them."""
    from collections import deque
    from concurrent.futures import Future, ThreadPoolExecutor  # only for bringing

    spans = list(_spans(entries, tail))
    with ThreadPoolExecutor(_AHEAD, "gitrun-bring") as pool:
        waiting: deque[tuple[list[Entry], Future[bytes]]] = deque()
        for span in spans:
            start, end = span[0].offset, span_of(span[-1])[1]
            waiting.append((span, pool.submit(backend.get, tail.name, start, end - start)))
            if len(waiting) == _AHEAD:
                first, data = waiting.popleft()
                yield first, data.result()
        while waiting:
            first, data = waiting.popleft()
            yield first, data.result()


def _spans(entries: list[Entry], tail: Tail) -> Iterator[list[Entry]]:
    """Entries, by rising offset, that are read in one go; those that cannot be in the pack are left out."""
    span: list[Entry] = []
    for entry in entries:
        start, end = span_of(entry)
        if end > tail.index_at or entry.stored_bytes > MAX_BLOB_BYTES:
            continue
        if span and (start - span_of(span[-1])[1] > _GAP_BYTES or end - span[0].offset > _SPAN_BYTES):
            yield span
            span = []
        span.append(entry)
    if span:
        yield span
