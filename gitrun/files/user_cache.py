"""Where a user's caches lie: `$XDG_CACHE_HOME/gitrun`, else `~/.cache/gitrun`."""

from __future__ import annotations

import os
from collections.abc import Mapping


def user_cache(environ: Mapping[str, str], worktree: str | None, name: str) -> str | None:
    """The directory of the cache `name`; None where the user has no place for it, or only one inside the worktree."""
    home = environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):
        home = os.path.join(environ.get("HOME", ""), ".cache")
    if not os.path.isabs(home):
        return None
    place = os.path.join(os.path.realpath(home), "gitrun", name)
    if worktree is not None and place.startswith(os.path.realpath(worktree).rstrip("/") + "/"):
        return None  # a recorded tree has to stay as it is
    return place
