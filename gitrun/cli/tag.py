"""`gitrun tag`: tags of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from gitrun.archive.harmless import harmless
from gitrun.archive.selectors import resolve_many
from gitrun.archive.tagging import tag as give
from gitrun.cli.common import RUN_HELP, open_archive
from gitrun.ui.table import print_lines
from gitrun.ui.terminal import stdout


def register(app: typer.Typer) -> None:
    """Add `tag` to the application."""
    app.command("tag")(tag)


def tag(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Tags; none only prints.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take them away instead.")] = False,
) -> None:
    """Give a run tags, and print those it has; of several runs, a line each: its id, a tab, its tags.

    The tag `pin` protects: a run that has it is not removed, nothing of it is dropped, and in the trash it stays.
    """
    with open_archive() as archive:
        chosen = resolve_many(archive, [run])
        adding, removing = ((), names or ()) if remove else (names or (), ())
        tags = {found.id: [harmless(name) for name in give(archive, found, adding, removing)] for found in chosen}
    if len(chosen) == 1:
        for name in tags[chosen[0].id]:
            stdout().line(name)
    else:
        print_lines(stdout(), [[run_id, ",".join(names)] for run_id, names in tags.items()])
