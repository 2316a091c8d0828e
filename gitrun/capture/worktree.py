"""One worktree becomes one tree: walk, read what changed, build.

The top worktree is stored as Git would store it, on top of HEAD. A root (a submodule or an embedded
repository) is stored as raw bytes and whole, since nothing else in the archive has any of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from gitrun.capture import conversions
from gitrun.capture.contents import EXECUTABLE, FILE, GITLINK, SYMLINK, Contents, Held, Shelf, Whole
from gitrun.capture.findings import View
from gitrun.capture.guards import Guard
from gitrun.capture.nested import Nested, open_nested, why_not
from gitrun.capture.trees import Comparison, Edits, HeadTrees, TreeBuilder
from gitrun.capture.uncommon import load_index
from gitrun.capture.walk import StatRules, Suspect, Walked, walk
from gitrun.errors import UnsafeRepository, UnsupportedRepository
from gitrun.git.attributes import FILE as ATTRIBUTES_FILE
from gitrun.git.attributes import Attributes, find_attributes
from gitrun.git.ignore import IgnoreRules
from gitrun.git.index import ASSUME_UNCHANGED, FLAGS, INTENT_TO_ADD, MODE, OID, SKIP_WORKTREE, STAGE, Entry
from gitrun.git.packs import PackWriter
from gitrun.git.repository import Repository

if TYPE_CHECKING:
    from gitrun.git.objects import ObjectReader


class Place(NamedTuple):
    """A worktree to capture; `head_tree` is HEAD's raw tree id, `covers` that the archive has HEAD.

    `raw` asks for the bytes on disk in the tree itself; `skip` are directories that are never source.
    """

    repo: Repository
    view: View
    head_tree: bytes | None
    covers: bool
    raw: bool
    skip: frozenset[bytes]
    reader: Callable[[], ObjectReader]


class Tools(NamedTuple):
    """What all worktrees of a snapshot share."""

    fmt: str
    writer: PackWriter
    shelf: Shelf
    guard: Guard
    environ: Mapping[str, str]


class Captured(NamedTuple):
    """The tree of a worktree and what there is to say of it; paths are relative to the worktree."""

    tree: str
    comparison: Comparison
    untracked: list[bytes]
    conflicts: list[bytes]
    beside: set[bytes]
    absent: set[bytes]
    sparse: bool
    nested: list[Nested]

    @property
    def is_dirty(self) -> bool:
        """Whether anything differs from HEAD, in the files or in the index."""
        return bool(any(self.comparison) or self.untracked or self.conflicts or self.beside)


def capture_worktree(place: Place, tools: Tools) -> Captured:
    """Capture one worktree into the tools' pack and store; raises UncommonIndex, DamagedRepository, DiskFull."""
    return _Capture(place, tools).run()


