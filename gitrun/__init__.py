"""gitrun: a Git-backed, content-addressed archive of runs.

Inside a program: `gitrun.log`, `log_artifact`, `config`, `summary` and `seed`; `start_run` records the program itself,
`open` reads what was recorded. Each is loaded when it is first asked for, so a program that imports this pays for
nothing it does not use; what it found stays here under its name.
"""

from __future__ import annotations

__version__ = "0.1.0"
TYPE_CHECKING = False  # as in typing, which a program that imports this need not load
if TYPE_CHECKING:
    from gitrun.api.reading import open as open
    from gitrun.api.recording import start_run
    from gitrun.child.artifact import log_artifact
    from gitrun.child.metrics import log
    from gitrun.child.seeding import seed
    from gitrun.child.told import config, summary

# not `open`, which has another meaning in a program that says `from gitrun import *`
__all__ = ["config", "log", "log_artifact", "seed", "start_run", "summary"]

_HOMES = {
    "config": "gitrun.child.told",
    "log": "gitrun.child.metrics",
    "log_artifact": "gitrun.child.artifact",
    "open": "gitrun.api.reading",
    "seed": "gitrun.child.seeding",
    "start_run": "gitrun.api.recording",
    "summary": "gitrun.child.told",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'gitrun' has no attribute {name!r}")
    found: object = getattr(__import__(_HOMES[name], fromlist=(name,)), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
