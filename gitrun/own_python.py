"""gitrun's own interpreter imports what it was installed with, whatever the user's Python is told to import.

PYTHONPATH and the working directory come before the standard library. They are meant for the user's programs, and
a `signal.py` or `json.py` there would run inside gitrun. So the first thing gitrun does is to take these places off
its `sys.path`, and its own further processes do not even get them. The recorded command has all of them.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as in typing: nothing is imported here that could be the user's
if TYPE_CHECKING:
    from collections.abc import Mapping

_FOR_PROGRAMS = ("PYTHONPATH", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONWARNINGS")
_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def leave_users_places() -> None:
    """Takes off `sys.path` what PYTHONPATH and the working directory, or a script's, have put there.

    A gitrun that was found there itself keeps its place; one that PYTHONPATH leads to, as `module load` does it, has
    all of PYTHONPATH, for its libraries may be beside it. But they are asked last.
    """
    named = _named(os.environ)
    users = {*named, *map(_absolute, sys.path[: not sys.flags.safe_path])} - _places_of_python()
    kept = [place for place in sys.path if _absolute(place) not in users]
    if _HOME in users:
        kept += [place for place in named if place in users] if _HOME in named else [_HOME]
    sys.path[:] = kept


def keep_bytecode_whole() -> None:
    """Has Python write no bytecode below a limit on the size of files (`ulimit -f`).

    Before 3.12.8 and 3.13.1 it keeps the part that could be written, and fails with it from then on (python/cpython
    issue 126606).
    """
    import resource  # a file of its own

    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        sys.dont_write_bytecode = True


def own_command(*words: str) -> tuple[str, ...]:
    """The command line of `gitrun *words` as a process of its own, to be started with `own_variables`."""
    return (sys.executable, "-P", "-m", "gitrun", *words)


def own_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables for a Python of gitrun's own: the user's without those that are meant for programs."""
    kept = {name: value for name, value in environ.items() if name not in _FOR_PROGRAMS}
    if _HOME in _named(environ):
        return {**kept, "PYTHONPATH": environ["PYTHONPATH"]}
    return kept if _HOME in _places_of_python() else {**kept, "PYTHONPATH": _HOME}


def _named(environ: Mapping[str, str]) -> list[str]:
    value = "" if sys.flags.ignore_environment else environ.get("PYTHONPATH", "")
    return [_absolute(place) for place in value.split(os.pathsep)] if value else []


def _absolute(place: str) -> str:
    try:
        return os.path.abspath(place)
    except OSError:
        return place  # the working directory was removed


def _places_of_python() -> set[str]:
    """Where the standard library and installed packages are: of a directory that is named twice one mention is left."""
    site = sys.modules.get("site")
    library = os.path.dirname(os.__file__)
    installed = [*site.getsitepackages(), site.getusersitepackages()] if site is not None else []
    return set(map(_absolute, (library, os.path.join(library, "lib-dynload"), *installed)))
