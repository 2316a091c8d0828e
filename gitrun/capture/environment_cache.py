"""What was found out about an environment, for the next run in it: an answer is kept with the files it rests on.

An answer is believed while every one of those has the time, size and inode it had. One that rests on a file changed
within the last seconds is not kept, because a second change could leave the same time behind. Beside the answer as
a whole each distribution is remembered by itself, so that installing one package reads one package.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from gitrun.capture.derived import Derived
from gitrun.capture.facts import file_marks

RACY_NS = 2_000_000_000
VERSION = 2


class EnvironmentCache:
    """The cached answer for one key below `directory`; None caches nothing. What cannot be read is not there."""

    def __init__(self, key: list[bytes], directory: str | None) -> None:
        self._key = repr(key).encode()
        self._answers = Derived(directory, "environment", VERSION)
        self._memories = Derived(directory, "distributions", VERSION)

    def load(self) -> dict[str, Any] | None:
        """The answer, None where there is none that is still true."""
        content = self._answers.read(self._key)
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
        content = self._memories.read(self._key)
        memory = content.get("memory") if content else None
        return memory if isinstance(memory, dict) and all(map(_is_remembered, memory.values())) else {}

    def keep(self, answer: dict[str, Any], watched: Sequence[bytes], memory: dict[str, Any]) -> None:
        """Keep an answer that rests on `watched`, and each distribution, as far as they are old enough."""
        young = time.time_ns() - RACY_NS
        marked = [(os.fsdecode(path), file_marks(path)) for path in watched]
        old = {name: known for name, known in memory.items() if all(not m or m[0] < young for m in known[0])}
        self._memories.write(self._key, {"memory": old})
        if all(marks is None or marks[0] < young for _, marks in marked):
            self._answers.write(self._key, {"watched": marked, "answer": answer})


def _is_remembered(known: Any) -> bool:
    if not isinstance(known, list) or len(known) != 3 or not isinstance(known[2], list):
        return False
    return known[1] is None or (isinstance(known[1], dict) and {"name", "direct_url"} <= known[1].keys())
