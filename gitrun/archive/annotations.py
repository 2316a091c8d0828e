"""Annotations: what was said of runs after they were sealed, in one chain of commits per writer.

A sealed run never changes, so a later fact (a lockfile that could be resolved at last, a tag, a note) is an event
beside it. Every clone writes to a ref of its own, so two never disagree about one, and a reader merges them all: by
a Lamport clock, since the clocks of machines order nothing. The tip's tree holds everything its writer ever said,
one file for each run, so that a run's events are found without walking the chain:

    annotations.json            format, requires, writer, seq, lamport: where the next event goes on
    runs/<YYYYMM>/<id>.jsonl    the events about one run, one a line
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from gitrun.errors import DamagedRecord, GitrunError, NewerFormat
from gitrun.files.locks import FileLock
from gitrun.git.identity import identity
from gitrun.git.objects import ObjectReader
from gitrun.git.packs import OwnPacks, PackWriter
from gitrun.git.refs import ANNOTATIONS, create, read_ref, scan_refs, update
from gitrun.git.repository import Repository
from gitrun.git.trees import DIRECTORY, FILE, TreeEntry, encode_commit, encode_tree, parse_commit, read_tree
from gitrun.model.canonical import MAX_BYTES, DecodeProblem, decode, decode_lines, encode, encode_line
from gitrun.model.ids import is_run_id
from gitrun.model.times import iso
from gitrun.monitor import SILENT, Monitor
from gitrun.store.config import load_or_create

FORMAT = 1
LOCK = "lock"  # the kind of an event that gives a run its lockfile
_STATE, _RUNS = "annotations.json", "runs"
_TRIES = 10
_SHA256 = re.compile(r"[0-9a-f]{64}")
Entries = dict[str, TreeEntry]


class Event(NamedTuple):
    """One thing said of a run: by whom, as which of its events, at which Lamport time and time of day.

    `blobs` are ids of blobs in the store that it needs; a `kind` that this version does not know is kept.
    """

    kind: str
    run: str
    writer: str
    seq: int
    lamport: int
    time: str
    body: dict[str, Any]
    blobs: list[str]


class Annotations:
    """What all writers said, as a repository has it now; what cannot be read is told the monitor and left out."""

    def __init__(
        self,
        repo: Repository,
        reader: Callable[[], ObjectReader],
        monitor: Monitor = SILENT,
        tips: dict[str, str] | None = None,
    ) -> None:
        self._repo = repo
        self._reader = reader
        self._monitor = monitor
        self._tips = tips  # the ends of chains by their writers, where they are not those that the refs name
        self._months: dict[tuple[str, str], Entries] = {}

    def of(self, run_id: str) -> list[Event]:
        """The events about one run, in the order that every reader agrees on."""
        events: list[Event] = []
        for writer in self._writers():
            try:
                data = self._lines(writer, run_id)
                events += _decode_events(data, run_id, writer) if data is not None else []
            except GitrunError as problem:
                self._months.setdefault((writer, run_id[:6]), {})  # said once, where it is more than one file
                self._monitor.warn("W014", f"what {writer} said of {run_id} is left out: {problem}")
        return in_order(events)

    def tips(self) -> dict[str, str]:
        """The end of each writer's chain: what they all said is the same as long as these are."""
        return dict(self._writers())

    def mark(self, run_id: str) -> str:
        """A text that changes when something is said of the run; empty where nothing was."""
        oids = []
        for writer in self._writers():
            try:
                entry = self._month(writer, run_id[:6]).get(f"{run_id}.jsonl")
            except GitrunError as problem:
                self._months[writer, run_id[:6]], entry = {}, None  # said once
                self._monitor.warn("W014", f"what {writer} said in {run_id[:6]} is left out: {problem}")
            if entry is not None:
                oids.append(entry.oid)
        return " ".join(oids)

    def everything(self) -> Iterator[tuple[str, bytes, list[Event]]]:
        """Run id, lines and events of each writer about each run; raises at the first that cannot be read."""
        for writer, tip in self._writers().items():
            for month in _directory(self._reader(), _root(self._reader(), tip).get(_RUNS)):
                for name, entry in self._month(writer, month).items():
                    run_id, data = name.removesuffix(".jsonl"), _blob(self._reader(), entry)
                    yield run_id, data, _decode_events(data, run_id, writer)

    def _writers(self) -> dict[str, str]:
        """The tip of each writer's chain."""
        if self._tips is None:
            refs, problems = scan_refs(self._repo, ANNOTATIONS)
            for problem in problems:
                self._monitor.warn("W014", f"{problem.name} is left out: {problem.why}")
            self._tips = {name.removeprefix(ANNOTATIONS): tip for name, tip in refs.items()}
        return self._tips

    def _lines(self, writer: str, run_id: str) -> bytes | None:
        entry = self._month(writer, run_id[:6]).get(f"{run_id}.jsonl")
        return None if entry is None else _blob(self._reader(), entry)

    def _month(self, writer: str, month: str) -> Entries:
        if (writer, month) not in self._months:
            runs = _directory(self._reader(), _root(self._reader(), self._writers()[writer]).get(_RUNS))
            self._months[writer, month] = _directory(self._reader(), runs.get(month))
        return self._months[writer, month]


