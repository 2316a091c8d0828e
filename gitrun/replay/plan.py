"""What a checkout will write, worked out and judged before the first byte is written.

A tree out of an archive may be a trap: names that climb out or that some system takes for `.git`,
one name twice, a file where a directory is needed, a root laid over a symbolic link, modes that
mean nothing, or a few small trees that nest into a billion files. All of it is refused here, while
nothing exists yet; what passes is a flat list that can be written in one go.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gitrun.errors import DamagedRecord, GitFailed, HostilePath
from gitrun.files.materialise import Clone
from gitrun.files.names import MAX_PATH_BYTES, check_component, check_path, show
from gitrun.git.objects import ObjectReader
from gitrun.git.trees import TreeEntry, parse_tree
from gitrun.model.canonical import MAX_BYTES
from gitrun.replay.source import Extra, Source

DIRECTORY = 0o040000
FILE = 0o100644
EXECUTABLE = 0o100755
LINK = 0o120000
GITLINK = 0o160000
MAX_ENTRIES = 4_000_000  # more than any known repository has; a bomb of nested trees passes it at once
MAX_DEPTH = 1024


class Item(NamedTuple):
    """One entry of a flattened tree; the mode is Git's, made canonical."""

    path: bytes
    mode: int
    oid: str


class Plan(NamedTuple):
    """A directory to write: files whose bytes are Git blobs, files whose bytes are in the store, and the rest."""

    files: list[Item]
    links: list[Item]
    extra: list[Extra]
    directories: list[bytes]
    empty_gitlinks: list[bytes]


class Addition(NamedTuple):
    """A file that is no part of the source and goes into the same directory; its bytes are read when it is written.

    Or a link, where it has a `target`.
    """

    path: bytes
    mode: int
    pieces: Iterator[bytes] | Clone
    target: bytes | None = None


