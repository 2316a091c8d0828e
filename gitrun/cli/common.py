"""What every reading command does first: find the archive, and seal what a dead recorder left behind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from gitrun.archive.archive import Archive
from gitrun.archive.live_view import SoFar
from gitrun.git.discovery import current_directory
from gitrun.model.canonical import encode
from gitrun.recording.tidying import seal_the_dead
from gitrun.ui.monitor import TerminalMonitor
from gitrun.ui.terminal import stderr, stdout

RUN_HELP = (
    "A run: full id, last six characters, any unique part, a name, @ (started last here), @~2, @best:max:acc, tag:best,"
    " or an expression as for `gitrun ls`, such as 'metrics.loss < 0.1 and config.lr == 0.01'."
)
JSON_HELP = "Print JSON, for programs."


def open_archive(environ: Mapping[str, str] = os.environ, *, tidy: bool = True) -> Archive:
    """The archive around the current directory; `tidy` seals runs that are proved dead first."""
    monitor = TerminalMonitor(stderr(environ))
    archive = Archive.open(current_directory(), environ, monitor)
    archive.so_far = _so_far
    if tidy:
        seal_the_dead(archive)
    return archive


def _so_far(directory: str, most_bytes: int) -> SoFar:
    from gitrun.recording.so_far import so_far  # only where a run is being recorded

    return so_far(directory, most_bytes)


def print_json(value: Any) -> None:
    """Print a value as canonical JSON, byte for byte the same on every locale."""
    stdout().data(encode(value))