def in_order(events: list[Event]) -> list[Event]:
    """Events in the order that every reader agrees on."""
    return sorted(events, key=lambda event: (event.lamport, event.writer, event.seq))


def annotate(
    repo: Repository,
    gitrun_dir: str,
    environ: Mapping[str, str],
    reader: ObjectReader,
    run_id: str,
    kind: str,
    body: dict[str, Any],
    blobs: list[str],
) -> Event:
    """Says something of a run, durably; the blobs it names are durable already.

    Raises DamagedRecord where this writer's chain cannot be read, and DiskFull or NotWritable.
    """
    return annotate_all(repo, gitrun_dir, environ, reader, run_id, kind, [(body, blobs)])[0]


def annotate_all(
    repo: Repository,
    gitrun_dir: str,
    environ: Mapping[str, str],
    reader: ObjectReader,
    run_id: str,
    kind: str,
    said: list[tuple[dict[str, Any], list[str]]],
) -> list[Event]:
    """Says several things of one kind in one commit, each a body and the blobs it names; else as `annotate`."""
    assert said and is_run_id(run_id) and all(_SHA256.fullmatch(blob) for _, blobs in said for blob in blobs)
    writer = load_or_create(gitrun_dir).writer
    name = ANNOTATIONS + writer
    with FileLock(os.path.join(gitrun_dir, "annotations.lock")):
        for _ in range(_TRIES):  # another gitrun directory may belong to the same refs
            tip = read_ref(repo, name)
            root = {} if tip is None else _root(reader, tip)
            seq, lamport, now = _state(reader, root)["seq"], _clock(repo, reader), iso(time.time_ns())
            events = [
                Event(kind, run_id, writer, seq + n, lamport + n, now, body, blobs)
                for n, (body, blobs) in enumerate(said, 1)
            ]
            commit = _write(repo, environ, reader, tip, root, events)
            if create(repo, name, commit) if tip is None else update(repo, name, commit, tip):
                return events
    raise GitrunError(f"{name} is being changed all the time", kept="the run as it was", next="try again")


# -- reading


def _root(reader: ObjectReader, tip: str) -> Entries:
    try:
        tree = parse_commit(reader.read(tip, MAX_BYTES)[1]).tree
        return _named(read_tree(reader, tree))
    except KeyError as problem:
        raise DamagedRecord(f"commit {tip} cannot be read", next="git fsck") from problem


def _directory(reader: ObjectReader, entry: TreeEntry | None) -> Entries:
    if entry is None:
        return {}
    try:
        return _named(read_tree(reader, entry.oid))
    except KeyError as problem:
        raise DamagedRecord(f"tree {entry.oid} cannot be read", next="git fsck") from problem


def _named(entries: list[TreeEntry]) -> Entries:
    return {entry.name.decode("utf-8", "surrogateescape"): entry for entry in entries}


def _blob(reader: ObjectReader, entry: TreeEntry) -> bytes:
    try:
        kind, data = reader.read(entry.oid, MAX_BYTES)
    except KeyError as problem:
        raise DamagedRecord(f"blob {entry.oid} cannot be read", next="git fsck") from problem
    if kind != "blob":
        raise DamagedRecord(f"{entry.oid} is a {kind}, not a blob")
    return data


