"""What a run loaded, as one list of files: imported modules, mapped libraries, the program and its script.

Python processes say it themselves (`observed`). A program that is no Python says nothing, but its own file and the
script it was given stand in the command.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.facts import unwaiting
from gitrun.capture.outputs import is_environment
from gitrun.model.canonical import path_bytes

if TYPE_CHECKING:
    from gitrun.capture.observed import Observed, Process
    from gitrun.capture.places import Places

MAIN = "__main__"
_ARCHIVE = re.compile(rb"\.(?:zip|egg|whl|pyz|pyzw)(?=/)")
_DELETED = b" (deleted)"
_SCRIPTED = re.compile(
    r"(?:ba|da|k|z|a)?sh|fish|(?:python|pypy)[\d.]*|perl|ruby|Rscript|julia|node|lua|php|octave|awk|gawk"
)


class Loaded(NamedTuple):
    """One file that a process loaded, by its absolute path.

    `size` and `mtime_ns` are as they were then, None where nobody looked. `is_library`: it was mapped, not imported.
    """

    path: bytes
    module: str | None = None
    size: int | None = None
    mtime_ns: int | None = None
    is_library: bool = False


def loaded_files(observed: Observed, command: list[str], cwd: bytes, worktree: bytes | None) -> Iterator[Loaded]:
    """Everything the processes of a run loaded; a file may come several times. `cwd` is where the command started."""
    for process in observed.processes:
        yield from _of_process(process, cwd, observed.places)
    yield from _of_command(observed.places.real_words(command), cwd, worktree)


def import_root(module: str | None, path: bytes) -> bytes | None:
    """The directory of `sys.path` under which a module was found; None where its path does not have its name."""
    if not module or module == MAIN:
        return None
    *packages, last = (os.fsencode(part) for part in module.split("."))
    directory, name = os.path.split(path)
    stem = name.partition(b".")[0]
    if stem == b"__init__":
        packages.append(last)
    elif stem != last:
        return None
    for package in reversed(packages):
        directory, found = os.path.split(directory)
        if found != package:
            return None
    return directory


def base_of(process: Process, cwd: bytes) -> bytes:
    """What the paths of a process are relative to, if it did not say more; `cwd` is where the command started."""
    here: bytes = process.start.get("cwd") or cwd
    return here


def _of_process(process: Process, cwd: bytes, places: Places) -> Iterator[Loaded]:
    base = base_of(process, cwd)
    for module in process.modules:
        path = os.path.join(base, module.path)
        if (inside := _ARCHIVE.search(path)) is not None:
            yield Loaded(path[: inside.end()])
        elif not module.path.startswith(b"<"):
            known = module.mtime_ns > 0
            yield Loaded(path, module.name, module.size if known else None, module.mtime_ns if known else None)
    argv = process.start.get("argv")
    first = argv[0] if isinstance(argv, list) and argv else None
    if isinstance(first, (str, bytes)) and os.fsencode(first) not in (b"", b"-", b"-c", b"-m"):
        yield Loaded(places.real(os.path.join(base, os.fsencode(first))), MAIN)
    for path in process.mapped:
        if path.startswith(b"/") and not path.endswith(_DELETED):
            yield Loaded(path, is_library=True)


def _of_command(command: list[str], cwd: bytes, worktree: bytes | None) -> Iterator[Loaded]:
    """The program where it was typed as a path, and the script that an interpreter was given.

    A compiled program counts in the worktree alone: elsewhere it is the machine's.
    """
    program, *words = command
    if "/" in program:
        path = os.path.join(cwd, path_bytes(program))
        is_script = _is_script(path)
        if (is_script or _is_below(path, worktree)) and not _is_installed(path):
            yield Loaded(path, is_library=not is_script)
    if not _SCRIPTED.fullmatch(os.path.basename(program)):
        return
    for word in words:
        if word in ("-c", "-m", "-e", "-"):
            return
        if not word.startswith("-"):
            yield Loaded(os.path.join(cwd, path_bytes(word)), MAIN)
            return


def _is_below(path: bytes, directory: bytes | None) -> bool:
    return directory is not None and os.path.realpath(path).startswith(os.path.realpath(directory) + b"/")


def _is_installed(path: bytes) -> bool:
    """Whether it is a program of a virtual or conda environment, which comes back with that."""
    environment = os.path.dirname(os.path.dirname(path))
    return is_environment(environment)


def _is_script(path: bytes) -> bool:
    try:
        with open(path, "rb", opener=unwaiting) as file:
            return file.read(2) == b"#!"
    except (OSError, ValueError):
        return False


def worktree_of(draft: Mapping[str, Any]) -> bytes | None:
    """The worktree of a record's draft."""
    return path_bytes(draft["worktree"]) if draft.get("worktree") else None


def started_in(draft: Mapping[str, Any]) -> bytes:
    """The absolute directory that the command of a record started in."""
    worktree, cwd = draft.get("worktree"), draft.get("cwd")
    return os.path.normpath(os.path.join(path_bytes(worktree or "/"), path_bytes(cwd or ".")))
