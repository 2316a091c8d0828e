"""What a checkout is made from: one value, whether it was frozen by a run or by `gitrun snapshot`.

A source is a Git tree, the files that stand beside it (`extra.jsonl`), whole trees that lie
elsewhere (`roots`), and the facts that let Git answer as it did then. It was read from an archive
that may be somebody else's, so every field is checked here, once, and typed from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from gitrun.errors import DamagedRecord, GitrunError
from gitrun.model.canonical import path_bytes
from gitrun.model.times import parse_iso

BLOB_ID_BYTES = 32


class Extra(NamedTuple):
    """A file beside the tree: its bytes are in the store; `root` is the number of the root it lies in."""

    path: bytes
    mode: int
    size_bytes: int
    reason: str
    chunks: list[tuple[str, int]]
    root: int | None


class Root(NamedTuple):
    """A tree that lies elsewhere: `path` is below the worktree, or absolute where it was outside."""

    n: int
    path: bytes
    tree: str
    commit: str | None

    @property
    def is_outside(self) -> bool:
        """Whether the root has no place inside the worktree."""
        return self.path.startswith(b"/") or self.path.split(b"/")[0] == b".."


class Source(NamedTuple):
    """The files of one moment; `label` names them in messages, `when_ns` becomes every mtime."""

    label: str
    tree: str
    snapshot: str | None
    facts: Mapping[str, Any]
    roots: list[Root]
    extra: list[Extra]
    lines: list[Any]  # those of extra.jsonl, as they were read
    when_ns: int

    def paths(self, fact: str) -> set[bytes]:
        """The paths that a list of the facts holds, whether it lists texts or objects with a `path`."""
        listed = self.facts.get(fact) or []
        texts = [item.get("path") if isinstance(item, dict) else item for item in listed]
        return {path_bytes(text).rstrip(b"/") for text in texts if isinstance(text, str)}


class Recorded(Protocol):
    """What is asked of a run; `archive.run.Run` answers."""

    id: str

    @property
    def record(self) -> dict[str, Any]: ...
    @property
    def snapshot(self) -> str | None: ...
    def value(self, name: str) -> Any: ...


def of_run(run: Recorded) -> Source:
    """The source a run started from; raises DamagedRecord where the record does not hold one."""
    label = f"run {run.id}"
    facts = run.record.get("source") or {}
    if not facts.get("tree"):
        raise GitrunError(f"{label} has no source: {_why(run.record)}", next=f"gitrun show {run.id}")
    return make_source(label, facts, run.value("extra.jsonl") or [], run.record.get("started_at"), run.snapshot)


def make_source(
    label: str, facts: Mapping[str, Any], extra: list[Any], started_at: Any, snapshot: str | None
) -> Source:
    """A Source from what was read; raises DamagedRecord for anything that is not what it should be."""
    try:
        roots = [_root(entry) for entry in facts.get("roots") or []]
        beside = [_extra(entry) for entry in extra]
        return Source(label, _text(facts["tree"]), snapshot, facts, roots, beside, list(extra), parse_iso(started_at))
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise DamagedRecord(f"{label}: its source cannot be read: {problem!r}") from problem


def _why(record: Mapping[str, Any]) -> str:
    coverage = record.get("coverage") or {}
    return str(coverage.get("source") or "none was recorded")


def _root(entry: Any) -> Root:
    commit = entry.get("commit")
    return Root(_count(entry["n"]), path_bytes(_text(entry["path"])), _text(entry["tree"]), commit and _text(commit))


def _extra(entry: Any) -> Extra:
    chunks = [(_text(blob), _count(length)) for blob, length in entry["chunks"]]
    size = _count(entry["bytes"])
    if sum(length for _, length in chunks) != size:
        raise ValueError(f"{entry['path']!r}: its chunks do not add up to {size} bytes")
    if any(len(bytes.fromhex(blob)) != BLOB_ID_BYTES for blob, _ in chunks):
        raise ValueError(f"{entry['path']!r}: not a blob id")
    root = entry.get("root")
    mode = entry["mode"]
    mode = int(mode, 8) if isinstance(mode, str) else _count(mode)
    number = None if root is None else _count(root)
    return Extra(path_bytes(_text(entry["path"])), mode, size, _text(entry["reason"]), chunks, number)


def _text(value: Any) -> str:
    if type(value) is not str or not value:
        raise TypeError(f"{value!r} is not a text")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is not a count")
    return value
