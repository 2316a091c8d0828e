"""What comes of an attempt to have an environment again: one that can be used, at a level, or a precise refusal.

Levels, the best first. `same build`: the very build of Python and, file by file, the distributions of the record.
`in place`: the recorded environment is still where it was, with the same distributions, and is used there.
`same version`: every version is right, but the build of Python or the content of a wheel is not. `current`: nothing
is promised; the program runs in what is found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gitrun.errors import GitrunError

if TYPE_CHECKING:
    from gitrun.replay.environments.shelf import Hold

SAME_BUILD, IN_PLACE, SAME_VERSION, CURRENT = "same build", "in place", "same version", "current"
ALLOWED = ("same-version", "current")


class NotRebuilt(GitrunError):
    """The environment of a run cannot be had at a level that is allowed; the message says what is missing."""


class Built(NamedTuple):
    """An environment to run in.

    `directory` is its prefix and `python` its interpreter, both None where nothing has to be turned to it: the
    program runs in what is found (`current`), or in an installation that is no virtual environment (`in place`).
    `variables` have to be set for the program. `notes` are sentences for the verdict. `hold` keeps the collector
    away as long as this process, or one forked from it, lives.
    """

    directory: str | None
    python: str | None
    level: str
    digest: str
    notes: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    cached: bool = False
    hold: Hold | None = None


def is_allowed(level: str, allow: str | None) -> bool:
    """Whether a level is good enough; None allows the two that are exact."""
    if level in (SAME_BUILD, IN_PLACE):
        return True
    return allow == "current" or (allow == "same-version" and level == SAME_VERSION)
