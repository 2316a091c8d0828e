"""The store of a remote as a push sees it, and not even opened where no run needs a blob of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gitrun.archive.archive import Archive
from gitrun.archive.run import SealedRun
from gitrun.errors import GitrunError
from gitrun.model.listing import plural
from gitrun.monitor import Monitor
from gitrun.remote.needs import steps_of
from gitrun.remote.travel import Weight

if TYPE_CHECKING:
    from gitrun.remote.blobs import Plan, Sending
    from gitrun.remote.stores.protocol import BlobStoreBackend


class StoreOfRemote:
    """Sends the blobs of runs to one place; `open_store` opens it."""

    def __init__(
        self,
        archive: Archive,
        open_store: Callable[[], BlobStoreBackend],
    ) -> None:
        self._archive = archive
        self._open = open_store
        self._store: BlobStoreBackend | None = None
        self._plan: Plan | None = None
        self._sending: Sending | None = None

    def missing(self, runs: Sequence[SealedRun], monitor: Monitor) -> tuple[Weight, dict[str, str]]:
        """What the place lacks of all that these runs need; of a run whose blobs are neither there nor here, which."""
        needing, broken = list[SealedRun](), dict[str, str]()
        for run in runs:
            try:
                if any(list(steps_of(self._archive, run, files=True))):  # all of them: each may fail
                    needing.append(run)
            except GitrunError as problem:
                broken[run.id] = problem.message
        if not needing:
            return Weight(), broken
        from gitrun.remote.blobs import Sending  # most small runs have no blobs

        self._store = self._open()
        self._sending = Sending(self._archive, self._store, monitor)
        self._plan = plan = self._sending.plan(needing)
        for run_id, blobs in plan.lacking.items():
            broken[run_id] = f"{plural(len(blobs), 'blob')} it needs, neither here nor there: {blobs[0]}"
        return Weight(plan.blobs, plan.bytes), broken

    def question(self, weight: Weight) -> str | None:
        """What somebody has to say yes to before that much is sent."""
        if self._plan is None or self._store is None or self._store.limits is None or not self._plan.blobs:
            return None
        limits, most = self._store.limits, max(self._plan.run_bytes.values(), default=0)
        if most > limits.run_bytes:
            return (
                f"{self._store.where} gets {most >> 20:,} MiB of one run, and is meant for {limits.run_bytes >> 20:,}"
            )
        total = self._plan.there_bytes + self._plan.bytes
        if total > limits.all_bytes:
            return f"{self._store.where} is meant for {limits.all_bytes >> 20:,} MiB, and will hold {total >> 20:,}"
        return None

    def send(self, runs: Sequence[SealedRun], monitor: Monitor) -> Weight:
        """Send what was found missing, and see that it is there."""
        if self._plan is None or self._sending is None:
            return Weight()
        with self._sending as sending:
            sent = sending.send(self._plan)
            sending.check(self._plan)
        return Weight(sent.blobs, sent.bytes)
