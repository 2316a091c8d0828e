"""A model of a disk and its cache: what is there while the power is on, and what may be left when it goes.

A program sees every write at once; the disk gets it when it is synced, or at some later moment of its own. So each
file has the content that programs see and the one of its last sync, and each directory the names that programs see
and those that are durable. A name is durable once its directory is synced, never because its file is. A rename is one
change, in both directories at once: every file system with a journal keeps that much.

`view` tells what a machine finds that starts again:

    kill        only the processes died: all there was
    forgotten   power went, and nothing had reached the disk that was not synced
    names       power went, and all names had reached the disk, but of unsynced content some, zeros or none
    mixed       power went, and of the unsynced changes some had reached the disk, in order in each directory alone
"""

from __future__ import annotations

import os
import random
import stat
from typing import NamedTuple

MODES = ("kill", "forgotten", "names", "mixed")


class Node:
    """An inode: a file (`data`), a symbolic link (`target`) or a directory (`names`)."""

    def __init__(self, kind: str, data: bytes = b"", target: str = "") -> None:
        self.kind = kind
        self.data = data
        self.synced: bytes | None = None
        self.target = target
        self.names: dict[str, Node] = {}
        self.durable: dict[str, Node] = {}


class Slot(NamedTuple):
    """One name in one directory and what it leads to from now on (None: it goes)."""

    directory: Node
    name: str
    node: Node | None


class Found(NamedTuple):
    """What lies at a path: "directory", "link" with its target, or "file"; `node` is equal for hard links."""

    kind: str
    content: bytes
    node: int


