"""`gitrun undelete`: have removed runs back."""

from __future__ import annotations

from typing import Annotated

import typer

from gitrun.archive.trash import removed, undelete
from gitrun.cli.common import open_archive
from gitrun.model.ids import short
from gitrun.ui.terminal import stderr, stdout


def register(app: typer.Typer) -> None:
    """Add `undelete` to the application."""
    app.command("undelete")(restore)


def restore(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN...", help="Removed runs: their ids, or the end of them.")
    ] = None,
) -> None:
    """Have removed runs back.

    Without RUN the ids of all that can be had back are printed.
    """
    with open_archive() as archive:
        if not runs:
            for run_id in sorted(removed(archive), reverse=True):
                stdout().line(run_id)
        for text in runs or ():
            run_id = undelete(archive, text)
            stderr().line(f"gitrun: {run_id} is back, next: gitrun show {short(run_id)}")
