"""How much a push would send: the objects that the remote lacks, counted by git before anything leaves."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gitrun.git.executable import Running
from gitrun.git.repository import Repository


class Measuring:
    """Git at work on the size of what is to be sent; ask for `bytes` when it is needed."""

    def __init__(self, repo: Repository, commits: Iterable[str], there: Collection[str]) -> None:
        self._running: Running | None = None
        if repo.git is not None:
            asked = "".join([*(f"{oid}\n" for oid in commits), *(f"^{oid}\n" for oid in there)])
            words = ["rev-list", "--objects", "--use-bitmap-index", "--disk-usage", "--stdin"]
            self._running = repo.start(words, stdin=asked.encode())

    def bytes(self) -> int | None:
        """Bytes on this disk of the objects to be sent; None where it cannot be said (no git, or one before 2.31)."""
        if self._running is None:
            return None
        done = self._running.finish()
        text = done.out.strip()
        return int(text) if done.code == 0 and text.isdigit() else None
