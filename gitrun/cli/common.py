"""What every reading command does first: find the archive, and seal what a dead recorder left behind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from gitrun.archive.archive import Archive
from gitrun.archive.live_view import live_ids
from gitrun.errors import GitrunError
from gitrun.git.discovery import current_directory
from gitrun.model.canonical import encode
from gitrun.ui.monitor import TerminalMonitor
from gitrun.ui.terminal import stderr, stdout

RUN_HELP = "A run: full id, last six characters, any unique part, a name, @ (started last here), @~2, tag:best."
JSON_HELP = "Print JSON, for programs."


def open_archive(environ: Mapping[str, str] = os.environ, *, tidy: bool = True) -> Archive:
    """The archive around the current directory; `tidy` seals runs that are proved dead first."""
    monitor = TerminalMonitor(stderr(environ))
    archive = Archive.open(current_directory(), environ, monitor)
    if tidy and live_ids(archive.gitrun_dir):
        _recover(archive, monitor)
    return archive


def print_json(value: Any) -> None:
    """Print a value as canonical JSON, byte for byte the same on every locale."""
    stdout().data(encode(value))


def _recover(archive: Archive, monitor: TerminalMonitor) -> None:
    """Reading goes on whatever recovery meets: what cannot be sealed now is shown as it is."""
    from gitrun.recording.recover import recover_all  # only where something is live

    try:
        recover_all(archive.repo, archive.environ, monitor)
    except (GitrunError, OSError) as problem:
        monitor.warn("W011", f"a run that was left behind could not be sealed: {problem}")
