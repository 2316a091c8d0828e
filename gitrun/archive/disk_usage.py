"""How much of the store each run needs, and how much of that nobody else does.

A blob is stored once however many runs name it, so the sizes of runs do not add up to that of the store. Two numbers
answer the two questions one has: `stored` is what a run needs, `unique` what would go with it. Git's objects, the
source among them, are not counted: they are Git's.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

from gitrun.archive.archive import Archive
from gitrun.archive.entries import Entry, read_entries
from gitrun.archive.live_view import live_ids
from gitrun.archive.marking import (
    NOTHING,
    Marks,
    Said,
    mark_live,
    mark_promises,
    mark_run,
    mark_snapshots,
    said_of,
    sealed_and_removed,
)
from gitrun.archive.needs import blobs_of
from gitrun.archive.run import SealedRun
from gitrun.archive.since import each_standing
from gitrun.errors import GitrunError
from gitrun.model.artifacts import PART
from gitrun.monitor import SILENT, Monitor

Sizes = dict[bytes, int]


class PathUsage(NamedTuple):
    """A file of a run: the bytes of the store it needs, and those that nothing else needs."""

    entry: Entry
    stored: int
    unique: int


class RunUsage(NamedTuple):
    """A run: bytes of the store it needs, and those that nothing else needs; `problem` where that is not known.

    `bytes` is the length of its stored files, of which `files` says how many there are. `paths` are read as they are
    asked for, and once: there may be very many.
    """

    run: SealedRun
    removed: bool
    files: int = 0
    bytes: int = 0
    stored: int = 0
    unique: int = 0
    problem: str | None = None
    paths: Iterable[PathUsage] = ()


class StoreUsage(NamedTuple):
    """The store: bytes of its packs, their number, blobs in them, and stored bytes of blobs that nothing needs."""

    bytes: int
    packs: int
    blobs: int
    unneeded: int


def measure(
    archive: Archive, detailed: Iterable[str] = (), monitor: Monitor = SILENT
) -> tuple[StoreUsage, list[RunUsage]]:
    """The store and all its runs, the newest first; the runs of `detailed` ids also path by path.

    A run that cannot be read is listed with its problem, and what it needs counts as needed by nothing.
    """
    detailed = frozenset(detailed)
    size, sizes = _stored(archive)
    commits, sealed = sealed_and_removed(archive), archive.sealed()
    said = said_of(archive, commits)
    needs: dict[str, set[bytes]] = {}
    problems: dict[str, str] = {}
    holders: Counter[bytes] = Counter(_rest(archive) & sizes.keys())
    with monitor.task("reading records", len(commits), "runs") as progress:
        for run_id in sorted(commits, reverse=True):
            marks = Marks()
            try:
                mark_run(archive, SealedRun(archive.objects, run_id, commits[run_id]), marks, said.get(run_id, NOTHING))
            except GitrunError as problem:
                problems[run_id] = str(problem)
            needs[run_id] = marks.blobs & sizes.keys()
            holders.update(needs[run_id])
            progress.advance(1)
    alone = {blob for blob, count in holders.items() if count == 1}
    found = []
    for run_id, blobs in needs.items():
        run = SealedRun(archive.objects, run_id, commits[run_id])
        usage = RunUsage(run, run_id not in sealed, problem=problems.get(run_id))
        if usage.problem is None:
            try:
                usage = _usage(archive, usage, said.get(run_id, NOTHING), blobs, sizes, alone, run_id in detailed)
            except GitrunError as problem:
                usage = usage._replace(problem=str(problem))
        found.append(usage)
    unneeded = sum(stored for blob, stored in sizes.items() if blob not in holders)
    return size._replace(blobs=len(sizes), unneeded=unneeded), found


def _usage(
    archive: Archive,
    usage: RunUsage,
    said: Said,
    blobs: set[bytes],
    sizes: Sizes,
    alone: set[bytes],
    with_paths: bool,
) -> RunUsage:
    needs = partial(_needs, archive, usage.run, said, blobs)
    files = size = 0
    inside: Counter[bytes] = Counter()
    for entry, needed in needs():
        files, size = files + 1, size + (entry.size or 0)
        if with_paths:
            inside.update(needed)
    usage = usage._replace(
        files=files,
        bytes=size,
        stored=sum(sizes[blob] for blob in blobs),
        unique=sum(sizes[blob] for blob in blobs & alone),
    )
    if not with_paths:
        return usage
    inside.update(_beside(archive, usage.run))
    paths = (
        PathUsage(
            entry,
            sum(sizes[blob] for blob in needed),
            sum(sizes[blob] for blob in needed & alone if inside[blob] == 1),
        )
        for entry, needed in needs()
    )
    return usage._replace(paths=paths)


def _needs(archive: Archive, run: SealedRun, said: Said, blobs: set[bytes]) -> Iterator[tuple[Entry, set[bytes]]]:
    """The stored files of a run, each with those of `blobs` that it needs."""
    for line in each_standing(run.lines(PART), said.bearing):
        for entry in read_entries([line]):
            if entry.stored and entry.type != "link":
                yield entry, {bytes.fromhex(blob) for blob in blobs_of(entry.facts, archive.store.get)} & blobs


def _beside(archive: Archive, run: SealedRun) -> set[bytes]:
    """What the rest of a record needs: its parts, and the files that stand beside the source."""
    parts = run.record.get("parts") or {}
    lines = [*parts.values()]
    for name in parts:
        if name.endswith(".jsonl") and name != PART:
            lines += run.value(name) or []
    return {bytes.fromhex(blob) for line in lines for blob in blobs_of(line, archive.store.get)}


def _stored(archive: Archive) -> tuple[StoreUsage, Sizes]:
    sizes: Sizes = {}
    total, names = 0, archive.store.pack_names()
    for name in names:
        total += os.stat(archive.store.pack_path(name)).st_size
        reader = archive.store.pack(name)
        sizes.update((entry.blob, entry.stored_bytes) for entry in (reader.entries() if reader else ()))
    return StoreUsage(total, len(names), 0, 0), sizes


def _rest(archive: Archive) -> set[bytes]:
    """What snapshots, recordings and ingests under way need."""
    marks = Marks()
    mark_promises(archive, marks)
    mark_snapshots(archive, marks)
    if live_ids(archive.gitrun_dir):
        mark_live(archive, marks)
    return marks.blobs
