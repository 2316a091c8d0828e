"""Points as Parquet: sorted, each metric readable without the others, and by any reader of tables."""

from __future__ import annotations

import itertools
import math
import random
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gitrun.archive.metrics import decode_metrics
from gitrun.capture import parquet
from gitrun.capture.columns import Group
from gitrun.capture.parquet import tables, write_parquet
from gitrun.errors import DiskFull
from gitrun.model.metric_tables import SCHEMA, summarise

US = 1_000


def group(names: tuple[str, ...], rows: list[tuple[int, int, float]], rank: int | None = None) -> Group:
    """Points of which every metric has the same values."""
    made = Group(names, rank)
    made.rows = [struct.pack(f"<qq{len(names)}d", step, time, *[value] * len(names)) for step, time, value in rows]
    made.settle()
    return made


def count_rows(path: Path) -> list[tuple[str, str, int]]:
    """The first and last name of each row group, and its rows."""
    file = pq.ParquetFile(path)
    groups = [file.metadata.row_group(n) for n in range(file.num_row_groups)]
    return [(g.column(0).statistics.min, g.column(0).statistics.max, g.num_rows) for g in groups]


def test_rows_are_sorted_and_what_has_none_comes_first(tmp_path: Path) -> None:
    without = group(("a",), [(0, 9 * US, 9.0), (0, 8 * US, 8.0)])
    without.has_step = False
    timeless = group(("a",), [(1, 0, 7.0)])
    timeless.has_time = False
    groups = [
        group(("é", "z"), [(2, 1 * US, 1.0), (1, 2 * US, 2.0)], 1),
        group(("é",), [(5, 5 * US, 5.0)], 0),
        group(("é",), [(9, 0, 4.0)]),
        without,
        group(("a",), [(1, 3 * US + 999, 3.0)]),
        timeless,
    ]
    write_parquet(tables(groups), str(tmp_path / "x.parquet"))
    found = pq.read_table(tmp_path / "x.parquet")
    assert found.schema.equals(SCHEMA)
    shown = [(r["name"], r["rank"], r["step"], None if r["time"] is None else r["time"].microsecond, r["value"])
             for r in found.to_pylist()]  # fmt: skip
    assert shown == [
        ("a", None, None, 8, 8.0), ("a", None, None, 9, 9.0), ("a", None, 1, None, 7.0), ("a", None, 1, 3, 3.0),
        ("z", 1, 1, 2, 2.0), ("z", 1, 2, 1, 1.0),
        ("é", None, 9, 0, 4.0), ("é", 0, 5, 5, 5.0), ("é", 1, 1, 2, 2.0), ("é", 1, 2, 1, 1.0),
    ]  # fmt: skip


def test_row_groups_end_where_a_metric_does(tmp_path: Path) -> None:
    many = [(n, n * US, 0.5) for n in range(parquet.AT_LEAST)]
    names = tuple(f"small/{n:04}" for n in range(300))
    groups = [
        group(names, many[:100]),
        group(("large",), many),
        group(("larger",), many * 20),
        group(("zz",), many[:5]),
    ]
    write_parquet(tables(groups), str(tmp_path / "x.parquet"))
    found = count_rows(tmp_path / "x.parquet")
    assert found[0] == ("large", "large", parquet.AT_LEAST)
    larger = [rows for first, last, rows in found if (first, last) == ("larger", "larger")]
    assert sum(larger) == 20 * parquet.AT_LEAST and max(larger) <= parquet.AT_MOST
    small = found[1 + len(larger) :]
    assert sum(rows for _, _, rows in small) == 30_005
    assert all(rows >= parquet.AT_LEAST for _, _, rows in small[:-1])
    for before, after in itertools.pairwise(small):
        assert before[1] < after[0]


def test_what_the_columns_are_written_as(tmp_path: Path) -> None:
    write_parquet(tables([group(("a",), [(1, US, 1.0), (2, 2 * US, 2.0)])]), str(tmp_path / "x.parquet"))
    about = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0)
    columns = {about.column(n).path_in_schema: about.column(n) for n in range(about.num_columns)}
    assert "BYTE_STREAM_SPLIT" in columns["value"].encodings
    assert "DELTA_BINARY_PACKED" in columns["step"].encodings and "DELTA_BINARY_PACKED" in columns["time"].encodings
    assert any("DICTIONARY" in encoding for encoding in columns["name"].encodings)
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_losses_take_few_bytes(tmp_path: Path) -> None:
    chance, rows, time = random.Random(1), [], 1_795_000_000_000_000_000
    for step in range(100_000):
        time += 1_000_000 + chance.randrange(50_000)
        loss = struct.unpack("<f", struct.pack("<f", 2 / (1 + step / 1e4) + chance.random() / 10))[0]
        rows.append((step, time, loss))
    write_parquet(tables([group(("loss",), rows)]), str(tmp_path / "x.parquet"))
    assert (tmp_path / "x.parquet").stat().st_size <= 8 * len(rows)


