"""Which files a run read, as far as somebody said so: its Python processes, its configuration, its command line.

A Python process names each file that it opened. What else reads files says nothing; but what it is to read stands
mostly in its configuration: a value that is the path of something that exists is taken for an input. Most of what is
named so is no input: it is the source, or came with the interpreter, or the run has made it itself. Those are left out
by where they lie (`whereabouts`) and by what is known of the run's outputs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.facts import word_set
from gitrun.capture.imports import base_of
from gitrun.capture.outputs import is_environment
from gitrun.capture.places import AS_HERE, Places
from gitrun.capture.whereabouts import Where, Whereabouts
from gitrun.model.artifacts import MAX_INPUTS
from gitrun.model.canonical import path_bytes

if TYPE_CHECKING:
    from gitrun.capture.observed import Observed

OBSERVED, CONFIG = "observed", "config"
_CACHES = frozenset(
    map(
        os.fsencode,
        word_set(
            "__pycache__ .git .hg .svn .tox .nox .eggs .mypy_cache .pytest_cache .ruff_cache .pytype .hypothesis "
            ".ipynb_checkpoints node_modules"
        ),
    )
)
_TOOLS = tuple(b"/.cache/%b/" % tool for tool in (b"matplotlib", b"fontconfig", b"pip", b"uv", b"mesa_shader_cache"))
_SYSTEM = (b"/run/", b"/boot/", b"/var/lib/", b"/var/cache/")  # beside those that no code is loaded from
_LONGEST_PATH = 4096
_MOST_VALUES = 10_000


class Readings(NamedTuple):
    """What Python processes opened, by absolute path: `read` and not made by the run; `written`.

    `rewritten` are among both: a process had read the file before it wrote to it.
    """

    read: set[bytes]
    written: set[bytes]
    rewritten: set[bytes]


def readings(observed: Observed, cwd: bytes) -> Readings:
    """What the processes say; `cwd` is where the command started."""
    read: set[bytes] = set()
    made: set[bytes] = set()
    rewritten: set[bytes] = set()
    for process in observed.processes:
        base = base_of(process, cwd)
        mine: dict[bytes, str] = {}  # path -> the mode it was opened with first
        for opened in process.opened:
            path = os.path.normpath(os.path.join(base, opened.path))
            first = mine.setdefault(path, opened.mode)
            if opened.mode == "w" and first == "r":
                rewritten.add(path)
        read |= {path for path, mode in mine.items() if mode == "r"}
        made |= {path for path, mode in mine.items() if mode == "w"}
    return Readings(read - made, made | rewritten, rewritten - made)


def named_paths(
    config: Mapping[str, Any], command: Iterable[str], cwd: bytes, worktree: bytes | None, places: Places = AS_HERE
) -> set[bytes]:
    """Existing files and directories that are values of the configuration or words of the command, absolute."""
    found = {os.path.join(worktree or cwd, path) for path in _config_files(config)}
    texts = [*_texts(config.get("values")), *_texts(config.get("positional")), *_texts(config.get("jobs"))]
    for word in [*list(command)[1:], *texts][:_MOST_VALUES]:
        for text in (word, word.partition("=")[2]):
            if text and len(text) <= _LONGEST_PATH and "\0" not in text:
                path = places.real(os.path.normpath(os.path.join(cwd, path_bytes(text))))
                if os.path.exists(path):
                    found.add(path)
    return {os.path.normpath(path) for path in found}


def _config_files(config: Mapping[str, Any]) -> Iterator[bytes]:
    files = config.get("files")
    for each in files if isinstance(files, list) else []:
        if isinstance(each, dict) and isinstance(each.get("path"), str) and not each.get("note"):
            yield path_bytes(each["path"])


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value of the configuration."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


class Belongings:
    """Says of a path whether it can be an input at all.

    `own` are directories of gitrun and of Git, `environments` those that interpreters live in. Below `worktree` its own
    path does not count: that of a replay leads through the archive.
    """

    def __init__(
        self,
        whereabouts: Whereabouts,
        own: Iterable[bytes],
        prefixes: Iterable[bytes],
        worktree: bytes | None = None,
    ) -> None:
        self._top = None if worktree is None else worktree.rstrip(b"/") + b"/"
        self._whereabouts = whereabouts
        self._directories: dict[bytes, Where | None] = {}
        environments = [prefix for prefix in prefixes if is_environment(prefix)]
        self._never = tuple({path.rstrip(b"/") + b"/" for path in (*own, *environments) if path.strip(b"/")})

    def where(self, path: bytes) -> Where | None:
        """Where a file lies that may be an input; None for one of the system, an environment, a cache or gitrun."""
        if path.startswith(self._never) or path.startswith(_SYSTEM) or _is_cache(self._below(path)):
            return None
        if b"-packages/" in path:
            return self._whereabouts.of(path)  # there each file may be another distribution's
        directory, name = os.path.split(path)
        if directory not in self._directories:
            self._directories[directory] = self._whereabouts.of(os.path.join(directory, b"x"))
        beside = self._directories[directory]
        return beside and beside._replace(path=os.path.join(os.path.dirname(beside.path), name), at=path)

    def _below(self, path: bytes) -> bytes:
        return path[len(self._top) :] if self._top is not None and path.startswith(self._top) else path

    def files_of(self, directory: bytes, too_wide: Iterable[bytes], written_ns: int, end: float) -> list[bytes] | None:
        """The files below a directory that was named; None where it is a place to write to, or says nothing.

        `too_wide` are places such as the worktree itself, which nobody names for what is in it. Where anything was
        written after `written_ns` it is where results go. It is looked through until `end` (time.monotonic).
        """
        top = directory.rstrip(b"/") + b"/"
        if any((place.rstrip(b"/") + b"/").startswith(top) for place in too_wide):
            return None
        found: list[bytes] = []
        for parent, directories, files in os.walk(directory):
            try:
                if os.stat(parent).st_mtime_ns > written_ns or is_environment(parent):
                    return None
            except OSError:
                continue  # gone by now
            directories[:] = sorted(name for name in directories if name not in _CACHES)
            found += [os.path.join(parent, name) for name in sorted(files)]
            if len(found) > MAX_INPUTS or time.monotonic() > end:
                break
        return found


def _is_cache(path: bytes) -> bool:
    return not _CACHES.isdisjoint(path.split(b"/")[:-1]) or any(tool in path for tool in _TOOLS)
