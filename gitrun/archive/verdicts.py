"""The words of verdicts, as lists and pages need them: of one replay, and of all replays of a run together.

Together they are as strong as the weakest of them: one replay that differs is not outvoted. A replay of a prefix
proves no more than that (spec/claims.md), so it never counts as one of the whole run, unless it differs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PART = "verdict.json"
WEAKEST_FIRST = ("differs", "unverifiable", "tolerance", "semantic", "bit")
PREFIX = "prefix "  # before the word of a replay that was stopped on purpose


def word_of(verdict: Any) -> str | None:
    """The one word of a `verdict.json`, with "prefix" before it where it is about no more; None where it is none."""
    word = verdict.get("verdict") if type(verdict) is dict else None
    if type(word) is not str or word not in WEAKEST_FIRST:
        return None
    return (PREFIX if prefix_of(verdict) else "") + word


def prefix_of(verdict: dict[str, Any]) -> dict[str, Any] | None:
    """What of the run a verdict covers, where the replay was stopped on purpose; None: all of it."""
    prefix = verdict.get("prefix")
    return prefix if type(prefix) is dict and prefix.get("level") is not None else None


def weakest(words: Iterable[str]) -> str | None:
    """What several replays together say; None where none is about the whole run."""
    whole = ["differs" if word == PREFIX + "differs" else word for word in words]
    return min((word for word in whole if word in WEAKEST_FIRST), key=WEAKEST_FIRST.index, default=None)
