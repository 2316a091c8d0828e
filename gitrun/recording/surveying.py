"""Comparing an environment with what was installed, beside a command that runs long enough for it.

Looking at tens of thousands of files takes a second or more, which nobody waits for at the end of a run. So it is
done in a thread while the command runs, and what is not known by the end is a sentence under `coverage`.
"""

import os
import threading
from typing import Any

from gitrun.capture.secrets import Redactor

_UNKNOWN = "installed files were not compared with what their distributions list: the command had ended before"


class Survey:
    """One comparison; `start` it once, `tell` what came of it in the end."""

    def __init__(self, sites: list[bytes], cache_dir: str, redactor: Redactor) -> None:
        self._sites = sites
        self._cache_dir = cache_dir
        self._redactor = redactor
        self._found: dict[str, Any] | None = None
        self._problems: list[str] = []
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread = threading.Thread(target=self._run, name="gitrun-survey", daemon=True)
        self._thread.start()

    def tell(self, draft: dict[str, Any]) -> None:
        """Write into the draft what is known by now."""
        if self._thread is None or self._thread.is_alive():
            draft["coverage"]["installed"] = [_UNKNOWN]
            return
        if self._found is not None:
            draft["process"]["installed"] = self._found
        draft["coverage"]["installed"] = self._problems or "complete"

    def _run(self) -> None:
        try:
            from gitrun.capture.edited import check_installed

            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)  # the command comes first
            found = check_installed(self._sites, cache_dir=self._cache_dir)
        except Exception as problem:  # a bug as well: it is worth knowing, and never worth a run
            self._problems = [self._redactor.text(f"not captured: {type(problem).__name__}: {problem}")]
            return
        compared = (
            [] if found.hashed == found.of else [f"{found.hashed} of {found.of} installed files compared by content"]
        )
        self._problems = list(map(self._redactor.text, [*found.problems, *compared]))
        self._found = {"edited": found.edited, "unowned": found.unowned, "compared": found.hashed, "files": found.of}
