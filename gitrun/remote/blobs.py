"""Sending the blobs of runs to the store of a remote: what is missing there, how much it is, and its packs.

    with Sending(archive, backend, monitor) as sending:
        plan = sending.plan(runs)      # nothing was sent; says how much it would be
        sending.send(plan)             # what the plan names is there, durably
        ...push the objects, then the refs...
        sending.check(plan)            # and is still there, before the refs tell others to count on it

Blobs go before the objects and the objects before the ref, so that a run that others can see can be had whole.
Whatever arrived before a cut is there, and the next plan finds it so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

from gitrun.archive.archive import Archive
from gitrun.archive.run import SealedRun
from gitrun.errors import RemoteFailed
from gitrun.monitor import SILENT, Monitor
from gitrun.remote.needs import marked, steps_of
from gitrun.remote.packing import Place, find_all, packs_for
from gitrun.remote.stores.index import RemoteIndex
from gitrun.remote.stores.protocol import BlobStoreBackend, LocalPack

_MOST_TRIES = 3

Digest = bytes  # a blob's raw id


class Plan(NamedTuple):
    """What would be sent.

    `places`: the blobs to send, by raw id; `bytes`: as they are stored; `run_bytes`: of those, what each run alone
    needs first, by its id; `relied`: blobs that are there already; `lacking`: ids (hex) of blobs that are neither
    there nor here, by run; `there_bytes`: what the place holds now.
    """

    places: dict[Digest, Place]
    bytes: int
    run_bytes: dict[str, int]
    relied: frozenset[Digest]
    lacking: dict[str, list[str]]
    there_bytes: int

    @property
    def blobs(self) -> int:
        """How many blobs would be sent."""
        return len(self.places)


class Sent(NamedTuple):
    """What was sent: blobs, bytes of packs, packs."""

    blobs: int
    bytes: int
    packs: int


class Sending:
    """One push of blobs to one place; close it, or use it as a context manager."""

    def __init__(self, archive: Archive, backend: BlobStoreBackend, monitor: Monitor = SILENT) -> None:
        self._archive = archive
        self._backend = backend
        self._monitor = monitor
        self.index = RemoteIndex(backend, archive.gitrun_dir, monitor)
        self._is_fresh = False

    def plan(self, runs: Iterable[SealedRun]) -> Plan:
        """What these runs need that the place does not have; raises what reading the runs raises."""
        if not self._is_fresh:
            self.index.refresh()
            self._is_fresh = True
        named: dict[str, set[bytes]] = {}
        required: dict[str, set[bytes]] = {}
        for run in runs:
            named[run.id] = marked(self._archive, run)
            steps = steps_of(self._archive, run, files=True)
            required[run.id] = {bytes.fromhex(blob) for step in steps for blob in step}
        every = set().union(*named.values(), *required.values())
        there = self.index.find(every)
        here = find_all(self._archive.store, every - there.keys())
        run_bytes, counted = dict[str, int](), set[bytes]()
        for run_id, blobs in named.items():
            new = (blobs | required[run_id]) & here.keys() - counted
            counted |= new
            run_bytes[run_id] = sum(here[blob].entry.stored_bytes for blob in new)
        held = here.keys() | there.keys()
        lacking = {run_id: sorted(blob.hex() for blob in blobs - held) for run_id, blobs in required.items()}
        return Plan(
            here,
            sum(place.entry.stored_bytes for place in here.values()),
            run_bytes,
            frozenset(there),
            {run_id: blobs for run_id, blobs in lacking.items() if blobs},
            self.index.size_bytes,
        )

    def send(self, plan: Plan) -> Sent:
        """Have the place hold all that the plan names; raises RemoteFailed, and the next plan goes on from there."""
        sizes: list[int] = []
        with self._monitor.task("sending", plan.bytes, "bytes") as task:

            def packs() -> Iterator[LocalPack]:
                for pack in packs_for(self._archive.store, plan.places):
                    yield pack
                    self.index.keep(pack.name, pack.tail)  # else `check` would have to ask for it
                    sizes.append(pack.size_bytes)
                    task.advance(pack.size_bytes)

            if plan.places:
                self._backend.put(packs(), self._monitor)
        self._is_fresh = False
        return Sent(len(plan.places), sum(sizes), len(sizes))

    def check(self, plan: Plan) -> None:
        """Send again what has gone since, where somebody removed packs there meanwhile; raises RemoteFailed."""
        every = plan.places.keys() | plan.relied
        for _ in range(_MOST_TRIES):
            self.index.refresh()
            gone = every - self.index.find(every).keys()
            if not gone:
                return
            again = find_all(self._archive.store, gone)
            if len(again) < len(gone):
                break
            self._backend.put(packs_for(self._archive.store, again), self._monitor)
        raise RemoteFailed(
            f"{self._backend.where} does not keep what is sent to it: {len(gone):,} blobs are gone again",
            kept="everything here; no run was shown to others",
            next="gitrun push, once nobody collects there",
        )

    def close(self) -> None:
        """Let go of the place."""
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
