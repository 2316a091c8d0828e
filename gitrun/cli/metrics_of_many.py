"""`gitrun metrics` of several runs: their lists below each other, one long table, curves over the same axes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.archive.archive import Archive
from gitrun.archive.chains import last_legs
from gitrun.archive.harmless import harmless
from gitrun.archive.run import Run
from gitrun.cli.common import print_json
from gitrun.cli.points import cell, metrics_json, print_rows, summary_rows
from gitrun.model.ids import short
from gitrun.model.listing import plural
from gitrun.ui.metrics import MOST_CURVES, draws_blocks, number, print_overlay, sparklines_of, summaries_of
from gitrun.ui.table import Cell, print_lines, print_table
from gitrun.ui.terminal import Screen, stderr, stdout

if TYPE_CHECKING:
    import pyarrow as pa

Read = Callable[[Run, Any], "pa.Table"]
_TITLES = ("RUN", "NAME", "METRIC", "LAST", "STEP", "MIN", "MAX", "POINTS", "CURVE")
_OF_LEGEND = 4  # config keys
_CONFIG = "config."


class Form(NamedTuple):
    """What was asked for; none of the first four is the screen's own form."""

    plot: bool
    csv: bool
    json: bool
    parquet: str | None
    leg: bool


def show_many(archive: Archive, chosen: list[Run], names: list[str], form: Form, read: Read) -> None:
    """Show the metrics (those named) of several runs; of a chain of legs, the last one stands for all."""
    if not form.leg:
        links = {run.id: run.summary.resumed_from for run in chosen}
        kept = set(last_legs([run.id for run in chosen], {run: link for run, link in links.items() if link}))
        chosen = [run for run in chosen if run.id in kept]
    screen = stdout()
    if form.json or not (names or form.plot or form.csv or form.parquet):
        each = ((run, read(run, names or None)) for run in chosen)
        if form.json:
            print_json([metrics_json(run, table, names) for run, table in each])
        else:
            _list(screen, each)
        return
    frame = _frame(archive, chosen, names, read)
    if form.parquet is not None:
        _write(frame, form.parquet)
    elif form.csv:
        print_rows(screen, frame if len(names) != 1 else frame.drop_columns(["name"]), ",")
    elif form.plot or screen.is_terminal:
        print_overlay(screen, frame, _labels(chosen, frame))
        if len(chosen) > MOST_CURVES:
            stderr().line(f"gitrun: {plural(len(chosen) - MOST_CURVES, 'run')} more; a plot has {MOST_CURVES} curves")
    else:
        points = ["run", *(["name"] if len(names) > 1 else []), "step", "time", "value", "rank"]
        print_rows(screen, frame.select(points), "\t")


def _frame(archive: Archive, chosen: list[Run], names: list[str], read: Read) -> pa.Table:
    """All points in one long table; raises GitrunError for a name that none of the runs has logged."""
    from gitrun.archive.metrics import long_frame, refuse_missing  # Arrow, which no other command loads

    runs = list(archive.with_records(chosen, ("config.json",)))
    frame = long_frame(runs, names or None, None, read)
    who = f"none of these {len(runs):,} runs has a"
    refuse_missing(names, frame, lambda: (read(run, None) for run in runs), who, "gitrun metrics --help")
    return frame


def _list(screen: Screen, each: Iterator[tuple[Run, pa.Table]]) -> None:
    """One line for each metric of each run."""
    if not screen.is_terminal:
        for run, table in each:
            print_lines(screen, ([run.id, harmless(name), *map(cell, one)] for name, one in summary_rows(table)))
        return
    rows = []
    for run, table in each:
        sparks = sparklines_of(table, plain=not draws_blocks(screen))
        for name, one in summaries_of(table).items():
            numbers = (Cell(number(one[key])) for key in ("last", "last_step", "min", "max", "count"))
            first = [Cell(short(run.id), "bold"), Cell(run.summary.name), Cell(harmless(name, 60))]
            rows.append([*first, *numbers, Cell(sparks[name], "cyan")])
    print_table(screen, _TITLES, rows)


def _labels(chosen: list[Run], frame: pa.Table) -> dict[str, str]:
    """What tells the runs apart: their ids and names, and the first few config keys in which they differ."""
    keys = [key for key in frame.column_names if key.startswith(_CONFIG)][:_OF_LEGEND]
    firsts = frame.group_by("run", use_threads=False).aggregate([(key, "first") for key in keys])
    values = {row["run"]: row for row in firsts.to_pylist()}
    labels = {}
    for run in chosen:
        config = [f"{key.removeprefix(_CONFIG)}={values.get(run.id, {}).get(f'{key}_first')}" for key in keys]
        labels[run.id] = harmless(" ".join([short(run.id), *filter(None, [run.summary.name]), *config]), 100)
    return labels


def _write(frame: pa.Table, path: str) -> None:
    from gitrun.capture.parquet import write_table

    write_table(frame, os.path.abspath(path))
    stderr().line(f"gitrun: {frame.num_rows:,} points in {path}")
