"""The files of a run, and their content where it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from gitrun.archive.archive import Archive
from gitrun.archive.entries import Entry
from gitrun.archive.picking import distinct
from gitrun.archive.run import Run
from gitrun.errors import GitrunError
from gitrun.model.canonical import path_text
from gitrun.model.ids import short
from gitrun.replay.retrieving import verified, why_not


class Artifact:
    """One file that a run read, wrote or handed over.

    `path` is relative to the working tree, or absolute; `kind` is input, output or artifact, `type` file, link or
    directory; `bytes` its size, None where nobody knows it, as `sha256`; `produced_by` the run that wrote an input.
    `stored` says whether the archive has its content, `reason` why not.
    """

    def __init__(self, archive: Archive, run: Run, entry: Entry) -> None:
        self._archive, self._run, self._entry = archive, run, entry
        self.path = path_text(entry.path)
        self.kind, self.type = entry.kind, entry.type
        self.bytes, self.sha256 = entry.size, entry.sha256
        self.stored, self.reason = entry.stored, entry.reason
        self.produced_by = entry.produced_by

    def read(self) -> bytes:
        """Its content, verified; raises GitrunError where it is not stored, DamagedRecord or DamagedStore."""
        if not self.stored or self.type != "file":
            why = why_not(self._run, self._entry) if self.type == "file" else f"it is a {self.type}"
            raise GitrunError(f"{self.path}: {why}", next=f"gitrun artifacts {short(self._run.id)}")
        return b"".join(verified(self._archive, self._entry))

    def __repr__(self) -> str:
        return f"<{self.kind} {self.path}{'' if self.stored else ', not stored'}>"


class Artifacts(Sequence[Artifact]):
    """The files of a run in the order of their paths; one of them by its number or its path."""

    def __init__(self, archive: Archive, run: Run, entries: list[Entry]) -> None:
        self._archive, self._run, self._entries = archive, run, entries

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, at: int | str) -> Artifact: ...
    @overload
    def __getitem__(self, at: slice) -> Artifacts: ...
    def __getitem__(self, at: int | str | slice) -> Artifact | Artifacts:
        if isinstance(at, slice):
            return Artifacts(self._archive, self._run, self._entries[at])
        if isinstance(at, str):
            return Artifact(self._archive, self._run, self._named(at))
        return Artifact(self._archive, self._run, self._entries[at])

    def __repr__(self) -> str:
        return repr(list(self))

    def _named(self, path: str) -> Entry:
        """The entry of a path: the file as the run left it, else as it handed it over, else as it read it."""
        for entry in distinct(self._entries):
            if path_text(entry.path) == path:
                return entry
        raise GitrunError(f"run {self._run.id} has no file {path!r}", next=f"gitrun artifacts {short(self._run.id)}")
