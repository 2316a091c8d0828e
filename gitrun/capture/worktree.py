"""One worktree becomes one tree: walk, read what changed, build.

The top worktree is stored as Git would store it, on top of HEAD. A root (a submodule or an embedded
repository) is stored as raw bytes and whole, since nothing else in the archive has any of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from gitrun.capture.contents import GITLINK
from gitrun.capture.conversions import Converter, Postponed, needs_git
from gitrun.capture.guards import name_outputs
from gitrun.capture.nested import Nested, open_files, open_nested, why_not
from gitrun.capture.scout import Scout, send_scout
from gitrun.capture.statdata import StatRules
from gitrun.capture.takings import Place, Takings, Tools
from gitrun.capture.trees import Comparison, HeadTrees, TreeBuilder
from gitrun.capture.uncommon import index_path, load_index
from gitrun.capture.walk import Suspect, Walked, walk
from gitrun.capture.watch import Watched, look, same_state
from gitrun.errors import UnsafeRepository, UnsupportedRepository
from gitrun.git.attributes import FILE as ATTRIBUTES_FILE
from gitrun.git.attributes import FILTER, Attributes, find_attributes
from gitrun.git.ignore import IgnoreRules
from gitrun.git.index import ASSUME_UNCHANGED, SKIP_WORKTREE, Entry, Index, flags_of, oid_of, read_index_file
from gitrun.git.repository import Repository

if TYPE_CHECKING:
    from gitrun.capture.recorded_outputs import Recorded

_ATTEMPTS = 3


class Captured(NamedTuple):
    """The tree of a worktree and what there is to say of it; paths are relative to the worktree."""

    tree: str
    comparison: Comparison
    untracked: set[bytes]
    conflicts: list[bytes]
    beside: set[bytes]
    absent: set[bytes]
    sparse: bool
    nested: list[Nested]

    @property
    def is_dirty(self) -> bool:
        """Whether anything differs from HEAD, in the files or in the index."""
        here = self.comparison
        differs = here.modified or here.added or here.staged or here.unstaged or self.untracked
        return bool(differs or self.conflicts or self.beside or set(here.deleted) - self.absent)


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
        self.trust = _stat_rules(place.repo)
        self.scout: Scout | None = None
        self.index = self._load_index() if place.tracked is None else place.tracked
        self.takings = Takings(place, tools, self.top, self.index)
        self.attributes: Attributes | None = None
        self.absent: set[bytes] = set()
        self.nested: list[Nested] = []
        self.untracked: set[bytes] = set()
        self.outputs: list[Recorded] = []

    def _load_index(self) -> Index:
        """Parse the index, while a scout already looks at the files it names."""
        file = read_index_file(index_path(self.repo))
        if file is not None and self.trust == StatRules():
            self.scout = send_scout(file, self.top, self.repo.object_format)
        try:
            index, is_plain = load_index(self.repo, file, self.tools.environ)
        except BaseException:
            self._dismiss()
            raise
        if not is_plain:
            self._dismiss()  # it looks at another index
        return index

    def _dismiss(self) -> None:
        if self.scout is not None:
            self.scout.dismiss()
            self.scout = None

    def run(self) -> Captured:
        try:
            walked = self._walk()
        finally:
            self._dismiss()
        self.attributes = self._find_attributes(walked)
        self._take_nested(walked)
        postponed = [*self._take_suspects(walked.suspects), *self._take_untracked(walked.untracked)]
        if self.attributes is not None:
            self._convert(self.attributes, postponed, walked)
        self._take_again()
        gone = set(walked.missing_below)
        self._note_missing(walked.missing, gone)
        self._note_left_out(walked)
        tree, comparison = self._build(gone)
        self._note_young()
        self.tools.watch.worktrees.append(
            Watched(self.top, self.view.prefix, self.index, self.trust, self.takings.contents.seen)
        )
        return Captured(
            tree,
            comparison,
            self.untracked,
            sorted(self.index.conflicts),
            self.takings.beside,
            self.absent,
            bool(self.absent),
            self.nested,
        )

    def _build(self, gone: set[bytes]) -> tuple[str, Comparison]:
        head = self.place.head
        builder = TreeBuilder(
            self.index,
            self.takings.edits,
            gone,
            HeadTrees(self.index, head.tree, self.place.reader),
            self.tools.writer,
            self.takings.provide,
            fmt=self.tools.fmt,
            covers=head.covers,
        )
        return builder.build().hex(), builder.comparison

    def _walk(self) -> Walked:
        rules = self.place.rules or IgnoreRules.for_repository(self.repo)
        plain: frozenset[bytes] = frozenset()
        while True:
            walked = walk(
                self.top,
                self.index,
                rules,
                self.trust,
                skip=self.place.skip,
                plain=plain,
                trackers=self.tools.guard.limits.trackers == "leave_out",
                scout=self.scout,
            )
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
            if not self._open(path + b"/", "submodule") and (files := open_files(self.repo, path + b"/")):
                self.nested.append(files)
        entries = dict(walked.submodules)
        for nested in self.nested:
            path = nested.path[:-1]
            entry = entries.get(path)
            if nested.head.commit is None:
                if entry is None:
                    self.view.differ(nested.path, "embedded")  # `git add` refuses a repository without a commit
                continue
            oid = bytes.fromhex(nested.head.commit)
            if len(oid) == self.repo.hash_len and (entry is None or oid_of(entry) != oid):
                self.takings.edit(path, (GITLINK, oid))
            if entry is None:
                self.untracked.add(path)

    def _kinds(self, path: bytes, found: os.stat_result) -> int:
        """The conversions that may change a file, none of them in a root."""
        if self.attributes is None or self.place.raw or stat.S_ISLNK(found.st_mode):
            return 0
        return self.attributes.touches(path)

    def _take_suspects(self, suspects: list[Suspect]) -> Iterable[Postponed]:
        """Read the tracked files that may have changed; those a conversion may change are handed back."""
        takings = self.takings
        for path, entry, found in suspects:
            kinds = self._kinds(path, found)
            if takings.is_large(found):
                if kinds:
                    yield Postponed(path, entry)
                else:
                    takings.take_large(path, entry, found)
                continue
            whole = takings.contents.read(path)
            if whole is not None and kinds and needs_git(kinds, whole.data):
                yield Postponed(path, entry)
            else:
                takings.take(path, entry, whole)

    def _take_untracked(self, candidates: Iterable[tuple[bytes, os.stat_result]]) -> Iterable[Postponed]:
        """Read the untracked files that the guards admit; those a conversion may change are handed back."""
        if self.tools.recorded is not None:
            candidates, self.outputs = self.tools.recorded.divide(candidates, self.top, self.view.prefix)
        admitted = self.tools.guard.admit(candidates, self.view)
        self.untracked.update([path for path, _ in admitted])
        return self._take_new(admitted)

    def _take_new(self, files: Iterable[tuple[bytes, os.stat_result]]) -> Iterable[Postponed]:
        takings = self.takings
        for path, found in files:
            kinds = self._kinds(path, found)
            if takings.is_large(found):
                if kinds & FILTER:
                    yield Postponed(path, None)
                else:
                    takings.put_large(path, takings.mode(path, found, None), "large")
                continue
            whole = takings.contents.read(path)
            if whole is None:
                self.untracked.discard(path)
            elif kinds and needs_git(kinds, whole.data):
                yield Postponed(path, None)
            else:
                takings.edit(path, (takings.mode(path, whole.found, None), takings.contents.put(whole.data)))

    def _take_again(self) -> None:
        """Take once more, a few times at most, the files that changed since they were read."""
        seen = self.takings.contents.seen
        for _ in range(_ATTEMPTS):
            now = {path: look(self.top + path) for path in seen}
            changed = {path: found for path, found in now.items() if found is None or not same_state(seen[path], found)}
            if not changed:
                return
            postponed = [*self._take_changed(changed)]
            if self.attributes is not None and not self.place.raw:
                Converter(self.repo, self.attributes, self.takings, self.place.reader).take_changed(
                    postponed, self.tools.environ
                )

    def _take_changed(self, changed: dict[bytes, os.stat_result | None]) -> Iterable[Postponed]:
        for path, found in changed.items():
            self.view.changed(path)
            self.takings.forget(path)
            is_file = found is not None and (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode))
            if self.takings.is_tracked(path):
                if found is not None and is_file:
                    yield from self._take_suspects([Suspect(path, self.takings.entry(path), found)])
                else:
                    self.takings.edit(path, None)
            elif found is not None and is_file:
                yield from self._take_new([(path, found)])
            else:
                self.untracked.discard(path)

    def _note_young(self) -> None:
        """Report what was written to while the snapshot was taken: whoever did it may not have been done."""
        for path, found in self.takings.contents.seen.items():
            if found.st_ctime_ns > self.tools.watch.began_ns:
                self.view.changed(path)

    def _convert(self, attributes: Attributes, postponed: list[Postponed], walked: Walked) -> None:
        """Take the files whose bytes on disk are not those Git stores."""
        unproved = {suspect.path for suspect in walked.suspects} | {path for path, _ in walked.missing}
        unproved.update(self._paths_below(walked.missing_below))
        converter = Converter(self.repo, attributes, self.takings, self.place.reader)
        if self.place.raw:
            converter.take_raw(unproved)
        else:
            converter.take_changed(postponed, self.tools.environ)
            converter.take_unchanged(unproved)

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
            self.takings.edit(path, None)
            self._note_absent(path, entry)
        for path in self._paths_below(gone) if gone else ():
            self._note_absent(path, self.takings.entry(path))
        counts: dict[bytes, int] = {}
        for path in self.absent:
            directory = path[: path.rfind(b"/") + 1]
            counts[directory] = counts.get(directory, 0) + 1
        for directory, files in counts.items():
            self.view.differ(directory or b"./", "sparse", files=files)

    def _note_absent(self, path: bytes, entry: Entry) -> None:
        if self.index.extended.get(path, 0) & SKIP_WORKTREE:
            self.absent.add(path)
        elif flags_of(entry) & ASSUME_UNCHANGED:
            self.view.differ(path, "assume-unchanged")

    def _note_left_out(self, walked: Walked) -> None:
        for directory in {*walked.bare, *self._only_outputs(walked)}:
            self.view.empty(directory)
        name_outputs(self.outputs, self.view)
        for path in walked.unreadable:
            self.view.exclude(path, "unreadable", 0)
        for path in walked.refused:
            self.view.exclude(path, "unsafe name", 0)
        for path in walked.trackers:
            files, size = _measure(self.top + path)
            self.view.exclude(path, "tracker", size, files)

    def _only_outputs(self, walked: Walked) -> set[bytes]:
        """The directories that hold outputs of earlier runs, and nothing else: a program may count on them."""
        found = {_directory_of(output.path) for output in self.outputs} - self.index.files.keys()
        if not found:
            return found
        around = {above for path in self.untracked for above in _around(_directory_of(path))}
        around.update(above for directory in (*walked.bare, *found) for above in _around(_directory_of(directory[:-1])))
        return found - around - self.index.below.keys() - {b""}


def _directory_of(path: bytes) -> bytes:
    return path[: path.rfind(b"/") + 1]


def _around(directory: bytes) -> Iterable[bytes]:
    """A directory and all above it."""
    while directory:
        yield directory
        directory = _directory_of(directory[:-1])


def _stat_rules(repo: Repository) -> StatRules:
    minimal = repo.config.get("core.checkstat") == "minimal"
    return StatRules(ctime=repo.config.get_bool("core.trustctime", True) and not minimal, inode=not minimal)


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
