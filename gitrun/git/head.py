"""Where HEAD points: read from its file, because a process for one line would cost more than the rest."""

from __future__ import annotations

from typing import NamedTuple

from gitrun.errors import DamagedRepository
from gitrun.git.hashing import is_object_id
from gitrun.git.refs import read_ref, read_text
from gitrun.git.repository import Repository


class Head(NamedTuple):
    """The commit (None before the first one) and the full name of the branch (None when detached)."""

    commit: str | None
    branch: str | None

    @property
    def detached(self) -> bool:
        """Whether HEAD names a commit rather than a branch."""
        return self.branch is None


def read_head(repo: Repository) -> Head:
    """HEAD of this worktree; raises DamagedRepository when it is neither a ref nor an id."""
    if repo.ref_storage != "files":
        return _ask(repo)
    text = read_text(repo, "HEAD") or ""
    if not text.startswith("ref:"):
        if not is_object_id(text, repo.object_format):
            raise DamagedRepository(f"{repo.git_dir}/HEAD is neither a ref nor an object id", next="git fsck")
        return Head(text, None)
    branch = text[4:].strip()
    return Head(read_ref(repo, branch), branch)


def _ask(repo: Repository) -> Head:
    branch = repo.run(["symbolic-ref", "-q", "HEAD"], check=False).decode("utf-8", "surrogateescape").strip()
    commit = repo.run(["rev-parse", "--verify", "-q", "HEAD"], check=False).decode().strip()
    return Head(commit or None, branch or None)
