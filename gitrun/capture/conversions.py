"""Files whose bytes on disk are not the bytes Git stores: filters, line ends, encodings, `$Id$`, LFS.

The tree holds what `git add` would store, so that a diff against HEAD means something; the bytes that
really ran go to the store as `raw` (`lfs` where the blob is a pointer to them), and a checkout lays
them over the tree. Only git can clean a file exactly as the user's configuration says, so it does, on
a private index. Without git the bytes on disk stand in the tree, and the delta says `unconverted`.

For a file whose stat data proves it unchanged, line ends and `$Id$` can only have made the blob
shorter than the file, so equal sizes mean equal bytes and one `cat-file` answers for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gitrun.capture.contents import EXECUTABLE, FILE, Contents, Held
from gitrun.capture.private import PrivateGit
from gitrun.capture.uncommon import index_path
from gitrun.errors import GitFailed
from gitrun.git.attributes import EOL, FILTER, IDENT, Attributes
from gitrun.git.index import MODE, OID, SIZE, Index
from gitrun.git.objects import open_reader
from gitrun.git.repository import Repository

LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class Converted(NamedTuple):
    """What `git add` stores of a file, with the blob's bytes."""

    held: Held
    data: bytes


def needs_git(kinds: int, data: bytes) -> bool:
    """Whether a conversion of these kinds can change `data` at all."""
    return bool(kinds & FILTER or (kinds & EOL and b"\r" in data) or (kinds & IDENT and b"$Id" in data))


def clean(repo: Repository, paths: list[bytes], environ: Mapping[str, str]) -> dict[bytes, Converted]:
    """What `git add` would store at these paths; a path that git refuses is missing from the answer."""
    if repo.git is None or not paths:
        return {}
    with PrivateGit(repo, index_path(repo), environ) as private:
        listed = _add(private, paths)
        cleaned = {}
        with open_reader(private.repository()) as reader:
            for path, held in listed.items():
                try:
                    cleaned[path] = Converted(held, reader.read(held.oid.hex())[1])
                except KeyError:
                    continue  # removed meanwhile by somebody's gc: as good as refused
        return cleaned


def _add(private: PrivateGit, paths: list[bytes]) -> dict[bytes, Held]:
    """Add the paths to the private index: all at once, or those one by one that can be."""
    args = ["update-index", "--add", "--replace", "-z", "--stdin"]
    for batch in (paths,), [[path] for path in paths]:
        refused = 0
        for some in batch:
            try:
                private.run(args, b"".join(path + b"\0" for path in some))
            except GitFailed:
                refused += 1
        if not refused:
            break
    listed = private.run(["--literal-pathspecs", "ls-files", "-s", "-z"])
    wanted = set(paths)
    found = {}
    for line in listed.split(b"\0"):
        facts, _, path = line.partition(b"\t")
        if path in wanted:
            mode, oid, stage = facts.split(b" ")
            if stage == b"0":
                found[path] = Held(int(mode, 8), bytes.fromhex(oid.decode()))
    return found


def differing(
    repo: Repository, index: Index, attributes: Attributes, contents: Contents, unproved: set[bytes]
) -> list[bytes]:
    """The tracked files, unchanged since they were added, whose bytes on disk are not those of their blob."""
    by_size: list[tuple[bytes, int, str]] = []
    by_bytes: list[tuple[bytes, bytes]] = []
    for directory, files in index.files.items():
        for name, entry in files.items():
            path = directory + name
            if entry[MODE] not in (FILE, EXECUTABLE) or path in unproved or not (kinds := attributes.touches(path)):
                continue
            if kinds & FILTER or repo.git is None:
                by_bytes.append((path, entry[OID]))
            else:
                by_size.append((path, entry[SIZE], entry[OID].hex()))
    found = [path for path, oid in by_bytes if contents.hash_large(path) not in (oid, None)]
    return found + _larger(repo, by_size)


def _larger(repo: Repository, wanted: list[tuple[bytes, int, str]]) -> list[bytes]:
    """The paths whose blob has another size than the file on disk (both modulo 2^32, as the index has it)."""
    if not wanted:
        return []
    asked = "".join(oid + "\n" for _, _, oid in wanted).encode()
    args = ["cat-file", "--batch-check=%(objectsize)", "--buffer"]
    answers = repo.run(args, stdin=asked, env={"GIT_NO_LAZY_FETCH": "1"}).split(b"\n")
    return [
        path
        for (path, size, _), answer in zip(wanted, answers, strict=False)
        if answer.isdigit() and int(answer) & 0xFFFFFFFF != size
    ]
