"""`gitrun note`: something to remember about a run."""

from __future__ import annotations

from typing import Annotated

import typer

from gitrun.archive.selectors import resolve_many
from gitrun.archive.tagging import note as add
from gitrun.cli.common import RUN_HELP, open_archive
from gitrun.model.ids import short
from gitrun.ui.terminal import stderr


def register(app: typer.Typer) -> None:
    """Add `note` to the application."""
    app.command("note")(note)


def note(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The note, in your own words.")],
) -> None:
    """Add a note to a run.

    `gitrun show` has all notes of a run. A note stays: a run's record and what was said of it never change.
    """
    with open_archive() as archive:
        for found in resolve_many(archive, [run]):
            add(archive, found, text)
            stderr().line(f"gitrun: noted, next: gitrun show {short(found.id)}")
