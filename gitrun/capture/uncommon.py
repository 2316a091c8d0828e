"""Indexes that only git can read: it rewrites a private copy into a plain one, and the walk goes on as ever.

A split index keeps most entries in a second file; a sparse index has one entry for a whole directory
outside the cone. The copy keeps the time of the original, because that time is what tells a file that
may have changed since from one that cannot.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from gitrun.capture.private import PrivateGit
from gitrun.git.index import Index, IndexFile, UncommonIndex, empty_index, parse_index, read_index
from gitrun.git.repository import Repository


def load_index(repo: Repository, file: IndexFile | None, environ: Mapping[str, str]) -> tuple[Index, bool]:
    """The index in a worktree's index file, whatever its form, and whether the file has its plain form.

    Raises UncommonIndex where git is needed to read it and there is none.
    """
    if file is None:
        return empty_index(), True
    try:
        return parse_index(file, repo.object_format), True
    except UncommonIndex:
        if repo.git is None:
            raise
    path = file.path
    with PrivateGit(repo, path, environ) as private:
        plain = ["-c", "index.sparse=false", "-c", "core.splitIndex=false", "-c", "core.fsmonitor=false"]
        private.run([*plain, "update-index", "--no-split-index", "--force-write-index"])
        return read_index(private.index, repo.object_format)._replace(mtime_ns=file.mtime_ns), False


def index_path(repo: Repository) -> str:
    """Where the index of this worktree lies."""
    return os.path.abspath(repo.environ.get("GIT_INDEX_FILE") or os.path.join(repo.git_dir, "index"))
