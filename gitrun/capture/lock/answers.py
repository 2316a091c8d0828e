"""What resolvers and earlier recordings found out, kept below the archive's cache/ by the environment's digest.

Forty runs of one environment ask once. Recordings that start together wait for the first of them: it holds a lock
that the kernel drops with it, so whoever waited goes on where it was killed. That no index could be reached is kept
for ten minutes as well, or every run on a machine without network would be held up at its end for the same answer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gitrun.capture.derived import Derived
from gitrun.capture.lock.running import GivenUp
from gitrun.errors import GitrunError
from gitrun.files.locks import FileLock

VERSION = 1
FAILED_S = 600.0
_WAIT_S = 0.1


class Resolution(NamedTuple):
    """Packages by name, names that no index has, who said so, and why there is no answer where there is none."""

    packages: dict[str, dict[str, Any]]
    missing: list[str]
    tool: str | None
    problem: str | None = None


class Answers:
    """The cache of one archive; `directory` None, or one whose parent is gone, caches nothing."""

    def __init__(self, directory: str | None) -> None:
        if not directory or not os.path.isdir(os.path.dirname(directory)):
            directory = None
        self._resolved = Derived(directory, "resolved", VERSION)
        self._asking = Derived(directory, "resolving", VERSION)
        self._locked = Derived(directory, "locked", VERSION)

    def resolution(
        self,
        digest: str,
        asked: Iterable[str],
        resolve: Callable[[], Resolution],
        stop: Callable[[], bool],
        *,
        again: bool,
    ) -> Resolution:
        """What an index said of these names in the environment `digest`; `again` asks even after a recent failure.

        Raises GivenUp when `stop` says so.
        """
        names = set(asked)
        if found := self._known(digest, names, again):
            return found
        lock = self._lock(digest)
        while lock is not None and not lock.acquire(timeout=_WAIT_S):
            if stop():
                raise GivenUp
        try:
            if found := self._known(digest, names, again):  # by whoever had the lock
                return found
            done = resolve()
            self._resolved.write(digest.encode(), {"at": time.time(), **done._asdict()})
            return done
        finally:
            if lock is not None:
                lock.release()

    def outcome(self, key: str) -> dict[str, Any] | None:
        """What `keep_outcome` kept under this key."""
        fields = self._locked.read(key.encode())
        kinds = {"lock": dict, "pylock": str | None, "problems": list, "vendored": list}
        if fields is None or not all(isinstance(fields.get(name), kind) for name, kind in kinds.items()):
            return None
        return fields

    def keep_outcome(self, key: str, outcome: dict[str, Any]) -> None:
        """Keep a finished lock."""
        self._locked.write(key.encode(), outcome)

    def _known(self, digest: str, names: set[str], again: bool) -> Resolution | None:
        fields = self._resolved.read(digest.encode())
        if fields is None:
            return None
        try:
            found = Resolution(dict(fields["packages"]), list(fields["missing"]), fields["tool"], fields["problem"])
            recent = 0 <= time.time() - fields["at"] < FAILED_S
        except (KeyError, TypeError, ValueError):
            return None
        if found.problem is not None:
            return found if recent and not again else None
        return found if names <= found.packages.keys() | set(found.missing) else None

    def _lock(self, digest: str) -> FileLock | None:
        path = self._asking.path(digest.encode())
        if path is None or not self._asking.make_directory():
            return None  # without a cache everybody asks
        try:
            return FileLock(path)
        except GitrunError:
            return None
