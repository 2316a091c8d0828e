"""`gitrun metrics`: what a run logged, or several, as a list, as curves, as points."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from gitrun.archive.archive import Archive
from gitrun.archive.harmless import harmless
from gitrun.archive.run import Run
from gitrun.archive.selectors import resolve_many
from gitrun.cli.common import JSON_HELP, RUN_HELP, open_archive, print_json
from gitrun.cli.metrics_of_many import Form, show_many
from gitrun.cli.points import cell, metrics_json, print_rows, summary_rows
from gitrun.errors import UsageError
from gitrun.model.ids import short
from gitrun.ui.metrics import print_list, print_plots
from gitrun.ui.table import print_lines
from gitrun.ui.terminal import Screen, stderr, stdout

if TYPE_CHECKING:
    import pyarrow as pa


def register(app: typer.Typer) -> None:
    """Add `metrics` to the application."""
    app.command("metrics")(metrics)


def metrics(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)] = "@",
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="A metric; all of them without.")] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw a curve of each.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print all points as CSV with a header line.")] = False,
    parquet: Annotated[str | None, typer.Option("--parquet", metavar="FILE", help="Write all points to FILE.")] = None,
    rank: Annotated[int | None, typer.Option("--rank", min=0, help="Only what this rank logged.")] = None,
    leg: Annotated[bool, typer.Option("--leg", help="Of a resumed run, only what it logged itself.")] = False,
    json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Show what a run logged, also while it runs, or what all runs logged that meet an expression.

    Without a NAME, one line for each metric; in a pipe its name, count, min, max, first, last, last step, and the steps
    of min and max. With one, its curve on a terminal, its points in a pipe: step, time (UTC), value, rank, after the
    name where there are several.
    Where several ranks logged, the list and the curves are of rank 0 and the points those of all, without --rank.
    A resumed run is shown with the runs that led to it as one: what it logged replaces their points from its first step
    on.
    Of several runs each line and each point has the run's id before it. CSV and Parquet are one long table with a
    column for each config key in which the runs differ. The curves of a metric share their axes.
    """
    if sum((plot, csv, json, parquet is not None)) > 1:
        raise UsageError("--plot, --csv, --parquet and --json exclude each other", next="gitrun metrics --help")
    with open_archive() as archive:
        chosen = resolve_many(archive, [run])
        read = partial(_read, None if leg else archive, rank)
        if len(chosen) > 1:
            show_many(archive, chosen, names or [], Form(plot, csv, json, parquet, leg), read)
            return
        found = chosen[0]
        table = _points(found, names or [], read)
    screen = stdout()
    if json:
        print_json(metrics_json(found, table, names or []))
    elif parquet is not None:
        _write(table, parquet)
    elif not table.num_rows:
        of = "" if rank is None else f" of rank {rank}"
        stderr().line(f"gitrun: run {found.id} has no metrics{of}")
    elif csv:
        _print_points(screen, table, names or [], ",")
    elif plot or (names and screen.is_terminal):
        print_plots(screen, table)
    elif names:
        _print_points(screen, table, names, "\t")
    elif screen.is_terminal:
        print_list(screen, table)
    else:
        print_lines(screen, ([harmless(name), *map(cell, one)] for name, one in summary_rows(table)))


def _points(run: Run, names: list[str], read: Callable[[Run, list[str] | None], pa.Table]) -> pa.Table:
    """The points; raises GitrunError for a name that the run has not logged."""
    from gitrun.archive.metrics import refuse_missing  # Arrow, which no other command loads

    table = read(run, names or None)
    next = f"gitrun metrics {short(run.id)}"
    refuse_missing(names, table, lambda: [read(run, None)], f"run {run.id} has no", next)
    return table


def _read(archive: Archive | None, rank: int | None, run: Run, names: list[str] | None) -> pa.Table:
    """The points of a run (of one rank), and with an archive those of the legs before it."""
    from gitrun.archive.stitching import read_legs  # Arrow, which no other command loads
    from gitrun.recording.points import points_of

    table = points_of(run, names) if archive is None else read_legs(archive, run, names, points_of)
    return table if rank is None else _of_rank(table, rank)


def _of_rank(table: pa.Table, rank: int) -> pa.Table:
    import pyarrow.compute as pc

    return table.filter(pc.equal(table["rank"], rank))


def _print_points(screen: Screen, table: pa.Table, names: list[str], joint: str) -> None:
    """All points as lines, with a header for CSV; the name is a column where it is not the only one."""
    columns = ["step", "time", "value", "rank"] if len(names) == 1 else ["name", "step", "time", "value", "rank"]
    print_rows(screen, table.select(columns), joint)


def _write(table: pa.Table, path: str) -> None:
    from gitrun.capture.parquet import write_parquet

    write_parquet([table], os.path.abspath(path))
    sys.stderr.write(f"gitrun: {table.num_rows:,} points in {path}\n")