def test_only_the_names_that_are_asked_for() -> None:
    groups = [group(("a", "b"), [(1, 1, 1.0)]), group(("c",), [(1, 1, 1.0)]), group(("d",), [])]
    assert [table["name"][0].as_py() for table in tables(groups)] == ["a", "b", "c"]
    assert [table["name"][0].as_py() for table in tables(groups, {"c", "b", "x"})] == ["b", "c"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(DiskFull):
        write_parquet(tables([group(("a",), [(1, 1, 1.0)])]), str(tmp_path / "x.parquet"))
    assert not list(tmp_path.glob("*parquet*")) and not list(tmp_path.glob("tmp-*"))


@pytest.mark.parametrize("size", [1, 100_000])
def test_other_readers_read_the_same(tmp_path: Path, size: int) -> None:
    rows = [(n, n * US, math.nan if n % 10 == 3 else n / 7) for n in range(size)]
    path = tmp_path / "x.parquet"
    write_parquet(tables([group(("a", "b/c"), rows), group(("a",), rows[:1], 3)]), str(path))
    expected = [(row["name"], row["step"], row["time"], repr(row["value"]), row["rank"])
                for row in decode_metrics(path.read_bytes()).to_pylist()]  # fmt: skip
    assert len(expected) == 2 * size + 1
    read = {"pandas": _pandas, "polars": _polars, "duckdb": _duckdb}
    found = {name: reader(path) for name, reader in read.items() if _is_there(name)}
    if not found:
        pytest.skip("neither pandas nor polars nor duckdb is installed")
    for name, theirs in found.items():
        assert theirs == expected, name


def _is_there(name: str) -> bool:
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def _pandas(path: Path) -> list[Any]:
    import pandas

    frame = pandas.read_parquet(path)
    rows = frame.rename(columns={"name": "metric"}).itertuples()
    return [(row.metric, row.step, row.time.to_pydatetime(), repr(float(row.value)),
             None if math.isnan(row.rank) else int(row.rank)) for row in rows]  # fmt: skip


def _polars(path: Path) -> list[Any]:
    import polars

    return [(row["name"], row["step"], row["time"], repr(row["value"]), row["rank"])
            for row in polars.read_parquet(path).to_dicts()]  # fmt: skip


def _duckdb(path: Path) -> list[Any]:
    import duckdb

    duckdb.sql("SET TimeZone = 'UTC'")
    asked = f"SELECT name, step, epoch_us(time), value, rank FROM '{path}'"
    epoch = pa.scalar(0, pa.timestamp("us", "UTC")).as_py()
    from datetime import timedelta

    return [(name, step, epoch + timedelta(microseconds=at), repr(value), rank)
            for name, step, at, value, rank in duckdb.sql(asked).fetchall()]  # fmt: skip


def table(*rows: tuple[int | None, float, int | None]) -> pa.Table:
    steps, values, ranks = (list(column) for column in zip(*rows, strict=True))
    times = pa.array(range(len(rows)), pa.timestamp("us", "UTC"))
    return pa.table([["a"] * len(rows), steps, times, values, ranks], schema=SCHEMA)


def test_a_metric_in_short() -> None:
    assert summarise(table((0, 2.0, None), (5, 0.5, None), (6, math.nan, None), (7, 0.5, None), (9, 1.0, None))) == {
        "count": 5, "min": 0.5, "max": 2.0, "first": 2.0, "last": 1.0, "last_step": 9, "min_step": 5, "max_step": 0,
    }  # fmt: skip


def test_nan_is_never_smallest_or_largest() -> None:
    short = summarise(table((0, math.nan, None), (1, math.nan, None)))
    assert (short["min"], short["max"], short["min_step"], short["count"]) == (None, None, None, 2)
    assert math.isnan(short["first"]) and math.isnan(short["last"]) and short["last_step"] == 1
    infinite = summarise(table((0, -math.inf, None), (1, math.nan, None), (2, 3.0, None)))
    assert (infinite["min"], infinite["max"]) == (-math.inf, 3.0)


def test_a_metric_is_that_of_rank_0() -> None:
    both = table((0, 1.0, 0), (1, 2.0, 0), (0, 100.0, 1), (7, 100.0, 1))
    assert summarise(both)["count"] == 2 and summarise(both)["last_step"] == 1
    without = table((5, 9.0, None), (0, 1.0, 0), (6, 2.0, 0), (0, 100.0, 1))
    assert (summarise(without)["first"], summarise(without)["last"], summarise(without)["count"]) == (1.0, 2.0, 3)
    only = table((0, 3.0, 2), (0, 4.0, 3))  # the last of a pipeline knows the loss
    assert (summarise(only)["last"], summarise(only)["count"]) == (3.0, 1)


def test_points_without_a_step_are_in_the_order_of_their_times() -> None:
    short = summarise(table((None, 1.0, None), (None, 2.0, None)))
    assert (short["first"], short["last"], short["last_step"]) == (1.0, 2.0, None)
