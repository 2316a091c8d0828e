"""What a checkout is made from: one value, whether it was frozen by a run or by `gitrun snapshot`.

A source is a Git tree, the files that stand beside it (`extra.jsonl`), whole trees that lie
elsewhere (`roots`), and the facts that let Git answer as it did then. It was read from an archive
that may be somebody else's, so every field is checked here, once, and typed from then on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from gitrun.errors import DamagedRecord, GitrunError, HostilePath
from gitrun.model.canonical import path_bytes
from gitrun.model.times import parse_iso

_BLOB_ID = re.compile("[0-9a-f]{64}")
_OBJECT_IDS: dict[object, re.Pattern[str]] = {"sha1": re.compile("[0-9a-f]{40}"), "sha256": _BLOB_ID}
_ANY_ID = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_DISK_MODES = {"100644": 0o100644, "100755": 0o100755}
_MODES = {**_DISK_MODES, "100664": 0o100644}
_MODE_KINDS = ("mode", "file for link")


class Extra(NamedTuple):
    """A file beside the tree: its bytes are in the store; `root` is the number of the root it lies in.

    `module` is the name under which a file outside the source was imported.
    """

    path: bytes
    mode: int
    size_bytes: int
    reason: str
    chunks: list[tuple[str, int]]
    root: int | None
    sha256: str = ""
    module: str | None = None

    @property
    def is_outside(self) -> bool:
        """Whether it lay in no part of the source: its path is absolute."""
        return self.path.startswith(b"/") and self.root is None


class Root(NamedTuple):
    """A tree that lies elsewhere: `path` is below the worktree, or absolute where it was outside.

    `imported_from` are the directories in it that modules were found under.
    """

    n: int
    path: bytes
    tree: str
    commit: str | None
    imported_from: tuple[bytes, ...] = ()

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
    modes: Mapping[bytes, int]  # on disk, where Git was told not to look at them

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
        for oid in (facts["tree"], *(facts.get("base"), snapshot), *(root.tree for root in roots)):
            _check_id(oid, facts.get("object_format"))
        when_ns, modes = parse_iso(started_at), _modes(facts.get("delta") or [])
        return Source(label, facts["tree"], snapshot, facts, roots, beside, list(extra), when_ns, modes)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise DamagedRecord(f"{label}: its source cannot be read: {problem!r}") from problem


def _why(record: Mapping[str, Any]) -> str:
    coverage = record.get("coverage") or {}
    return str(coverage.get("source") or "none was recorded")


def _root(entry: Any) -> Root:
    commit = entry.get("commit")
    _check_id(commit, None)  # a root may have another object format
    found = tuple(path_bytes(_text(name)) for name in entry.get("imported_from") or [])
    path, tree = path_bytes(_text(entry["path"])), _text(entry["tree"])
    return Root(_count(entry["n"]), path, tree, commit and _text(commit), found)


def _extra(entry: Any) -> Extra:
    chunks = [(_text(blob), _count(length)) for blob, length in entry["chunks"]]
    size = _count(entry["bytes"])
    if sum(length for _, length in chunks) != size:
        raise ValueError(f"{entry['path']!r}: its chunks do not add up to {size} bytes")
    if not all(_BLOB_ID.fullmatch(blob) for blob, _ in chunks):
        raise ValueError(f"{entry['path']!r}: not a blob id")
    root = entry.get("root")
    mode = entry["mode"]
    mode = _MODES.get(mode if isinstance(mode, str) else f"{_count(mode):o}")
    if mode is None:
        raise HostilePath(f"{entry['path']!r}: the mode {entry['mode']!r} is none of a file")
    number = None if root is None else _count(root)
    path, reason = path_bytes(_text(entry["path"])), _text(entry["reason"])
    module = None if entry.get("module") is None else _text(entry["module"])
    return Extra(path, mode, size, reason, chunks, number, str(entry.get("sha256")), module)


def _modes(delta: list[Any]) -> dict[bytes, int]:
    """The modes that the delta names."""
    return {path_bytes(_text(each["path"])): _DISK_MODES[each["mode"]] for each in delta if each["kind"] in _MODE_KINDS}


def _check_id(value: Any, object_format: object) -> None:
    """Raise ValueError unless `value` is None or an object id of that format (of any, where it is not known)."""
    if value is not None and not (type(value) is str and _OBJECT_IDS.get(object_format, _ANY_ID).fullmatch(value)):
        raise ValueError(f"{value!r} is not an object id")


def _text(value: Any) -> str:
    if type(value) is not str or not value:
        raise TypeError(f"{value!r} is not a text")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is not a count")
    return value
