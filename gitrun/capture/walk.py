"""One walk over a worktree: what on disk differs, or may differ, from the index.

Problem: at 200,000 files every Python call per file counts, and git has threads for this.
Idea: the names of a directory and the names in the index are compared as sets; only tracked names
are looked at one by one, with a stat relative to the open directory and three comparisons; what
matches its index entry exactly costs nothing further.
Reason: the result is as long as the change, not as the repository.

A file whose entry is as young as the index itself may have changed within the clock's tick ("racily
clean" in Git's words), so it counts as a suspect and its bytes decide.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Set
from typing import NamedTuple

from gitrun.capture.scout import Scout, covers
from gitrun.capture.statdata import StatRules, is_same, is_unchanged
from gitrun.capture.trackers import EVENTS, tracker_marks
from gitrun.files.names import is_git_directory
from gitrun.git.ignore import IgnoreRules
from gitrun.git.index import STAT, Entry, Files, Index, mode_of

GITLINK = 0o160000


class Suspect(NamedTuple):
    """A tracked path whose stat data does not prove it unchanged; `found` is what is there now."""

    path: bytes
    entry: Entry
    found: os.stat_result


class Walked(NamedTuple):
    """What a walk found, in no particular order; directories end in a slash.

    `missing` are tracked paths that are not there (or are a directory or a device now),
    `missing_below` tracked directories that are not there at all, `submodules` gitlinks of the
    index that are directories, `embedded` untracked directories that are repositories, `trackers`
    what an experiment tracker wrote, `unreadable` directories that cannot be listed, `refused`
    untracked names that some system takes for `.git`, `bare` directories with nothing in them that
    is source, `attributes` directories with an untracked .gitattributes.
    """

    suspects: list[Suspect]
    missing: list[tuple[bytes, Entry]]
    missing_below: list[bytes]
    untracked: list[tuple[bytes, os.stat_result]]
    submodules: list[tuple[bytes, Entry]]
    embedded: list[bytes]
    trackers: list[bytes]
    unreadable: list[bytes]
    refused: list[bytes]
    bare: list[bytes]
    attributes: list[bytes]


def walk(
    top: bytes,
    index: Index,
    rules: IgnoreRules,
    trust: StatRules = StatRules(),  # noqa: B008  # it is a frozen value
    *,
    skip: frozenset[bytes] = frozenset(),
    plain: frozenset[bytes] = frozenset(),
    trackers: bool = True,
    scout: Scout | None = None,
) -> Walked:
    """Compare the worktree `top` (with a trailing slash) with its index; raises OSError when it cannot be listed.

    Directories in `skip` are not entered; those in `plain` are no repositories, whatever they hold. Without
    `trackers`, what an experiment tracker wrote is like anything else.
    """
    work = _Walk(top, index, rules, trust, skip, plain, trackers, scout is not None)
    work.enter(b"")
    work.finish()
    if scout is not None:
        work.finish_covered(scout.unproved())
    return work.found


class _Walk:
    def __init__(
        self,
        top: bytes,
        index: Index,
        rules: IgnoreRules,
        trust: StatRules,
        skip: frozenset[bytes],
        plain: frozenset[bytes],
        trackers: bool,
        has_scout: bool,
    ) -> None:
        self.top = top
        self.index = index
        self.rules = rules
        self.trust = trust
        self.skip = skip
        self.plain = plain
        self.trackers = trackers
        self.has_scout = has_scout
        self.covered: set[bytes] = set()  # directories whose tracked files the scout looks at
        self.todo: list[bytes] = []
        self.found = Walked([], [], [], [], [], [], [], [], [], [], [])

    def finish(self) -> None:
        """Look at everything on `todo`, and at everything below."""
        while self.todo:
            self.enter_or_note(self.todo.pop())

    def finish_covered(self, unproved: set[bytes] | None) -> None:
        """Look at what the scout could not prove unchanged, at all it was to look at where it failed (None)."""
        if unproved is None:
            todo = {directory: self.index.files[directory] for directory in self.covered}
        else:
            todo = {}
            for path in unproved:
                cut = path.rfind(b"/") + 1
                if path[:cut] in self.covered:
                    todo.setdefault(path[:cut], {})[path[cut:]] = self.index.files[path[:cut]][path[cut:]]
        for directory, files in todo.items():
            others: set[bytes] = set()
            try:
                self._look(directory, files, files.keys(), others)
                if others:
                    self._sort_others(directory, others)
            except OSError:
                self.found.missing_below.append(directory)  # gone since it was listed
        self.finish()

    def enter_or_note(self, directory: bytes) -> None:
        """Look at one directory, or say that it cannot be looked at."""
        try:
            self.enter(directory)
        except PermissionError:
            self.found.unreadable.append(directory)
            self.found.missing_below.append(directory)
        except OSError:
            self.found.missing_below.append(directory)  # gone, or something else, since its name was read

    def enter(self, directory: bytes) -> None:
        """Look at one directory; those below it go onto `todo`."""
        names = set(os.listdir(self.top + directory))
        tracked = self.index.files.get(directory)
        below = self.index.below.get(directory)
        if tracked is None:
            others = names
            if directory and below is None and self._is_whole(directory, names):
                return
        else:
            others = names.difference(tracked)
            if self.has_scout and covers(directory):
                self.covered.add(directory)
            else:
                self._look(directory, tracked, names, others)
        if below is not None:
            self.found.missing_below.extend([directory + name + b"/" for name in below - names])
        if others and self._sort_others(directory, others):
            return
        has_tracked = tracked is not None and not tracked.keys().isdisjoint(names)
        if directory and not has_tracked and not self.rules.is_inside_ignored(directory):
            self.found.bare.append(directory)

    def _look(self, directory: bytes, tracked: Files, names: Set[bytes], others: set[bytes]) -> None:
        """Look at the tracked files of one directory; one that has become a directory joins the others."""
        fd = _open_directory(self.top + directory)
        try:
            self._compare(directory, tracked, names, fd, others)
        finally:
            os.close(fd)

    def _is_whole(self, directory: bytes, names: set[bytes]) -> bool:
        """Whether an untracked directory is to be taken, or left out, as one thing."""
        if b".git" in names and directory not in self.plain and is_repository(self.top + directory):
            self.found.embedded.append(directory)
            return True
        marks = tracker_marks(directory, names, self.top) if self.trackers else set()
        if marks is None:
            self.found.trackers.append(directory)
            return True
        self.found.trackers.extend(directory + name for name in marks)
        names -= marks
        return False

    def _compare(self, directory: bytes, tracked: Files, names: Set[bytes], fd: int, others: set[bytes]) -> None:
        """Find the tracked files of one directory that are not proved unchanged: the hot loop."""
        look, read_stat, index_mtime = os.stat, STAT.unpack_from, self.index.mtime_ns
        for name, entry in tracked.items():
            if name not in names:
                self.found.missing.append((directory + name, entry))
                continue
            try:
                found = look(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                self.found.missing.append((directory + name, entry))
                continue
            if not is_same(found, read_stat(entry), index_mtime):
                self._suspect(directory, name, entry, found, others)

    def _suspect(self, directory: bytes, name: bytes, entry: Entry, found: os.stat_result, others: set[bytes]) -> None:
        kind = stat.S_IFMT(found.st_mode)
        if kind in (stat.S_IFREG, stat.S_IFLNK):
            if not is_unchanged(found, entry, self.index.mtime_ns, self.trust):
                self.found.suspects.append(Suspect(directory + name, entry, found))
        elif kind == stat.S_IFDIR and mode_of(entry) == GITLINK:
            self.found.submodules.append((directory + name, entry))
        else:
            self.found.missing.append((directory + name, entry))
            if kind == stat.S_IFDIR:
                others.add(name)

    def _sort_others(self, directory: bytes, others: set[bytes]) -> bool:
        """Sort what the index has no entry for; whether any of it is, or may hold, source."""
        below = self.index.below.get(directory, ())
        fd = _open_directory(self.top + directory)
        try:
            found = [self._sort_other(directory, name, name in below, fd) for name in others]
        finally:
            os.close(fd)
        return any(found)

    def _sort_other(self, directory: bytes, name: bytes, is_tracked: bool, fd: int) -> bool:
        if name == b".git":
            return False
        if name == b".gitattributes":
            self.found.attributes.append(directory)
        try:
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return False  # removed since the directory was listed
        if stat.S_ISDIR(found.st_mode):
            return self._is_to_enter(directory, name, is_tracked)
        if is_tracked:
            self.found.missing_below.append(directory + name + b"/")
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
            return False  # a FIFO, a socket or a device: Git has no such thing
        if self.rules.is_ignored(directory, name, False) or self._is_refused(directory, name):
            return False
        if self.trackers and name.startswith(EVENTS):
            self.found.trackers.append(directory + name)
            return False
        self.found.untracked.append((directory + name, found))
        return True

    def _is_to_enter(self, directory: bytes, name: bytes, is_tracked: bool) -> bool:
        path = directory + name + b"/"
        if path in self.skip or self._is_refused(directory, name):
            return False
        if not is_tracked and self.rules.is_ignored(directory, name, True):
            return False
        self.todo.append(path)
        return True

    def _is_refused(self, directory: bytes, name: bytes) -> bool:
        """Whether no tree may hold `name`, because some system opens `.git` under it."""
        if (b"." not in name and b"~" not in name) or not is_git_directory(name):
            return False
        self.found.refused.append(directory + name)
        return True


def _open_directory(path: bytes) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def is_repository(directory: bytes) -> bool:
    """Whether `directory` (with a trailing slash) holds a `.git` that is one, at a glance."""
    entry = directory + b".git"
    try:
        if stat.S_ISDIR(os.stat(entry).st_mode):
            return all(os.path.lexists(entry + b"/" + name) for name in (b"HEAD", b"objects", b"refs"))
        with open(entry, "rb") as file:
            return file.read(8) == b"gitdir: "
    except OSError:
        return False
