"""Who the commits of gitrun are by: Git's own rules, and a fallback where Git would refuse.

A machine without `user.name` must still be able to record, so a missing identity is never an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gitrun.git.repository import Repository

_FORBIDDEN = {ord(c): None for c in "<>\n\0"}
# Git strips these from both ends of a name (ident.c, "crud").
_CRUD = "".join(map(chr, range(33))) + ".,:;<>\"\\'"


class Identity(NamedTuple):
    """A name and an e-mail address, clean enough for a commit header."""

    name: str
    email: str


FALLBACK = Identity("gitrun", "gitrun@localhost")


def identity(repo: Repository, environ: Mapping[str, str]) -> Identity:
    """The author of a run: GIT_AUTHOR_*, author.*, user.*, EMAIL, else gitrun itself."""
    config = repo.config
    name = environ.get("GIT_AUTHOR_NAME") or config.get("author.name") or config.get("user.name") or ""
    email = (
        environ.get("GIT_AUTHOR_EMAIL")
        or config.get("author.email")
        or config.get("user.email")
        or environ.get("EMAIL")
        or ""
    )
    return Identity(_clean(name) or FALLBACK.name, _clean(email) or FALLBACK.email)


def _clean(text: str) -> str:
    return text.strip(_CRUD).translate(_FORBIDDEN)