class Disk:
    """All below one directory; paths are relative to it, with "" for itself."""

    def __init__(self) -> None:
        self.root = Node("directory")
        self._changes: list[list[Slot]] = []  # those that are not durable yet, in their order
        self._inodes: dict[int, Node] = {}

    @classmethod
    def load(cls, place: str) -> Disk:
        """The disk as it lies at `place`, all of it durable."""
        disk = cls()
        for directory, names, files in os.walk(place):
            above = disk.at(_relative(directory, place))
            assert above is not None
            for name in (*names, *files):
                path = os.path.join(directory, name)
                facts = os.lstat(path)
                node = disk._inodes.get(facts.st_ino) or _read(path, facts)
                disk._inodes[facts.st_ino] = node
                above.names[name] = above.durable[name] = node
        return disk

    def at(self, path: str) -> Node | None:
        """What programs see at a path."""
        node = self.root
        for part in filter(None, path.split("/")):
            found = node.names.get(part)
            if found is None:
                return None
            node = found
        return node

    # -- what programs do

    def make(self, path: str, kind: str, inode: int, target: str = "") -> None:
        """A new file, directory or symbolic link; a file that is there already is emptied."""
        there = self.at(path)
        if there is not None:
            there.data = b""
            return
        node = self._inodes[inode] = Node(kind, target=target)
        self._change([self._slot(path, node)])

    def write(self, inode: int, offset: int, data: bytes) -> None:
        """Bytes into a file, which grows as needed."""
        if (node := self._inodes.get(inode)) is not None:
            node.data = node.data[:offset].ljust(offset, b"\0") + data + node.data[offset + len(data) :]

    def resize(self, inode: int, size: int) -> None:
        """Cut a file off, or fill it up with zeros."""
        if (node := self._inodes.get(inode)) is not None:
            node.data = node.data[:size].ljust(size, b"\0")

    def sync(self, inode: int, path: str) -> None:
        """Make the content of a file durable, or the names in a directory."""
        node = self.at(path) if self._inodes.get(inode) is None else self._inodes[inode]
        if node is None:
            return  # it has lost its name meanwhile
        if node.kind == "file":
            node.synced = node.data
        else:
            self._settle([change for change in self._changes if any(slot.directory is node for slot in change)])

    def rename(self, old: str, new: str) -> None:
        """Another name for what lies at `old`, in the place of what lay at `new`."""
        node = self.at(old)
        assert node is not None, old
        self._change([self._slot(old, None), self._slot(new, node)])

    def link(self, old: str, new: str) -> None:
        """A second name."""
        node = self.at(old)
        assert node is not None, old
        self._change([self._slot(new, node)])

    def remove(self, path: str) -> None:
        """A name goes."""
        self._change([self._slot(path, None)])

    def adopt(self, path: str, inode: int, data: bytes) -> None:
        """A file that somebody else has made, without a sync."""
        if self.at(path) is None:
            self.make(path, "file", inode)
            self._inodes[inode].data = data

    # -- what is left

    def view(self, mode: str, seed: int) -> dict[str, Found]:
        """What is found at each path when the machine is there again; `seed` decides what is left to chance."""
        chance = random.Random(seed)
        durable: dict[int, dict[str, Node]] = {}
        if mode == "mixed":
            picked = [change for change in self._changes if chance.random() < 0.5]
            for change in self._with_earlier(picked):
                for directory, name, node in change:
                    durable.setdefault(id(directory), dict(directory.durable))
                    _put(durable[id(directory)], name, node)
        found: dict[str, Found] = {}
        contents: dict[int, bytes] = {}
        pending = [("", self.root)]
        while pending:
            path, node = pending.pop()
            if path:
                content = node.target.encode() if node.kind == "link" else node.data
                if mode != "kill" and node.kind == "file":
                    content = contents.setdefault(id(node), _left(node, mode, chance))
                found[path] = Found(node.kind, b"" if node.kind == "directory" else content, id(node))
            names = node.names if mode in ("kill", "names") else durable.get(id(node), node.durable)
            pending += [(f"{path}/{name}".lstrip("/"), below) for name, below in sorted(names.items())]
        return found

    # -- names that are not durable yet

    def _slot(self, path: str, node: Node | None) -> Slot:
        above, _, name = path.rpartition("/")
        directory = self.at(above)
        assert directory is not None, path
        return Slot(directory, name, node)

    def _change(self, slots: list[Slot]) -> None:
        for directory, name, node in slots:
            _put(directory.names, name, node)
        self._changes.append(slots)

    def _settle(self, changes: list[list[Slot]]) -> None:
        going = self._with_earlier(changes)
        for change in going:
            for directory, name, node in change:
                _put(directory.durable, name, node)
        self._changes = [change for change in self._changes if not any(change is gone for gone in going)]

    def _with_earlier(self, changes: list[list[Slot]]) -> list[list[Slot]]:
        """These changes and all that came before one of them in the same directory, in their order."""
        wanted = {id(change) for change in changes}
        touched: set[int] = set()
        chosen = []
        for change in reversed(self._changes):
            directories = {id(slot.directory) for slot in change}
            if id(change) in wanted or directories & touched:
                touched |= directories
                chosen.append(change)
        return chosen[::-1]


def _left(node: Node, mode: str, chance: random.Random) -> bytes:
    """What the disk has of a file's content: surely the last sync, and of what came later anything."""
    old = node.synced or b""
    if node.data == old or mode == "forgotten":
        return old
    half = len(node.data) // 2
    return chance.choice(
        [old, node.data, bytes(len(node.data)), node.data[:half], node.data[:half].ljust(half * 2, b"\0")]
    )


def _put(names: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _read(path: str, facts: os.stat_result) -> Node:
    if stat.S_ISDIR(facts.st_mode):
        return Node("directory")
    if stat.S_ISLNK(facts.st_mode):
        return Node("link", target=os.readlink(path))
    with open(path, "rb") as file:
        node = Node("file", file.read())
    node.synced = node.data
    return node


def _relative(path: str, above: str) -> str:
    return "" if path == above else os.path.relpath(path, above)


def restore(view: dict[str, Found], place: str) -> None:
    """Write a view out below the new directory `place`."""
    os.makedirs(place)
    first: dict[int, str] = {}
    for name, found in sorted(view.items()):
        path = os.path.join(place, name)
        if found.kind == "directory":
            os.mkdir(path)
        elif found.kind == "link":
            os.symlink(found.content.decode(), path)
        elif found.node in first:
            os.link(first[found.node], path)
        else:
            first[found.node] = path
            with open(path, "wb") as file:
                file.write(found.content)
