"""What every capture of facts returns: the facts, and what could not be found out.

Facts are worth having and never worth a run: a broken distribution or an unreadable file becomes a
sentence in `problems`, which the record shows under `coverage`, and the rest is kept.
"""

from __future__ import annotations

import os
import stat
from typing import Any, NamedTuple

FORMAT = 1


class Facts(NamedTuple):
    """A part of the record as a plain mapping, and one sentence for each thing missing from it."""

    value: dict[str, Any]
    problems: list[str]


def structure(**fields: Any) -> dict[str, Any]:
    """The mapping of a part, with the format number and required features every stored structure carries."""
    return {"format": FORMAT, "requires": [], **fields}


def word_set(text: str) -> frozenset[str]:
    """The words of a text, for the long tables of names."""
    return frozenset(text.split())


def unwaiting(path: str | bytes, flags: int) -> int:
    """An opener that waits for nobody: a named pipe in the place of a file must not hold the recording up."""
    return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)


def sha256_of(path: str | bytes) -> str | None:
    """The sha256 of a file's bytes, or None when it cannot be read."""
    import hashlib  # where a file is hashed as a whole

    try:
        with open(path, "rb", opener=unwaiting) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return None


def read_start(path: str | bytes, limit: int = 64 << 10) -> bytes | None:
    """The first `limit` bytes of a regular or /proc file, or None when it cannot be read."""
    try:
        fd = unwaiting(path, os.O_RDONLY)
    except (OSError, ValueError):
        return None
    try:
        return os.read(fd, limit)
    except OSError:
        return None
    finally:
        os.close(fd)


def file_marks(path: str | bytes) -> list[int] | None:
    """Time, size and inode of a file, the inode and time of a directory, None for nothing."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return [facts.st_mtime_ns, 0 if stat.S_ISDIR(facts.st_mode) else facts.st_size, facts.st_ino]


def text_path(path: bytes) -> str:
    """A path as a record holds it, and as `os.fsdecode` would give it under UTF-8."""
    return path.decode("utf-8", "surrogateescape")


def clean_text(text: str) -> str:
    """Text without lone surrogates, which JSON can spell (`\\ud800`) and UTF-8 cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def place(path: bytes, worktree: bytes | None) -> str:
    """A path as a record names it: relative to the worktree where it lies inside, else absolute."""
    path = os.path.abspath(path)
    if worktree is not None:
        inside = relative(path, worktree)
        if inside is None and (real := os.path.realpath(worktree)) != worktree:
            inside = relative(path, real)
        if inside is not None:
            return text_path(inside)
    return text_path(path)


def relative(path: bytes, directory: bytes) -> bytes | None:
    """`path` below `directory` (`.` for the directory itself), or None outside; both are absolute."""
    if path == directory:
        return b"."
    prefix = directory.rstrip(b"/") + b"/"
    return path[len(prefix) :] if path.startswith(prefix) else None
