"""The edits of one worktree: for each path that is not as the index says, what the tree holds instead.

A file ends in one of four ways: it is what the index says, so nothing is noted; its blob goes into
the pack and its new id into the edits; it is too large for Git, so it leaves the tree and goes to the
store; or it is not there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from gitrun.capture.contents import EXECUTABLE, FILE, SYMLINK, Contents, Held, Shelf, Whole
from gitrun.capture.findings import View
from gitrun.capture.guards import Guard
from gitrun.capture.trees import Edits, Head
from gitrun.capture.watch import Watch
from gitrun.git.ignore import IgnoreRules
from gitrun.git.index import (
    ASSUME_UNCHANGED,
    INTENT_TO_ADD,
    SKIP_WORKTREE,
    STAGE,
    Entry,
    Index,
    flags_of,
    mode_of,
    oid_of,
)
from gitrun.git.packs import PackWriter
from gitrun.git.repository import Repository

if TYPE_CHECKING:
    from gitrun.capture.recorded_outputs import RecordedOutputs
    from gitrun.git.objects import ObjectReader


class Place(NamedTuple):
    """A worktree to capture on top of `head`; `raw` asks for the bytes on disk in the tree, without conversions.

    `skip` are directories that are never source; `tracked` and `rules` stand in for the repository's index and
    ignore rules.
    """

    repo: Repository
    view: View
    head: Head
    raw: bool
    skip: frozenset[bytes]
    reader: Callable[[], ObjectReader]
    tracked: Index | None = None
    rules: IgnoreRules | None = None


class Tools(NamedTuple):
    """What all worktrees of a snapshot share; without `recorded`, no untracked file is an earlier run's output."""

    fmt: str
    writer: PackWriter
    shelf: Shelf
    guard: Guard
    environ: Mapping[str, str]
    watch: Watch
    recorded: RecordedOutputs | None = None