class _Capture:
    def __init__(self, place: Place, tools: Tools) -> None:
        assert place.repo.worktree is not None
        self.place = place
        self.tools = tools
        self.view = place.view
        self.repo = place.repo
        self.top = os.fsencode(place.repo.worktree).rstrip(b"/") + b"/"
        large = tools.guard.limits.large
        self.contents = Contents(self.top, tools.fmt, tools.writer, tools.shelf, place.view, large)
        self.index = load_index(place.repo, tools.environ)
        self.file_mode = self.repo.config.get_bool("core.filemode", True)
        self.symlinks = self.repo.config.get_bool("core.symlinks", True)
        self.edits: Edits = {}
        self.attributes: Attributes | None = None
        self.beside: set[bytes] = set()
        self.absent: set[bytes] = set()
        self.sparse: list[bytes] = []
        self.nested: list[Nested] = []
        self.untracked: list[bytes] = []

    def run(self) -> Captured:
        walked = self._walk()
        self.attributes = self._find_attributes(walked)
        self._take_nested(walked)
        postponed = self._take_suspects(walked.suspects)
        postponed += self._take_untracked(walked.untracked)
        if self.attributes:
            self._take_converted(postponed, walked)
        gone = set(walked.missing_below)
        self._note_missing(walked.missing, gone)
        self._note_left_out(walked)
        head = HeadTrees(self.index, self.place.head_tree, self.place.reader)
        builder = TreeBuilder(
            self.index,
            self.edits,
            gone,
            head,
            self.tools.writer,
            self._provide,
            fmt=self.tools.fmt,
            covers=self.place.covers,
        )
        tree = builder.build().hex()
        return Captured(
            tree,
            builder.comparison,
            self.untracked,
            sorted(self.index.conflicts),
            self.beside,
            self.absent,
            bool(self.sparse),
            self.nested,
        )

    def _walk(self) -> Walked:
        config = self.repo.config
        trust = StatRules(
            ctime=config.get_bool("core.trustctime", True) and config.get("core.checkstat") != "minimal",
            inode=config.get("core.checkstat") != "minimal",
        )
        rules = IgnoreRules.for_repository(self.repo)
        plain: frozenset[bytes] = frozenset()
        while True:
            walked = walk(self.top, self.index, rules, trust, skip=self.place.skip, plain=plain)
            self.nested = []
            broken = {path for path in walked.embedded if not self._open(path, "embedded")}
            if not broken:
                return walked
            plain |= broken  # it has a .git that Git itself takes for none: a directory like any other

    def _open(self, path: bytes, kind: str) -> bool:
        """Open a nested repository; False where Git sees none."""
        try:
            nested = open_nested(self.repo, path, kind)
        except (UnsafeRepository, UnsupportedRepository) as problem:
            self.view.exclude(path, why_not(problem), 0)
            return True
        if nested is not None:
            self.nested.append(nested)
        return nested is not None

    def _find_attributes(self, walked: Walked) -> Attributes | None:
        tracked = [directory for directory, files in self.index.files.items() if ATTRIBUTES_FILE in files]
        return find_attributes(self.repo, {*tracked, *walked.attributes})

    def _take_nested(self, walked: Walked) -> None:
        for path, _ in walked.submodules:
            self._open(path + b"/", "submodule")
        entries = dict(walked.submodules)
        for nested in self.nested:
            path = nested.path[:-1]
            entry = entries.get(path)
            if nested.head.commit is None:
                if entry is None:
                    self.view.differ(nested.path, "embedded")  # `git add` refuses a repository without a commit
                continue
            oid = bytes.fromhex(nested.head.commit)
            if len(oid) == self.repo.hash_len and (entry is None or entry[OID] != oid):
                self._edit(path, Held(GITLINK, oid))
            if entry is None:
                self.untracked.append(path)

    def _edit(self, path: bytes, held: Held | None) -> None:
        cut = path.rfind(b"/") + 1
        self.edits.setdefault(path[:cut], {})[path[cut:]] = held

    def _mode(self, found: os.stat_result, entry: Entry | None) -> int:
        """The mode Git gives to what was found (read-cache.c, ce_mode_from_stat)."""
        if stat.S_ISLNK(found.st_mode):
            return SYMLINK
        if not self.symlinks and entry is not None and entry[MODE] == SYMLINK:
            return SYMLINK
        if not self.file_mode:
            return entry[MODE] if entry is not None and stat.S_ISREG(entry[MODE]) else FILE
        return EXECUTABLE if found.st_mode & stat.S_IXUSR else FILE

    def _touched(self, path: bytes, found: os.stat_result) -> int:
        return self.attributes.touches(path) if self.attributes and not stat.S_ISLNK(found.st_mode) else 0

    def _take_suspects(self, suspects: list[Suspect]) -> list[tuple[bytes, Entry | None, os.stat_result]]:
        """Read the tracked files that may have changed; those a conversion may change are handed back."""
        postponed: list[tuple[bytes, Entry | None, os.stat_result]] = []
        for path, entry, found in suspects:
            kinds = 0 if self.place.raw else self._touched(path, found)
            if found.st_size > self.contents.large and stat.S_ISREG(found.st_mode):
                if kinds:
                    postponed.append((path, entry, found))
                else:
                    self._take_large(path, entry, found)
                continue
            whole = self.contents.read(path)
            if whole is not None and kinds and conversions.needs_git(kinds, whole.data):
                postponed.append((path, entry, found))
            else:
                self._take(path, entry, whole)
        return postponed

    def _take_untracked(
        self, candidates: Iterable[tuple[bytes, os.stat_result]]
    ) -> list[tuple[bytes, Entry | None, os.stat_result]]:
        """Read the untracked files that the guards admit; those a conversion may change are handed back."""
        postponed: list[tuple[bytes, Entry | None, os.stat_result]] = []
        for path, found in self.tools.guard.admit(candidates, self.view):
            self.untracked.append(path)
            kinds = 0 if self.place.raw else self._touched(path, found)
            if found.st_size > self.contents.large and stat.S_ISREG(found.st_mode):
                if kinds & conversions.FILTER:
                    postponed.append((path, None, found))
                else:
                    self._put_large(path, self._mode(found, None), "large")
                continue
            whole = self.contents.read(path)
            if whole is None:
                self.untracked.pop()
            elif kinds and conversions.needs_git(kinds, whole.data):
                postponed.append((path, None, found))
            else:
                self._edit(path, Held(self._mode(whole.found, None), self.contents.put(whole.data)))
        return postponed

    def _take(self, path: bytes, entry: Entry | None, whole: Whole | None) -> None:
        """Take a tracked file as it was read, or its absence."""
        if whole is None:
            self._edit(path, None)
            return
        held = Held(self._mode(whole.found, entry), self.contents.blob_id(whole.data))
        if entry is not None and self._is_entry(path, entry, held):
            return
        self.contents.writer.add("blob", whole.data, held.oid.hex())
        self._edit(path, held)
        self._note_edit(path, entry, len(whole.data))

    def _is_entry(self, path: bytes, entry: Entry, held: Held) -> bool:
        """Whether the index holds just this at stage 0."""
        if entry[FLAGS] & STAGE or self.index.extended.get(path, 0) & INTENT_TO_ADD:
            return False
        return held == (entry[MODE], entry[OID])

    def _note_edit(self, path: bytes, entry: Entry | None, size: int) -> None:
        self.tools.guard.count(self.view.prefix + path, size)
        if entry is not None and entry[FLAGS] & ASSUME_UNCHANGED:
            self.view.differ(path, "assume-unchanged")
        if self.index.extended.get(path, 0) & SKIP_WORKTREE:
            self.view.differ(path, "skip-worktree")

    def _take_large(self, path: bytes, entry: Entry, found: os.stat_result) -> None:
        """Take a tracked file that is too large for Git, unless it only looks changed."""
        oid = self.contents.hash_large(path)
        mode = self._mode(found, entry)
        if oid is not None and self._is_entry(path, entry, Held(mode, oid)):
            return
        self._put_large(path, mode, "large")
        self._note_edit(path, entry, found.st_size)

    def _put_large(self, path: bytes, mode: int, reason: str) -> None:
        self._edit(path, None)
        if self.contents.put_large(path, mode, reason):
            self.beside.add(path)

    def _take_converted(self, postponed: list[tuple[bytes, Entry | None, os.stat_result]], walked: Walked) -> None:
        """Take the files whose bytes on disk are not those Git stores."""
        assert self.attributes is not None
        known = {path: entry for path, entry, _ in postponed}
        unproved = {suspect.path for suspect in walked.suspects} | {path for path, _ in walked.missing}
        unproved.update(self._paths_below(walked.missing_below))
        stale = conversions.differing(self.repo, self.index, self.attributes, self.contents, unproved)
        if self.place.raw:
            for path in stale:
                self._take_raw(path)
            return
        cleaned = conversions.clean(self.repo, list(known), self.tools.environ)
        for path, entry in known.items():
            self._take_cleaned(path, entry, cleaned.get(path))
        for path in stale:
            held = self._entry(path)
            self._overlay(path, Held(held[MODE], held[OID]), self._pointer(held[OID]))

    def _take_raw(self, path: bytes) -> None:
        """Put the bytes on disk into the tree of a root, whatever its index says."""
        entry = self._entry(path)
        found = os.lstat(self.top + path)
        if found.st_size > self.contents.large:
            self._put_large(path, entry[MODE], "large")
        elif (whole := self.contents.read(path)) is not None:
            self._edit(path, Held(entry[MODE], self.contents.put(whole.data)))

    def _take_cleaned(self, path: bytes, entry: Entry | None, converted: conversions.Converted | None) -> None:
        if converted is None:
            if self.repo.git is None or os.path.lexists(self.top + path):
                self.view.differ(path, "unconverted")
            self._take_as_it_is(path, entry)
            return
        held, data = converted
        if entry is None or not self._is_entry(path, entry, held):
            self.tools.writer.add("blob", data, held.oid.hex())
            self._edit(path, held)
            self._note_edit(path, entry, len(data)) if entry is not None else None
        self._overlay(path, held, data.startswith(conversions.LFS_POINTER))

    def _take_as_it_is(self, path: bytes, entry: Entry | None) -> None:
        try:
            found = os.lstat(self.top + path)
        except OSError:
            self._edit(path, None)
            return
        if found.st_size > self.contents.large:
            self._put_large(path, self._mode(found, entry), "large")
        else:
            self._take(path, entry, self.contents.read(path))

    def _overlay(self, path: bytes, held: Held, is_pointer: bool) -> None:
        """Keep the bytes on disk beside the tree where they are not the blob's."""
        if self.contents.hash_large(path) != held.oid:
            self.contents.put_large(path, held.mode, "lfs" if is_pointer else "raw")

    def _pointer(self, oid: bytes) -> bool:
        try:
            return self.place.reader().read(oid.hex())[1].startswith(conversions.LFS_POINTER)
        except KeyError:
            return False

    def _entry(self, path: bytes) -> Entry:
        cut = path.rfind(b"/") + 1
        return self.index.files[path[:cut]][path[cut:]]

    def _paths_below(self, directories: Iterable[bytes]) -> list[bytes]:
        """The tracked paths in these directories and below them."""
        paths = []
        todo = list(directories)
        while todo:
            directory = todo.pop()
            paths += [directory + name for name in self.index.files.get(directory, ())]
            todo += [directory + name + b"/" for name in self.index.below.get(directory, ())]
        return paths

    def _note_missing(self, missing: list[tuple[bytes, Entry]], gone: set[bytes]) -> None:
        """Drop what is not on disk; what a sparse checkout never wrote is counted by directory."""
        for path, entry in missing:
            self._edit(path, None)
            self._note_absent(path, entry)
        for path in self._paths_below(gone) if gone else ():
            self._note_absent(path, self._entry(path))
        counts: dict[bytes, int] = {}
        for path in self.sparse:
            directory = path[: path.rfind(b"/") + 1]
            counts[directory] = counts.get(directory, 0) + 1
        for directory, files in counts.items():
            self.view.differ(directory or b"./", "sparse", files)

    def _note_absent(self, path: bytes, entry: Entry) -> None:
        if self.index.extended.get(path, 0) & SKIP_WORKTREE:
            self.sparse.append(path)
            self.absent.add(path)
        elif entry[FLAGS] & ASSUME_UNCHANGED:
            self.view.differ(path, "assume-unchanged")

    def _note_left_out(self, walked: Walked) -> None:
        for directory in walked.bare:
            self.view.empty(directory)
        for path in walked.unreadable:
            self.view.exclude(path, "unreadable", 0)
        for path in walked.refused:
            self.view.exclude(path, "unsafe name", 0)
        for path in walked.trackers:
            files, size = _measure(self.top + path)
            self.view.exclude(path, "tracker", size, files)

    def _provide(self, path: bytes, held: Held, size: int) -> Held | None:
        """Have the pack hold what the index holds at `path` and the disk has unchanged."""
        oid = held.oid.hex()
        if self.tools.writer.contains(oid):
            return held
        if size > self.contents.large:
            mode = held.mode
            if self.contents.put_large(path, mode, "large"):
                self.beside.add(path)
                return None
        whole = self.contents.read(path)
        if whole is not None and self.contents.blob_id(whole.data) == held.oid:
            self.tools.writer.add("blob", whole.data, oid)
            return held
        try:
            data = self.place.reader().read(oid)[1]  # converted, or changed since the walk
        except KeyError:
            if whole is None:
                return None
            return Held(held.mode, self.contents.put(whole.data))
        self.tools.writer.add("blob", data, oid)
        return held


def _measure(path: bytes) -> tuple[int, int]:
    """The number of files in a directory, or of one file, and their bytes."""
    files = size = 0
    todo = [path]
    while todo:
        here = todo.pop()
        try:
            if not os.path.isdir(here):
                size += os.lstat(here).st_size
                files += 1
                continue
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    else:
                        files += 1
                        size += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue  # being written to by the tracker; the figures are for people
    return files, size
