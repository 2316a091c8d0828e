"""Points and summaries of metrics as lines, for one run and for several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitrun.archive.run import Run
from gitrun.model.metrics import SUMMARY
from gitrun.ui.metrics import summaries_of
from gitrun.ui.terminal import Screen

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 10_000


def summary_rows(table: pa.Table) -> list[tuple[str, list[Any]]]:
    """What is known of each metric as a whole, in the order of the columns of a list."""
    return [(name, [one[key] for key in SUMMARY]) for name, one in summaries_of(table).items()]


def metrics_json(run: Run, table: pa.Table, names: list[str]) -> dict[str, Any]:
    """A run as `metrics --json` has it: all metrics of the table in short, and the points of those named."""
    points: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for row in as_text(table).to_pylist() if names else ():
        points[row.pop("name")].append(row)
    return {"run": run.id, "metrics": summaries_of(table), "points": points}


def cell(value: Any) -> str:
    """A number as Python writes it; empty for none."""
    return "" if value is None else repr(value)


def print_rows(screen: Screen, table: pa.Table, joint: str) -> None:
    """The rows of a table as lines with `joint` between fields, below a header where that is a comma."""
    import csv

    lines = csv.writer(screen.stream, delimiter=joint, lineterminator="\n")
    if joint == ",":
        lines.writerow(table.column_names)
    for batch in as_text(table).to_batches(max_chunksize=_BATCH):
        lines.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def as_text(table: pa.Table) -> pa.Table:
    """The table with times as records write them, and values as Python does."""
    import pyarrow as pa
    import pyarrow.compute as pc

    times = pc.replace_substring(table["time"].cast(pa.string()), pattern=" ", replacement="T")
    return table.set_column(table.schema.get_field_index("time"), "time", times)
