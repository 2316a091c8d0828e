"""Parquet: the same values under other words; damaged files, some of which end the process that reads them."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gitrun.replay.compare import compare_contents
from gitrun.replay.compare.columns import Columns
from gitrun.replay.compare.context import NotThis, Tolerance
from gitrun.replay.compare.parquet_tables import compare_tables
from gitrun.replay.compare.window import Window

NAN = [struct.unpack("<d", struct.pack("<Q", (0x7FF8 << 48) + bits))[0] for bits in (0, 5)]
COLUMNS = {
    "step": [1, 2, 3],
    "loss": [0.5, None, 0.25],
    "tag": ["a", "b", None],
    "deep": [[{"x": 1.5}], [], [{"x": 2.5}]],
}


def parquet(words: dict[str, str] | None = None, compression: str = "snappy", **columns: Any) -> bytes:
    out = pa.BufferOutputStream()
    table = pa.table({**COLUMNS, **columns}).replace_schema_metadata(words)
    pq.write_table(table, out, compression=compression)
    return out.getvalue().to_pybytes()


def here(a: bytes, b: bytes) -> str:
    """The level of two whole files, without a process for each."""
    return compare_tables(*(Window.whole(io.BytesIO(each)) for each in (a, b)), Tolerance()).level.word


def one_way(a: bytes, b: bytes, name: str = "t.parquet") -> str:
    """The level; in one direction, since each takes a process."""
    return compare_contents(name.encode(), io.BytesIO(a), io.BytesIO(b)).level.word


def test_words_and_compression_say_nothing(tmp_path: Path) -> None:
    one = parquet()
    assert here(one, parquet({"written": "later"})) == "semantic"
    assert here(one, parquet(compression="zstd")) == "semantic"
    packed = [gzip.compress(each, mtime=1) for each in (one, parquet(compression="zstd"))]
    assert one_way(*packed, "t.parquet.gz") == "semantic"
    for name, data in (("a", one), ("b", parquet(compression="zstd", loss=[0.5, None, 0.2500001]))):
        (tmp_path / name).write_bytes(data)
    with open(tmp_path / "a", "rb") as a, open(tmp_path / "b", "rb") as b:
        assert compare_contents(b"t.parquet", a, b).level.word == "tolerance"
        assert (a.seek(0), a.read(4)) == (0, b"PAR1")  # its position was its owner's all the time


def test_values_are_exact_but_for_floats() -> None:
    def compared(**columns: Any) -> str:
        a, b = (pa.table(each).to_batches()[0] for each in (COLUMNS, {**COLUMNS, **columns}))
        found = Columns(a.schema, Tolerance())
        told = found.add(a, b) or found.finding()
        return told.level.word if told else "bit"

    assert compared() == "bit"
    assert compared(loss=[0.5, None, 0.2500001]) == "tolerance"
    assert compared(deep=[[{"x": 1.5}], [], [{"x": 2.5000001}]]) == "tolerance"
    for columns in (
        {"step": [1, 2, 4]},
        {"loss": [0.5, None, 0.3]},
        {"loss": [0.5, 0.0, 0.25]},
        {"tag": ["a", "b", ""]},
        {"deep": [[{"x": 1.5}], None, [{"x": 2.5}]]},
        {"deep": [[{"x": 1.5}], [{"x": 2.5}], []]},
        {"deep": [[{"x": 1.5}], [], [None]]},
    ):
        assert compared(**columns) == "differs", columns


def test_payloads_and_signs_are_bits() -> None:
    def compared(a: list[float], b: list[float]) -> str:
        batches = [pa.table({"x": pa.array(each, from_pandas=False)}).to_batches()[0] for each in (a, b)]
        found = Columns(batches[0].schema, Tolerance())
        assert found.add(*batches) is None
        told = found.finding()
        return told.level.word if told else "bit"

    assert compared([NAN[0]], [NAN[0]]) == "bit"
    assert compared([NAN[0]], [NAN[1]]) == "tolerance"
    assert compared([0.0], [-0.0]) == "tolerance"


def test_other_columns_rows_and_indexes_differ() -> None:
    one = parquet()
    assert here(one, parquet(more=[1, 2, 3])) == "differs"
    assert here(one, parquet(step=pa.array([1, 2, 3], pa.int32()))) == "differs"
    words = [{"pandas": f'{{"index_columns": ["{name}"], "pandas_version": "{version}"}}'} for name, version in
             (("step", "2"), ("step", "3"), ("tag", "2"))]  # fmt: skip
    assert here(parquet(words[0]), parquet(words[1])) == "semantic"
    assert here(parquet(words[0]), parquet(words[2])) == "differs"


def test_a_damaged_file_is_bytes_and_ends_nobody() -> None:
    """With Arrow 26 the first byte that is flipped ends the process that reads the file."""
    one = parquet()
    other = parquet(compression="zstd")
    footer = len(other) - 8 - int.from_bytes(other[-8:-4], "little")
    for at in (footer + 20, footer + 42):
        assert one_way(one, other[:at] + bytes([other[at] ^ 0x02]) + other[at + 1 :]) == "differs"
    with pytest.raises(NotThis, match="between the columns"):
        here(one, other[:footer] + b"hidden" + other[footer:])
