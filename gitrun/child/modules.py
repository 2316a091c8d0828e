"""The modules and libraries that a process has at its end and has not told of yet.

Most modules are told when they are imported. What is left came in before anybody watched, from archives, through
loaders that are not Python's own, or is the program itself.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_dictionary: Any = vars(type(sys))["__dict__"].__get__  # past the __getattr__ of modules that load things when asked


def last_frames(child: Any) -> list[dict[str, Any]]:
    """The frames `modules` and `mapped`."""
    frames: list[dict[str, Any]] = []
    rest = not_told(child)
    if rest:
        frames.append({"kind": "modules", "modules": rest})
    child.mapped = mapped()
    if child.mapped:
        frames.append({"kind": "mapped", "paths": child.mapped})
    return frames


def not_told(child: Any) -> list[list[Any]]:
    """The modules with a file that are not in the report: name, path, size, mtime_ns."""
    found = []
    for name, module in list(sys.modules.items()):
        if not isinstance(name, str) or name in child.inherited:
            continue
        path = _file_of(module)
        if path is None or path in child.reported:
            continue
        child.reported.add(path)
        absolute = path if path.startswith("/") else child.cwd + "/" + path
        stat = _stat(absolute)
        if stat is not None:
            found.append([name, os.fsencode(stat[0]), stat[1].st_size, stat[1].st_mtime_ns])
    return found


def _file_of(module: Any) -> str | None:
    try:
        names = _dictionary(module)
    except TypeError:
        return None  # not a module, but something that stands for one
    spec = names.get("__spec__")
    path = None
    if type(spec).__name__ == "ModuleSpec" and spec.has_location:
        path = spec.origin
    if type(path) is not str:
        path = names.get("__file__")
    return path if type(path) is str and path and path[0] != "<" else None


def _stat(path: str) -> tuple[str, os.stat_result] | None:
    """A file and its stat: of a module in an archive, the archive's."""
    while len(path) > 1:
        try:
            return path, os.stat(path)
        except NotADirectoryError:
            path = os.path.dirname(path)
        except (OSError, ValueError):
            return None
    return None


def mapped() -> list[bytes]:
    """The files that are mapped to be executed; empty where the system does not tell."""
    parts = []
    try:
        fd = os.open("/proc/self/maps", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        while part := os.read(fd, 1 << 16):
            parts.append(part)
    finally:
        os.close(fd)
    found = set()
    for line in b"".join(parts).split(b"\n"):
        before, slash, path = line.partition(b"/")
        if slash and b"x" in before.split(None, 2)[1]:
            found.add(slash + path)
    return sorted(found)
