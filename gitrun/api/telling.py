"""What the Python side says to its user: lines on `sys.stderr`, which a notebook shows below its cell."""

from __future__ import annotations

import os

from gitrun.archive.harmless import harmless
from gitrun.child.running import tell
from gitrun.monitor import NOTICES, Monitor


class Lines(Monitor):
    """gitrun's own lines. What costs a record something is said even when quiet."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet or os.environ.get("GITRUN_QUIET", "0") not in ("", "0")

    def warn(self, code: str, message: str) -> None:
        if not self._quiet or code not in NOTICES:
            tell(harmless(message))

    def note(self, line: str) -> None:
        """Says what is nice to know."""
        if not self._quiet:
            tell(line)
