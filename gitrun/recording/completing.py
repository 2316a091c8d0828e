"""Storing what a run was sealed without, because its time was up: each output as an annotation, once it is durable.

A job that is told to end has seconds, and a large output takes longer. So the run is sealed without it, and what it
was then (size, times, inode) is in its line. As long as the file still is that one, its content can be added: by the
recorder right after sealing, while it is let live, or by `gitrun recover`. A file that was touched since is refused,
since nobody knows any more what the run had left there.
"""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gitrun.archive.annotations import annotate_all
from gitrun.archive.archive import Archive
from gitrun.archive.run import Run
from gitrun.archive.since import STORED, entries_of
from gitrun.capture.keeping import DEFERRED, Budget, Output, floor_of, keep, moment
from gitrun.errors import GitrunError
from gitrun.files.locks import FileLock
from gitrun.files.write import make_dirs, remove_quietly
from gitrun.model.canonical import path_bytes
from gitrun.model.listing import listed
from gitrun.monitor import Monitor
from gitrun.recording.deferred import copies_of, deferred_runs, drop_copies, home
from gitrun.recording.remembering import remember_stored

_BATCH_BYTES, _BATCH_FILES = 256 << 20, 200
_NAMED = 3
_CHANGED = "it was changed or removed since the run was sealed"
_WHY = {"space": "the disk of the store has too little room", "unreadable": "it cannot be read"}
Line = dict[str, Any]


class Completed(NamedTuple):
    """How many outputs of a run were stored now, in bytes as well, and why others could not be, in sentences.

    `left` are those that there was no time for.
    """

    stored: int
    bytes: int
    refused: list[str]
    left: int


def complete_all(archive: Archive, run_id: str | None = None) -> list[str]:
    """Completes one run, or all that are noted; those of which something was stored. What cannot be is told."""
    found = []
    for one in deferred_runs(archive.gitrun_dir) if run_id is None else [run_id]:
        try:
            done = complete(archive, one)
        except GitrunError as problem:
            archive.monitor.warn("W042", f"outputs of {one} are not stored yet: {problem}")
            continue
        if done is not None:
            tell(done, one, archive.monitor)
            found += [one] if done.stored else []
    return found


def tell(done: Completed, run_id: str, monitor: Monitor) -> None:
    """Says what could not be done."""
    if done.refused:
        monitor.warn("W043", f"outputs of {run_id} are named and not stored: {listed(done.refused, _NAMED)}")
    if done.left:
        monitor.warn("W042", f"{done.left} outputs of {run_id} are not stored yet, next: gitrun recover")


def complete(archive: Archive, run_id: str, end: Callable[[], float] = lambda: float("inf")) -> Completed | None:
    """Stores what a sealed run lacks, until `end` (time.monotonic); None where somebody else does, or nothing can.

    Raises GitrunError where the record or the store cannot be used, or the disk is too full.
    """
    make_dirs(home(archive.gitrun_dir))
    lock = FileLock(os.path.join(home(archive.gitrun_dir), run_id))
    if not lock.acquire(blocking=False):
        return None
    try:
        run = archive.run(run_id)
        if run is not None and run.is_live:
            return None  # its recorder is about to seal it, or dead
        done = Completed(0, 0, [], 0) if run is None else _complete(archive, run, end)
        if not done.left:
            drop_copies(archive.gitrun_dir, run_id)
            remove_quietly(lock.path)
        return done
    finally:
        lock.release()


def _complete(archive: Archive, run: Run, end: Callable[[], float]) -> Completed:
    entries = [entry for entry in entries_of(run) if entry.reason == DEFERRED and entry.kind != "input"]
    top = path_bytes(run.record.get("worktree") or "/")
    copies = os.fsencode(copies_of(archive.gitrun_dir, run.id))
    wanted: dict[str, list[tuple[Line, Output]]] = {"artifact": [], "output": []}
    refused = []
    for entry in entries:
        line = entry.facts
        copy = os.path.basename(path_bytes(str(line.get("copy"))))
        path = os.path.join(copies, copy) if entry.kind == "artifact" else os.path.join(top, entry.path)
        found = _still(path, line)
        if found is None:
            refused.append(f"{line['path']}: {_CHANGED}")
        else:
            wanted[entry.kind].append((line, Output(entry.path, path, found, str(line.get("evidence")))))
    stored = size = 0
    store_dir = os.path.realpath(archive.store.directory)
    budget = Budget(1 << 63, floor_of(store_dir, archive.settings.get("record.output_floor")), store_dir, end)
    for kind, batch in ((kind, batch) for kind, pairs in wanted.items() for batch in _batches(pairs)):
        if time.monotonic() > end():
            break
        taken, problems = _store(archive, run.id, batch, budget, kind)
        stats = {line["path"]: output.found for line, output in batch}
        remember_stored(archive.gitrun_dir, run.record, [(line, stats[line["path"]]) for line in taken])
        refused += problems
        stored += len(taken)
        size += sum(line["bytes"] for line in taken)
    return Completed(stored, size, refused, len(entries) - stored - len(refused))


def _batches(wanted: list[tuple[Line, Output]]) -> Iterator[list[tuple[Line, Output]]]:
    """Small ones first, and together: each batch is durable before the next is begun."""
    batch: list[tuple[Line, Output]] = []
    size = 0
    for line, output in sorted(wanted, key=lambda pair: pair[1].found.st_size):
        if batch and (size + output.found.st_size > _BATCH_BYTES or len(batch) == _BATCH_FILES):
            yield batch
            batch, size = [], 0
        batch.append((line, output))
        size += output.found.st_size
    if batch:
        yield batch


def _store(
    archive: Archive, run_id: str, batch: list[tuple[Line, Output]], budget: Budget, kind: str
) -> tuple[list[Line], list[str]]:
    """The new lines of those that are stored, and why others cannot be."""
    before = {line["path"]: (line, output) for line, output in batch}
    taken, refused = [], []
    with archive.store.session() as session:
        kept = keep([output for _, output in batch], session, budget, kind, monitor=archive.monitor)
        session.commit()
        for line in kept.lines:
            recorded, output = before.pop(line["path"])
            if line["reason"] == DEFERRED:
                continue
            if _still(output.path, recorded) is None:
                refused.append(f"{line['path']}: {_CHANGED}")
            elif not line["stored"]:
                refused.append(f"{line['path']}: {_WHY.get(line['reason'], line['reason'])}")
            else:
                taken.append(line)
        if taken:
            said = [(_body(line), _blobs(line)) for line in taken]
            where = (archive.repo, archive.gitrun_dir, archive.environ, archive.objects.reader)
            annotate_all(*where, run_id, STORED, said)
            archive.objects.forget_events()
    refused += [f"{path}: {_CHANGED}" for path in before]
    return taken, refused


def _body(line: Line) -> dict[str, Any]:
    return {name: line[name] for name in ("path", "kind", "sha256", "bytes", "chunks", "chunk_list") if name in line}


def _blobs(line: Line) -> list[str]:
    listed = line.get("chunk_list")
    return [listed] if listed is not None else sorted({blob for blob, _ in line["chunks"]})


def _still(path: bytes, line: Line) -> os.stat_result | None:
    """The stat of a file that is as it was when the run was sealed; None for any other."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found if (found.st_size, moment(found)) == (line.get("bytes"), line.get("stat")) else None
