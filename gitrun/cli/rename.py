"""`gitrun rename`: another name for a run."""

from __future__ import annotations

from typing import Annotated

import typer

from gitrun.archive.harmless import harmless
from gitrun.archive.selectors import resolve
from gitrun.archive.tagging import rename as give_name
from gitrun.cli.common import RUN_HELP, open_archive
from gitrun.ui.terminal import stderr


def register(app: typer.Typer) -> None:
    """Add `rename` to the application."""
    app.command("rename")(rename)


def rename(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name; an empty one takes the name away.")],
) -> None:
    """Give a run another name.

    The record keeps the one it was recorded with; lists, `show` and RUN go by the new one from now on.
    """
    with open_archive() as archive:
        found = resolve(archive, run)
        give_name(archive, found, name)
    stderr().line(f"gitrun: {found.id} {f'is called {harmless(name)}' if name else 'has no name'} now")
