"""Many runs as a table: a row for each, a column for each key that one of them has."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from gitrun.archive.keys import FIELDS, Key
from gitrun.archive.metrics import as_array
from gitrun.archive.querying import Runs
from gitrun.model.metric_tables import TIME
from gitrun.model.times import parse_iso

_KINDS = {
    "text": pa.string(),
    "time": TIME,
    "seconds": pa.float64(),
    "number": pa.int64(),
    "list": pa.list_(pa.string()),
    "flag": pa.bool_(),
}


def table_of(runs: Runs, ids: list[str]) -> pa.Table:
    """The table of the runs with these ids, in their order."""
    columns = {name: pa.array([_plain(kind, value) for value in _values(runs, name, ids)], _KINDS[kind])
               for name, kind in FIELDS.items()}  # fmt: skip
    for name in runs.known_keys():
        values = _values(runs, name, ids)
        if any(value is not None for value in values):
            columns[name] = as_array(values)
    return pa.table(columns)


def _values(runs: Runs, name: str, ids: list[str]) -> list[Any]:
    column = runs.column(Key(name))
    return [column.get(run_id) for run_id in ids]


def _plain(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "time":
        return parse_iso(value) // 1000
    return str(value) if kind == "text" else value
