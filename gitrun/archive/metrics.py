"""The points of sealed runs, read back: one metric without the others, one metric of many runs, and few points of many.

The part is a Parquet file sorted by name. The statistics of its row groups say which names are in them, so only those
that may have what is asked for are decoded. A record may come from anywhere: a file that is none, or with other
columns, is a damaged record.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gitrun.archive.contract import content
from gitrun.archive.harmless import harmless
from gitrun.archive.keys import near
from gitrun.archive.run import Run
from gitrun.errors import DamagedRecord, GitrunError
from gitrun.model.metric_tables import SCHEMA
from gitrun.model.metrics import COLUMNS, PART

MAX_ROWS = 1 << 31
_INT64 = 1 << 63


class Bucket(NamedTuple):
    """Points next to each other: the first and the last step; the least, largest and last value (None: all NaN)."""

    step: int
    last_step: int
    min: float | None
    max: float | None
    last: float


def read_metrics(run: Run, names: Collection[str] | None = None) -> pa.Table:
    """The points of a sealed run (of these metrics), sorted; empty where it has none.

    Raises DamagedRecord or DamagedStore.
    """
    data = run.part(PART)
    if data is None:
        return SCHEMA.empty_table()
    try:
        return decode_metrics(data, names)
    except DamagedRecord as problem:
        raise DamagedRecord(f"run {run.id} is damaged: {problem}", next="gitrun fsck") from problem


def decode_metrics(data: bytes, names: Collection[str] | None = None) -> pa.Table:
    """The points (of these metrics) in the bytes of a part; raises DamagedRecord."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        found = {field.name: str(field.type) for field in file.schema_arrow}
        if any(found.get(name) != kind for name, kind in COLUMNS.items()) or file.metadata.num_rows > MAX_ROWS:
            raise DamagedRecord(f"{PART} has other columns than points have")
        groups = [
            n for n in range(file.num_row_groups) if names is None or _may_have(file.metadata.row_group(n), names)
        ]
        table = file.read_row_groups(groups, columns=list(COLUMNS), use_threads=False).cast(SCHEMA)
        table.validate(full=True)
        if table["name"].null_count or table["value"].null_count:
            raise DamagedRecord(f"{PART} has points without a name or a value")
    except (pa.ArrowException, OSError, ValueError, OverflowError) as problem:
        raise DamagedRecord(f"{PART} cannot be read: {problem}") from problem
    return table if names is None else only(table, names)


def only(table: pa.Table, names: Collection[str]) -> pa.Table:
    """The points of these metrics; a name that is no UTF-8, as a command line may have one, is nobody's."""
    known = [name for name in sorted(names) if name == name.encode("utf-8", "replace").decode("utf-8")]
    return table.filter(pc.is_in(table["name"], value_set=pa.array(known, pa.string())))


def long_frame(
    runs: Iterable[Run],
    names: Collection[str] | None = None,
    config: Sequence[str] | None = None,
    read: Callable[[Run, Collection[str] | None], pa.Table] = read_metrics,
) -> pa.Table:
    """The points of many runs (of these metrics), one below the other: their columns behind `run`, the id of each.

    Behind them is a column `config.KEY` for each of `config`, else for each key whose values differ between the runs:
    integers, floats, booleans or text, whichever all of them are.
    """
    tables, values = [], []
    for run in runs:
        table = read(run, names)
        tables.append(table.add_column(0, "run", pa.repeat(pa.scalar(run.id), table.num_rows)))
        found = content(run.value("config.json")).get("values")
        values.append(found if type(found) is dict else {})
    keys = differing(values) if config is None else config
    columns = [_config_column([one.get(key) for one in values], tables) for key in keys]
    schema = pa.schema([("run", pa.string()), *SCHEMA])
    frame = pa.concat_tables(tables) if tables else schema.empty_table()
    for key, column in zip(keys, columns, strict=True):
        frame = frame.append_column(f"config.{key}", column)
    return frame


