"""A replay without what lies around its tree: an empty home, no caches, no files of earlier programs.

A run that found a download in a cache, or a setting in a dotfile, depends on them, and no source says so. With
`--clean` the program gets empty directories for its home and its temporary files, and so for all that follows from
them (`~/.cache`, `~/.config`). Three things are no state of a program and stay: certificates, the settings that say
where packages come from, and who the user is for Git. What the run had read from outside its tree is named either way.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping

from gitrun.archive.entries import Entry
from gitrun.files.names import show
from gitrun.model.listing import listed

_REMOVED = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TEMP", "TMP")
# A variable that names a file of settings, and where that file is when the variable is not set.
_KEPT_FILES = (
    ("GIT_CONFIG_GLOBAL", "HOME", ".gitconfig"),
    ("GIT_CONFIG_GLOBAL", "XDG_CONFIG_HOME", "git/config"),
    ("PIP_CONFIG_FILE", "XDG_CONFIG_HOME", "pip/pip.conf"),
    ("PIP_CONFIG_FILE", "HOME", ".pip/pip.conf"),
    ("UV_CONFIG_FILE", "XDG_CONFIG_HOME", "uv/uv.toml"),
    ("NETRC", "HOME", ".netrc"),
)
_MOST_SHOWN = 5


def cleaned(variables: Mapping[str, str], scratch: str) -> dict[str, str]:
    """The variables of a program with an empty home and an empty place for temporary files, made below `scratch`."""
    home, temporary = os.path.join(scratch, "home"), os.path.join(scratch, "tmp")
    for directory in (home, temporary):
        os.mkdir(directory, 0o700)
    clean = {name: value for name, value in variables.items() if name not in _REMOVED}
    for name, base, below in _KEPT_FILES:
        file = os.path.join(_base(variables, base), below)
        if name not in clean and os.path.isabs(file) and os.path.isfile(file):
            clean[name] = file
    return {**clean, "HOME": home, "TMPDIR": temporary}


def state_places(environ: Mapping[str, str]) -> list[str]:
    """Directories that hold what programs leave behind: homes, caches, temporary files."""
    named = ["HOME", "TMPDIR", *(name for name in _REMOVED if name.startswith("XDG_"))]
    places = [environ.get(name, "") for name in named] + [tempfile.gettempdir(), "/tmp", "/var/tmp"]
    real = [os.path.realpath(place) for place in places if os.path.isabs(place)]
    return list(dict.fromkeys(place for place in real if place != "/"))


def is_state(entry: Entry, places: Iterable[str]) -> bool:
    """Whether an input is a file that nobody named and that lies where programs leave their files."""
    if entry.kind != "input" or entry.is_inside or entry.facts.get("evidence") == "declared":
        return False
    path = os.path.realpath(os.fsdecode(entry.path))
    return any(path.startswith(place.rstrip("/") + "/") for place in places)


def state_notes(entries: Iterable[Entry], places: Iterable[str], is_clean: bool) -> list[str]:
    """What a verdict should say of the state that a run had read from outside its tree."""
    places = list(places)
    found = [show(entry.path) for entry in entries if is_state(entry, places)]
    if not found:
        return []
    which = listed(found, _MOST_SHOWN)
    more = "an empty home and no temporary files were given to the replay" if is_clean else "--clean tries it without"
    return [f"the run read state from outside its tree ({which}); {more}"]


def _base(variables: Mapping[str, str], name: str) -> str:
    home = variables.get("HOME", "")
    return home if name == "HOME" else variables.get(name) or os.path.join(home, ".config")
