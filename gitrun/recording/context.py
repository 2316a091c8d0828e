"""Where sealed runs go: the archive, its directory, and whom to tell."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from gitrun.git.repository import Repository
from gitrun.monitor import Monitor
from gitrun.settings import load

if TYPE_CHECKING:
    from gitrun.store.blobs import BlobStore


class Context(NamedTuple):
    """Where sealed runs go."""

    archive: Repository
    gitrun_dir: str
    environ: Mapping[str, str]
    monitor: Monitor

    def store(self) -> "BlobStore":
        """The archive's store."""
        from gitrun.store.blobs import BlobStore  # most runs put nothing into it

        path = load(None, self.archive.config, self.environ).get("store.path")
        return BlobStore(self.gitrun_dir, self.monitor, path)
