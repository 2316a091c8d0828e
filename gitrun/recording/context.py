"""Where sealed runs go: the archive, its directory, and whom to tell."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.git.repository import Repository
from gitrun.monitor import Monitor
from gitrun.settings import KEYS, load

if TYPE_CHECKING:
    from gitrun.store.blobs import BlobStore


class Context(NamedTuple):
    """Where sealed runs go.

    `stop_by` says by when (time.monotonic) a run has to be sealed; None: there is time.
    """

    archive: Repository
    gitrun_dir: str
    environ: Mapping[str, str]
    monitor: Monitor
    stop_by: Callable[[], float | None] = lambda: None

    def left_s(self, most_s: float, reserve_s: float) -> float:
        """For how many seconds a step of sealing may go on; it takes `most_s`, and leaves `reserve_s` for the rest."""
        stop_by = self.stop_by()
        return most_s if stop_by is None else min(most_s, stop_by - reserve_s - time.monotonic())

    def store(self) -> "BlobStore":
        """The archive's store."""
        from gitrun.store.blobs import BlobStore  # most runs put nothing into it

        path = load(None, self.archive.config, self.environ).get("store.path")
        return BlobStore(self.gitrun_dir, self.monitor, path)


def limit(draft: dict[str, Any], key: str) -> Any:
    """A setting as it was when the run began; whoever seals it may have others."""
    return (draft["live"].get("limits") or {}).get(key, KEYS[key].default)
