"""Bringing back files that a run read and wrote, every byte verified on its way.

A blob is checked against its id when it is read, and a file against its digest while it is written: a list of whole
blobs may still be the wrong list. One that is damaged or not stored costs no other.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gitrun.archive.archive import Archive
from gitrun.archive.entries import Entry
from gitrun.archive.run import Run
from gitrun.archive.since import DROPPED
from gitrun.errors import DamagedRecord, DamagedStore, DestinationExists, HostilePath, UsageError
from gitrun.files.beside import Beside
from gitrun.files.names import check_path, show
from gitrun.model.canonical import path_bytes
from gitrun.model.ids import short
from gitrun.model.times import parse_iso
from gitrun.monitor import SILENT, Monitor
from gitrun.replay.plan import Addition

_MODE = 0o644


class Missing(NamedTuple):
    """An entry that could not be brought back, and why; damage is what ought to be there and is not."""

    entry: Entry
    why: str
    is_damage: bool


class Retrieved(NamedTuple):
    """What was written, by its path below the directory, how many bytes, and what could not be."""

    paths: list[bytes]
    bytes: int
    missing: list[Missing]


def retrieve(
    archive: Archive, run: Run, entries: Iterable[Entry], directory: str, monitor: Monitor = SILENT
) -> Retrieved:
    """Write these entries below `directory`, each under its path (an absolute one without its first slash).

    Raises DestinationExists, with nothing written, where a path is taken, and DiskFull or NotWritable, with what was
    written taken back.
    """
    entries = list(entries)
    if len({place_of(entry) for entry in entries}) < len(entries):
        raise UsageError("two of these files would get the same path", next="gitrun get one of them, then the other")
    _refuse_taken([place_of(entry) for entry in entries if entry.stored], directory)
    found = Retrieved([], 0, [])
    made_ns = parse_iso(run.record.get("ended_at") or run.record["started_at"])
    with Beside(directory, made_ns) as out, monitor.task("bringing back", len(entries), "files") as task:
        for entry in entries:
            if entry.type == "directory":
                found.missing.append(Missing(entry, "the list of its files cannot be read; gitrun fsck", True))
            elif not entry.stored:
                found.missing.append(Missing(entry, why_not(run, entry), False))
            else:
                found = _write(archive, out, entry, found)
            task.advance()
        if found.paths:
            out.finish()
        else:
            out.take_back()  # the directories that were made for nothing
    return found


def _write(archive: Archive, out: Beside, entry: Entry, found: Retrieved) -> Retrieved:
    place = place_of(entry)
    try:
        if entry.type == "link":
            out.symlink(place, target_of(entry))
        else:
            out.file(place, _MODE if entry.mode is None else entry.mode, verified(archive, entry))
    except (DamagedRecord, DamagedStore, HostilePath) as problem:
        found.missing.append(Missing(entry, str(problem), not isinstance(problem, HostilePath)))
        return found
    found.paths.append(place)
    return found._replace(bytes=found.bytes + (entry.size or 0))


def as_additions(archive: Archive, entries: Iterable[Entry]) -> list[Addition]:
    """These entries, which are stored, as what a checkout writes beside the source, verified as they are written."""
    added = []
    for entry in entries:
        mode = _MODE if entry.mode is None else entry.mode
        if entry.type == "link":
            added.append(Addition(entry.path, mode, iter(()), target_of(entry)))
        else:
            added.append(Addition(entry.path, mode, verified(archive, entry)))
    return added


def place_of(entry: Entry) -> bytes:
    """Where an entry goes below a directory."""
    return entry.path.lstrip(b"/")


def verified(archive: Archive, entry: Entry) -> Iterator[bytes]:
    """The content of a stored file, a piece at a time; what is wrong with the whole is raised at its end.

    Raises DamagedRecord or DamagedStore.
    """
    if entry.sha256 is None:
        raise DamagedRecord(f"{show(entry.path)}: it is said to be stored, and has no digest", next="gitrun fsck")
    yield from archive.store.read_file(entry.chunks(archive.store.get), entry.sha256)


def target_of(entry: Entry) -> bytes:
    """Where a link points; raises DamagedRecord where that is not what was recorded."""
    target = path_bytes(str(entry.facts.get("target") or ""))
    if entry.sha256 is not None and hashlib.sha256(target).hexdigest() != entry.sha256:
        raise DamagedRecord(f"{show(entry.path)}: its target is not what was recorded", next="gitrun fsck")
    return target


def is_to_have(entry: Entry) -> bool:
    """Whether an entry can be brought back: it is stored, and its path may be written."""
    try:
        check_path(place_of(entry))
    except HostilePath:
        return False  # an input: a program may read what nobody may write
    return entry.stored and entry.type != "directory"


def why_not(run: Run, entry: Entry) -> str:
    """Why an entry cannot be brought back, and what may bring it back."""
    if entry.stored:
        return "its path is not one that may be written, or the list of its files cannot be read"
    if entry.reason == DROPPED:
        return f"it was dropped; gitrun replay {short(run.id)} makes it again"
    if entry.reason == "deferred":
        return "it was not stored yet when the run was sealed; gitrun recover completes it where it still lies"
    if entry.reason == "secret":
        return "it may hold a secret, so only its path was recorded"
    words = f"it was not stored ({entry.reason or 'no reason was recorded'})"
    worktree = run.record.get("worktree")
    place = os.path.join(path_bytes(worktree) if isinstance(worktree, str) else b"", entry.path)
    try:
        same = os.path.isabs(place) and entry.size is not None and os.stat(place).st_size == entry.size
    except (OSError, ValueError):
        same = False
    return f"{words}; a file of its size is at {os.fsdecode(place)}" if same else words


def _refuse_taken(places: list[bytes], directory: str) -> None:
    taken = [place for place in places if os.path.lexists(os.path.join(os.fsencode(directory), place))]
    if taken:
        more = f" and {len(taken) - 1:,} more" if len(taken) > 1 else ""
        raise DestinationExists(
            f"{show(taken[0])}{more} is there already: {directory}",
            kept="it was not touched, and nothing was written",
            next="gitrun get … -o NEW-DIRECTORY",
        )
