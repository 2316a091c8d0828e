"""Which files Python opened: what the object in the place of `open` does with each of them.

Only an audit hook sees every file, but once there is one each `id()` and each copy is slow. So `open` alone is watched
(decision 0051). A file is noted once it is open, under the name that the program gave it, and told soon: a program
that is killed has told what it opened up to a tenth of a second before its last `open`, import or seed.
"""

from __future__ import annotations

import os
import time
from typing import Any, Callable

MAX_FILES = 10_000
_BATCH, _LATER = 64, 0.1  # files, and seconds between two writes
_NOT_FILES = ("/proc/", "/sys/", "/dev/")


def start(child: Any) -> Callable[[tuple[Any, ...], dict[str, Any], Any], None]:
    """A function that notes what `open(*args, **named)` has just opened as `file`."""
    noted, waiting, clock = child.noted, child.waiting, time.monotonic

    def note(args: tuple[Any, ...], named: dict[str, Any], file: Any) -> None:
        given = args[1] if len(args) > 1 else named.get("mode", "r")
        mode = "r" if given in ("r", "rb") or not any(letter in given for letter in "wax+") else "w"
        path = args[0] if args else ""
        if type(path) is not str or path[:1] != "/" or len(args) > 7 or "opener" in named:
            path = _path(args, named, file)
            if path is None:
                return
        before = noted.get(path)
        if before is None or before != mode != "r":
            _add(child, path, mode)
        if waiting and (len(waiting) >= _BATCH or clock() - child.written > _LATER):
            flush(child)

    child.note = note
    return note


def _add(child: Any, path: str, mode: str) -> None:
    """Has a path reported, or one that was read and is written now: that is told twice, in this order."""
    own = child.member.partition("/members/")[0] + "/"
    if path in child.reported or path.endswith(".pyc") or path.startswith((own, *_NOT_FILES)):
        return
    if path in child.noted or len(child.noted) < MAX_FILES:
        child.noted[path] = mode
        child.waiting[path, mode] = None
    elif not child.full:
        child.full = True
        flush(child)


def _path(args: tuple[Any, ...], named: dict[str, Any], file: Any) -> str | None:
    """The absolute path; None of a descriptor, and of what has no name in a directory."""
    if (args[7] if len(args) > 7 else named.get("opener")) is not None:  # it alone knows what a name is relative to
        try:
            path = os.readlink(f"/proc/self/fd/{file.fileno()}")
        except OSError:
            return None
        return path if path[0] == "/" and not path.endswith(" (deleted)") else None
    path = args[0] if args else named["file"]
    if type(path) is not str:
        path = file.name  # a path-like object is not asked twice
        if not isinstance(path, (str, bytes)):
            return None
        path = os.fsdecode(path)
    if path[0] == "/":
        return path
    try:
        return os.getcwd() + "/" + path
    except OSError:
        return None  # the directory was removed meanwhile


def flush(child: Any) -> None:
    """Tells of the files that were noted since the last time."""
    told = list(child.waiting)
    child.load("report").write(child, _frame(child, told))
    for one in told:
        child.waiting.pop(one, None)


def last_frames(child: Any) -> list[dict[str, Any]]:
    """The frame of what is not told yet."""
    return [_frame(child, list(child.waiting))]


def _frame(child: Any, files: list[tuple[str, str]]) -> dict[str, Any]:
    frame: dict[str, Any] = {"kind": "opened", "files": [[os.fsencode(path), mode] for path, mode in files]}
    return {**frame, "more": True} if child.full else frame