def _state(reader: ObjectReader, root: Entries) -> dict[str, int]:
    """Where a writer is; a chain that has not begun is at zero."""
    if not root:
        return {"seq": 0, "lamport": 0}
    try:
        fields = decode(_blob(reader, root[_STATE]))
        if fields["format"] > FORMAT or fields["requires"]:
            raise NewerFormat("annotations of a later gitrun", next="update gitrun")
        state = {name: fields[name] for name in ("seq", "lamport")}
    except (DecodeProblem, KeyError, TypeError) as problem:
        raise DamagedRecord(f"{_STATE} cannot be read: {problem}", next="git fsck") from problem
    if not all(type(value) is int and value >= 0 for value in state.values()):
        raise DamagedRecord(f"{_STATE} cannot be read", next="git fsck")
    return state


def _clock(repo: Repository, reader: ObjectReader) -> int:
    """The latest Lamport time that any writer has used."""
    latest = 0
    for tip in scan_refs(repo, ANNOTATIONS)[0].values():
        try:
            latest = max(latest, _state(reader, _root(reader, tip))["lamport"])
        except (DamagedRecord, NewerFormat):
            continue  # somebody else's damage keeps nobody from speaking
    return latest


def _decode_events(data: bytes, run_id: str, writer: str) -> list[Event]:
    try:
        lines = decode_lines(data)
    except DecodeProblem as problem:
        raise DamagedRecord(f"they cannot be read: {problem}") from problem
    return [_event(fields, run_id, writer) for fields in lines]


def _event(fields: Any, run_id: str, writer: str) -> Event:
    """One event, each field of the type it must have; raises DamagedRecord or NewerFormat."""
    kinds = {
        "kind": str,
        "run": str,
        "writer": str,
        "seq": int,
        "lamport": int,
        "time": str,
        "body": dict,
        "blobs": list,
    }
    if type(fields) is not dict or type(fields.get("format")) is not int:
        raise DamagedRecord("a line is no event")
    if fields["format"] > FORMAT:
        raise NewerFormat("an event of a later gitrun", next="update gitrun")
    if any(type(fields.get(name)) is not kind for name, kind in kinds.items()):
        raise DamagedRecord("an event is not what it should be")
    event = Event(**{name: fields[name] for name in kinds})
    if event.run != run_id or event.writer != writer or min(event.seq, event.lamport) < 0:
        raise DamagedRecord("an event is somebody else's, or about another run")
    return event


# -- writing


def _write(
    repo: Repository,
    environ: Mapping[str, str],
    reader: ObjectReader,
    tip: str | None,
    root: Entries,
    events: list[Event],
) -> str:
    """The commit in which the chain ends with these events; durable, and named by no ref yet."""
    event = events[-1]
    runs = _directory(reader, root.get(_RUNS))
    month = _directory(reader, runs.get(event.run[:6]))
    file = f"{event.run}.jsonl"
    earlier = _blob(reader, month[file]) if file in month else b""
    lines = b"".join(encode_line({"format": FORMAT, **one._asdict()}) for one in events)
    state = {"format": FORMAT, "requires": [], "writer": event.writer, "seq": event.seq, "lamport": event.lamport}
    writer = PackWriter(repo.objects_dir, repo.object_format, own=OwnPacks(repo.objects_dir, repo.object_format))
    try:
        month = _with(month, file, FILE, writer.add("blob", earlier + lines))
        runs = _with(runs, event.run[:6], DIRECTORY, writer.add("tree", encode_tree(month.values())))
        root = _with(root, _RUNS, DIRECTORY, writer.add("tree", encode_tree(runs.values())))
        root = _with(root, _STATE, FILE, writer.add("blob", encode(state)))
        tree = writer.add("tree", encode_tree(root.values()))
        message = f"annotate {event.run}: {event.kind}\n".encode()
        who, parents = identity(repo, environ), [tip] if tip is not None else []
        commit = writer.add("commit", encode_commit(tree, parents, who, int(time.time()), "+0000", message))
        writer.finish(sync=True)
    except BaseException:
        writer.abort()
        raise
    return commit


def _with(entries: Entries, name: str, mode: int, oid: str) -> Entries:
    return {**entries, name: TreeEntry(name.encode(), mode, oid)}
