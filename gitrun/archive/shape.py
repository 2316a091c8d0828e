"""The shape of run.json, checked once, so that nothing behind it has to wonder.

A record out of an archive may be damaged or made to harm. Whether each field this version uses
has the type of the specification is asked here, when the record is read; fields it does not know
are nobody's business and stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gitrun.errors import DamagedRecord
from gitrun.model.times import parse_iso

Check = Callable[[Any], bool]


def check_shape(record: dict[str, Any]) -> dict[str, Any]:
    """The record itself; raises DamagedRecord naming the first field that is not what the spec says."""
    for key in ("command", "started_at"):
        if record.get(key) is None:
            raise DamagedRecord(f"run.json has no {key}")
    _check(record, _RUN, "")
    _check(record.get("source") or {}, _SOURCE, "source.")
    for name, place in (record.get("parts") or {}).items():
        if place.get("in") not in ("tree", "store"):
            raise DamagedRecord(f"run.json: parts.{name} is nowhere")
        _check(place, _PLACE, f"parts.{name}.")
    return record


def _check(fields: dict[str, Any], checks: dict[str, Check], where: str) -> None:
    for key, holds in checks.items():
        value = fields.get(key)
        if value is not None and not holds(value):
            raise DamagedRecord(f"run.json: {where}{key} is not what it should be")


def _is(*kinds: type) -> Check:
    return lambda value: type(value) in kinds


def _list_of(inner: Check) -> Check:
    return lambda value: type(value) is list and all(map(inner, value))


def _map_to(inner: Check) -> Check:
    return lambda value: type(value) is dict and all(map(inner, value.values()))


def _time(value: Any) -> bool:
    try:
        return type(value) is str and parse_iso(value) >= 0
    except (ValueError, OverflowError):
        return False


def _at_path(value: Any) -> bool:
    """An object about one path; its counts, where it has them, are counts."""
    if type(value) is not dict or type(value.get("path")) is not str:
        return False
    return all(value.get(key) is None or _count(value[key]) for key in ("bytes", "files", "n"))


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _chunk(value: Any) -> bool:
    return type(value) is list and len(value) == 2 and type(value[0]) is str and _count(value[1])


_TEXT, _OBJECT, _FLAG = _is(str), _is(dict), _is(bool)
_OPTIONAL_TEXT, _OPTIONAL_INT = _is(str, type(None)), _is(int, type(None))
_TEXTS = _list_of(_TEXT)
_RUN: dict[str, Check] = {
    "command": _TEXTS,
    "cwd": _TEXT,
    "name": _TEXT,
    "group": _TEXT,
    "origin": _TEXT,
    "tags": _TEXTS,
    "notes": _TEXTS,
    "started_at": _time,
    "ended_at": _time,
    "duration_s": _is(int, float),
    "exit": _map_to(_OPTIONAL_INT),
    "links": _map_to(_OPTIONAL_TEXT),
    "source": _OBJECT,
    "process": _OBJECT,
    "lock": _map_to(_TEXT),
    "seeds": _OBJECT,
    "metrics": _OBJECT,
    "coverage": _OBJECT,
    "requires": _TEXTS,
    "parts": _map_to(_OBJECT),
}
_SOURCE: dict[str, Check] = {
    "tree": _TEXT,
    "base": _TEXT,
    "branch": _TEXT,
    "dirty": _FLAG,
    **dict.fromkeys(("modified", "deleted", "untracked", "conflicts", "changed_during_run"), _TEXTS),
    "empty_directories": _TEXTS,
    "excluded": _list_of(_at_path),
    "roots": _list_of(_at_path),
    "delta": _list_of(_at_path),
}
_PLACE: dict[str, Check] = {"bytes": _count, "sha256": _TEXT, "chunks": _list_of(_chunk)}
