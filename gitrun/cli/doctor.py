"""`gitrun doctor`: is this clone's archive well, and would a recording work here."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from gitrun.cli.common import JSON_HELP, print_json
from gitrun.doctor.check import Check, is_well, to_json
from gitrun.git.discovery import current_directory
from gitrun.ui.checks import print_checks
from gitrun.ui.monitor import TerminalMonitor
from gitrun.ui.terminal import stderr, stdout


def register(app: typer.Typer) -> None:
    """Add `doctor` to the application."""
    app.command("doctor")(doctor)


def doctor(
    record: Annotated[
        bool, typer.Option("--record", help="Try all that a recording started here needs, before a job relies on it.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Say whether all is well here.

    Without options the archive is looked at: runs that are running or were left behind, orphans, refs that are no
    runs, the store, free space, settings; nothing is changed, not even what the next command would tidy up. With
    --record each capability of a recording is really tried, up to a whole recording of a small program from your
    source as it is now; it takes as long as a recording does, and nothing of it stays. Exit status 1 when
    something does not work; what is merely missing is a warning.
    """
    checks = _examine(record)
    if json:
        print_json(to_json(checks))
    else:
        print_checks(stdout(), checks)
    if not is_well(checks):
        raise typer.Exit(1)


def _examine(record: bool) -> list[Check]:
    if record:
        from gitrun.doctor.recording import examine_recording  # the archive alone needs no recorder

        return examine_recording(current_directory(), os.environ, TerminalMonitor(stderr()))
    from gitrun.doctor.archive import examine_archive

    return examine_archive(current_directory(), os.environ)
