"""Which packs of a remote's store hold which blobs: its tails, kept here once they were read.

A pack never changes, so its tail is read once and kept in `cache/stores/`. It is derived: whoever deletes it has the
tails read again. One that was damaged on its way is asked for again the next time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable

from gitrun.errors import DamagedStore, GitrunError
from gitrun.files.write import make_dirs, remove_quietly, write_file
from gitrun.monitor import SILENT, Monitor
from gitrun.remote.stores.protocol import BlobStoreBackend, is_pack_name
from gitrun.store.pack import Entry, Tail


class RemoteIndex:
    """The tails of one backend, as they were at `refresh`; `gitrun_dir` is where they are kept."""

    def __init__(self, backend: BlobStoreBackend, gitrun_dir: str, monitor: Monitor = SILENT) -> None:
        key = hashlib.sha256(backend.where.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self.directory = os.path.join(gitrun_dir, "cache", "stores", key)
        self._backend = backend
        self._monitor = monitor
        self._tails: dict[str, Tail] = {}

    @property
    def names(self) -> Collection[str]:
        """The packs that are known."""
        return self._tails.keys()

    @property
    def size_bytes(self) -> int:
        """What they have in all."""
        return sum(tail.bytes for tail in self._tails.values())

    def refresh(self) -> None:
        """Look which packs there are now, and read the tails that are new."""
        there = self._backend.names()
        for name in self._tails.keys() - there:
            del self._tails[name]
        self._recall(there)
        new = sorted(there - self._tails.keys())
        with self._monitor.task("reading which packs have what", len(new), "packs") as task:
            for name, data in self._backend.tails(new):
                try:
                    self._tails[name] = Tail(data, name)
                    self.keep(name, data)
                except DamagedStore as problem:
                    self._monitor.warn("W050", f"{self._backend.where}: {problem}; its blobs are not found")
                task.advance()

    def recall(self) -> None:
        """Know what was known last time, without asking anybody."""
        self._recall(None)

    def find(self, blobs: Iterable[bytes]) -> dict[bytes, tuple[Tail, Entry]]:
        """Where blobs (raw ids) lie, those that are there."""
        left = set(blobs)
        found: dict[bytes, tuple[Tail, Entry]] = {}
        for tail in self._tails.values():
            if not left:
                break
            if len(left) * 8 < tail.count:
                entries = [entry for blob in left if (entry := tail.find(blob)) is not None]
            else:
                entries = [entry for entry in tail.entries() if entry.blob in left]
            found.update((entry.blob, (tail, entry)) for entry in entries)
            left.difference_update(entry.blob for entry in entries)
        return found

    def forget(self, name: str) -> None:
        """No longer count on a pack that turned out to be gone or damaged."""
        self._tails.pop(name, None)

    def _recall(self, there: set[str] | None) -> None:
        try:
            known = [name for name in os.listdir(self.directory) if is_pack_name(name)]
        except FileNotFoundError:
            return
        for name in known:
            path = os.path.join(self.directory, name)
            if there is not None and name not in there:
                remove_quietly(path)
            elif name not in self._tails:
                try:
                    with open(path, "rb") as file:
                        self._tails[name] = Tail(file.read(), name)
                except (OSError, DamagedStore):
                    remove_quietly(path)  # it is read again

    def keep(self, name: str, data: bytes) -> None:
        """Remember a tail, which counts once its pack is there."""
        try:
            make_dirs(self.directory)
            write_file(os.path.join(self.directory, name), data, sync=False)
        except GitrunError:
            pass  # a full disk, an archive that may only be read: the next look asks again
