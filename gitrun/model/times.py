"""Times in records: UTC, microseconds, ISO 8601 with a Z. In code: integer nanoseconds (`*_ns`)."""

from __future__ import annotations

import re
import time

_ISO = re.compile(r"\A(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z\Z")


def iso(ns: int) -> str:
    """`2026-11-24T06:12:46.123456Z` for nanoseconds since the epoch."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1000:06d}Z"


def parse_iso(text: str) -> int:
    """Nanoseconds since the epoch; raises ValueError on anything but the form `iso` writes."""
    match = _ISO.match(text)
    if match is None:
        raise ValueError(f"not a UTC time: {text!r}")
    import calendar  # brings datetime and locale along, which the way to a spawn has no use for

    seconds = calendar.timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S"))
    return seconds * 1_000_000_000 + int((match[2] or "0").ljust(9, "0"))