def refuse_missing(
    names: Collection[str], table: pa.Table, all_points: Callable[[], Iterable[pa.Table]], who: str, next: str
) -> None:
    """Raises GitrunError for a metric that has no points in `table`, with those that may have been meant.

    No points would be a wrong answer. `who` has none of them, such as "run X has no"; `all_points` gives what there is.
    """
    missing = set(names) - set(table["name"].unique().to_pylist())
    if missing:
        name = min(missing)
        known = dict.fromkeys(each for points in all_points() for each in points["name"].unique().to_pylist())
        close = ", ".join(map(harmless, near(name, known)))
        raise GitrunError(f"{who} metric {harmless(name)!r}" + (f"; there is {close}" if close else ""), next=next)


def differing(values: Sequence[dict[str, Any]]) -> list[str]:
    """The keys of configurations that are not the same in all of them, in their order."""
    keys = dict.fromkeys(key for one in values for key in one)
    absent = object()
    return [key for key in keys if any(one.get(key, absent) != values[0].get(key, absent) for one in values)]


def buckets(table: pa.Table, count: int) -> list[Bucket]:
    """At most `count` buckets of equal width in steps, for one metric's points of one rank; empty ones left out."""
    points = table.select(["step", "value"]).filter(pc.is_valid(table["step"]))
    if not points.num_rows:
        points = pa.table({"step": pa.array(range(table.num_rows), pa.int64()), "value": table["value"]})
    if not points.num_rows:
        return []
    ends = pc.min_max(points["step"]).as_py()
    low, width = ends["min"], -(-(ends["max"] - ends["min"] + 1) // count)
    if ends["max"] - low >= 1 << 62:  # nobody's steps
        return []
    numbers = pc.if_else(pc.is_nan(points["value"]), None, points["value"])
    points = points.append_column("at", pc.divide(pc.subtract(points["step"], low), width)).append_column("n", numbers)
    asked = [("step", "min"), ("step", "max"), ("n", "min"), ("n", "max"), ("value", "last")]
    found = points.group_by("at", use_threads=False).aggregate(asked).sort_by("at")
    columns = (found[name].to_pylist() for name in ("step_min", "step_max", "n_min", "n_max", "value_last"))
    return [Bucket(*bucket) for bucket in zip(*columns, strict=True)]


def _may_have(group: Any, names: Collection[str]) -> bool:
    """Whether rows of some metric of `names` can be in a row group."""
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema == "name":
            known = column.statistics if column.is_stats_set else None
            if known is None or not known.has_min_max:
                return True
            low, high = known.min.encode("utf-8"), known.max.encode("utf-8")
            return any(low <= name.encode("utf-8", "replace") <= high for name in names)
    return True


def as_array(values: list[Any]) -> pa.Array:
    """Values that somebody gave as one column: booleans, integers or floats where all are, else text."""
    kinds = {type(value) for value in values if value is not None}
    kind = pa.string()
    plain: list[Any] = [None if value is None else _text(value) for value in values]
    if kinds <= {bool}:
        kind, plain = pa.bool_(), values
    elif kinds <= {int} and all(value is None or abs(value) < _INT64 for value in values):
        kind, plain = pa.int64(), values
    elif kinds <= {int, float} and all(type(value) is not int or abs(value) < _INT64 for value in values):
        kind, plain = pa.float64(), [None if value is None else float(value) for value in values]
    return pa.array(plain, kind)


def _config_column(values: list[Any], tables: list[pa.Table]) -> pa.ChunkedArray:
    """A value for each run, as often as it has rows."""
    column = as_array(values)
    pairs = zip(column, tables, strict=True)
    return pa.chunked_array([pa.repeat(value, table.num_rows) for value, table in pairs], column.type)


def _text(value: Any) -> str:
    return (value if type(value) is str else str(value)).encode("utf-8", "replace").decode("utf-8")
