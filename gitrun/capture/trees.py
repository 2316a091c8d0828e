"""From edits to Git trees: only the directories that differ are built, only what HEAD lacks is written.

The index caches the tree of each directory that is unchanged in it since the last commit. A
directory without edits whose cached tree is also HEAD's is finished at a glance, with everything
below it. Any other is built from its index entries and edits, and compared with HEAD's tree of it,
which is read from the repository only where the cache cannot stand in for it.

"Exists already" proves nothing: an object may be unreachable, staged and then reset, in an
alternate. So whatever HEAD's tree does not hold at the same place is written, read from the disk,
unless one of gitrun's own packs has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from gitrun.capture.contents import GITLINK, TREE, Held
from gitrun.errors import DamagedRecord
from gitrun.git.index import STAGE, Entry, Index, flags_of, mode_of, oid_of, size_of
from gitrun.git.packs import PackWriter
from gitrun.git.trees import read_tree

if TYPE_CHECKING:
    from gitrun.git.objects import ObjectReader

Edits = dict[bytes, dict[bytes, Held | None]]
# Provides the content of an unedited index entry for the pack; None drops the path from the tree.
Provide = Callable[[bytes, Held, int], Held | None]


class Comparison(NamedTuple):
    """How a built tree differs from HEAD's, and how the index does; paths relative to the worktree."""

    modified: list[bytes]
    deleted: list[bytes]
    added: list[bytes]
    staged: list[bytes]
    unstaged: list[bytes]


class Head(NamedTuple):
    """HEAD's tree (raw id) as far as there is one, and whether the archive has it, so that nothing of it is written."""

    tree: bytes | None
    covers: bool


class HeadTrees:
    """HEAD's trees, from the index's cache where that is the same tree, else from the repository."""

    def __init__(self, index: Index, root: bytes | None, reader: Callable[[], ObjectReader]) -> None:
        self.root = root
        self._index = index
        self._reader = reader

    def entries(self, directory: bytes, oid: bytes | None) -> dict[bytes, Held]:
        """What HEAD holds in a directory whose tree is `oid`; nothing where HEAD has none or it is missing."""
        if oid is None:
            return {}
        if self._index.trees.get(directory) == oid:
            return self._from_index(directory)
        return self._from_repository(oid)

    def files_below(self, directory: bytes, oid: bytes) -> list[bytes]:
        """The paths of all files HEAD has below a directory."""
        paths = []
        todo = [(directory, oid)]
        while todo:
            here, tree = todo.pop()
            for name, held in self.entries(here, tree).items():
                if held[0] == TREE:
                    todo.append((here + name + b"/", held[1]))
                else:
                    paths.append(here + name)
        return paths

    def _from_index(self, directory: bytes) -> dict[bytes, Held]:
        index = self._index
        held = {name: (mode_of(entry), oid_of(entry)) for name, entry in index.files.get(directory, {}).items()}
        for name in index.below.get(directory, ()):
            held[name] = (TREE, index.trees[directory + name + b"/"])
        return held

    def _from_repository(self, oid: bytes) -> dict[bytes, Held]:
        try:
            entries = read_tree(self._reader(), oid.hex())
        except DamagedRecord:
            return {}  # a partial clone may lack it: then everything there is written
        return {name: (_canonical(mode), bytes.fromhex(child)) for name, mode, child in entries}


def _canonical(mode: int) -> int:
    """Old versions of Git wrote group-writable files as 100664."""
    return 0o100644 if mode == 0o100664 else mode


