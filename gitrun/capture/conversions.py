"""Files whose bytes on disk are not the bytes Git stores: filters, line ends, encodings, `$Id$`, LFS.

The tree holds what `git add` would store, so that a diff against HEAD means something; the bytes that
really ran go to the store as `raw` (`lfs` where the blob is a pointer to them), and a checkout lays
them over the tree. Only git can clean a file exactly as the user's configuration says, so it does, on
a private index. Without git the bytes on disk stand in the tree, and the delta says `unconverted`.

For a file whose stat data proves it unchanged, line ends and `$Id$` can only have made the blob
shorter than the file, so equal sizes mean equal bytes and one `cat-file` answers for all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from gitrun.capture.contents import EXECUTABLE, FILE, Contents, Held
from gitrun.capture.private import PrivateGit
from gitrun.capture.takings import Takings
from gitrun.capture.uncommon import index_path
from gitrun.errors import GitFailed
from gitrun.git.attributes import EOL, FILTER, IDENT, Attributes
from gitrun.git.index import Entry, Index, mode_of, oid_of, size_of
from gitrun.git.objects import open_reader
from gitrun.git.repository import Repository

if TYPE_CHECKING:
    from gitrun.git.objects import ObjectReader

LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class Converted(NamedTuple):
    """What `git add` stores of a file, with the blob's bytes; None where those are too many for Git."""

    held: Held
    data: bytes | None


def needs_git(kinds: int, data: bytes) -> bool:
    """Whether a conversion of these kinds can change `data` at all."""
    return bool(kinds & FILTER or (kinds & EOL and b"\r" in data) or (kinds & IDENT and b"$Id" in data))


def clean(repo: Repository, paths: list[bytes], large: int, environ: Mapping[str, str]) -> dict[bytes, Converted]:
    """What `git add` would store at these paths; a path that git refuses is missing from the answer.

    No blob over `large` bytes is held in memory.
    """
    if repo.git is None or not paths:
        return {}
    with PrivateGit(repo, index_path(repo), environ) as private:
        listed = _add(private, paths)
        cleaned = {}
        with open_reader(private.repository()) as reader:
            for path, held in listed.items():
                try:
                    oid = held[1].hex()
                    cleaned[path] = Converted(held, None if reader.size(oid) > large else reader.read(oid)[1])
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
                found[path] = (int(mode, 8), bytes.fromhex(oid.decode()))
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
            if mode_of(entry) not in (FILE, EXECUTABLE) or path in unproved or not (kinds := attributes.touches(path)):
                continue
            if kinds & FILTER or repo.git is None:
                by_bytes.append((path, oid_of(entry)))
            else:
                by_size.append((path, size_of(entry), oid_of(entry).hex()))
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


class Postponed(NamedTuple):
    """A file that was read and that a conversion may change; `entry` is None for an untracked one."""

    path: bytes
    entry: Entry | None


class Converter:
    """Takes the files of one worktree that conversions touch."""

    def __init__(self, repo: Repository, attributes: Attributes, takings: Takings, reader: Callable[[], ObjectReader]):
        self._repo = repo
        self._attributes = attributes
        self._takings = takings
        self._reader = reader

    def take_changed(self, postponed: list[Postponed], environ: Mapping[str, str]) -> None:
        """Take changed and new files as git cleans them, and their bytes beside the tree where those differ."""
        cleaned = clean(self._repo, [path for path, _ in postponed], self._takings.contents.large, environ)
        for path, entry in postponed:
            if path in cleaned:
                self._take_cleaned(path, entry, *cleaned[path])
            else:
                if self._repo.git is None or os.path.lexists(self._takings.top + path):
                    self._takings.view.differ(path, "unconverted")
                self._takings.take_as_it_is(path, entry)

    def take_unchanged(self, unproved: set[bytes]) -> None:
        """Keep the bytes of tracked files that are unchanged and all the same not those of their blob."""
        takings = self._takings
        for path in differing(self._repo, takings.index, self._attributes, takings.contents, unproved):
            entry = takings.entry(path)
            self._overlay(path, (mode_of(entry), oid_of(entry)), self._is_pointer(oid_of(entry)))

    def take_raw(self, unproved: set[bytes]) -> None:
        """Put the bytes on disk of such files into the tree of a root, whatever its index says."""
        takings = self._takings
        for path in differing(self._repo, takings.index, self._attributes, takings.contents, unproved):
            takings.take_as_it_is(path, takings.entry(path))

    def _take_cleaned(self, path: bytes, entry: Entry | None, held: Held, data: bytes | None) -> None:
        takings = self._takings
        if entry is None or not takings.is_entry(path, entry, held):
            if data is None:
                takings.take_as_it_is(path, entry)  # the guard for large files is about the blob
                return
            takings.contents.put(data)
            takings.edit(path, held)
            if entry is not None:
                takings.note_edit(path, entry, len(data))
        self._overlay(path, held, data is not None and data.startswith(LFS_POINTER))
        if (found := takings.contents.seen.get(path)) is not None:
            takings.note_mode(path, found, held[0])

    def _overlay(self, path: bytes, held: Held, is_pointer: bool) -> None:
        contents = self._takings.contents
        if contents.hash_large(path) != held[1]:
            contents.put_large(path, held[0], "lfs" if is_pointer else "raw")

    def _is_pointer(self, oid: bytes) -> bool:
        try:
            return self._reader().read(oid.hex())[1].startswith(LFS_POINTER)
        except KeyError:
            return False