class Trees:
    """Trees of an archive, each read once, a level at a time through one pipe."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader
        self._known: dict[str, list[TreeEntry]] = {}

    def load(self, oids: Iterable[str], label: str) -> None:
        """Read these trees and all below them; raises DamagedRecord when one is missing or not a tree."""
        wanted = {oid for oid in oids if oid not in self._known}
        for _ in range(MAX_DEPTH):
            if not wanted:
                return
            below: set[str] = set()
            try:
                for oid, kind, data in self._reader.many(sorted(wanted), MAX_BYTES):
                    if kind != "tree":
                        raise DamagedRecord(f"{label}: {oid} is a {kind}, not a tree")
                    self._known[oid] = entries = self._parsed(oid, data, label)
                    below.update(entry.oid for entry in entries if entry.mode == DIRECTORY)
            except KeyError as problem:
                raise DamagedRecord(f"{label}: tree {problem.args[0]} is missing", next="git fsck") from problem
            except GitFailed as problem:
                raise DamagedRecord(f"{label}: its trees cannot be read: {problem}", next="git fsck") from problem
            wanted = {oid for oid in below if oid not in self._known}
            if len(self._known) + len(wanted) > MAX_ENTRIES:
                raise HostilePath(f"{label}: more than {MAX_ENTRIES} trees")
        raise HostilePath(f"{label}: trees nested more than {MAX_DEPTH} deep")

    def _parsed(self, oid: str, data: bytes, label: str) -> list[TreeEntry]:
        try:
            return parse_tree(data, len(oid) // 2)
        except DamagedRecord as problem:
            raise DamagedRecord(f"{label}: tree {oid}: {problem}", next="git fsck") from problem

    def walk(self, oid: str, label: str, prefix: bytes = b"") -> Iterator[Item]:
        """Every entry below a loaded tree but its directories, each name checked; raises HostilePath."""
        count = 0
        pending = [(oid, prefix + b"/" if prefix else b"")]
        while pending:
            tree, before = pending.pop()
            names: set[bytes] = set()
            for name, mode, child in self._known[tree]:
                check_component(name)
                if name in names or len(before) + len(name) > MAX_PATH_BYTES:
                    raise HostilePath(f"{label}: a name that is there twice or too long: {show(before + name)[:200]}")
                names.add(name)
                count += 1
                if mode == DIRECTORY:
                    pending.append((child, before + name + b"/"))
                else:
                    yield Item(before + name, _canonical(mode, before + name, label), child)
            if count > MAX_ENTRIES:
                raise HostilePath(f"{label}: more than {MAX_ENTRIES} files")


def make_plan(source: Source, trees: Trees) -> Plan:
    """The plan of the worktree itself: the source tree, its roots in their places, and what lies beside the tree."""
    inside = [root for root in source.roots if not root.is_outside]
    trees.load([source.tree, *(root.tree for root in inside)], source.label)
    items = list(trees.walk(source.tree, source.label))
    places = {root.path: root.n for root in inside}
    for root in inside:
        items.extend(trees.walk(root.tree, source.label, root.path))
    extra = [
        entry if entry.root is None else entry._replace(path=_inside(source, entry))
        for entry in source.extra
        if not entry.path.startswith(b"/") and (entry.root is None or entry.root in places.values())
    ]
    return _judge(source, items, extra, set(places))


def root_plan(source: Source, n: int, trees: Trees) -> Plan:
    """The plan of a root that lay outside the worktree, as a directory of its own."""
    root = next(root for root in source.roots if root.n == n)
    trees.load([root.tree], source.label)
    extra = [entry for entry in source.extra if entry.root == n]
    return _judge(source._replace(facts={}, modes={}), list(trees.walk(root.tree, source.label)), extra, set())


def outside_plan(source: Source) -> Plan:
    """The plan of the files that lay in no part of the source, each below a directory by its absolute path."""
    extra = [entry._replace(path=entry.path.lstrip(b"/")) for entry in source.extra if entry.is_outside]
    return _judge(source._replace(facts={}, modes={}), [], extra, set())


def fitting(plan: Plan, additions: Iterable[Addition]) -> list[Addition]:
    """The additions whose place is free: not in the plan already, and not below one of its files or links.

    Of two that cannot stand beside each other (a link, and a file below a directory of that name) the first is taken.
    """
    taken = {item.path for item in (*plan.files, *plan.links)} | {entry.path for entry in plan.extra}
    used = taken | parents_of([*taken, *plan.directories]) | set(plan.directories)
    free = []
    for addition in additions:
        check_path(addition.path)
        above = parents_of([addition.path])
        if addition.path not in used and not taken & above:
            free.append(addition)
            taken.add(addition.path)
            used |= {addition.path, *above}
    return free


def _inside(source: Source, entry: Extra) -> bytes:
    root = next(root for root in source.roots if root.n == entry.root)
    return root.path + b"/" + entry.path


def _judge(source: Source, items: list[Item], extra: list[Extra], places: set[bytes]) -> Plan:
    """Split the items by what they are, and refuse what cannot stand beside each other."""
    files: list[Item] = []
    links: list[Item] = []
    gitlinks: list[bytes] = []
    extra = [entry._replace(mode=source.modes.get(entry.path, entry.mode)) for entry in extra]
    overlaid = {entry.path for entry in extra}
    for item in items:
        if item.mode == GITLINK:
            gitlinks.append(item.path)
        elif item.path not in overlaid:
            item = item._replace(mode=source.modes.get(item.path, item.mode))
            (links if item.mode == LINK else files).append(item)
    taken = [item.path for item in files] + [item.path for item in links] + [entry.path for entry in extra]
    for path in [*places, *overlaid, *source.paths("empty_directories")]:
        check_path(path)
    empty = [path for path in gitlinks if path not in places]
    directories = sorted({*empty, *places, *source.paths("empty_directories")})
    _refuse_collisions(source.label, taken, directories)
    return Plan(files, links, extra, directories, empty)


def _refuse_collisions(label: str, taken: list[bytes], directories: list[bytes]) -> None:
    """A path may be one thing only, and everything above it must be a directory."""
    names = set(taken)
    if len(names) != len(taken):
        seen: set[bytes] = set()
        twice = next(path for path in taken if path in seen or seen.add(path))  # type: ignore[func-returns-value]
        raise HostilePath(f"{label}: a path that is there twice: {show(twice)}")
    if both := names & (parents_of([*taken, *directories]) | set(directories)):
        raise HostilePath(f"{label}: both a file and a directory: {show(min(both))}")


def parents_of(paths: Iterable[bytes]) -> set[bytes]:
    """Every directory above one of the paths."""
    parents: set[bytes] = set()
    for path in paths:
        parent = path.rpartition(b"/")[0]
        while parent and parent not in parents:
            parents.add(parent)
            parent = parent.rpartition(b"/")[0]
    return parents


def _canonical(mode: int, path: bytes, label: str) -> int:
    """The mode as today's Git writes it; old versions of Git wrote group-writable files (0100664)."""
    if mode in (FILE, EXECUTABLE, LINK, GITLINK):
        return mode
    if stat.S_IFMT(mode) == stat.S_IFREG and not mode & 0o7000:
        return EXECUTABLE if mode & stat.S_IXUSR else FILE
    raise HostilePath(f"{label}: an unknown mode {mode:o}: {show(path)}")
