"""One run, read back: its record, its parts, and the JSON that programs rely on.

A sealed run is a commit, a live one is a directory; a reader of either asks the same questions,
so both answer through `Run`. Nothing is read before it is asked for: a list of ten thousand runs
reads commits, and opens records only where it must. Everything read is checked against what
names it: the record against its ref, each part against the sha256 in the record.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from gitrun.archive.annotations import Event
from gitrun.archive.contract import describe
from gitrun.archive.message import Summary, decode_message, encode_message
from gitrun.archive.shape import check_shape
from gitrun.archive.since import claims_of, merged, standing, tags_of
from gitrun.errors import DamagedRecord, GitrunError, NewerFormat
from gitrun.git.trees import Commit
from gitrun.model.artifacts import PART
from gitrun.model.canonical import MAX_BYTES, DecodeProblem, decode, decode_lines
from gitrun.model.record import FORMAT, check_readable


class Problem(NamedTuple):
    """What is wrong with a run, under a code of spec/problems.md."""

    code: str
    what: str


class Objects(Protocol):
    """What a sealed run needs of its archive."""

    def load_commits(self, runs: list[SealedRun]) -> None: ...
    def load_trees(self, runs: list[SealedRun]) -> None: ...
    def blob(self, oid: str) -> bytes: ...
    def shared_value(self, run_id: str, oid: str, name: str) -> tuple[str, Any]: ...
    def events(self, run_id: str) -> list[Event]: ...
    def from_store(self, chunks: list[Any], size_bytes: int) -> bytes: ...


class Run:
    """What a sealed and a live run have in common."""

    liveness: dict[str, Any] | None = None
    commit: str | None = None

    def __init__(self, run_id: str) -> None:
        self.id = run_id
        self.problem: Problem | None = None
        self._record: dict[str, Any] | None = None

    @property
    def is_live(self) -> bool:
        """Whether the run has not been sealed yet."""
        return self.liveness is not None

    @property
    def record(self) -> dict[str, Any]:
        """The content of run.json; raises DamagedRecord or NewerFormat."""
        if self._record is None:
            self._record = self._read_record()
        return self._record

    @property
    def summary(self) -> Summary:
        """What a list shows of the run; never raises, a damaged run has a `problem` and an empty summary."""
        raise NotImplementedError

    @property
    def snapshot(self) -> str | None:
        """The commit of the source the run started from, where it is known."""
        raise NotImplementedError

    @property
    def source_tree(self) -> str | None:
        """The tree id of the source."""
        tree = (self.record.get("source") or {}).get("tree")
        return tree if type(tree) is str else None

    def part(self, name: str) -> bytes | None:
        """The bytes of a part, None when the run has none of that name; raises DamagedRecord or DamagedStore."""
        raise NotImplementedError

    def value(self, name: str) -> Any:
        """The decoded value of a JSON part (a list for `.jsonl`), None when there is none."""
        data = self.part(name)
        return None if data is None else decode_part(self.id, name, data)

    def lines(self, name: str) -> Iterator[Any]:
        """As `value` of a `.jsonl` part, a line at a time, for parts of which nobody wants all in memory."""
        data = self.part(name)
        for line in io.BytesIO(data or b""):
            yield from decode_part(self.id, name, line)

    def events(self) -> list[Event]:
        """What was said of the run since it was sealed."""
        return []

    @property
    def tags(self) -> list[str]:
        """Its tags: those it was recorded with, and what was said since; never raises, as `summary`."""
        return tags_of(self.summary.tags, self.events())

    @property
    def claims(self) -> list[str]:
        """What is claimed of it: when it was recorded, and since; raises as `record`."""
        return claims_of(self.record.get("claims") or (), self.events())

    def to_json(self, full: bool = True) -> dict[str, Any]:
        """The run as the documented JSON object; `full` False is the shorter form that lists use."""
        events = self.events()

        def part(name: str) -> Any:
            value = self.value(name)
            return standing(value, events) if name == PART else value

        record = merged(self.record, events)
        return describe(record, part, snapshot=self.snapshot, liveness=self.liveness, full=full)

    def _read_record(self) -> dict[str, Any]:
        raise NotImplementedError


class SealedRun(Run):
    """A run behind a ref: a commit whose tree is the record."""

    def __init__(self, objects: Objects, run_id: str, commit: str) -> None:
        super().__init__(run_id)
        self.commit: str = commit
        self._objects = objects
        self._header: Commit | None = None
        self._summary: Summary | None = None
        self.entries: dict[str, str] | None = None

    @property
    def header(self) -> Commit:
        """The commit object; raises DamagedRecord when it is gone or not a commit."""
        if self._header is None:
            self._objects.load_commits([self])
        if self._header is None:
            raise self._damage()
        return self._header

    def set_header(self, header: Commit | None) -> None:
        """Take the commit read for this run, None when there was none to read."""
        self._header = header
        if header is None:
            self.problem = Problem("E010", f"its commit {self.commit[:12]} is missing or unreadable")
            return
        self._summary = decode_message(header.message.decode("utf-8", "surrogateescape"))
        if self._summary is not None and self._summary.run_id != self.id:
            self.problem = Problem("E012", f"its commit is the run {self._summary.run_id}")
        elif self._summary is not None and self._summary.format > FORMAT:
            self.problem = Problem("W012", f"written by a later gitrun (format {self._summary.format})")

    @property
    def summary(self) -> Summary:
        if self._header is None and self.problem is None:
            self._objects.load_commits([self])
        if self._summary is None and self.problem is None:
            self._summary = self._summary_of_record()
        return self._summary or Summary(self.id, "damaged")

    @property
    def snapshot(self) -> str | None:
        parents = self.header.parents
        return parents[0] if parents else None

    def part(self, name: str) -> bytes | None:
        place = (self.record.get("parts") or {}).get(name)
        if place is None:
            return None
        data = self._place(name, place)
        self._check(name, hashlib.sha256(data).hexdigest(), place)
        return data

    def value(self, name: str) -> Any:
        """As `Run.value`, shared between runs whose part is the same Git blob."""
        place = (self.record.get("parts") or {}).get(name)
        if type(place) is not dict or place.get("in") != "tree":
            return super().value(name)
        oid = self._entry(name)
        try:
            digest, value = self._objects.shared_value(self.id, oid, name)
        except KeyError as problem:
            self.problem = Problem("E014", f"{name} cannot be read: {_gone(oid)}")
            raise self._damage() from problem
        self._check(name, digest, place)
        return value

    def events(self) -> list[Event]:
        return self._objects.events(self.id)

    def _read_record(self) -> dict[str, Any]:
        oid = self._entry("run.json")
        try:
            record = check_shape(check_readable(decode(self._objects.blob(oid))))
        except KeyError as problem:
            self.problem = Problem("E011", f"run.json cannot be read: {_gone(oid)}")
            raise self._damage() from problem
        except (DecodeProblem, DamagedRecord) as problem:
            said = str(problem).removeprefix("run.json: ").removeprefix("run.json ")
            self.problem = Problem("E011", f"run.json cannot be read: {said}")
            raise self._damage() from problem
        except NewerFormat as problem:
            self.problem = Problem("W012", problem.message)
            raise
        if record["id"] != self.id:
            self.problem = Problem("E012", f"its run.json is the run {record['id']}")
            raise self._damage()
        return record

    def raw_record(self) -> bytes:
        """The bytes of run.json, checked as `record` is."""
        self.record  # noqa: B018  raises what there is to raise
        return self._objects.blob(self._entry("run.json"))

    def _entry(self, name: str) -> str:
        """The object id of a file of the record."""
        if self.entries is None:
            self.header  # noqa: B018  raises where there is no commit to read a tree from
            self._objects.load_trees([self])
        oid = (self.entries or {}).get(name)
        if oid is None:
            if self.entries or self.problem is None:  # else load_trees has said why there are none
                self.problem = Problem("E011", f"its tree holds no {name}")
            raise self._damage()
        return oid

    def _place(self, name: str, place: Any) -> bytes:
        if place.get("in") == "tree":
            oid = self._entry(name)
            try:
                return self._objects.blob(oid)
            except KeyError as problem:
                self.problem = Problem("E014", f"{name} cannot be read: {_gone(oid)}")
                raise self._damage() from problem
        if (place.get("bytes") or 0) > MAX_BYTES and name.endswith((".json", ".jsonl")):
            self.problem = Problem("E014", f"{name} has {place['bytes']:,} bytes, more than JSON may have")
            raise self._damage()
        try:
            return self._objects.from_store(place["chunks"], place["bytes"])
        except (KeyError, TypeError, ValueError) as problem:
            self.problem = Problem("E014", f"{name} cannot be found: {problem}")
            raise self._damage() from problem

    def _check(self, name: str, digest: str, place: Any) -> None:
        if digest != place.get("sha256"):
            self.problem = Problem("E014", f"{name} is not what the record says")
            raise self._damage()

    def _summary_of_record(self) -> Summary | None:
        """For a commit whose message is not ours: another wrapper around the same tree."""
        try:
            return decode_message(encode_message(self.record))
        except GitrunError as problem:
            self.problem = self.problem or Problem("E011", problem.message)
            return None

    def _damage(self) -> DamagedRecord:
        what = self.problem.what if self.problem else "unreadable"
        return DamagedRecord(
            f"run {self.id} is damaged: {what}", kept="every other run is as it was", next="gitrun status"
        )


def _gone(oid: str) -> str:
    return f"object {oid} is missing, corrupt or too big"


def decode_part(run_id: str, name: str, data: bytes) -> Any:
    """The value of a JSON or JSON-lines part; raises DamagedRecord."""
    try:
        return decode_lines(data, MAX_BYTES) if name.endswith(".jsonl") else decode(data)
    except DecodeProblem as problem:
        raise DamagedRecord(f"run {run_id} is damaged: {name} cannot be read: {problem}") from problem
