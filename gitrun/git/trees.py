"""Trees and commits as bytes: Git's own encodings, pure, for both object formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from gitrun.errors import DamagedRecord
from gitrun.git.hashing import is_hex_id
from gitrun.git.identity import Identity
from gitrun.git.objects import ObjectReader
from gitrun.model.canonical import MAX_BYTES

FILE, EXECUTABLE, SYMLINK, DIRECTORY, GITLINK = 0o100644, 0o100755, 0o120000, 0o040000, 0o160000


class TreeEntry(NamedTuple):
    """One name in a tree; `oid` is lower-case hex."""

    name: bytes
    mode: int
    oid: str


def tree_order(name: bytes, mode: int) -> bytes:
    """The key Git sorts tree entries by: a directory sorts as if its name ended in a slash."""
    return name + b"/" if mode == DIRECTORY else name


def parse_tree(data: bytes, hash_len: int) -> list[TreeEntry]:
    """The entries of a tree, `hash_len` bytes to an id; raises DamagedRecord for anything else."""
    entries, at, size = [], 0, len(data)
    while at < size:
        space = data.find(b" ", at, at + 8)
        end = data.find(b"\0", space)
        mode = data[at:space]
        if space < 0 or end <= space + 1 or end + 1 + hash_len > size or not mode.isdigit():
            raise DamagedRecord(f"a tree is damaged at byte {at}")
        after = end + 1 + hash_len
        try:
            entries.append(TreeEntry(data[space + 1 : end], int(mode, 8), data[end + 1 : after].hex()))
        except ValueError:
            raise DamagedRecord(f"a tree is damaged at byte {at}: mode {mode!r}") from None
        at = after
    return entries


def encode_tree(entries: Iterable[TreeEntry]) -> bytes:
    """The bytes of a tree, entries in Git's order whatever order they come in."""
    ordered = sorted(entries, key=lambda entry: tree_order(entry[0], entry[1]))
    return b"".join([b"%o %b\0%b" % (mode, name, bytes.fromhex(oid)) for name, mode, oid in ordered])


def read_tree(reader: ObjectReader, oid: str) -> list[TreeEntry]:
    """The entries of the tree `oid`; raises DamagedRecord when it is missing or no tree."""
    try:
        kind, data = reader.read(oid, MAX_BYTES)
    except KeyError:
        raise DamagedRecord(f"tree {oid} is missing") from None
    if kind != "tree":
        raise DamagedRecord(f"{oid} is a {kind}, not a tree")
    return parse_tree(data, len(oid) // 2)


def file_of_commit(reader: ObjectReader, commit: str, name: bytes, limit: int) -> bytes:
    """The content of a file at the top of a commit's tree, nothing where there is none.

    Raises KeyError or DamagedRecord for objects that are missing, or longer than `limit` bytes.
    """
    tree = read_tree(reader, parse_commit(reader.read(commit, limit)[1]).tree)
    oid = next((entry.oid for entry in tree if entry.name == name), None)
    return b"" if oid is None else reader.read(oid, limit)[1]


def tree_changes(
    a: str | None, b: str | None, read_a: Callable[[str], list[TreeEntry]], read_b: Callable[[str], list[TreeEntry]]
) -> Iterator[tuple[bytes, TreeEntry | None, TreeEntry | None]]:
    """The files that differ between two trees: path, and the entry on either side; equal subtrees are never read."""
    pending = [(b"", a, b)]
    while pending:
        prefix, old_tree, new_tree = pending.pop()
        left = {entry.name: entry for entry in (read_a(old_tree) if old_tree is not None else [])}
        right = {entry.name: entry for entry in (read_b(new_tree) if new_tree is not None else [])}
        for name in left.keys() | right.keys():
            old, new = left.get(name), right.get(name)
            if old == new:
                continue
            below = [entry.oid if entry and entry.mode == DIRECTORY else None for entry in (old, new)]
            if any(below):
                pending.append((prefix + name + b"/", below[0], below[1]))
            if any(entry is not None and entry.mode != DIRECTORY for entry in (old, new)):
                yield prefix + name, old, new


class Commit(NamedTuple):
    """What gitrun needs of a commit; `author` is the raw header value."""

    tree: str
    parents: tuple[str, ...]
    author: bytes
    message: bytes


def encode_commit(tree: str, parents: Sequence[str], author: Identity, when_s: int, tz: str, message: bytes) -> bytes:
    """The bytes of a commit by one person; `tz` is "+HHMM" and `message` ends in one newline."""
    who = f"{author.name} <{author.email}> {when_s} {tz}".encode("utf-8", "surrogateescape")
    lines = [b"tree " + tree.encode(), *(b"parent " + parent.encode() for parent in parents)]
    lines += [b"author " + who, b"committer " + who]
    return b"\n".join(lines) + b"\n\n" + message.replace(b"\0", b"").rstrip(b"\n") + b"\n"


def with_parents(data: bytes, parents: Sequence[str]) -> bytes:
    """The same commit on other parents; without its signature, which would be about the old ones."""
    header, _, message = data.partition(b"\n\n")
    kept: list[bytes] = []
    is_signature = False
    for line in header.split(b"\n"):
        is_signature = line.startswith(b"gpgsig") or (is_signature and line.startswith(b" "))
        if not is_signature and not line.startswith(b"parent "):
            kept.append(line)
    lines = [kept[0], *(b"parent " + parent.encode() for parent in parents), *kept[1:]]
    return b"\n".join(lines) + b"\n\n" + message


def parse_commit(data: bytes) -> Commit:
    """The fields of a commit; raises DamagedRecord for anything that is not a commit."""
    header, _, message = data.partition(b"\n\n")
    lines = header.split(b"\n")
    ids = [_header_id(lines[0], b"tree ")]
    while len(lines) > len(ids) and lines[len(ids)].startswith(b"parent "):
        ids.append(_header_id(lines[len(ids)], b"parent "))
    author = lines[len(ids)] if len(lines) > len(ids) else b""
    if not author.startswith(b"author "):
        raise DamagedRecord("a commit is damaged: it has no author")
    return Commit(ids[0], tuple(ids[1:]), author[len(b"author ") :], message)


def _header_id(line: bytes, field: bytes) -> str:
    oid = line[len(field) :].decode("ascii", "replace")
    if not line.startswith(field) or not is_hex_id(oid):
        raise DamagedRecord(f"a commit is damaged: {line[:80]!r} where {field.decode()}and an id should be")
    return oid
