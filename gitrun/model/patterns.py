"""Patterns for files of a run, as `gitrun get`, `--keep` and the settings have them.

`*` crosses slashes here, other than in `--input GLOB`: the files of a run lie where a program liked to put them, and
`*.pt` means all of them.
"""

import posixpath
from fnmatch import fnmatchcase


def means(pattern: str, path: str) -> bool:
    """Whether a pattern means a path: it is the path, a directory above it, or matches it."""
    plain = posixpath.normpath(pattern)
    return plain in (".", path) or path.startswith(plain.rstrip("/") + "/") or fnmatchcase(path, pattern)


def names(pattern: str, path: str) -> bool:
    """Whether a pattern matches a path, or its last name."""
    return fnmatchcase(path, pattern) or fnmatchcase(path.rpartition("/")[2], pattern)
