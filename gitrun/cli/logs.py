"""`gitrun logs`: what a run wrote, exactly."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

from gitrun.archive.archive import Archive
from gitrun.archive.live_view import LiveRun
from gitrun.archive.selectors import resolve
from gitrun.cli.common import RUN_HELP, open_archive
from gitrun.recording.tidying import seal_the_dead
from gitrun.ui.console import Piece, follow, read_console
from gitrun.ui.frames import Collapser
from gitrun.ui.terminal import stderr, stdout


class Stream(StrEnum):
    """Which of the two streams to print."""

    stdout = "stdout"
    stderr = "stderr"


_NUMBER = {Stream.stdout: 1, Stream.stderr: 2}
_PROOF_S = 2.0  # how often a run that is followed is asked whether it is dead


def register(app: typer.Typer) -> None:
    """Add `logs` to the application."""
    app.command("logs")(logs)


def logs(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)] = "@",
    follow_it: Annotated[bool, typer.Option("--follow", "-f", help="Go on while the run is running.")] = False,
    stream: Annotated[Stream | None, typer.Option("--stream", help="Only what went to this stream.")] = None,
    member: Annotated[
        int, typer.Option("--member", min=0, help="Of a run of several members, what this one wrote.")
    ] = 0,
    raw: Annotated[
        bool | None,
        typer.Option("--raw/--collapse", help="Every byte, or of each progress bar its last state."),
    ] = None,
) -> None:
    """Print what a run wrote.

    In a pipe byte for byte, both streams in the order their bytes came; on a terminal, a line that was
    written over again and again (a progress bar) is shown once. Everything goes to stdout. Where a run wrote
    more than was kept, a note on stderr says how many bytes are missing. Where a terminal or one pipe took
    both streams, all of it is stdout.
    """
    on_terminal = stdout().is_terminal
    with open_archive() as archive:
        found = resolve(archive, run)
        live = follow_it and isinstance(found, LiveRun)
        collapser = None if (not on_terminal if raw is None else raw) else Collapser(redraw=live and on_terminal)
        if follow_it and isinstance(found, LiveRun):
            sealed = partial(sealed_console, found.id, member)
            pieces: Iterable[Piece] = follow(found, is_live(archive, found), sealed, member)
        else:
            pieces = read_console(found, member)
        _print(pieces, stream, collapser)


def is_live(archive: Archive, run: LiveRun) -> Callable[[], bool]:
    """Whether the run has not been sealed; now and then it is sealed here, where it is proved dead."""
    next_proof = time.monotonic() + _PROOF_S

    def ask() -> bool:
        nonlocal next_proof
        if time.monotonic() > next_proof:
            seal_the_dead(archive)
            next_proof = time.monotonic() + _PROOF_S
        return os.path.isdir(run.directory)

    return ask


def sealed_console(run_id: str, member: int = 0) -> Iterator[Piece]:
    """The console of a run (of one of its members) that was sealed meanwhile; empty where it was not."""
    with open_archive(tidy=False) as archive:  # anew: what was read of an archive does not change any more
        run = archive.run(run_id)
        if run is not None and not run.is_live:
            yield from read_console(run, member)


def _print(pieces: Iterable[Piece], stream: Stream | None, collapser: Collapser | None) -> None:
    sys.stdout.flush()
    screen = stdout()
    for number, _, data in pieces:
        if number == 0:
            stderr().line(f"gitrun: {data.decode('utf-8', 'replace')}")
        elif stream is None or number == _NUMBER[stream]:
            screen.data(data if collapser is None else collapser.feed(data))
    if collapser is not None:
        screen.data(collapser.finish())
