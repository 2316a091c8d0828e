"""Points of sealed runs read back: one metric alone, many runs as one table, few points of many; damage is told."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gitrun.archive.archive import Archive
from gitrun.archive.metrics import Bucket, buckets, decode_metrics, differing, long_frame, read_metrics
from gitrun.archive.seal import Part
from gitrun.capture.parquet import tables, write_parquet
from gitrun.errors import DamagedRecord
from gitrun.model.canonical import encode
from gitrun.model.metric_tables import SCHEMA
from tests.hand import Hand
from tests.unit.capture.test_parquet import group, table

RUNS = ("20261124-061246-aaa111", "20261124-061247-bbb222", "20261124-061248-ccc333")


def part(tmp_path: Path, names: tuple[str, ...] = ("acc", "loss"), rows: int = 3) -> Part:
    path = tmp_path / "x.parquet"
    write_parquet(tables([group(names, [(n, n * 1000, n / 4) for n in range(rows)])]), str(path))
    return Part(path.read_bytes())


def config(**values: Any) -> Part:
    return Part(encode({"format": 1, "requires": [], "values": values, "provenance": {}}))


def test_a_metric_is_read_without_the_others(tmp_path: Path, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    hand.seal(RUNS[0], {"metrics.parquet": part(tmp_path, tuple(f"m{n:02}" for n in range(50)), 20_000)})
    decoded: list[int] = []
    real = pq.ParquetFile.read_row_groups

    def counted(self: Any, groups: list[int], **more: Any) -> pa.Table:
        decoded.extend(groups)
        return real(self, groups, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", counted)
    with Archive.open(str(hand.root), {}) as archive:
        run = archive.run(RUNS[0])
        assert run is not None
        found = read_metrics(run, {"m07", "nowhere"})
    assert found.num_rows == 20_000 and found["name"].unique().to_pylist() == ["m07"]
    assert found["value"][-1].as_py() == 19_999 / 4 and found["step"].to_pylist() == list(range(20_000))
    assert len(decoded) == 1


def test_a_run_without_metrics_has_an_empty_table(hand: Hand) -> None:
    hand.seal(RUNS[0])
    with Archive.open(str(hand.root), {}) as archive:
        run = archive.run(RUNS[0])
        assert run is not None and read_metrics(run).num_rows == 0
        assert read_metrics(run).schema.equals(SCHEMA)


def test_many_runs_are_one_table(tmp_path: Path, hand: Hand) -> None:
    metrics = part(tmp_path)
    for run_id, values in zip(RUNS, ({"lr": 0.1, "opt": "sgd", "deep": True, "n": 1, "same": 1},
                                     {"lr": 1, "opt": None, "deep": False, "n": 2, "same": 1},
                                     {"lr": 0.3, "opt": [1], "n": 3, "same": 1}), strict=True):  # fmt: skip
        hand.seal(run_id, {"metrics.parquet": metrics, "config.json": config(**values)})
    with Archive.open(str(hand.root), {}) as archive:
        runs = [run for run_id in RUNS if (run := archive.run(run_id)) is not None]
        found = long_frame(runs, {"loss"})
        chosen = long_frame(runs, {"loss"}, ["same", "none"])
        assert long_frame([], {"loss"}).column_names == ["run", *SCHEMA.names]
    assert found.column_names == ["run", *SCHEMA.names, "config.deep", "config.lr", "config.n", "config.opt"]
    assert found["run"].to_pylist() == [run_id for run_id in RUNS for _ in range(3)]
    each = found.take([0, 3, 6]).select([name for name in found.column_names if name.startswith("config.")])
    assert each.to_pydict() == {
        "config.deep": [True, False, None],
        "config.lr": [0.1, 1.0, 0.3],
        "config.n": [1, 2, 3],
        "config.opt": ["sgd", None, "[1]"],
    }
    assert chosen["config.same"].to_pylist() == [1] * 9 and chosen["config.none"].null_count == 9


def test_keys_that_differ() -> None:
    assert differing([]) == [] and differing([{"a": 1}]) == []
    assert differing([{"a": 1, "b": None, "c": 2}, {"a": 1, "c": 3}, {"a": 1, "d": 0}]) == ["b", "c", "d"]


def _bytes(found: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(found, sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PAR1",
        b"PAR1" + bytes(100) + b"PAR1",
        _bytes(pa.table({"name": ["a"]})),
        _bytes(table((1, 1.0, None)).set_column(3, "value", pa.array(["x"]))),
        _bytes(table((1, 1.0, None)).set_column(1, "step", pa.array([1.5]))),
        _bytes(table((1, 1.0, None)).set_column(0, "name", pa.array([None], pa.string()))),
        _bytes(table((1, 1.0, None)).set_column(3, "value", pa.array([None], pa.float64()))),
    ],
    ids=["empty", "cut", "zeros", "columns", "a text for a value", "a float for a step", "no name", "no value"],
)
def test_a_part_that_is_none_is_damage(data: bytes) -> None:
    with pytest.raises(DamagedRecord, match=r"metrics\.parquet"):
        decode_metrics(data)


def test_every_flipped_byte_is_damage_or_does_no_harm(tmp_path: Path) -> None:
    good = part(tmp_path).data
    for at in range(0, len(good), 7):
        try:
            decode_metrics(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :], {"loss"})
        except DamagedRecord:
            continue  # what is wanted; anything else fails the test


def test_columns_of_a_later_version_are_passed_over() -> None:
    data = _bytes(table((1, 1.0, None)).append_column("host", pa.array(["here"])))
    assert decode_metrics(data).column_names == SCHEMA.names
    assert decode_metrics(data, {"a"}).num_rows == 1
    assert decode_metrics(data, {"a", "\udcff"}).num_rows == 1  # nobody's name


def test_buckets_keep_the_peaks() -> None:
    found = buckets(table(*((n, 100.0 if n == 77 else 1.0, None) for n in range(1000))), 10)
    assert [(one.step, one.last_step) for one in found] == [(n, n + 99) for n in range(0, 1000, 100)]
    assert [one.max for one in found] == [100.0, *[1.0] * 9]
    assert {(one.min, one.last) for one in found} == {(1.0, 1.0)}


def test_buckets_of_few_points_and_of_none() -> None:
    assert buckets(SCHEMA.empty_table(), 10) == []
    assert buckets(table((5, 2.0, None)), 10) == [Bucket(5, 5, 2.0, 2.0, 2.0)]
    gap = buckets(table((0, 1.0, None), (99, math.nan, None)), 10)
    assert gap[0] == Bucket(0, 0, 1.0, 1.0, 1.0) and (gap[1].step, gap[1].min) == (99, None) and math.isnan(gap[1].last)
    assert [one.step for one in buckets(table((None, 1.0, None), (None, 2.0, None)), 2)] == [0, 1]
    wide = table((-(1 << 63), 1.0, None), ((1 << 63) - 1, 2.0, None))
    assert buckets(wide, 3) == []
