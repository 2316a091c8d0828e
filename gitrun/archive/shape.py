"""The shape of run.json, checked once, so that nothing behind it has to wonder.

A record out of an archive may be damaged or made to harm. Whether each field this version uses
has the type of the specification is asked here, when the record is read; fields it does not know
are nobody's business and stay as they are. Ids of objects are asked for every digit: they become
words of git's command line, where `--output=FILE` would be an order and `HEAD` another object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gitrun.errors import DamagedRecord
from gitrun.git.hashing import HEX_DIGITS, is_hex_id, is_object_id
from gitrun.model.ids import is_sha256
from gitrun.model.times import parse_iso

Check = Callable[[Any], bool]


def check_shape(record: dict[str, Any]) -> dict[str, Any]:
    """The record itself; raises DamagedRecord naming the first field that is not what the spec says."""
    for key in ("command", "started_at"):
        if record.get(key) is None:
            raise DamagedRecord(f"run.json has no {key}")
    _check(record, _RUN, "")
    source = record.get("source") or {}
    _check(source, _SOURCE, "source.")
    _check_ids(source, source.get("object_format"))
    _check(record.get("process") or {}, _PROCESS, "process.")
    _check(record.get("lock") or {}, _LOCK, "lock.")
    _check(record.get("live") or {}, _LIVE, "live.")
    for name, place in (record.get("parts") or {}).items():
        if place.get("in") not in ("tree", "store"):
            raise DamagedRecord(f"run.json: parts.{name} is nowhere")
        _check(place, _PLACE, f"parts.{name}.")
    return record


def is_lock(value: dict[str, Any]) -> bool:
    """Whether these are the facts of a lockfile, as somebody says them of a run."""
    return type(value.get("state")) is str and all(
        value.get(key) is None or holds(value[key]) for key, holds in _LOCK.items()
    )


def _check(fields: dict[str, Any], checks: dict[str, Check], where: str) -> None:
    for key, holds in checks.items():
        value = fields.get(key)
        if value is not None and not holds(value):
            raise DamagedRecord(f"run.json: {where}{key} is not what it should be")


def _check_ids(source: dict[str, Any], fmt: str | None) -> None:
    """Trees and the snapshot are in the archive's format; a commit may be that of a repository with the other one."""
    here: Check = is_hex_id if fmt is None else lambda value: is_object_id(value, fmt)
    ids: dict[str, Check] = {"tree": here, "snapshot": here, "base": is_hex_id, "commit": is_hex_id}
    _check(source, ids, "source.")
    for root in source.get("roots") or []:
        _check(root, ids, "source.roots.")


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


def _word(value: Any) -> bool:
    """A text that the system takes: a word of a command, a path, the value of a variable."""
    return type(value) is str and "\0" not in value


def _command(value: Any) -> bool:
    return type(value) is list and value != [] and all(map(_word, value))


def _variables(value: Any) -> bool:
    if type(value) is not dict or not all(map(_word, value.values())):
        return False
    return all(name and "=" not in name and _word(name) for name in value)


def is_octal(value: Any) -> bool:
    """Whether a value is permission bits as records write them: octal digits, such as "0022"."""
    return type(value) is str and 0 < len(value) <= 7 and not value.strip("01234567")


def _observed(value: Any) -> bool:
    """What processes reported: of each an object, and in that one about its numerics, with counts of threads."""
    processes = value.get("processes") or [] if type(value) is dict else None
    if type(processes) is not list or not all(map(_OBJECT, processes)):
        return False
    numerics = [one.get("numerics") or {} for one in processes]
    return all(type(each) is dict and type(each.get("threads") or {}) is dict for each in numerics)


def _at_path(value: Any) -> bool:
    """An object about one path; its counts, where it has them, are counts."""
    if type(value) is not dict or type(value.get("path")) is not str:
        return False
    return all(value.get(key) is None or _count(value[key]) for key in ("bytes", "files", "n"))


def _root(value: Any) -> bool:
    return _at_path(value) and all(value.get(key) is None or type(value[key]) is str for key in _IDS)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _chunk(value: Any) -> bool:
    return type(value) is list and len(value) == 2 and is_sha256(value[0]) and _count(value[1])


_TEXT, _OBJECT, _FLAG = _is(str), _is(dict), _is(bool)
_OPTIONAL_TEXT, _OPTIONAL_INT = _is(str, type(None)), _is(int, type(None))
_TEXTS = _list_of(_TEXT)
_LOCK: dict[str, Check] = {"state": _TEXT, "reason": _TEXT, "source": _TEXT, "missing": _TEXTS, "vendored": _TEXTS}
_RUN: dict[str, Check] = {
    "command": _command,
    "cwd": _word,
    "worktree": _word,
    "name": _TEXT,
    "group": _TEXT,
    "origin": _TEXT,
    "tags": _TEXTS,
    "notes": _TEXTS,
    "claims": _TEXTS,
    "started_at": _time,
    "ended_at": _time,
    "duration_s": _is(int, float),
    "exit": _map_to(_OPTIONAL_INT),
    "links": _map_to(_OPTIONAL_TEXT),
    "source": _OBJECT,
    "process": _OBJECT,
    "members": _list_of(_OBJECT),
    "lock": _OBJECT,
    "seeds": _OBJECT,
    "metrics": _map_to(_OBJECT),
    "summary": _OBJECT,
    "system": _map_to(_OBJECT),
    "coverage": _OBJECT,
    "live": _OBJECT,
    "requires": _TEXTS,
    "parts": _map_to(_OBJECT),
}
_IDS = ("tree", "base", "commit", "snapshot")  # texts first, then what _check_ids asks
_LIVE: dict[str, Check] = {"snapshot": lambda value: type(value) is str and is_hex_id(value)}
_PROCESS: dict[str, Check] = {
    "umask": is_octal,
    "variables": _variables,
    "terminal_mode": _TEXT,
    "merged_streams": _FLAG,
    "observed": _observed,
}
_SOURCE: dict[str, Check] = {
    "object_format": lambda value: type(value) is str and value in HEX_DIGITS,
    **dict.fromkeys(_IDS, _TEXT),
    "branch": _TEXT,
    "dirty": _FLAG,
    **dict.fromkeys(("modified", "deleted", "untracked", "conflicts", "changed_during_run"), _TEXTS),
    "empty_directories": _TEXTS,
    "excluded": _list_of(_at_path),
    "roots": _list_of(_root),
    "delta": _list_of(_at_path),
}
_PLACE: dict[str, Check] = {"bytes": _count, "sha256": is_sha256, "chunks": _list_of(_chunk)}
