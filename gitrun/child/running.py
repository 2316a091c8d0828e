"""The run that this process belongs to, as far as its program asks for it, and how gitrun speaks to who wrote it.

A script runs in a recording, outside of one, and after one, and is to do the same each time. So what `gitrun.log` and
the others cannot do is a line on stderr, once, and they go on.
"""

from __future__ import annotations

import os
import sys

_told: set[str] = set()


def member() -> str | None:
    """The directory that this process writes to; None where there is none, which the user is told once."""
    run = os.environ.get("GITRUN_RUN_DIR")
    if is_disabled():
        return None
    if not run:
        if os.environ.get("GITRUN_QUIET", "0") in ("", "0"):
            tell_once("not in a recorded run, so gitrun.log and the like do nothing")
        return None
    return os.path.join(run, "members", os.environ.get("GITRUN_MEMBER", "0"))


STANDS_IN = "GITRUN_STANDS_IN"


def is_stood_in_for() -> bool:
    """Whether the run that this program would begin is the one around it: it is replayed."""
    return os.environ.get(STANDS_IN) == "1" and bool(os.environ.get("GITRUN_RUN_DIR"))


def is_disabled() -> bool:
    """Whether the user wants nothing recorded, and no word about it."""
    return os.environ.get("GITRUN_DISABLE", "0") not in ("", "0")


def tell_once(text: str) -> None:
    """A line on stderr, the first time."""
    if text not in _told and len(_told) < 1000:
        _told.add(text)
        tell(text)


def tell(text: str) -> None:
    """A line on stderr."""
    try:
        sys.stderr.write(f"gitrun: {text}\n")
    except (AttributeError, OSError, ValueError):
        pass  # a program without stderr
