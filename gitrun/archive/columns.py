"""What a run has, under the keys that can be asked for: the fields of every run, and the values that it brought.

Run by run this takes a decoded record; asked of many runs it is a table, so `index_db` keeps what is found here.
Texts are harmless and cut: they go to terminals, and nobody compares more than the first thousand characters.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from gitrun.archive.harmless import harmless
from gitrun.archive.keys import DERIVED, FIELDS, Key
from gitrun.archive.literals import TEXT_LIMIT
from gitrun.archive.live_view import LiveRun
from gitrun.archive.message import Summary, decode_message, encode_message
from gitrun.archive.run import Run
from gitrun.archive.since import merged
from gitrun.archive.verdicts import word_of
from gitrun.errors import GitrunError

KEY_LIMIT = 400
_MOST_VALUES = 10_000  # of one run
_METRIC = struct.Struct("<4d")  # last, first, min, max: not a number where there is none
_OF = {"": 0, "first": 1, "min": 2, "max": 3}
_INT64 = 1 << 63


class Facts(NamedTuple):
    """What one run has: `fields` by the names of `FIELDS`, `values` by key, each as a database holds it."""

    fields: dict[str, Any]
    values: dict[str, Any]


class LiveFacts:
    """The facts of a run that is being recorded: what its programs have said is read once its values are asked for."""

    def __init__(self, run: LiveRun) -> None:
        self._run = run
        self._values: dict[str, Any] | None = None
        self.fields = facts_of(run.without_look()).fields

    @property
    def values(self) -> dict[str, Any]:
        """Values by key, as in `Facts`."""
        if self._values is None:
            self._values = facts_of(self._run).values
        return self._values


def facts_of(run: Run) -> Facts:
    """The facts of a run; one that cannot be read has a `problem`, and what is known of it all the same."""
    try:
        record = merged(run.record, run.events())
        summary = decode_message(encode_message(record)) or run.summary
        config = run.value("config.json")
        verdict = run.value("verdict.json") if summary.replay_of else None
    except GitrunError as problem:
        code, what = run.problem or ("E014", problem.message)
        status = run.summary.status if code == "W012" else "damaged"
        fields = _fields({}, run.summary._replace(run_id=run.id, status=status))
        return Facts({**fields, "problem": harmless(f"{code} {what}", TEXT_LIMIT)}, {})
    spaces = {
        "config": config.get("values") if type(config) is dict else None,
        "metrics": record.get("metrics"),
        "summary": record.get("summary"),
    }
    return Facts({**_fields(record, summary), "verdict": word_of(verdict)}, _values(spaces))


def decoder(key: Key) -> Callable[[Any], Any]:
    """What makes a value under a key out of what a database holds."""
    if key.name.startswith("metrics."):
        place = _OF[key.of]
        return lambda value: _METRIC.unpack(value)[place]
    if key.kind == "flag":
        return lambda value: None if value is None else bool(value)
    return lambda value: json.loads(value) if type(value) is bytes else value


def _fields(record: dict[str, Any], summary: Summary) -> dict[str, Any]:
    links, source = record.get("links") or {}, record.get("source") or {}
    members = record.get("members") or [{}]
    found = {
        "id": summary.run_id,
        "status": summary.status,
        "name": summary.name,
        "group": summary.group,
        "command": summary.command,
        "started": summary.started,
        "ended": record.get("ended_at"),
        "duration": summary.duration_s,
        "exit": int(summary.exit) if summary.exit.isdecimal() else summary.exit,
        "changes": summary.changes,
        "tag": _list(summary.tags),
        "note": _list(map(_note, record.get("notes") or [])),
        "branch": _text(source.get("branch")),
        "dirty": source.get("dirty"),
        "host": _text(members[0].get("host")),
        "parent": summary.parent,
        "replay_of": summary.replay_of,
        "resumed_from": _text(links.get("resumed_from")),
        "verdict": None,
        "problem": None,
    }
    assert found.keys() == FIELDS.keys() - set(DERIVED)
    return {name: None if value == "" else value for name, value in found.items()}


def _values(spaces: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for space, named in spaces.items():
        encode = _metric if space == "metrics" else _value
        for name, value in named.items() if type(named) is dict else ():
            if len(values) < _MOST_VALUES and (encoded := encode(value)) is not None:
                values[harmless(f"{space}.{name}", KEY_LIMIT)] = encoded
    return values


def _metric(value: Any) -> bytes | None:
    numbers = [value.get(name) for name in ("last", "first", "min", "max")] if type(value) is dict else [None]
    if numbers[0] is None:
        return None
    return _METRIC.pack(*map(_number, numbers))


def _number(value: Any) -> float:
    try:
        return float(value) if type(value) in (int, float) else float("nan")
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _value(value: Any) -> Any:
    """Text and finite numbers are themselves; what a column of a database cannot hold is JSON, as bytes."""
    if type(value) is str:
        return harmless(value, TEXT_LIMIT)
    if (type(value) is int and -_INT64 <= value < _INT64) or (type(value) is float and value == value):
        return value
    encoded = json.dumps(value)
    return encoded.encode() if len(encoded) <= TEXT_LIMIT else harmless(encoded, TEXT_LIMIT)


def _list(texts: Any) -> bytes:
    return json.dumps([harmless(text, TEXT_LIMIT) for text in texts]).encode()


def _note(note: Any) -> str:
    return str(note.get("body") if type(note) is dict else note)


def _text(value: Any) -> str | None:
    return harmless(value, TEXT_LIMIT) if type(value) is str else None
