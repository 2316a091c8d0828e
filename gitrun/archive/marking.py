"""Which blobs are needed: by runs, removed runs, snapshots, runs being recorded, and ingests under way.

A collector that overlooks one reference destroys a result, and one that keeps a blob too many costs its
bytes. So everything in a record that looks like a blob's id counts, whatever its key: a later gitrun may
name blobs in places that this one does not know. And where one record cannot be read, nothing is known
about what it needs, so nothing may be collected.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from gitrun.archive.annotations import Annotations
from gitrun.archive.archive import Archive
from gitrun.archive.run import SealedRun
from gitrun.errors import DamagedRecord, GitrunError
from gitrun.git.refs import RUNS, SNAPSHOTS, TRASH, RefProblem, scan_refs
from gitrun.git.trees import parse_commit, read_tree
from gitrun.model.canonical import MAX_BYTES
from gitrun.monitor import SILENT, Monitor
from gitrun.store.sessions import read_session, session_paths

_ID = re.compile(rb'"([0-9a-f]{64})"')


class Marks:
    """The raw ids of needed blobs, and the packs (hex) of which every blob is."""

    def __init__(self) -> None:
        self.blobs: set[bytes] = set()
        self.packs: set[str] = set()

    def names_in(self, text: bytes) -> None:
        """Mark everything in a JSON text that looks like a blob's id."""
        self.blobs.update(map(bytes.fromhex, (name.decode("ascii") for name in _ID.findall(text))))


def mark(archive: Archive, *, without: frozenset[str] = frozenset(), monitor: Monitor = SILENT) -> Marks:
    """All marks of an archive, but for removed runs that are about to be let go of.

    Raises DamagedRecord, DamagedStore or NewerFormat at the first thing it cannot read.
    """
    marks = Marks()
    # Promises first: a session may end, and its run's own files name the blobs from then on.
    for path in session_paths(archive.store.directory):
        promises = read_session(path)
        marks.blobs.update(map(bytes.fromhex, promises.blobs))
        marks.packs.update(promises.packs)
    _mark_live(archive, marks)
    trash = [(name, commit) for name, commit in _commits(archive, TRASH) if name.removeprefix(TRASH) not in without]
    runs = [*_commits(archive, RUNS), *trash]
    with monitor.task("reading records", len(runs), "runs") as progress:
        for name, commit in runs:
            mark_run(archive, SealedRun(archive.objects, name.rpartition("/")[2], commit), marks)
            progress.advance(1)
    _mark_annotations(archive, {name.rpartition("/")[2] for name, _ in runs}, marks)
    for name, commit in _commits(archive, SNAPSHOTS):
        _mark_snapshot(archive, name, commit, marks)
    _mark_live(archive, marks)  # a recording that began meanwhile may have ended its session meanwhile as well
    return marks


def mark_run(archive: Archive, run: SealedRun, marks: Marks) -> None:
    """What one sealed run needs."""
    marks.names_in(run.raw_record())
    for name in run.record.get("parts") or {}:
        if name.endswith(".jsonl") and (data := run.part(name)) is not None:
            marks.names_in(data)


def _commits(archive: Archive, prefix: str) -> Iterable[tuple[str, str]]:
    refs, problems = scan_refs(archive.repo, prefix)
    if problems:
        raise _unreadable(problems[0])
    return list(refs.items())


def _unreadable(problem: RefProblem) -> DamagedRecord:
    return DamagedRecord(
        f"{problem.name} cannot be read: {problem.why}",
        kept="nothing was collected",
        next=f"git update-ref -d {problem.name}",
    )


def _mark_annotations(archive: Archive, run_ids: set[str], marks: Marks) -> None:
    """What was said of these runs; of runs that are not here, nothing is here."""
    for run_id, text in Annotations(archive.repo, lambda: archive.objects.reader).texts():
        if run_id in run_ids:
            marks.names_in(text)


def _mark_snapshot(archive: Archive, name: str, commit: str, marks: Marks) -> None:
    reader = archive.objects.reader
    try:
        tree = read_tree(reader, parse_commit(reader.read(commit, MAX_BYTES)[1]).tree)
        for entry in tree:
            if entry.name in (b"snapshot.json", b"extra.jsonl"):
                marks.names_in(reader.read(entry.oid, MAX_BYTES)[1])
    except (KeyError, GitrunError) as problem:
        raise DamagedRecord(
            f"{name} cannot be read: {problem}", kept="nothing was collected", next="git fsck"
        ) from problem


def _mark_live(archive: Archive, marks: Marks) -> None:
    """Everything in live directories, finished or not, sealed or not: whoever may still need it is alive."""
    home = os.path.join(archive.gitrun_dir, "live")
    for directory, _, files in os.walk(home):
        for file in files:
            if file.endswith((".json", ".jsonl")):
                try:
                    with open(os.path.join(directory, file), "rb") as opened:
                        marks.names_in(opened.read())
                except FileNotFoundError:
                    continue  # sealed meanwhile: its ref is there, and is read after this
