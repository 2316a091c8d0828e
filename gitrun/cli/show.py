"""`gitrun show`: one run on one page, or as JSON."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gitrun.archive.archive import Archive
from gitrun.archive.chains import describe_legs
from gitrun.archive.children import children_of
from gitrun.archive.message import command_line
from gitrun.archive.run import Run
from gitrun.archive.selectors import resolve
from gitrun.cli.common import JSON_HELP, RUN_HELP, open_archive, print_json
from gitrun.errors import GitrunError
from gitrun.ui.page import print_page
from gitrun.ui.terminal import stdout


def register(app: typer.Typer) -> None:
    """Add `show` to the application."""
    app.command("show")(show)


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)] = "@",
    json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
    lineage: Annotated[
        bool, typer.Option("--lineage", help="Show which runs made its inputs, and which read its outputs.")
    ] = False,
) -> None:
    """Show one run on one page.

    What was run, from which source, on what, with which result, and whether it could be repeated.
    """
    with open_archive() as archive:
        found = resolve(archive, run)
        if lineage:
            _show_lineage(archive, found, json)
            return
        described = {**found.to_json(), "legs": describe_legs(archive, found)}
        places: dict[str, Any] = found.record.get("parts") or {}
        children = [] if json else [f"{child.id} {child.summary.status}" for child in children_of(archive, found)]
        curves = _curves(found, described, json)
    if json:
        print_json(described)
    else:
        print_page(stdout(), described, command_line(described["command"]), places, children, curves)


def _curves(run: Run, described: dict[str, Any], json: bool) -> dict[str, str]:
    """A sparkline for each metric of the page; what a live run has logged so far is added to what is `described`."""
    if not run.is_live and (json or not described["metrics"]):
        return {}
    from gitrun.recording.points import points_of  # Arrow, only where a run has points
    from gitrun.ui.metrics import ON_PAGE, draws_blocks, sparklines_of, summaries_of

    names = None if run.is_live else sorted(described["metrics"])[:ON_PAGE]
    try:
        points = points_of(run, names)
    except GitrunError:
        return {}  # `metrics` and `fsck` say why; a page is for what there is
    if run.is_live:
        described["metrics"] = summaries_of(points)
    return {} if json else sparklines_of(points, plain=not draws_blocks(stdout()))


def _show_lineage(archive: Archive, run: Run, json: bool) -> None:
    from gitrun.archive.lineage import lineage  # only when it is asked for
    from gitrun.ui.lineage import lineage_json, print_lineage

    found = lineage(archive, run)
    if json:
        print_json(lineage_json(found))
    else:
        print_lineage(stdout(), found)
