"""Blobs that are not here, brought from the stores of remotes when somebody needs them.

A fetched run comes without the files it read and wrote. Whoever asks for one should not have to know that: as long as
somebody reads through `Reach`, a blob that no pack here holds is looked for in the stores of all remotes, and is in the
store here from then on. What is needed for sure is brought at once beforehand, since each question alone takes a talk.

Nobody is asked before a blob is missing. A remote that cannot be reached is told once, and what is here still comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from gitrun.archive.archive import Archive
from gitrun.archive.entries import Entry, read_entries
from gitrun.archive.picking import expanded
from gitrun.archive.run import Run, SealedRun
from gitrun.archive.since import DROPPED, entries_of
from gitrun.errors import GitrunError
from gitrun.git.transport import remote_names
from gitrun.monitor import Monitor
from gitrun.remote.bringing import Bringing
from gitrun.remote.needs import content_of, lists_of, steps_of, undropped
from gitrun.remote.stores.opening import everywhere


class Reach:
    """As long as the `with` block lasts, the store of the archive has all that its remotes have."""

    def __init__(self, archive: Archive, monitor: Monitor) -> None:
        self._archive = archive
        self._monitor = monitor
        self._bringing: Bringing | None = None
        self._is_anywhere = bool(remote_names(archive.repo))
        self._asked: set[str] = set()
        self.problem: GitrunError | None = None

    def bring(self, blobs: Iterable[str]) -> bool:
        """Have blobs (hex ids) here that some remote has; whether all are here then."""
        wanted = set(blobs) - self._asked
        if not self._is_anywhere or not wanted:
            return False
        self._asked |= wanted
        try:
            missing = self._open().blobs(wanted).missing
            self.problem = self.problem or self._open().problem
            return not missing
        except GitrunError as problem:
            self._tell(problem)
            return False

    def source(self, run: Run, *, environment: bool = False) -> None:
        """Have all here that a checkout of a run needs; with `environment` what its environment is built of as well."""
        if self._is_anywhere and isinstance(run, SealedRun) and self.problem is None:
            try:
                self._open().runs([run], wheels=environment)
            except GitrunError as problem:
                self._tell(problem)

    def files(self, run: Run, entries: list[Entry]) -> list[Entry]:
        """The entries as they can be had: what is not here is brought, what was dropped and is found counts again.

        Dropped content may lie at a remote, or here as long as nobody has collected.
        """
        entries = self._found_again(run, entries)
        stored = [entry for entry in entries if entry.stored and entry.type == "file"]
        if self._is_anywhere:
            self._have(lists_of(stored))
            self._have(self._content(stored))
        return entries

    def lacks_for_replay(self, run: Run) -> bool:
        """Whether something that a replay needs is not here, and some remote may have it."""
        if not self._is_anywhere or not isinstance(run, SealedRun):
            return False
        try:
            return any(self._lacking(step) for step in steps_of(self._archive, run, files=False, wheels=True)) or bool(
                self._lacking(self._content(_inputs(self._archive, run)))
            )
        except GitrunError:
            return True  # a list is not here: what it lists is not known

    def for_replay(self, run: Run) -> None:
        """Have all here that a replay needs: the source, and the inputs that are stored."""
        self.source(run, environment=True)
        self.files(run, _inputs(self._archive, run))

    def close(self) -> None:
        """No longer look anywhere but here."""
        self._archive.store.elsewhere = None
        if self._bringing is not None:
            self._bringing.close()
            self._bringing = None

    def __enter__(self) -> Self:
        self._archive.store.elsewhere = lambda blob: self.bring([blob])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> Bringing:
        if self._bringing is None:
            self._bringing = Bringing(self._archive, everywhere(self._archive, self._monitor), self._monitor)
        return self._bringing

    def _found_again(self, run: Run, entries: list[Entry]) -> list[Entry]:
        dropped = {(entry.kind, entry.path) for entry in entries if entry.reason == DROPPED}
        if not dropped or not isinstance(run, SealedRun):
            return entries
        lines = expanded(read_entries(undropped(run)), self._archive.store.get)
        before = {(entry.kind, entry.path): entry for entry in lines if (entry.kind, entry.path) in dropped}
        self._have(lists_of(before.values()))
        self._have(self._content(before.values()))
        return [self._as_before(entry, before.get((entry.kind, entry.path))) for entry in entries]

    def _as_before(self, entry: Entry, before: Entry | None) -> Entry:
        if entry.reason != DROPPED or before is None or not before.stored:
            return entry
        content = self._content([before])
        is_here = content and all(self._archive.store.can_get(blob) for blob in content)
        return before if is_here or before.size == 0 else entry

    def _content(self, entries: Iterable[Entry]) -> set[str]:
        found: set[str] = set()
        for entry in entries:
            try:
                found |= content_of(self._archive, [entry])
            except GitrunError:
                continue  # its list of blobs is nowhere, or none: whoever reads the file is told
        return found

    def _have(self, blobs: set[str]) -> None:
        if lacking := self._lacking(blobs):
            self.bring(blob.hex() for blob in lacking)

    def _lacking(self, blobs: set[str]) -> set[bytes]:
        return self._archive.store.lacking(map(bytes.fromhex, blobs))

    def _tell(self, problem: GitrunError) -> None:
        if self.problem is None:
            self._monitor.warn("W051", problem.message)
        self.problem = problem


def _inputs(archive: Archive, run: Run) -> list[Entry]:
    return [entry for entry in expanded(entries_of(run), archive.store.get) if entry.kind == "input" and entry.stored]
