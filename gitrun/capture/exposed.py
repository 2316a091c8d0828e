"""Source that holds a secret: the record takes it as it is, so somebody should know.

What a run was made of is always source; without it the run would be another. But an edit that was never committed, a
new file, or a module that lies elsewhere may hold a token that is in no history yet, and the record of the run is the
first to keep it, and to carry it along with a push. Only what has the form of a known token counts, or the very value
of a secret variable: names give away too much that is code. Files are read once more, while the command runs; what it
loaded, when it has ended.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from gitrun.capture.secret_formats import find_formats
from gitrun.capture.secret_values import KnownSecrets
from gitrun.model.canonical import path_bytes
from gitrun.model.listing import listed

MAX_FILE_BYTES = 1 << 20
MAX_BYTES = 32 << 20
MAX_FILES = 5000

Source = tuple[dict[str, Any], Callable[[int], bytes | None]]
"""Which file it is, as `source.secrets` names it, and what reads it; None where it is longer than that."""


class Exposed(NamedTuple):
    """Files with the names of the secrets in them, as `source.secrets` holds them; `unseen` files were not read."""

    files: list[dict[str, Any]]
    unseen: int


def find_exposed(sources: Iterable[Source], environ: Mapping[str, str]) -> Exposed:
    """Looks through files for secrets, as far as the bounds above go."""
    known = KnownSecrets(environ)
    files: list[dict[str, Any]] = []
    unseen = 0
    left = MAX_BYTES
    for count, (which, read) in enumerate(sources):
        data = read(min(left, MAX_FILE_BYTES)) if count < MAX_FILES else None
        if data is None:
            unseen += 1
            continue
        left -= len(data)
        names = find_formats(data) | known.names_in(data)
        if names:
            files.append({**which, "secrets": sorted(names)})
    return Exposed(files, unseen)


def in_worktree(worktree: bytes, paths: Iterable[str]) -> Iterable[Source]:
    """These files of a worktree, for `find_exposed`."""
    return (({"path": path}, partial(_read, os.path.join(worktree, path_bytes(path)))) for path in paths)


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


def in_words(files: Sequence[Mapping[str, Any]]) -> str:
    """The files and what is in them, in one line."""
    return listed([f"{file['path']} ({', '.join(file['secrets'])})" for file in files])
