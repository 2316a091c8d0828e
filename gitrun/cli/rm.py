"""`gitrun rm`: put runs into the trash."""

from __future__ import annotations

from typing import Annotated

import typer

from gitrun.archive.selectors import resolve_many
from gitrun.archive.tagging import refuse_pinned
from gitrun.archive.trash import remove
from gitrun.cli.common import RUN_HELP, open_archive
from gitrun.model.ids import short
from gitrun.ui.terminal import stderr


def register(app: typer.Typer) -> None:
    """Add `rm` to the application."""
    app.command("rm")(rm)


def rm(runs: Annotated[list[str], typer.Argument(metavar="RUN...", help=RUN_HELP)]) -> None:
    """Remove runs.

    They go to the trash, from where `gitrun undelete` has them back until `gitrun gc` finds that their grace
    (the setting gc.grace, 14 days) is over. What they stored stays until then. A run with the tag `pin` is refused.
    """
    with open_archive() as archive:
        chosen = resolve_many(archive, runs)
        for run in chosen:
            refuse_pinned(run, "removed")  # all or none, as where one is unknown
        for run in chosen:
            remove(archive, run.id)
            stderr().line(f"gitrun: removed {run.id}, next: gitrun undelete {short(run.id)}")
