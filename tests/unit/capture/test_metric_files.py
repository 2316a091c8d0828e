"""Files of metrics that programs write themselves: which column is what, and what is passed over."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from gitrun.capture.metric_files import kind_of, read_metric_file
from gitrun.capture.series import Points
from tests.unit.capture.test_series import rows


def read(path: Path, text: str | bytes, since_ns: int = 0) -> Points:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    points = Points([])
    read_metric_file(os.fsencode(path), path.name, since_ns, points)
    return points


def test_csv_of_keras_and_lightning(tmp_path: Path) -> None:
    points = read(tmp_path / "log.csv", "epoch,acc,loss\n0,0.5,1.25\n1,0.75,nan\n")
    found = rows(points)
    assert found["acc", None] == [(0, None, 0.5), (1, None, 0.75)]
    assert found["loss", None][0] == (0, None, 1.25) and math.isnan(found["loss", None][1][2])
    points = read(tmp_path / "metrics.csv", "epoch,step,train_loss,val_loss\n0,49,0.5,\n0,49,,0.25\n1,99,-inf,\n")
    assert rows(points) == {
        ("epoch", None): [(49, None, 0.0), (49, None, 0.0), (99, None, 1.0)],
        ("train_loss", None): [(49, None, 0.5), (99, None, -math.inf)],
        ("val_loss", None): [(49, None, 0.25)],
    }
    assert points.problems == []


def test_times_and_ranks(tmp_path: Path) -> None:
    text = (
        "Step, Time, Rank, loss\n1,1767225600.5,0,1\n2,2026-01-01T00:00:01Z,1,2\n3,2026-01-01 01:00:02+01:00,,3\n"
        "4,yesterday,,4\nfive,,,5\n6,9999-01-01T00:00:00Z,,6\n7,1e300,,7\n"
    )
    second = 1767225600 * 10**9
    assert rows(read(tmp_path / "m.csv", text)) == {
        ("loss", 0): [(1, second + 500_000_000, 1.0)],
        ("loss", 1): [(2, second + 1_000_000_000, 2.0)],
        ("loss", None): [
            (3, second + 2_000_000_000, 3.0),
            *((step, None, float(step)) for step in (4, 6, 7)),
            (None, None, 5.0),
        ],
    }


def test_without_a_step_rows_are_counted(tmp_path: Path) -> None:
    assert rows(read(tmp_path / "m.tsv", "loss\tnote\n1\ta\n2\tb\n")) == {
        ("loss", None): [(0, None, 1.0), (1, None, 2.0)]
    }


def test_json_lines(tmp_path: Path) -> None:
    text = (
        '{"step": 1, "loss": 0.5, "val": {"acc": 1, "why": "x"}, "ok": true}\n\n{"loss": NaN, "_timestamp": 2}\n'
        '{"loss": 1, "list": [1]\n[1]\n{"loss": 1e999, "n": 1000000000000000000000000, "s": "1_000", "e": ""}\n'
    )
    points = read(tmp_path / "m.jsonl", text)
    found = rows(points)
    assert found["loss", None][0] == (1, None, 0.5)
    assert found["val/acc", None] == [(1, None, 1.0)] and found["ok", None] == [(1, None, 1.0)]
    assert {name for name, _ in found} == {"loss", "val/acc", "ok", "n"}
    assert sorted(row[2] for row in found["loss", None] if not math.isnan(row[2])) == [0.5, math.inf]
    assert points.problems == ["m.jsonl: a line that is no row of it was passed over"]


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe\0\0",
        "",
        "\n\n",
        "a\0b,c\n1,2\n",
        '"open\n1\n',
        "step\n1\n",
        "," * 1000 + "\n",
        "a,a\n1,2,3,4\n",
        '{"step": 9223372036854775807}\n{"a": 1}\n',
        "a\n9" + "9" * 5000,
    ],
)
def test_no_file_is_too_strange(tmp_path: Path, text: str | bytes) -> None:
    for name in ("m.csv", "m.jsonl"):
        read(tmp_path / name, text)


def test_half_a_character_in_a_name_is_no_obstacle(tmp_path: Path) -> None:
    points = read(tmp_path / "m.jsonl", '{"\\ud800x": 1}\n')
    assert [group.names for group in points.groups] == [("?x",)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.jsonl", '{"x": ' + '{"a": ' * 100_000 + "1" + "}" * 100_001 + '\n{"loss": 2}\n'),
        ("m.csv", "step,loss\n1," + "9" * (1 << 18) + "\n2,2\n"),
    ],
)
def test_a_line_that_cannot_be_read_takes_no_other_with_it(tmp_path: Path, name: str, text: str) -> None:
    points = read(tmp_path / name, text)
    assert [(group.names, group.count) for group in points.groups] == [(("loss",), 1)]
    assert points.problems == [f"{name}: a line that is no row of it was passed over"]


@pytest.mark.parametrize("text", ["", "step\n1\n", "step;loss\n1;5\n", "step,loss\n1,high\n"])
def test_a_file_without_a_number_is_told(tmp_path: Path, text: str) -> None:
    assert read(tmp_path / "m.csv", text).problems == ["m.csv: there is no metric in it"]


def test_what_this_run_has_not_written_is_not_its_own(tmp_path: Path) -> None:
    points = read(tmp_path / "m.csv", "loss\n1\n", since_ns=1 << 62)
    assert points.groups == [] and points.problems == ["m.csv: this run has not written it"]
    points = Points([])
    read_metric_file(os.fsencode(tmp_path / "no.csv"), "no.csv", 0, points)
    read_metric_file(os.fsencode(tmp_path), "dir.csv", 0, points)
    assert points.problems == ["no.csv: No such file or directory", "dir.csv: Is a directory"]


def test_kinds() -> None:
    assert [kind_of(path) for path in (b"a.CSV", b"a.tsv", b"a.jsonl", b"a.ndjson", b"a.json")] == [
        "csv", "tsv", "jsonl", "jsonl", None,
    ]  # fmt: skip
