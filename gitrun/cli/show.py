"""`gitrun show`: one run on one page, or as JSON."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gitrun.archive.archive import Archive
from gitrun.archive.chains import describe_legs
from gitrun.archive.children import children_of
from gitrun.archive.message import command_line
from gitrun.archive.proofs import Replays, summary
from gitrun.archive.run import Run
from gitrun.archive.selectors import resolve_many
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

    What was run, from which source, on what, with which result, and whether it could be repeated. Of several runs, the
    pages below each other, or an array.
    """
    with open_archive() as archive:
        chosen, replays = resolve_many(archive, [run]), Replays(archive)
        objects = []
        for found in chosen:
            if found is not chosen[0] and not json:
                stdout().line()
            described = _show_lineage(archive, found, json) if lineage else _show(archive, found, replays, json)
            objects.append(described)
    if json:
        print_json(objects[0] if len(objects) == 1 else objects)


def _show(archive: Archive, found: Run, replays: Replays, json: bool) -> dict[str, Any]:
    """The page of one run, printed unless it is for programs; what it shows."""
    proofs = replays.of(found)
    described = {**found.to_json(), "legs": describe_legs(archive, found)}
    described["replays"] = [proof._asdict() for proof in proofs]
    places: dict[str, Any] = found.record.get("parts") or {}
    children = [] if json else [f"{child.id} {child.summary.status}" for child in children_of(archive, found)]
    curves, drawn = _curves(found, described, json), _system_curves(found, described, json)
    if not json:
        command, proof = command_line(described["command"]), summary(proofs)
        print_page(stdout(), described, command, places, children, curves, drawn, proof)
    return described


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


def _system_curves(run: Run, described: dict[str, Any], json: bool) -> dict[str, str]:
    """As `_curves`, of the system series."""
    if not run.is_live and (json or not described["system"]):
        return {}
    from gitrun.recording.points import system_of
    from gitrun.ui.metrics import draws_blocks, sparklines_of

    try:
        points, described["system"] = system_of(run)
    except GitrunError:
        return {}
    return {} if json else sparklines_of(points, plain=not draws_blocks(stdout()))


def _show_lineage(archive: Archive, run: Run, json: bool) -> dict[str, Any]:
    from gitrun.archive.lineage import lineage  # only when it is asked for
    from gitrun.ui.lineage import lineage_json, print_lineage

    found = lineage(archive, run)
    if not json:
        print_lineage(stdout(), found)
    return lineage_json(found)
