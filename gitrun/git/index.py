"""Git's index, read and never written: what was tracked, with the stat data that proves a file unchanged.

Problem: `git status` and `git add` rewrite the index they look at, and a snapshot may not touch it.
Idea: one private read of its bytes, cut into entries, a dict per directory, so that a walk over the
disk compares a whole directory by set arithmetic and a few integers per file.
Reason: at 200,000 files the cost of one Python object more or less per file is what is measured,
so an entry stays the bytes it is, and the few that are asked about are read by the functions below.

Format: Documentation/gitformat-index.txt, versions 2 to 4.
"""

from __future__ import annotations

import os
import struct
from typing import Final, NamedTuple

from gitrun.errors import DamagedRepository, UnsupportedRepository
from gitrun.git.hashing import RAW_BYTES

Entry = bytes
"""The fixed part of an entry as it stands in the file, the second flags word left out."""

# ctime, mtime (seconds and nanoseconds each), inode, mode and size of an entry, all 32 bits
STAT: Final = struct.Struct(">IIII4xII8xI")
HEAD_BYTES: Final = 42  # of an entry beside its object id

ASSUME_UNCHANGED = 0x8000
EXTENDED = 0x4000
STAGE = 0x3000
# Bits of the second flags word, which version 3 added.
SKIP_WORKTREE = 0x4000
INTENT_TO_ADD = 0x2000

Files = dict[bytes, Entry]


class Index(NamedTuple):
    """An index; directories are written `b""` for the top and `b"a/b/"` below it.

    `files` holds the entries of each directory by name, `below` the names of its tracked
    subdirectories, `trees` the raw ids of those whose tree Git has cached and that are unchanged in
    the index since, `extended` the second flags word of the few paths that have one, `conflicts` the
    stages of unmerged paths. `mtime_ns` is the index file's own.
    """

    version: int
    mtime_ns: int
    files: dict[bytes, Files]
    below: dict[bytes, set[bytes]]
    trees: dict[bytes, bytes]
    extended: dict[bytes, int]
    conflicts: dict[bytes, dict[int, Entry]]


class IndexFile(NamedTuple):
    """The bytes of an index file and its time."""

    path: str
    data: bytes
    mtime_ns: int


class UncommonIndex(UnsupportedRepository):
    """The index uses a feature (`feature`) that only git itself can read: split or sparse."""

    def __init__(self, feature: str) -> None:
        super().__init__(f"this index is a {feature}, which only git can read", next="install git")
        self.feature = feature


def mode_of(entry: Entry) -> int:
    """The mode Git stores."""
    return int.from_bytes(entry[24:28], "big")


def size_of(entry: Entry) -> int:
    """The file's size modulo 2^32."""
    return int.from_bytes(entry[36:40], "big")


def oid_of(entry: Entry) -> bytes:
    """The raw id of the blob or commit."""
    return entry[40:-2]


def flags_of(entry: Entry) -> int:
    """The first flags word."""
    return int.from_bytes(entry[-2:], "big")


def empty_index() -> Index:
    """The index of a repository that has none yet."""
    return Index(2, 0, {}, {}, {}, {}, {})


def read_index(path: str, fmt: str) -> Index:
    """The index in the file `path`, empty when there is none, of a repository with object format `fmt`.

    Raises UncommonIndex for a split or sparse index, UnsupportedRepository for a version or an
    extension that must be understood and is not, DamagedRepository for anything else.
    """
    file = read_index_file(path)
    return empty_index() if file is None else parse_index(file, fmt)


def read_index_file(path: str) -> IndexFile | None:
    """The bytes of an index; None when there is none."""
    try:
        with open(path, "rb", buffering=0) as file:
            mtime_ns = os.fstat(file.fileno()).st_mtime_ns
            return IndexFile(path, file.readall(), mtime_ns)
    except FileNotFoundError:
        return None


def parse_index(file: IndexFile, fmt: str) -> Index:
    """What an index file says; raises as `read_index` does."""
    try:
        return _parse(file.data, file.mtime_ns, RAW_BYTES[fmt])
    except (struct.error, IndexError, ValueError) as problem:
        raise DamagedRepository(f"{file.path} is damaged: {problem}", next="git fsck") from problem


def _parse(data: bytes, mtime_ns: int, hash_len: int) -> Index:
    signature, version, count = struct.unpack_from(">4sII", data)
    if signature != b"DIRC":
        raise ValueError("it does not begin like an index")
    if version not in (2, 3, 4):
        raise UnsupportedRepository(f"index version {version} is not one gitrun knows (2, 3, 4)")
    if count > len(data) // (40 + hash_len):
        raise ValueError(f"{count} entries do not fit in it")
    index = Index(version, mtime_ns, {}, {}, {}, {}, {})
    read = _read_compressed if version == 4 else _read_plain
    at = read(data, count, hash_len, index)
    _read_extensions(data, at, len(data) - hash_len, hash_len, index)
    for directory in list(index.files):
        _link_upwards(index.below, directory)
    return index


