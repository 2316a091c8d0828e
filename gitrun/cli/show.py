"""`gitrun show`: one run on one page, or as JSON."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gitrun.archive.children import children_of
from gitrun.archive.message import command_line
from gitrun.archive.selectors import resolve
from gitrun.cli.common import JSON_HELP, RUN_HELP, open_archive, print_json
from gitrun.ui.page import print_page
from gitrun.ui.terminal import stdout


def register(app: typer.Typer) -> None:
    """Add `show` to the application."""
    app.command("show")(show)


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)] = "@",
    json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Show one run on one page.

    What was run, from which source, on what, with which result, and whether it could be repeated.
    """
    with open_archive() as archive:
        found = resolve(archive, run)
        described = found.to_json()
        places: dict[str, Any] = found.record.get("parts") or {}
        children = [] if json else [f"{child.id} {child.summary.status}" for child in children_of(archive, found)]
    if json:
        print_json(described)
    else:
        print_page(stdout(), described, command_line(described["command"]), places, children)
