"""One record out of what several members left: the run as a whole, and of each member what is its own.

Member 0 made the run, so source, configuration and environment are what it had. The run has completed if all members
have; else it ended as the first of them did that did not, failures first: one that fails has the others killed.
Consoles stay apart. Entries are put together by path: members read the same files, and what one of them read may be
what another one wrote.
"""

from __future__ import annotations

import os
from typing import Any

from gitrun.archive.seal import Part
from gitrun.model.artifacts import PART
from gitrun.model.canonical import decode, encode, path_bytes
from gitrun.recording.artifacts import read_artifacts, write_artifacts
from gitrun.recording.live import LiveDirectory
from gitrun.recording.liveness import read_header
from gitrun.recording.member import read_exit
from gitrun.recording.rooting import EXTRA, read_lines, write_lines

_GRAVEST = ("failed", "lost", "unknown", "interrupted", "completed")
_OWN = ("command", "cwd", "worktree", "started_at", "duration_s")  # of a member, where they are not the run's
_HARDWARE, _CONSOLE = "hardware.json", "console.zst"
Record = dict[str, Any]
Parts = dict[str, Part]


def was_started(live: LiveDirectory) -> bool:
    """Whether the member's command may have run: not before its file `keeper` is there. An exit says so as well."""
    return os.path.lexists(os.path.join(live.member, "keeper")) or read_exit(live.member) is not None


def merge(
    live: LiveDirectory, record: Record, parts: Parts, others: list[tuple[LiveDirectory, Record, Parts]], expected: int
) -> tuple[Record, Parts]:
    """The record and the parts of member 0 with those of all `others` in them; `expected` members were to come."""
    record, parts = dict(record), dict(parts)
    coverage = dict(record["coverage"])
    members = [_described(one, record) for one in (record, *(theirs for _, theirs, _ in others))]
    record.update(members=members, **_outcome([record, *(theirs for _, theirs, _ in others)]))
    coverage["members"] = _missing(live, members, expected) or "complete"
    for one, theirs, their_parts in others:
        if _CONSOLE in their_parts:
            parts[f"console-{one.n}.zst"] = their_parts[_CONSOLE]
        _take_gaps(coverage, theirs["coverage"], one.n)
    record["coverage"] = coverage
    record["source"] = _source(live, record["source"], others)
    if (hardware := _hardware(parts, others)) is not None:
        parts[_HARDWARE] = Part(data=hardware)
    if EXTRA in live.part_paths():
        parts[EXTRA] = Part(path=os.path.join(live.parts, EXTRA))
    lines = _entries([live, *(one for one, _, _ in others)], record)
    if lines:
        if problems := write_artifacts(live, lines).problems:
            known = coverage.get("outputs")
            coverage["outputs"] = [*(known if isinstance(known, list) else []), *problems]
        parts[PART] = Part(path=os.path.join(live.parts, PART))
    return record, parts


def _described(one: Record, run: Record) -> dict[str, Any]:
    """What the record says of a member: what is its own beside what is the run's."""
    own = {key: one.get(key) for key in _OWN if one is not run and one.get(key) != run.get(key)}
    return {**one["members"][0], **own}


def _outcome(records: list[Record]) -> dict[str, Any]:
    """Status, exit and times of the run."""
    order = {status: place for place, status in enumerate(_GRAVEST)}
    worst = min(records, key=lambda one: (order.get(one["status"], 0), _rank(one)))
    ended = [one["ended_at"] for one in records]
    took = [one["duration_s"] for one in records]
    return {
        "status": worst["status"],
        "exit": worst["exit"],
        "started_at": min(one["started_at"] for one in records),
        "ended_at": None if None in ended else max(ended),
        "duration_s": None if None in took else max(took),
    }


def _rank(record: Record) -> tuple[int, int]:
    member = record["members"][0]
    rank = member.get("rank")
    return (rank if isinstance(rank, int) else int(member["n"]), int(member["n"]))


