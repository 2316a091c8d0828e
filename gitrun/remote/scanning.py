"""A last look for secrets before anything leaves: what a remote has once may be there for ever.

A record was freed of secrets when it was made, as far as they were known then. Now there may be forms of tokens that
gitrun has learned since, and variables of this environment that hold what was no secret of that one. The files that
the record took as they were, edits and new files, are looked at again for the same reason. What is found is named and
kept back until somebody says yes; what was too big to be looked through is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from gitrun.archive.archive import Archive
from gitrun.archive.run import SealedRun
from gitrun.capture.secret_formats import find_formats
from gitrun.capture.secret_values import KnownSecrets
from gitrun.errors import DamagedRecord, GitrunError
from gitrun.git.trees import DIRECTORY, GITLINK, SYMLINK, TreeEntry, parse_commit, read_tree
from gitrun.model.canonical import MAX_BYTES, path_bytes, path_text
from gitrun.monitor import Monitor

MOST_BYTES = 16 << 20  # of one text, decompressed
_TABLES = (".parquet",)
_TREES = ("source", "roots")
_CONSOLE = "console"
_DEPTH = 4  # of the trees of annotations


class Finding(NamedTuple):
    """A file of a record that holds what looks like secrets, by their names; `run_id` is empty for annotations."""

    run_id: str
    where: str
    names: tuple[str, ...]


class Scan(NamedTuple):
    """What was found, and how many files were too big or not there to be looked through."""

    found: list[Finding]
    unseen: int


class Scanner:
    """Looks through records; what several of them share is looked at once."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._known = KnownSecrets(archive.environ)
        self._seen: dict[str, tuple[str, ...]] = {}
        self._trees: dict[str, dict[bytes, TreeEntry]] = {}
        self._found: list[Finding] = []
        self._unseen = 0

    def runs(self, runs: Sequence[SealedRun], monitor: Monitor) -> list[SealedRun]:
        """Look through these runs: the texts of their records, and the files that were not committed.

        Returns those that cannot be read.
        """
        broken = []
        with monitor.task("looking for secrets", len(runs), "runs") as task:
            for run in self._archive.with_records(runs):
                assert isinstance(run, SealedRun)
                try:
                    for where, oid in self._files(run):
                        self._look(run.id, where, oid)
                except GitrunError:
                    broken.append(run)  # it carries its problem
                task.advance()
        return broken

    def annotations(self, tips: Iterable[str]) -> None:
        """Look through what writers said, by the ends of their chains."""
        reader = self._archive.objects.reader
        for tip in tips:
            tree = parse_commit(reader.read(tip, MAX_BYTES)[1]).tree
            for path, oid in self._below(tree, b""):
                self._look("", f"annotations/{path_text(path)}", oid)

    def result(self) -> Scan:
        """What all looks found."""
        return Scan(self._found, self._unseen)

    def _files(self, run: SealedRun) -> Iterator[tuple[str, str]]:
        """Each text of the record and each changed file, with its blob."""
        source = run.record.get("source") or {}
        for name, oid in (run.entries or {}).items():
            if name not in _TREES and not name.endswith(_TABLES):
                yield name, oid
        tree = (run.entries or {}).get("source")
        for path in [*(source.get("modified") or []), *(source.get("untracked") or [])]:
            entry = self._entry(tree, path_bytes(path)) if tree is not None else None
            if entry is not None and entry.mode not in (DIRECTORY, GITLINK, SYMLINK):
                yield f"source/{path}", entry.oid

    def _entry(self, tree: str, path: bytes) -> TreeEntry | None:
        *above, name = path.split(b"/")
        for part in above:
            entry = self._tree(tree).get(part)
            if entry is None or entry.mode != DIRECTORY:
                return None
            tree = entry.oid
        return self._tree(tree).get(name)

    def _below(self, tree: str, prefix: bytes, depth: int = 0) -> Iterator[tuple[bytes, str]]:
        for entry in self._tree(tree).values():
            if entry.mode != DIRECTORY:
                yield prefix + entry.name, entry.oid
            elif depth < _DEPTH:
                yield from self._below(entry.oid, prefix + entry.name + b"/", depth + 1)

    def _tree(self, oid: str) -> dict[bytes, TreeEntry]:
        if oid not in self._trees:
            if len(self._trees) > 10_000:
                self._trees.clear()
            try:
                self._trees[oid] = {entry.name: entry for entry in read_tree(self._archive.objects.reader, oid)}
            except DamagedRecord:
                self._trees[oid] = {}  # git refuses to send it, and says so
        return self._trees[oid]

    def _look(self, run_id: str, where: str, oid: str) -> None:
        if oid not in self._seen:
            data = self._read(where, oid)
            if data is None:
                self._unseen += 1
            self._seen[oid] = tuple(sorted(find_formats(data) | self._known.names_in(data))) if data else ()
        if names := self._seen[oid]:
            self._found.append(Finding(run_id, where, names))

    def _read(self, where: str, oid: str) -> bytes | None:
        try:
            reader = self._archive.objects.reader
            if reader.size(oid) > MOST_BYTES:
                return None
            data = reader.read(oid, MOST_BYTES)[1]
        except (KeyError, GitrunError):
            return None
        return _decompressed(data) if where.startswith(_CONSOLE) and where.endswith(".zst") else data


def _decompressed(data: bytes) -> bytes | None:
    """The bytes of a console, frames and all: a text in it is in one piece but where two writes met."""
    import zstandard  # not before there is a console to look at

    try:
        reader = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
        text = reader.read(MOST_BYTES + 1)
    except (zstandard.ZstdError, MemoryError):
        return None
    return text if len(text) <= MOST_BYTES else None
