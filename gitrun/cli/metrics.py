"""`gitrun metrics`: what a run logged, as a list, as curves, as points."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitrun.archive.archive import Archive
from gitrun.archive.harmless import harmless
from gitrun.archive.keys import near
from gitrun.archive.run import Run
from gitrun.archive.selectors import resolve
from gitrun.cli.common import JSON_HELP, RUN_HELP, open_archive, print_json
from gitrun.errors import GitrunError, UsageError
from gitrun.model.metrics import SUMMARY
from gitrun.ui.metrics import print_list, print_plots, summaries_of
from gitrun.ui.table import print_lines
from gitrun.ui.terminal import Screen, stderr, stdout

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 10_000


def register(app: typer.Typer) -> None:
    """Add `metrics` to the application."""
    app.command("metrics")(metrics)


def metrics(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)] = "@",
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="A metric; all of them without.")] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw a curve of each.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print all points as CSV with a header line.")] = False,
    parquet: Annotated[str | None, typer.Option("--parquet", metavar="FILE", help="Write all points to FILE.")] = None,
    leg: Annotated[bool, typer.Option("--leg", help="Of a resumed run, only what it logged itself.")] = False,
    json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Show what a run logged, also while it runs.

    Without a NAME, one line for each metric; in a pipe its name, count, min, max, first, last, last step, and the steps
    of min and max. With one, its curve on a terminal, its points in a pipe: step, time (UTC), value, rank, after the
    name where there are several.
    Where several ranks logged, the list and the curves are of rank 0; the points are those of all.
    A resumed run is shown with the runs that led to it as one: what it logged replaces their points from its first step
    on.
    """
    if sum((plot, csv, json, parquet is not None)) > 1:
        raise UsageError("--plot, --csv, --parquet and --json exclude each other", next="gitrun metrics --help")
    with open_archive() as archive:
        found = resolve(archive, run)
        table = _points(found, names or [], partial(_read, None if leg else archive))
    screen = stdout()
    if json:
        print_json({"run": found.id, "metrics": summaries_of(table), "points": _objects(table, names or [])})
    elif parquet is not None:
        _write(table, parquet)
    elif not table.num_rows:
        stderr().line(f"gitrun: run {found.id} has no metrics")
    elif csv:
        _print_points(screen, table, names or [], ",")
    elif plot or (names and screen.is_terminal):
        print_plots(screen, table)
    elif names:
        _print_points(screen, table, names, "\t")
    elif screen.is_terminal:
        print_list(screen, table)
    else:
        print_lines(screen, ([harmless(name), *map(_cell, one)] for name, one in _summary_rows(table)))


def _points(run: Run, names: list[str], read: Callable[[Run, list[str] | None], pa.Table]) -> pa.Table:
    """The points; raises GitrunError for a name that the run has not logged, with those that it may have been."""
    table = read(run, names or None)
    missing = set(names) - set(table["name"].unique().to_pylist())
    if missing:
        known = read(run, None)["name"].unique().to_pylist()
        name = min(missing)
        close = ", ".join(map(harmless, near(name, known)))
        hint = f"; there is {close}" if close else ""
        raise GitrunError(f"run {run.id} has no metric {harmless(name)!r}{hint}", next=f"gitrun metrics {run.id[-6:]}")
    return table


def _read(archive: Archive | None, run: Run, names: list[str] | None) -> pa.Table:
    """The points of a run, and with an archive those of the legs before it."""
    from gitrun.archive.stitching import read_legs  # Arrow, which no other command loads
    from gitrun.recording.points import points_of

    return points_of(run, names) if archive is None else read_legs(archive, run, names, points_of)


def _summary_rows(table: pa.Table) -> list[tuple[str, list[Any]]]:
    return [(name, [one[key] for key in SUMMARY]) for name, one in summaries_of(table).items()]


def _cell(value: Any) -> str:
    return "" if value is None else repr(value)


def _print_points(screen: Screen, table: pa.Table, names: list[str], joint: str) -> None:
    """All points as lines, with a header for CSV; the name is a column where it is not the only one."""
    import csv

    columns = ["step", "time", "value", "rank"] if len(names) == 1 else ["name", "step", "time", "value", "rank"]
    lines = csv.writer(screen.stream, delimiter=joint, lineterminator="\n")
    if joint == ",":
        lines.writerow(columns)
    for batch in _as_text(table).select(columns).to_batches(max_chunksize=_BATCH):
        lines.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def _as_text(table: pa.Table) -> pa.Table:
    """The table with times as records write them, and values as Python does."""
    import pyarrow as pa
    import pyarrow.compute as pc

    times = pc.replace_substring(table["time"].cast(pa.string()), pattern=" ", replacement="T")
    return table.set_column(table.schema.get_field_index("time"), "time", times)


def _objects(table: pa.Table, names: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The points of the named metrics."""
    points: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    if names:
        for row in _as_text(table).to_pylist():
            points[row.pop("name")].append(row)
    return points


def _write(table: pa.Table, path: str) -> None:
    from gitrun.capture.parquet import write_parquet

    write_parquet([table], os.path.abspath(path))
    sys.stderr.write(f"gitrun: {table.num_rows:,} points in {path}\n")
