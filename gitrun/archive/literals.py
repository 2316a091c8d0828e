"""The values in an expression: words that may be numbers, text in quotes, times as people say them."""

from __future__ import annotations

import re
import time
from typing import NamedTuple

from gitrun.archive.harmless import harmless
from gitrun.model.times import iso, parse_iso

TEXT_LIMIT = 1000  # characters of a text that count
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhdw])")
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:\.\d{1,6})?)?)?(Z?)", re.ASCII)


class Literal(NamedTuple):
    """A value as text, and as a number where it is one."""

    text: str
    number: float | int | None
    quoted: bool = False

    @classmethod
    def of(cls, text: str, quoted: bool) -> Literal:
        """What was typed; in quotes it is text alone."""
        return cls(harmless(text, TEXT_LIMIT), None if quoted else _number(text), quoted)


def as_seconds(text: str) -> float | None:
    """The seconds in `90s`, `2h`, `1.5d`; None for anything else."""
    match = _SPAN.fullmatch(text)
    return float(match[1]) * _UNITS[match[2]] if match else None


def as_time(text: str, now_s: float) -> str | None:
    """The UTC time, as records write it, of a date or time in the reader's zone (`Z` behind it: UTC), or of `-7d`."""
    if text.startswith("-") and (seconds := as_seconds(text[1:])) is not None:
        return iso(max(0, int((now_s - seconds) * 1e9)))
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    date, minutes, seconds_text, zone = match.groups()
    whole = f"{date}T{minutes or '00:00'}{seconds_text or ':00'}Z"
    try:
        return iso(parse_iso(whole) if zone else _local_ns(whole))
    except (ValueError, OverflowError):
        return None  # no day of the calendar


def _local_ns(whole: str) -> int:
    """Nanoseconds since the epoch of a time that is written as if it were UTC, and meant in the reader's zone."""
    ns = parse_iso(whole)
    fields = time.gmtime(ns // 10**9)
    return int(time.mktime((*fields[:6], 0, 0, -1))) * 10**9 + ns % 10**9


def _number(text: str) -> float | int | None:
    try:
        return int(text) if len(text) < 400 else None
    except ValueError:
        pass  # not a whole one
    try:
        return float(text) if "_" not in text else None
    except ValueError:
        return None