class Takings:
    """What was taken of one worktree so far."""

    def __init__(self, place: Place, tools: Tools, top: bytes, index: Index) -> None:
        self.edits: Edits = {}
        self.beside: set[bytes] = set()
        self.index = index
        self.top = top
        self.view = place.view
        self.contents = Contents(top, tools.fmt, tools.writer, tools.shelf, place.view, tools.guard.limits.large)
        self._reader = place.reader
        self._writer = tools.writer
        self._guard = tools.guard
        self._file_mode = place.repo.config.get_bool("core.filemode", True)
        self._symlinks = place.repo.config.get_bool("core.symlinks", True)

    def entry(self, path: bytes) -> Entry:
        """The index entry of a tracked path."""
        cut = path.rfind(b"/") + 1
        return self.index.files[path[:cut]][path[cut:]]

    def is_tracked(self, path: bytes) -> bool:
        """Whether the index has an entry of this path."""
        cut = path.rfind(b"/") + 1
        return path[cut:] in self.index.files.get(path[:cut], ())

    def forget(self, path: bytes) -> None:
        """Take back what was taken of a file that is about to be taken again."""
        cut = path.rfind(b"/") + 1
        self.edits.get(path[:cut], {}).pop(path[cut:], None)
        self.beside.discard(path)
        self.view.forget(path)
        self.contents.seen.pop(path, None)

    def edit(self, path: bytes, held: Held | None) -> None:
        """Have the tree hold this at `path`, or nothing."""
        cut = path.rfind(b"/") + 1
        self.edits.setdefault(path[:cut], {})[path[cut:]] = held

    def is_large(self, found: os.stat_result) -> bool:
        """Whether a file is for the store rather than for Git."""
        return found.st_size > self.contents.large and stat.S_ISREG(found.st_mode)

    def mode(self, path: bytes, found: os.stat_result, entry: Entry | None) -> int:
        """The mode Git gives to what was found; where the disk's is another, the delta says so."""
        mode = self._gits_mode(found, entry)
        self.note_mode(path, found, mode)
        return mode

    def note_mode(self, path: bytes, found: os.stat_result, mode: int) -> None:
        """Say what the disk has where core.fileMode or core.symlinks have Git store another mode."""
        if stat.S_ISREG(found.st_mode):
            real = EXECUTABLE if found.st_mode & stat.S_IXUSR else FILE
            if mode != real:
                self.view.differ(path, "file for link" if mode == SYMLINK else "mode", mode=f"{real:o}")

    def _gits_mode(self, found: os.stat_result, entry: Entry | None) -> int:
        """As Git decides it (read-cache.c, ce_mode_from_stat)."""
        if stat.S_ISLNK(found.st_mode):
            return SYMLINK
        if not self._symlinks and entry is not None and mode_of(entry) == SYMLINK:
            return SYMLINK
        if not self._file_mode:
            return mode_of(entry) if entry is not None and stat.S_ISREG(mode_of(entry)) else FILE
        return EXECUTABLE if found.st_mode & stat.S_IXUSR else FILE

    def take(self, path: bytes, entry: Entry | None, whole: Whole | None) -> None:
        """Take a tracked file as it was read, or its absence."""
        if whole is None:
            self.edit(path, None)
            return
        held = self.mode(path, whole.found, entry), self.contents.blob_id(whole.data)
        if entry is not None and self.is_entry(path, entry, held):
            return
        self._writer.add("blob", whole.data, held[1].hex())
        self.edit(path, held)
        self.note_edit(path, entry, len(whole.data))

    def is_entry(self, path: bytes, entry: Entry, held: Held) -> bool:
        """Whether the index holds just this at stage 0."""
        if flags_of(entry) & STAGE or self.index.extended.get(path, 0) & INTENT_TO_ADD:
            return False
        return held == (mode_of(entry), oid_of(entry))

    def note_edit(self, path: bytes, entry: Entry | None, size: int) -> None:
        self._guard.count(self.view.prefix + path, size)
        if entry is not None and flags_of(entry) & ASSUME_UNCHANGED:
            self.view.differ(path, "assume-unchanged")
        if self.index.extended.get(path, 0) & SKIP_WORKTREE:
            self.view.differ(path, "skip-worktree")

    def take_large(self, path: bytes, entry: Entry, found: os.stat_result) -> None:
        """Take a tracked file that is too large for Git, unless it only looks changed."""
        oid = self.contents.hash_large(path)
        mode = self.mode(path, found, entry)
        if oid is not None and self.is_entry(path, entry, (mode, oid)):
            return
        self.put_large(path, mode, "large")
        self.note_edit(path, entry, found.st_size)

    def put_large(self, path: bytes, mode: int, reason: str) -> None:
        self.edit(path, None)
        if self.contents.put_large(path, mode, reason):
            self.beside.add(path)

    def take_as_it_is(self, path: bytes, entry: Entry | None) -> None:
        try:
            found = os.lstat(self.top + path)
        except OSError:
            self.edit(path, None)
            return
        if found.st_size > self.contents.large:
            self.put_large(path, self.mode(path, found, entry), "large")
        else:
            self.take(path, entry, self.contents.read(path))

    def provide(self, path: bytes, held: Held, size: int) -> Held | None:
        """Have the pack hold what the index holds at `path` and the disk has unchanged."""
        oid = held[1].hex()
        if self._writer.contains(oid):
            return held
        if size > self.contents.large:
            mode = held[0]
            if self.contents.put_large(path, mode, "large"):
                self.beside.add(path)
                return None
        whole = self.contents.read(path)
        if whole is not None and self.contents.blob_id(whole.data) == held[1]:
            self._writer.add("blob", whole.data, oid)
            return held
        try:
            data = self._reader().read(oid)[1]  # converted, or changed since the walk
        except KeyError:
            if whole is None:
                return None
            return held[0], self.contents.put(whole.data)
        self._writer.add("blob", data, oid)
        return held
