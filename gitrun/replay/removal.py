"""Removing a directory that a program may have left in any state.

A command that ran in a replay's directory may have made directories read-only, or nested them
deeper than a recursive removal can follow. Links are removed, never followed.
"""

from __future__ import annotations

import os

from gitrun.monitor import SILENT, Monitor


def remove_tree(directory: str, monitor: Monitor = SILENT) -> None:
    """Remove `directory` and all below it; what cannot be removed is left and said once."""
    pending, found = [directory], []
    problem: OSError | None = None
    while pending:
        current = pending.pop()
        found.append(current)
        try:
            os.chmod(current, 0o700)
            with os.scandir(current) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        os.unlink(entry.path)
        except OSError as trouble:
            problem = trouble
    for current in reversed(found):
        try:
            os.rmdir(current)
        except OSError as trouble:
            problem = problem or trouble
    if problem is not None and os.path.lexists(directory):
        monitor.warn("W034", f"{directory} could not be removed: {problem.strerror}")
