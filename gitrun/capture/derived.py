"""What was found out once and need not be again: JSON files below the archive's cache/, which may vanish at any time.

Each has a version, since another release may have found out something else, and a name that is a hash of what it is
about. What cannot be read is not there, and what cannot be written is found out again. Nothing is made anew where the
archive itself was moved away meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from gitrun.errors import GitrunError
from gitrun.files.read import read_plain
from gitrun.files.write import make_dirs, write_file

MOST_BYTES = 64 << 20


class Derived:
    """The files of one kind below `directory`; None keeps nothing."""

    def __init__(self, directory: str | None, kind: str, version: int) -> None:
        self._directory, self._kind, self._version = directory, kind, version

    def path(self, key: bytes) -> str | None:
        """Where the fields for this key lie; None where nothing is kept."""
        if self._directory is None:
            return None
        return os.path.join(self._directory, f"{self._kind}-{hashlib.sha256(key).hexdigest()[:32]}")

    def read(self, key: bytes) -> dict[str, Any] | None:
        """What was kept for this key; the caller judges its fields."""
        path = self.path(key)
        try:
            if path is None:
                return None
            fields = json.loads(read_plain(path, MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            return None
        return fields if isinstance(fields, dict) and fields.get("version") == self._version else None

    def write(self, key: bytes, fields: dict[str, Any]) -> None:
        """Keeps fields that JSON can hold."""
        path = self.path(key)
        if path is None or not self.make_directory():
            return
        try:
            write_file(path, json.dumps({"version": self._version, **fields}).encode("ascii"), sync=False)
        except (GitrunError, TypeError):
            pass  # see above

    def make_directory(self) -> bool:
        """Whether there is a place to write to."""
        if self._directory is None or not os.path.isdir(os.path.dirname(self._directory)):
            return False
        try:
            make_dirs(self._directory)
        except GitrunError:
            return False
        return True
