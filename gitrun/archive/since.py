"""What was said of a run after it was sealed, laid over what its record says.

A record never changes, so that an output was completed later, that a file was dropped, that somebody gave the run a
tag are events beside it. Every reader has to see the same run, so there is one place where the two come together,
and the events have one order: what was said last counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from gitrun.archive.annotations import LOCK, Event
from gitrun.archive.entries import Entry, read_entries
from gitrun.archive.shape import is_lock
from gitrun.model.artifacts import PART
from gitrun.model.ids import is_sha256

TAG = "tag"  # body: `add` and `remove`, lists of texts
NOTE = "note"  # body: `text`
NAME = "name"  # body: `name`; an empty one takes the name away
CLAIM = "claim"  # body: `add` and `remove`, lists of claims
DROP = "drop"  # body: `paths`, those of entries whose content may go
STORED = "stored"  # body: `path`, `sha256`, `bytes`, `chunks` or `chunk_list`: content that was stored later
DROPPED = "dropped"  # the reason of an entry that was stored once

_LOCK_FIELDS = ("state", "reason", "source", "missing", "vendored")
_CONTENT = ("sha256", "bytes", "chunks", "chunk_list")


class Said(Protocol):
    """What is asked of a run; `archive.run.Run` answers."""

    def value(self, name: str) -> Any: ...
    def events(self) -> list[Event]: ...


def merged(record: dict[str, Any], events: list[Event]) -> dict[str, Any]:
    """The record with what was said since: its tags, notes, claims and name, and a lockfile that was made later."""
    kinds = {event.kind for event in events}
    if TAG in kinds:
        record = {**record, "tags": tags_of(record.get("tags") or (), events)}
    if said := _texts([event.body.get("text") for event in events if event.kind == NOTE]):
        record = {**record, "notes": [*(record.get("notes") or []), *said]}
    if CLAIM in kinds:
        record = {**record, "claims": claims_of(record.get("claims") or (), events)}
    if NAME in kinds:
        record = {**record, "name": name_of(record.get("name"), events)}
    locks = [event.body for event in events if event.kind == LOCK and is_lock(event.body)]
    if not locks:
        return record
    lock = {name: locks[-1].get(name) for name in _LOCK_FIELDS}
    gaps = [lock["reason"] or "not all is locked"] if lock["missing"] else "complete"
    return {**record, "lock": lock, "coverage": {**(record.get("coverage") or {}), "lock": gaps}}


def tags_of(own: Iterable[str], events: Iterable[Event]) -> list[str]:
    """The tags of a run, in the order they were given; `own` are those it was recorded with."""
    return _added_and_removed(TAG, own, events)


def claims_of(own: Iterable[str], events: Iterable[Event]) -> list[str]:
    """What is claimed of a run, in the order it was said; `own` are the claims it was recorded with."""
    return _added_and_removed(CLAIM, own, events)


def name_of(own: str | None, events: Iterable[Event]) -> str | None:
    """The name of a run; `own` is the one it was recorded with."""
    names = _texts([event.body.get("name") for event in events if event.kind == NAME])
    return (names[-1] or None) if names else own


def standing(recorded: Any, events: Iterable[Event]) -> list[Any]:
    """The lines of `artifacts.jsonl` as they stand now; one of which nothing was said is the very same object."""
    return list(each_standing(recorded if isinstance(recorded, list) else [], events))


def each_standing(recorded: Iterable[Any], events: Iterable[Event]) -> Iterator[Any]:
    """As `standing`, a line at a time: a run may have a hundred thousand."""
    said: dict[str, list[Event]] = {}
    for event in events:
        if event.kind in (STORED, DROP):
            for path in _texts([event.body.get("path")] if event.kind == STORED else event.body.get("paths")):
                said.setdefault(path, []).append(event)
    for line in recorded:
        place = line.get("path") if isinstance(line, dict) else None
        now = line
        for event in said.get(place, ()) if isinstance(place, str) else ():
            now = _completed(now, event.body) if event.kind == STORED else _dropped(now)
        yield now


def entries_of(run: Said) -> list[Entry]:
    """The entries of a run as they stand now, in the order of their paths; raises DamagedRecord or DamagedStore."""
    return read_entries(standing(run.value(PART), run.events()))


def _completed(line: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    if line.get("stored") is True or not _fits(line, body):
        return line
    return {**line, **{name: body[name] for name in _CONTENT if name in body}, "stored": True, "reason": None}


def _fits(line: dict[str, Any], body: dict[str, Any]) -> bool:
    """Whether an event may complete an entry: anybody who can write to the archive's refs can say anything.

    One that is not what it should be must not cost a run the rest of its entries, nor give one another content.
    """
    digest, size, chunks, listed = (body.get(name) for name in _CONTENT)
    return (
        line.get("reason") in ("deferred", DROPPED)
        and body.get("kind", line.get("kind")) == line.get("kind")
        and is_sha256(digest)
        and digest == (line.get("sha256") or digest)
        and type(size) is int
        and size == line.get("bytes")
        and (is_sha256(listed) if listed is not None else type(chunks) is list)
    )


def _dropped(line: dict[str, Any]) -> dict[str, Any]:
    """The line without what leads to its content; its digest stays, and the names of what lay in a directory."""
    if line.get("stored") is not True or line.get("type") == "link":
        return line
    kept = {name: value for name, value in line.items() if name not in ("chunks", "chunk_list")}
    return {**kept, "stored": False, "reason": DROPPED}


def _added_and_removed(kind: str, own: Iterable[str], events: Iterable[Event]) -> list[str]:
    standing = dict.fromkeys(own)
    for event in events:
        if event.kind == kind:
            standing.update(dict.fromkeys(_texts(event.body.get("add"))))
            for text in _texts(event.body.get("remove")):
                standing.pop(text, None)
    return list(standing)


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
