"""`gitrun recover`: seal what a dead recorder left behind, or what nobody can prove dead."""

from __future__ import annotations

from typing import Annotated

import typer

from gitrun.archive.harmless import harmless
from gitrun.archive.selectors import resolve
from gitrun.cli.common import RUN_HELP, open_archive
from gitrun.errors import GitrunError, UsageError
from gitrun.ui.terminal import stderr, stdout


def register(app: typer.Typer) -> None:
    """Add `recover` to the application."""
    app.command("recover")(recover)


def recover(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help=RUN_HELP)] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Seal RUN though nothing proves it dead, with the status `unknown`.")
    ] = False,
) -> None:
    """Seal runs whose recorder is gone.

    Each with the truth about how it ended. Without RUN every live directory is looked at and those proved
    dead are sealed: their host, boot and processes are this machine's, and gone. A run that may be alive
    elsewhere is left alone; `recover RUN --force` seals it all the same, and puts one aside whose files are
    damaged. Outputs that a run was sealed without, because there was no time for them, are stored now, where
    the files still are what the run left. Prints the id of each run it sealed; exit status 1 when one could
    not be.
    """
    if force and run is None:
        raise UsageError("--force needs the run it is about", next="gitrun status")
    from gitrun.recording.completing import complete_all
    from gitrun.recording.recover import recover as recover_one  # no other family needs the recorder's room
    from gitrun.recording.recover import recover_all, unsealed

    with open_archive(tidy=False) as archive:
        run_id = None if run is None else resolve(archive, run).id
        if run_id is None:
            recovered = recover_all(archive.repo, archive.environ, archive.monitor)
        else:
            one = recover_one(archive.repo, run_id, archive.environ, archive.monitor, force=force)
            recovered = [] if one is None else [one]
        for sealed in recovered:
            stdout().line(harmless(sealed.run_id))
        left = unsealed(archive.repo, archive.environ) if run is None else []
    with open_archive(tidy=False) as archive:  # as it is now, with what was sealed
        completed = complete_all(archive, run_id)
    if left:
        raise GitrunError(
            f"could not be recovered: {', '.join(map(harmless, left))}",
            kept="their live directories",
            next="gitrun recover RUN --force puts a damaged one aside",
        )
    if not recovered and not completed:
        stderr().line("nothing to recover")
