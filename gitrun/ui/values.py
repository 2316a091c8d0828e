"""The values of a list's columns as text: exact for programs, short for people."""

from __future__ import annotations

from typing import Any

from gitrun.archive.harmless import harmless
from gitrun.archive.keys import Key
from gitrun.model.ids import short
from gitrun.ui.words import duration, local_time

CELL = 32  # characters of a value of a run's own in a table
_WORDS = {None: "", True: "true", False: "false"}


def exact(key: Key, value: Any) -> str:
    """Every digit, UTC times, whole ids."""
    if value is None or type(value) is bool:
        return _WORDS[value]
    if type(value) is list:
        return ",".join(map(_item, value))
    return f"{value:.3f}" if key.name == "duration" and type(value) is float else harmless(str(value))


def brief(key: Key, value: Any) -> str:
    """Few digits, local times to the minute, the last characters of ids."""
    if key.name in ("id", "parent", "replay_of", "resumed_from"):
        return short(exact(key, value))
    if key.kind == "time":
        return local_time(value)[: len("YYYY-MM-DD HH:MM")]
    if key.kind == "seconds":
        return duration(value)
    if key.name == "changes":
        return str(value) if value else ""
    text = number(value) if type(value) is float else exact(key, value)
    return text if key.kind != "value" else harmless(text, CELL)


def number(value: float | int | None) -> str:
    """Four significant digits; empty where there is none."""
    return "" if value is None else str(value) if type(value) is int else f"{value:.4g}"


def _item(value: Any) -> str:
    return exact(Key(""), value) if type(value) is not list else "[" + ",".join(map(_item, value)) + "]"
