"""What resolvers and earlier recordings found out, kept below the archive's cache/ by the environment's digest.

Forty runs of one environment ask once. Recordings that start together wait for the first of them: it holds a lock
that the kernel drops with it, so whoever waited goes on where it was killed. That no index could be reached is kept
for ten minutes as well, or every run on a machine without network would be held up at its end for the same answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gitrun.capture.lock.running import GivenUp
from gitrun.errors import GitrunError
from gitrun.files.locks import FileLock
from gitrun.files.write import make_dirs, write_file

VERSION = 1
FAILED_S = 600.0
MAX_BYTES = 64 << 20
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
        self._directory = directory if directory and os.path.isdir(os.path.dirname(directory)) else None

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
        if self._directory is None:
            return resolve()
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
            self._write(self._path("resolved", digest), {"at": time.time(), **done._asdict()})
            return done
        finally:
            if lock is not None:
                lock.release()

    def outcome(self, key: str) -> dict[str, Any] | None:
        """What `keep_outcome` kept under this key."""
        fields = self._read(self._path("locked", key)) if self._directory else None
        kinds = {"lock": dict, "pylock": str | None, "problems": list, "vendored": list}
        if fields is None or not all(isinstance(fields.get(name), kind) for name, kind in kinds.items()):
            return None
        return fields

    def keep_outcome(self, key: str, outcome: dict[str, Any]) -> None:
        """Keep a finished lock."""
        if self._directory:
            self._write(self._path("locked", key), outcome)

    def _known(self, digest: str, names: set[str], again: bool) -> Resolution | None:
        fields = self._read(self._path("resolved", digest))
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

    def _path(self, kind: str, key: str) -> str:
        assert self._directory is not None
        return os.path.join(self._directory, f"{kind}-{hashlib.sha256(f'{VERSION} {key}'.encode()).hexdigest()[:32]}")

    def _lock(self, digest: str) -> FileLock | None:
        assert self._directory is not None
        try:
            make_dirs(self._directory)
            return FileLock(self._path("resolving", digest))
        except GitrunError:
            return None  # without a cache everybody asks

    def _read(self, path: str) -> dict[str, Any] | None:
        try:
            with open(path, "rb") as file:
                fields = json.loads(file.read(MAX_BYTES))
        except (OSError, ValueError, RecursionError):
            return None  # a cache that cannot be read is a cache that is empty
        return fields if isinstance(fields, dict) else None

    def _write(self, path: str, fields: dict[str, Any]) -> None:
        try:
            make_dirs(os.path.dirname(path))
            write_file(path, json.dumps(fields).encode(), sync=False)
        except (GitrunError, TypeError):
            pass  # without a cache the next recording asks again