def _missing(live: LiveDirectory, members: list[dict[str, Any]], expected: int) -> list[str]:
    """Who did not come, and who came and never ran."""
    known = {member["n"] for member in members}
    told = [
        f"member {n} ({(read_header(live.of(n).member) or {}).get('host')}) ended before its command was started"
        for n in live.numbers()
        if n not in known
    ]
    if len(members) + len(told) < expected:
        ranks = {member.get("rank") for member in members}
        absent = [str(rank) for rank in range(expected) if rank not in ranks] if None not in ranks else []
        named = f" (rank {', '.join(absent[:20])})" if absent else ""
        told.append(f"{expected - len(members) - len(told)} of {expected} members never came{named}")
    return told


def _take_gaps(coverage: dict[str, Any], theirs: dict[str, Any], n: int) -> None:
    """Adds what is missing of a further member and not of the first."""
    for topic, said in theirs.items():
        known = coverage.get(topic)
        if not isinstance(said, list) or isinstance(known, dict):
            continue
        known = known if isinstance(known, list) else []
        if new := [f"member {n}: {gap}" for gap in said if gap not in known]:
            coverage[topic] = [*known, *new]


def _hardware(parts: Parts, others: list[tuple[LiveDirectory, Record, Parts]]) -> bytes | None:
    """The machines of members that are not those of the first, listed in its part; None where all are equal."""
    first = parts[_HARDWARE].read() if _HARDWARE in parts else encode({"format": 1, "requires": []})
    found = {one.n: theirs[_HARDWARE].read() for one, _, theirs in others if _HARDWARE in theirs}
    if all(data == first for data in found.values()):
        return None
    value = decode(first)
    value["members"] = [
        {**{key: fact for key, fact in decode(data).items() if key not in ("format", "requires")}, "n": n}
        for n, data in found.items()
        if data != first
    ]
    return encode(value)


def _source(live: LiveDirectory, source: Record, others: list[tuple[LiveDirectory, Record, Parts]]) -> Record:
    """The source with what further members loaded that the first has not; writes the part `extra.jsonl`."""
    roots = list(source.get("roots") or [])
    numbers = {root["path"]: root["n"] for root in roots}
    lines, excluded = read_lines(live), {entry["path"]: entry for entry in source.get("excluded") or []}
    known, changed = {(line.get("root"), line["path"]) for line in lines}, {*(source.get("changed_during_run") or [])}
    more = []
    for one, theirs, _ in others:
        places: dict[Any, Any] = {None: None}
        for root in theirs["source"].get("roots") or []:
            if root["path"] not in numbers:
                numbers[root["path"]] = max(numbers.values(), default=0) + 1
                roots.append({**root, "n": numbers[root["path"]]})
            places[root["n"]] = numbers[root["path"]]
        for line in read_lines(one):
            placed = {**line, **({"root": places[line["root"]]} if line.get("root") is not None else {})}
            if (placed.get("root"), placed["path"]) not in known:
                known.add((placed.get("root"), placed["path"]))
                more.append(placed)
        for entry in theirs["source"].get("excluded") or []:
            excluded.setdefault(entry["path"], entry)
        changed.update(theirs["source"].get("changed_during_run") or [])
    if more:
        write_lines(live, [*lines, *more], roots)
    return {
        **source,
        "roots": roots,
        "excluded": sorted(excluded.values(), key=lambda entry: path_bytes(entry["path"])),
        "changed_during_run": sorted(changed, key=path_bytes),
    }


def _entries(members: list[LiveDirectory], record: Record) -> list[dict[str, Any]]:
    """The lines of all members, each file once: as the run left it, or as the first one read it."""
    top = record.get("worktree")
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in members:
        draft = one.read_draft() or {}
        for line in read_artifacts(one):
            path = line["path"]
            if draft.get("worktree") != top and not path.startswith("/"):
                path = os.path.join(str(draft.get("worktree")), path)
            found.setdefault((path, line["kind"]), {**line, "path": path})
    left = {path for (path, kind), line in found.items() if kind == "output" and line["evidence"] != "ambiguous"}
    return [
        line
        for (path, kind), line in found.items()
        if not (kind == "input" and path in left and line["evidence"] == "observed" and line["reason"] != "overwritten")
    ]
