"""Which blobs are needed: by runs, removed runs, snapshots, runs being recorded, and ingests under way.

A collector that overlooks one reference destroys a result, and one that keeps a blob too many costs its
bytes. So everything in a record that looks like a blob's id counts, whatever its key: a later gitrun may
name blobs in places that this one does not know. Only `sha256` does not: it tells a file from others, and promises
nobody that the file is stored; else a run would keep the content of every file it has read. And where one record
cannot be read, nothing is known about what it needs, so nothing may be collected.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable
from typing import Any, NamedTuple

from gitrun.archive.annotations import Annotations, Event, in_order
from gitrun.archive.archive import Archive
from gitrun.archive.harmless import harmless
from gitrun.archive.needs import blobs_of
from gitrun.archive.run import SealedRun, decode_part
from gitrun.archive.since import DROP, STORED, each_standing
from gitrun.errors import DamagedRecord, GitrunError
from gitrun.git.refs import RUNS, SNAPSHOTS, TRASH, RefProblem, scan_refs
from gitrun.git.trees import parse_commit, read_tree
from gitrun.model.artifacts import PART
from gitrun.model.canonical import MAX_BYTES, encode_line
from gitrun.monitor import SILENT, Monitor
from gitrun.store.sessions import read_session, session_paths

_ID = re.compile(rb'"([0-9a-f]{64})"')
_LIST = re.compile(rb'"(?:chunk_list|manifest)":')  # most records name none, and need not be decoded
_DIGEST = re.compile(rb'"sha256": ?"[0-9a-f]{64}"')


class Marks:
    """The raw ids of needed blobs, and the packs (hex) of which every blob is."""

    def __init__(self) -> None:
        self.blobs: set[bytes] = set()
        self.packs: set[str] = set()

    def names_in(self, text: bytes) -> None:
        """Mark everything in a JSON text that looks like a blob's id and is no file's digest."""
        self.blobs.update(map(bytes.fromhex, (name.decode("ascii") for name in _ID.findall(_DIGEST.sub(b"", text)))))


class Said(NamedTuple):
    """What was said of one run: what bears on the content of its entries, and the text of all else."""

    bearing: list[Event]
    text: bytes


NOTHING = Said([], b"")


def mark(archive: Archive, *, without: frozenset[str] = frozenset(), monitor: Monitor = SILENT) -> Marks:
    """All marks of an archive, but for removed runs that are about to be let go of.

    Raises DamagedRecord, DamagedStore or NewerFormat at the first thing it cannot read.
    """
    marks = Marks()
    # Promises first: a session may end, and its run's own files name the blobs from then on.
    mark_promises(archive, marks)
    mark_live(archive, marks)
    runs = {run_id: commit for run_id, commit in sealed_and_removed(archive).items() if run_id not in without}
    said = said_of(archive, runs)
    with monitor.task("reading records", len(runs), "runs") as progress:
        for run_id, commit in runs.items():
            mark_run(archive, SealedRun(archive.objects, run_id, commit), marks, said.get(run_id, NOTHING))
            progress.advance(1)
    mark_snapshots(archive, marks)
    mark_live(archive, marks)  # a recording that began meanwhile may have ended its session meanwhile as well
    return marks


def mark_run(archive: Archive, run: SealedRun, marks: Marks, said: Said) -> None:
    """What one run needs: what was dropped is needed no more, by this run."""
    marks.names_in(said.text)
    marks.names_in(run.raw_record())
    for name in run.record.get("parts") or {}:
        if not name.endswith(".jsonl") or (data := run.part(name)) is None:
            continue
        if name != PART or not (said.bearing or _LIST.search(data)):
            marks.names_in(data)
            continue
        for line in each_standing(run.lines(name), said.bearing):
            marks.names_in(encode_line(line))
            _mark_line(archive, line, marks, f"run {run.id}")


def _mark_line(archive: Archive, line: Any, marks: Marks, whose: str) -> None:
    """What one line needs, also what is named in blobs of their own."""
    try:
        marks.blobs.update(map(bytes.fromhex, blobs_of(line, archive.store.get)))
    except GitrunError as problem:
        path = harmless(str(line.get("path")))
        raise DamagedRecord(
            f"{whose}: what {path} needs is not known: {problem}",
            kept="nothing was collected",
            next="gitrun fsck --data --repair",
        ) from problem


def mark_promises(archive: Archive, marks: Marks) -> None:
    """What ingests under way rely on."""
    for path in session_paths(archive.store.directory):
        try:
            promises = read_session(path)
        except FileNotFoundError:
            continue  # it has just ended: its run's own files, which are read after this, name the blobs
        marks.blobs.update(map(bytes.fromhex, promises.blobs))
        marks.packs.update(promises.packs)


def mark_snapshots(archive: Archive, marks: Marks) -> None:
    """What snapshots need."""
    for name, commit in _commits(archive, SNAPSHOTS):
        _mark_snapshot(archive, name, commit, marks)


def sealed_and_removed(archive: Archive) -> dict[str, str]:
    """The commits of all runs, those in the trash included, by their ids."""
    return {name.rpartition("/")[2]: commit for kind in (RUNS, TRASH) for name, commit in _commits(archive, kind)}


def said_of(archive: Archive, runs: Container[str]) -> dict[str, Said]:
    """What was said of these runs; of runs that are not here, nothing is here."""
    found: dict[str, Said] = {}
    for run_id, text, events in Annotations(archive.repo, lambda: archive.objects.reader).everything():
        if run_id in runs:
            bearing = [event for event in events if event.kind in (STORED, DROP)]
            if bearing:
                text = b"".join(encode_line(event._asdict()) for event in events if event not in bearing)
            known = found.get(run_id, NOTHING)
            found[run_id] = Said(in_order([*known.bearing, *bearing]), known.text + text)
    return found


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


def mark_live(archive: Archive, marks: Marks) -> None:
    """Everything in live directories, finished or not, sealed or not: whoever may still need it is alive."""
    home = os.path.join(archive.gitrun_dir, "live")
    for directory, _, files in os.walk(home):
        for file in files:
            if file.endswith((".json", ".jsonl")):
                try:
                    with open(os.path.join(directory, file), "rb") as opened:
                        data = opened.read()
                except FileNotFoundError:
                    continue  # sealed meanwhile: its ref is there, and is read after this
                marks.names_in(data)
                if file == PART and _LIST.search(data):
                    run_id = os.path.relpath(directory, home).partition("/")[0]
                    for line in decode_part(run_id, file, data):
                        _mark_line(archive, line, marks, f"run {run_id}, which is being recorded")
