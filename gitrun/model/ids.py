"""Run ids: `YYYYMMDD-HHMMSS-xxxxxx`, UTC and six random Crockford base32 characters.

They sort by time, a server can filter them by ref prefix (`refs/gitrun/runs/202611`), and people
type the last six characters. They are flat: an id is one component of a ref name.
"""

from __future__ import annotations

import re
import time
from typing import Any

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_SHA256 = re.compile(r"[0-9a-f]{64}")
RUN_ID = re.compile(r"\A[0-9]{8}-[0-9]{6}-[0-9a-hjkmnp-tv-z]{6}\Z")


def new_run_id(now_s: float, random4: bytes) -> str:
    """The id of a run that starts at `now_s` (seconds since the epoch), from four random bytes."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime(now_s)) + random_word(random4)


def random_word(random4: bytes) -> str:
    """Six Crockford base32 characters (30 bits) out of four random bytes."""
    if len(random4) < 4:
        raise ValueError("four random bytes are needed")
    bits = int.from_bytes(random4[:4], "big")
    return "".join(ALPHABET[(bits >> shift) & 31] for shift in (25, 20, 15, 10, 5, 0))


def is_run_id(text: str) -> bool:
    """Whether `text` has the shape of a run id."""
    return RUN_ID.match(text) is not None


def short(run_id: str) -> str:
    """What people type: the last six characters."""
    return run_id[-6:]


def second(run_id: str) -> str:
    """When it began, `YYYYMMDD-HHMMSS`: ids of one second are in no order."""
    return run_id[:15]


def is_sha256(value: Any) -> bool:
    """Whether a value read from somewhere is a SHA-256 as records write it, and so may be a blob's id."""
    return type(value) is str and _SHA256.fullmatch(value) is not None
