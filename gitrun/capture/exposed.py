"""Tracked files that were edited and hold a secret: the record takes them as they are, so somebody should know.

A tracked file is always source; without it the run would be another. But an edit that was never committed may hold a
token that is in no history yet, and the record of the run is the first to keep it, and to carry it along with a push.
Only what has the form of a known token counts, or the very value of a secret variable: names give away too much that
is code. Files are read once more, while the command runs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gitrun.capture.secret_formats import find_formats
from gitrun.capture.secrets import secret_variables
from gitrun.model.canonical import path_bytes

MAX_FILE_BYTES = 1 << 20
MAX_BYTES = 32 << 20


class Exposed(NamedTuple):
    """Files with the names of the secrets in them, as `source.secrets` holds them; `unseen` files were not read."""

    files: list[dict[str, Any]]
    unseen: int


def find_exposed(worktree: bytes, paths: Sequence[str], environ: Mapping[str, str]) -> Exposed:
    """Looks through these files of a worktree."""
    known = secret_variables(environ)
    files: list[dict[str, Any]] = []
    unseen = 0
    left = MAX_BYTES
    for path in paths:
        data = _read(os.path.join(worktree, path_bytes(path)), min(left, MAX_FILE_BYTES))
        if data is None:
            unseen += 1
            continue
        left -= len(data)
        names = find_formats(data) | {name for value, name in known if value in data}
        if names:
            files.append({"path": path, "secrets": sorted(names)})
    return Exposed(files, unseen)


def _read(path: bytes, limit: int) -> bytes | None:
    """The content of a file; of what is no regular file, or not there any more, nothing; None beyond the limit."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return b""
        return os.read(fd, limit) if found.st_size <= limit else None
    except OSError:
        return None
    finally:
        os.close(fd)


def in_words(files: Sequence[Mapping[str, Any]], shown: int = 5) -> str:
    """The files and what is in them, in one line."""
    words = [f"{file['path']} ({', '.join(file['secrets'])})" for file in files[:shown]]
    return ", ".join(words) + (f" and {len(files) - shown} more" if len(files) > shown else "")
