"""Where a replay finds the code that lay outside the worktree: in the record's copy of it, or still at its old place.

A checkout writes roots to `<directory>.roots/<n>` and other loaded files to `<directory>.loaded/<absolute path>`;
nothing is ever written to an old place. A path of the command or of a variable that names such a place is turned to
the copy. A program may also reach outside by its own means (an edit of `sys.path`, an editable install), which nobody
can turn; so the directories that modules were found under go onto PYTHONPATH: those of roots in front of all else,
others at the end, where the program's own paths come first.

A loaded file whose old place still has the recorded bytes is used there, because a program may find more beside it
than code. One that has changed since is used from the copy, and a note says so.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable

from gitrun.capture.facts import sha256_of
from gitrun.capture.imports import MAIN, import_root
from gitrun.files.names import show
from gitrun.replay.checkout import LOADED, ROOTS
from gitrun.replay.source import Extra, Root, Source

_SITE = re.compile(rb"/(?:site|dist)-packages\Z")
_MOST_NOTES = 5


class Elsewhere:
    """The places outside the worktree that a source knows, after its checkout to `directory`.

    `seen` gives the name under which the program sees one of our paths.
    """

    def __init__(self, source: Source, directory: str, seen: Callable[[str], str] = str) -> None:
        self._seen = seen
        self._roots: list[Root] = sorted(
            (root for root in source.roots if root.path.startswith(b"/")), key=lambda root: len(root.path), reverse=True
        )
        self._root_copies = os.fsencode(directory + ROOTS)
        self._copies = os.fsencode(directory + LOADED)
        self._loaded = [entry for entry in source.extra if entry.is_outside]
        self.changed = {entry.path for entry in self._loaded if not _is_intact(entry)}

    def place(self, text: str) -> str | None:
        """Where the absolute path `text` is to be looked for instead; None for where it is."""
        path = os.fsencode(text).rstrip(b"/") or b"/"
        for root in self._roots:
            if path == root.path or path.startswith(root.path + b"/"):
                copy = os.path.join(self._root_copies, b"%d" % root.n) + path[len(root.path) :]
                return self._seen(os.fsdecode(copy)) if os.path.lexists(copy) else None
        if any(path == each or each.startswith(path + b"/") for each in self.changed):
            return self._seen(os.fsdecode(self._copies + path))
        return None

    def with_paths(self, variables: dict[str, str]) -> dict[str, str]:
        """The variables with a PYTHONPATH under which all modules are found that lay outside."""
        own = variables.get("PYTHONPATH", "")
        known = own.split(os.pathsep)
        first = [
            os.path.normpath(os.path.join(self._root_copies, b"%d" % root.n, below))
            for root in self._roots
            for below in root.imported_from
            if not below.startswith(b"/") and b".." not in below.split(b"/")
        ]
        before = [path for path in map(self._seen, map(os.fsdecode, dict.fromkeys(first))) if path not in known]
        after = [path for path in map(self._seen, map(os.fsdecode, dict.fromkeys(self._search()))) if path not in known]
        if not before and not after:
            return variables
        return {**variables, "PYTHONPATH": os.pathsep.join([*before, *([own] if own else []), *after])}

    def notes(self) -> list[str]:
        """What a verdict should say: files that ran and that are no longer at their old place."""
        names = sorted(self.changed)
        words = [f"{show(path)} is not there as it ran; the recorded copy is used" for path in names[:_MOST_NOTES]]
        more = len(names) - _MOST_NOTES
        return [*words, f"{more} more files outside the worktree likewise"] if more > 0 else words

    def _search(self) -> Iterable[bytes]:
        """The directories on `sys.path` that loaded files were found under, or their copies."""
        scripts = {os.path.dirname(entry.path) for entry in self._loaded if entry.module == MAIN}
        found: dict[bytes, None] = {}
        for entry in self._loaded:
            directory = import_root(entry.module, entry.path)
            if directory is not None and directory not in scripts:
                found[directory] = None
        for directory in found:
            moved = self.place(os.fsdecode(directory))
            if moved is not None:
                yield os.fsencode(moved)
            elif not _SITE.search(directory):
                # in front of the standard library, whose names a whole directory might take
                yield self._copies + directory if _hides_library(directory) else directory


def _is_intact(entry: Extra) -> bool:
    try:
        is_as_long = os.stat(entry.path).st_size == entry.size_bytes
    except (OSError, ValueError):
        return False  # gone, or no path that there could be
    return is_as_long and sha256_of(entry.path) == entry.sha256


def _hides_library(directory: bytes) -> bool:
    try:
        names = {os.fsdecode(name).partition(".")[0] for name in os.listdir(directory)}
    except OSError:
        return True
    return not names.isdisjoint(sys.stdlib_module_names)