class TreeBuilder:
    """Builds the tree of one worktree; `covers` says that objects below HEAD need not be written."""

    def __init__(
        self,
        index: Index,
        edits: Edits,
        gone: set[bytes],
        head: HeadTrees,
        writer: PackWriter,
        provide: Provide,
        *,
        fmt: str,
        covers: bool,
    ) -> None:
        self._index = index
        self._edits = edits
        self._gone = set(gone)
        self._head = head
        self._writer = writer
        self._provide = provide
        self._covers = covers
        self._new = hashlib.sha1 if fmt == "sha1" else hashlib.sha256
        self._below, self._dirty = _new_directories(edits, gone)
        self.comparison = Comparison([], [], [], [], [])

    def build(self) -> bytes:
        """The raw id of the worktree's tree, written with all that it needs."""
        built: dict[bytes, bytes | None] = {}
        for directory, oid, held in reversed(self._plan(built)):
            built[directory] = self._build_one(directory, oid, held, built)
        return built[b""] or self._write_tree([], None)

    def _plan(self, built: dict[bytes, bytes | None]) -> list[tuple[bytes, bytes | None, dict[bytes, Held]]]:
        """The directories to build, each with HEAD's tree of it, parents first; the others go into `built`."""
        plan = []
        todo = [(b"", self._head.root)]
        trees = self._index.trees
        while todo:
            directory, oid = todo.pop()
            if (
                self._covers
                and oid is not None
                and trees.get(directory) == oid
                and directory not in self._dirty
                and directory not in self._gone
            ):
                built[directory] = oid
                continue
            held = self._head.entries(directory, oid)
            plan.append((directory, oid, held))
            is_gone = directory in self._gone
            for name in self._children(directory):
                known = held.get(name)
                child = directory + name + b"/"
                todo.append((child, known[1] if known and known[0] == TREE else None))
                if is_gone:
                    self._gone.add(child)
        return plan

    def _children(self, directory: bytes) -> set[bytes]:
        return self._index.below.get(directory, set()) | self._below.get(directory, set())

    def _build_one(
        self, directory: bytes, oid: bytes | None, head: dict[bytes, Held], built: dict[bytes, bytes | None]
    ) -> bytes | None:
        """Build one directory whose subdirectories are built; None when nothing is in it."""
        edits = self._edits.get(directory, {})
        changes = dict(edits)
        for name in self._children(directory):
            if (child := built[directory + name + b"/"]) is not None:
                changes[name] = (TREE, child)
            else:
                changes.setdefault(name, None)
        same = oid is not None and self._index.trees.get(directory) == oid
        if directory in self._gone:
            self._compare(directory, head, {}, head.keys())
            if not same:
                self._compare_index(directory, head)
            return None
        if self._covers and same:
            now = self._changed_head(directory, head, changes)
        else:
            now = self._from_index(directory, head, edits)
            now.update((name, held) for name, held in changes.items() if held is not None)
            self._compare(directory, head, now, head.keys() | now.keys())
            self._compare_index(directory, head)
        if not now:
            return None
        ordered = sorted([(name + b"/" if held[0] == TREE else name, name, held) for name, held in now.items()])
        return self._write_tree([b"%o %b\0%b" % (held[0], name, held[1]) for _, name, held in ordered], oid)

    def _changed_head(
        self, directory: bytes, head: dict[bytes, Held], changes: dict[bytes, Held | None]
    ) -> dict[bytes, Held]:
        """The entries of a directory that is the same in HEAD and in the index: HEAD's, with the changes."""
        now = dict(head)
        for name, held in changes.items():
            if held is not None:
                now[name] = held
            elif name in now:
                del now[name]
        self._compare(directory, head, now, changes.keys())
        return now

    def _from_index(
        self, directory: bytes, head: dict[bytes, Held], edits: dict[bytes, Held | None]
    ) -> dict[bytes, Held]:
        """What the index holds in a directory, without what is edited; what HEAD lacks of it is provided."""
        now: dict[bytes, Held] = {}
        for name, entry in self._index.files.get(directory, {}).items():
            if name not in edits and (held := self._unedited(directory + name, entry, head.get(name))):
                now[name] = held
        return now

    def _unedited(self, path: bytes, entry: Entry, head: Held | None) -> Held | None:
        held = (mode_of(entry), oid_of(entry))
        if flags_of(entry) & STAGE:
            return None
        if (self._covers and head == held) or held[0] == GITLINK:
            return held
        return self._provide(path, held, size_of(entry))

    def _write_tree(self, lines: list[bytes], head: bytes | None) -> bytes:
        data = b"".join(lines)
        oid = self._new(b"tree %d\0%b" % (len(data), data), usedforsecurity=False).digest()
        if oid != head or not self._covers:
            self._writer.add("tree", data, oid.hex())
        return oid

    def _compare(
        self, directory: bytes, head: dict[bytes, Held], now: dict[bytes, Held], names: Iterable[bytes]
    ) -> None:
        """Note how these names of a directory differ from HEAD's; a directory that was entered spoke for itself."""
        found = self.comparison
        entered = self._children(directory)
        for name in names:
            known, held = head.get(name), now.get(name)
            was_file = known is not None and known[0] != TREE
            is_file = held is not None and held[0] != TREE
            if was_file and is_file:
                if known != held:
                    found.modified.append(directory + name)
            elif is_file:
                found.added.append(directory + name)
            elif was_file:
                found.deleted.append(directory + name)
            if known is not None and not was_file and (held is None or is_file) and name not in entered:
                found.deleted.extend(self._head.files_below(directory + name + b"/", known[1]))

    def _compare_index(self, directory: bytes, head: dict[bytes, Held]) -> None:
        """Note how the index of a directory differs from HEAD in its names."""
        found = self.comparison
        entered = self._children(directory)
        files = self._index.files.get(directory, {})
        below = self._index.below.get(directory, set())
        for name, known in head.items():
            if known[0] == TREE:
                if name not in below and name not in entered:
                    found.unstaged.extend(self._head.files_below(directory + name + b"/", known[1]))
            elif name not in files:
                found.unstaged.append(directory + name)
        for name in files:
            if name not in head or head[name][0] == TREE:
                found.staged.append(directory + name)


def _new_directories(edits: Edits, gone: set[bytes]) -> tuple[dict[bytes, set[bytes]], set[bytes]]:
    """The subdirectories that edits imply, by parent, and every directory with a change in or below it."""
    below: dict[bytes, set[bytes]] = {}
    dirty: set[bytes] = set()
    for start in [*edits, *gone]:
        directory = start
        while directory not in dirty:
            dirty.add(directory)
            if not directory:
                break
            cut = directory.rfind(b"/", 0, -1) + 1
            if start not in gone:
                below.setdefault(directory[:cut], set()).add(directory[cut:-1])
            directory = directory[:cut]
    return below, dirty
