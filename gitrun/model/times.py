"""Times in records: UTC, microseconds, ISO 8601 with a Z. In code: integer nanoseconds (`*_ns`)."""

from __future__ import annotations

import re
import time

_ISO = re.compile(r"\A(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z\Z", re.ASCII)


def iso(ns: int) -> str:
    """`2026-11-24T06:12:46.123456Z` for nanoseconds since the epoch."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return _to_the_second(seconds) + f".{rest // 1000:06d}Z"


def parse_iso(text: str) -> int:
    """Nanoseconds since the epoch; raises ValueError on anything but the form `iso` writes."""
    match = _ISO.match(text)
    if match is None:
        raise ValueError(f"not a UTC time: {text!r}")
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    seconds = ((_days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
    if _to_the_second(seconds) != text[:19]:
        raise ValueError(f"not a day of the calendar: {text!r}")
    return seconds * 1_000_000_000 + int((match[7] or "0").ljust(9, "0"))


def _to_the_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01, by Hinnant's days_from_civil: the standard library's way imports calendar and locale."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468