def _read_plain(data: bytes, count: int, hash_len: int, index: Index) -> int:
    """Read the entries of versions 2 and 3, each padded with NULs to a multiple of eight."""
    at, head = 12, HEAD_BYTES + hash_len
    files = index.files
    here: Files = {}
    last: bytes | None = None
    for _ in range(count):
        start = at + head
        special = data[start - 2] & 0x70  # extended, or a stage
        if special & 0x40:
            start += 2
        end = data.index(b"\0", start)
        path = data[start:end]
        entry = data[at : at + head]
        at += end - at + 8 & -8
        cut = path.rfind(b"/") + 1
        directory = path[:cut]
        if directory != last:
            last = directory
            here = files.setdefault(directory, {})
        here[path[cut:]] = entry
        if special:
            _note(index, path, entry, data, start)
    return at


def _read_compressed(data: bytes, count: int, hash_len: int, index: Index) -> int:
    """Read the entries of version 4, each path given as what differs from the one before."""
    at, head = 12, HEAD_BYTES + hash_len
    files = index.files
    path = b""
    for _ in range(count):
        entry = data[at : at + head]
        special = flags_of(entry) & (EXTENDED | STAGE)
        start = at + head + (2 if special & EXTENDED else 0)
        strip, begin = _varint(data, start)
        if strip > len(path):
            raise ValueError(f"a path at byte {at} strips more than there is")
        end = data.index(b"\0", begin)
        path = path[: len(path) - strip] + data[begin:end]
        at = end + 1
        cut = path.rfind(b"/") + 1
        files.setdefault(path[:cut], {})[path[cut:]] = entry
        if special:
            _note(index, path, entry, data, start)
    return at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Git's offset encoding (varint.c): the value and where it ends."""
    byte = data[at]
    value = byte & 0x7F
    while byte & 0x80:
        at += 1
        byte = data[at]
        value = (value + 1 << 7) | (byte & 0x7F)
    return value, at + 1


def _note(index: Index, path: bytes, entry: Entry, data: bytes, start: int) -> None:
    """Keep what few entries have: a stage, or a second flags word (it ends at `start`)."""
    flags = flags_of(entry)
    if flags & EXTENDED:
        index.extended[path] = int.from_bytes(data[start - 2 : start], "big")
    if stage := flags & STAGE:
        index.conflicts.setdefault(path, {})[stage >> 12] = entry


def _read_extensions(data: bytes, at: int, end: int, hash_len: int, index: Index) -> None:
    while at + 8 <= end:
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "big")
        body = data[at + 8 : at + 8 + size]
        if len(body) < size:
            raise ValueError(f"extension {name!r} is cut short")
        if name == b"TREE":
            _read_trees(body, hash_len, index.trees)
        elif name == b"link":
            raise UncommonIndex("split index")
        elif name == b"sdir":
            raise UncommonIndex("sparse index")
        elif not name[:1].isupper():
            raise UnsupportedRepository(f"the index has an extension gitrun does not know: {name!r}")
        at += 8 + size


def _read_trees(body: bytes, hash_len: int, trees: dict[bytes, bytes]) -> None:
    """The cached trees that are valid; nested depth first, each with its number of subtrees."""
    at = 0
    above: list[bytes] = []
    to_come: list[int] = []  # subtrees, of each of those above
    while at < len(body):
        name_end = body.index(b"\0", at)
        line_end = body.index(b"\n", name_end)
        entries, _, subtrees = body[name_end + 1 : line_end].partition(b" ")
        path = above[-1] + body[at:name_end] + b"/" if above else b""
        at = line_end + 1
        if int(entries) >= 0:
            trees[path] = body[at : at + hash_len]
            at += hash_len
        if above:
            to_come[-1] -= 1
        above.append(path)
        to_come.append(int(subtrees))
        while above and to_come[-1] == 0:
            above.pop()
            to_come.pop()


def _link_upwards(below: dict[bytes, set[bytes]], directory: bytes) -> None:
    """Make `directory` known to the directories above it, as far as they do not know it yet."""
    while directory:
        cut = directory.rfind(b"/", 0, -1) + 1
        parent, name = directory[:cut], directory[cut:-1]
        names = below.get(parent)
        if names is None:
            below[parent] = {name}
        elif name in names:
            return
        else:
            names.add(name)
            return  # a parent with names is linked already
        directory = parent
