"""`gitrun claim`: what is reproducible of a run's metrics."""

from __future__ import annotations

from typing import Annotated

import typer

from gitrun.archive.harmless import harmless
from gitrun.archive.selectors import resolve_many
from gitrun.archive.tagging import claim as state
from gitrun.cli.common import RUN_HELP, open_archive
from gitrun.ui.table import print_lines
from gitrun.ui.terminal import stdout


def register(app: typer.Typer) -> None:
    """Add `claim` to the application."""
    app.command("claim")(claim)


def claim(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    claims: Annotated[
        list[str] | None,
        typer.Argument(metavar="[EXPR...]", help="Claims, such as 'max:val_acc within 0.5%'; none only prints."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take them back instead.")] = False,
) -> None:
    """Say what holds of a run when it is replayed, and print all that is claimed of it.

    A claim is about one number of a metric: 'loss within 0.01' (the last value, give or take 0.01), 'max:val_acc
    within 0.5%' (the greatest; also min: and first:), 'min:loss <= 0.3' (a bound: < <= > >=). A replay tells of each
    whether it held, and is accepted when all did, unless --accept says otherwise. Of several runs, a line each: its
    id, a tab, a claim.
    """
    with open_archive() as archive:
        chosen = resolve_many(archive, [run])
        adding, removing = ((), claims or ()) if remove else (claims or (), ())
        stated = {found.id: list(map(harmless, state(archive, found, adding, removing))) for found in chosen}
    if len(chosen) == 1:
        for text in stated[chosen[0].id]:
            stdout().line(text)
    else:
        print_lines(stdout(), [[run_id, text] for run_id, texts in stated.items() for text in texts])
