"""`gitrun snapshot`: the source as it is now, for a job that starts later."""

from __future__ import annotations

from typing import Annotated

import typer

from gitrun.cli.common import open_archive
from gitrun.replay.snapshot import freeze
from gitrun.ui.terminal import stdout


def register(app: typer.Typer) -> None:
    """Add `snapshot` to the application."""
    app.command("snapshot")(snapshot)


def snapshot(
    name: Annotated[str | None, typer.Option("--name", "-n", help="A name that `record --at` takes as well.")] = None,
) -> None:
    """Freeze the source as it is now and print the snapshot's id, for `gitrun record --at ID -- COMMAND`.

    What runs hours later is what was frozen, whatever has been edited meanwhile.
    """
    with open_archive() as archive:
        stdout().line(freeze(archive, name, archive.monitor))
