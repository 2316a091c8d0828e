"""What was found out about an environment, for the next run in it: an answer is kept with the files it rests on.

An answer is believed while every one of those has the time, size and inode it had. One that rests on a file changed
within the last seconds is not kept, because a second change could leave the same time behind. Beside the answer as
a whole each distribution is remembered by itself, so that installing one package reads one package.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from typing import Any

from gitrun.capture.facts import file_marks
from gitrun.errors import GitrunError
from gitrun.files.write import make_dirs, write_file

RACY_NS = 2_000_000_000
VERSION = 2


class EnvironmentCache:
    """The cached answer for one key below `directory`; None caches nothing. What cannot be read is not there."""

    def __init__(self, key: list[bytes], directory: str | None) -> None:
        self._directory = directory
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        self._path = None if directory is None else os.path.join(directory, f"environment-{name}")

    def load(self) -> dict[str, Any] | None:
        """The answer, None where there is none that is still true."""
        content = _load(self._path)
        try:
            if content is None or any(file_marks(path) != marks for path, marks in content["watched"]):
                return None
            answer = content["answer"]
            is_whole = (
                isinstance(answer["value"], dict) and {"interpreter", "problems", "sites", "local"} <= answer.keys()
            )
            return answer if is_whole else None
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def memory(self) -> dict[str, Any]:
        """What is remembered of single distributions."""
        content = _load(self._path and self._path + "-distributions")
        memory = content.get("memory") if content else None
        return memory if isinstance(memory, dict) and all(map(_is_remembered, memory.values())) else {}

    def keep(self, answer: dict[str, Any], watched: Sequence[bytes], memory: dict[str, Any]) -> None:
        """Keep an answer that rests on `watched`, and each distribution, as far as they are old enough."""
        if self._path is None or self._directory is None or not os.path.isdir(os.path.dirname(self._directory)):
            return  # also where the archive was moved away meanwhile: nothing is made anew in its place
        young = time.time_ns() - RACY_NS
        marked = [(os.fsdecode(path), file_marks(path)) for path in watched]
        old = {name: known for name, known in memory.items() if all(not m or m[0] < young for m in known[0])}
        try:
            make_dirs(self._directory)
            _write(self._path + "-distributions", {"memory": old})
            if all(marks is None or marks[0] < young for _, marks in marked):
                _write(self._path, {"watched": marked, "answer": answer})
        except GitrunError:
            pass  # without a cache the next recording reads the files again


def _is_remembered(known: Any) -> bool:
    if not isinstance(known, list) or len(known) != 3 or not isinstance(known[2], list):
        return False
    return known[1] is None or (isinstance(known[1], dict) and {"name", "direct_url"} <= known[1].keys())


def _load(path: str | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read())
        return content if isinstance(content, dict) and content.get("version") == VERSION else None
    except (OSError, ValueError, RecursionError):
        return None


def _write(path: str, content: dict[str, Any]) -> None:
    write_file(path, json.dumps({"version": VERSION, **content}).encode("ascii"), sync=False)
