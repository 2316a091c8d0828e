"""Points as a table of Arrow, and what of a metric is known as a whole.

Loading Arrow takes a tenth of a second, so this is imported only where a run has points.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gitrun.model.metrics import COLUMNS

_NONE = -(1 << 63)
TIME = pa.timestamp("us", "UTC")
SCHEMA = pa.schema(
    [("name", pa.string()), ("step", pa.int64()), ("time", TIME), ("value", pa.float64()), ("rank", pa.int32())]
)
assert {field.name: str(field.type) for field in SCHEMA} == COLUMNS


def in_order(table: pa.Table) -> pa.Table:
    """Its rows by step and time, what has none first; those that agree stay in their order."""
    if _is_sorted(table["step"].combine_chunks()):
        return table
    numbers = [pc.fill_null(table[name].cast(pa.int64()), _NONE) for name in ("step", "time")]
    keys = pa.table(numbers, ["step", "time"])
    return table.take(pc.sort_indices(keys, sort_keys=[("step", "ascending"), ("time", "ascending")]))


def leading(table: pa.Table) -> pa.Table:
    """The points that stand for a metric: those of rank 0 and of no rank, else those of its lowest rank."""
    ranks = table["rank"]
    lowest = pc.min(ranks).as_py()
    if lowest is None:
        return table
    chosen = table.filter(pc.fill_null(pc.equal(ranks, lowest), lowest == 0))
    return in_order(chosen) if lowest == 0 and ranks.null_count else chosen


def summarise(table: pa.Table) -> dict[str, Any]:
    """What is known of a metric as a whole (`metrics.SUMMARY`), out of its table, which has at least one point.

    NaN is neither smallest nor largest; where there is nothing else, these are null.
    """
    points = leading(table)
    steps, values = points["step"], points["value"]
    numbers = pc.if_else(pc.is_nan(values), None, values)
    ends = pc.min_max(numbers).as_py()
    places = {end: pc.index(numbers, value).as_py() if value is not None else -1 for end, value in ends.items()}
    at = {end: steps[place].as_py() if place >= 0 else None for end, place in places.items()}
    return {
        "count": points.num_rows,
        "min": ends["min"],
        "max": ends["max"],
        "first": values[0].as_py(),
        "last": values[-1].as_py(),
        "last_step": steps[-1].as_py(),
        "min_step": at["min"],
        "max_step": at["max"],
    }


def _is_sorted(steps: Any) -> bool:
    """Whether each step is larger than the one before: so it is in nearly every run."""
    return len(steps) < 2 or (not steps.null_count and pc.all(pc.greater(steps[1:], steps[:-1])).as_py())
