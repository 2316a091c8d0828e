"""Points as Parquet: `metrics.parquet` of a record, a file that any reader of tables opens as it is (spec/metrics).

Whoever asks for one metric shall not read the others. So rows are sorted by name, and a row group ends where a metric
does: its statistics say which names are in it. Steps and times grow evenly and are written as differences; of values
that were 32 bits wide once, half the bytes are zero, and lie together where each byte of a number has its own place.

Loading Arrow takes a tenth of a second, so this is imported only where a run has points.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from gitrun.capture.columns import Group
from gitrun.errors import from_os_error
from gitrun.files.write import create, remove_quietly, temporary_path
from gitrun.model.metric_tables import SCHEMA, TIME, in_order

AT_LEAST = 1 << 14  # rows of a row group, where there are as many
AT_MOST = 1 << 18


def tables(groups: Iterable[Group], names: Collection[str] | None = None) -> Iterator[pa.Table]:
    """A table for each metric (of `names`), by name; its rows by rank, step and time, what has none of these first."""
    places: dict[str, list[tuple[Group, int]]] = {}
    for group in groups:
        for number, name in enumerate(group.names):
            if group.count and (names is None or name in names):
                places.setdefault(name, []).append((group, number))
    for name in sorted(places, key=lambda text: text.encode("utf-8")):
        by_rank: dict[int, list[tuple[Group, int]]] = {}
        for place in places[name]:
            rank = place[0].rank
            by_rank.setdefault(-1 if rank is None else rank, []).append(place)
        yield pa.concat_tables([_table(name, rank, by_rank[rank]) for rank in sorted(by_rank)])


def write_parquet(found: Iterable[pa.Table], path: str) -> None:
    """Writes tables as `tables` gives them, in their order; raises DiskFull, NotWritable or GitrunError."""
    with _replacing(path) as file, _writer(file) as writer:
        waiting: list[pa.Table] = []
        rows = 0
        for table in found:
            waiting.append(table)
            rows += table.num_rows
            if rows >= AT_LEAST:
                writer.write_table(pa.concat_tables(waiting), row_group_size=AT_MOST)
                waiting, rows = [], 0
        if waiting:
            writer.write_table(pa.concat_tables(waiting), row_group_size=AT_MOST)


def write_table(table: pa.Table, path: str) -> None:
    """Writes a table of any columns, for other programs; raises as `write_parquet`."""
    with _replacing(path) as file:
        pq.write_table(table, file, compression="zstd")


@contextmanager
def _replacing(path: str) -> Iterator[BinaryIO]:
    """A new file that has its name once it is whole."""
    begun = temporary_path(os.path.dirname(path))
    try:
        with os.fdopen(create(begun, 0o666), "wb") as file:
            yield file
        os.rename(begun, path)
    except BaseException as problem:
        remove_quietly(begun)
        if isinstance(problem, OSError):
            raise from_os_error(problem, f"writing {path}") from problem
        raise


def _writer(file: BinaryIO) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        file,
        SCHEMA,
        compression="zstd",
        use_dictionary=["name", "rank"],
        column_encoding={"step": "DELTA_BINARY_PACKED", "time": "DELTA_BINARY_PACKED", "value": "BYTE_STREAM_SPLIT"},
        store_schema=False,  # each type is one of Parquet's own
    )


def _table(name: str, rank: int, places: list[tuple[Group, int]]) -> pa.Table:
    """All points of a metric of one rank (-1 stands for none)."""
    steps = pa.chunked_array([_column(group, 0, pa.int64(), group.has_step) for group, _ in places], pa.int64())
    times = pa.chunked_array([_time(group) for group, _ in places], TIME)
    values = pa.chunked_array([_column(group, 2 + at, pa.float64(), True) for group, at in places], pa.float64())
    count = len(values)
    ranks = pa.nulls(count, pa.int32()) if rank < 0 else pa.repeat(pa.scalar(rank, pa.int32()), count)
    return in_order(pa.table([pa.repeat(pa.scalar(name), count), steps, times, values, ranks], schema=SCHEMA))


def _column(group: Group, number: int, kind: Any, is_there: bool) -> Any:
    if not is_there:
        return pa.nulls(group.count, kind)
    group.columns[number] = [b"".join(group.columns[number])]
    return pa.Array.from_buffers(kind, group.count, [None, pa.py_buffer(group.columns[number][0])])


def _time(group: Group) -> Any:
    found = _column(group, 1, pa.timestamp("ns", "UTC"), group.has_time)
    return found.cast(TIME, safe=False)
