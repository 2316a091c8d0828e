"""`gitrun logs`: what a run wrote, exactly."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

import typer

from gitrun.archive.live_view import LiveRun
from gitrun.archive.selectors import resolve
from gitrun.cli.common import RUN_HELP, open_archive
from gitrun.ui.console import Piece, follow, read_console
from gitrun.ui.terminal import stderr, stdout


class Stream(StrEnum):
    """Which of the two streams to print."""

    stdout = "stdout"
    stderr = "stderr"


_NUMBER = {Stream.stdout: 1, Stream.stderr: 2}


def register(app: typer.Typer) -> None:
    """Add `logs` to the application."""
    app.command("logs")(logs)


def logs(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)] = "@",
    follow_it: Annotated[bool, typer.Option("--follow", "-f", help="Go on while the run is running.")] = False,
    stream: Annotated[Stream | None, typer.Option("--stream", help="Only what went to this stream.")] = None,
) -> None:
    """Print what a run wrote.

    Byte for byte, both streams in the order their bytes came. Everything goes to stdout. Where a run wrote
    more than was kept, a note on stderr says how many bytes are missing. Where a terminal or one pipe took
    both streams, all of it is stdout.
    """
    with open_archive() as archive:
        found = resolve(archive, run)
        if follow_it and isinstance(found, LiveRun):
            directory = found.directory
            _print(follow(found, lambda: os.path.isdir(directory)), stream)
        else:
            _print(read_console(found), stream)


def _print(pieces: Iterable[Piece], stream: Stream | None) -> None:
    sys.stdout.flush()
    screen = stdout()
    for number, _, data in pieces:
        if number == 0:
            stderr().line(f"gitrun: {data.decode('utf-8', 'replace')}")
        elif stream is None or number == _NUMBER[stream]:
            screen.data(data)
