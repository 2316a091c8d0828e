"""Repositories inside the worktree: submodules and embedded clones, whose files a gitlink does not hold.

`git add` stores the id of their commit and nothing else, so each becomes a root: a tree of its exact
bytes, kept whole in the archive, also when it is clean, because its remote may be gone tomorrow.
So does the directory of a submodule that was never initialised, where files lie in it all the same:
Git looks at nothing below a gitlink, and the program reads what is there.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from gitrun.errors import GitrunError, NotARepository
from gitrun.git.executable import clean_environment
from gitrun.git.head import Head, read_head
from gitrun.git.repository import Repository, discover


class Nested(NamedTuple):
    """A repository below a worktree; `path` is relative to that worktree and ends in a slash.

    `kind` is `submodule`, `embedded`, or `files`: a gitlink's directory that is no repository, seen as
    a worktree of the outer one in which nothing is tracked.
    """

    path: bytes
    kind: str
    repo: Repository
    head: Head


def open_nested(outer: Repository, path: bytes, kind: str) -> Nested | None:
    """The repository whose worktree is `path`; None where there is none.

    Raises UnsafeRepository or UnsupportedRepository where there is one that may or can not be read.
    """
    assert outer.worktree is not None
    top = os.path.join(outer.worktree, os.fsdecode(path[:-1]))
    if not os.path.lexists(os.path.join(top, ".git")):
        return None  # a submodule that was never initialised
    try:
        repo = discover(top, outer.git, clean_environment(outer.environ))
    except NotARepository:
        return None
    if repo.worktree is None or os.path.realpath(repo.worktree) != os.path.realpath(top):
        return None  # its own .git is broken, and what was found is the repository around it
    return Nested(path, kind, repo, read_head(repo))


def open_files(outer: Repository, path: bytes) -> Nested | None:
    """The files in the directory of a gitlink that is no repository; None where there are none."""
    assert outer.worktree is not None
    top = os.path.join(outer.worktree, os.fsdecode(path[:-1]))
    try:
        names = os.listdir(top)
    except OSError:
        return None  # removed, or closed to us, since the walk: as empty as Git takes it for
    if not set(names) - {".git"}:
        return None
    return Nested(path, "files", outer._replace(worktree=top), Head(None, None))


def why_not(problem: GitrunError) -> str:
    """The reason for `excluded` when a nested repository may not or cannot be read."""
    return type(problem).__name__.replace("Repository", "").lower() + " repository"
