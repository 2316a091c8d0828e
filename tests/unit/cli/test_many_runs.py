"""What each verb does where an expression is met by several runs: all of them, or a word about which one is meant."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gitrun.archive.seal import Part
from gitrun.capture.parquet import tables, write_parquet
from gitrun.model.canonical import encode
from tests import entries
from tests.conftest import Result
from tests.entries import RUNS
from tests.hand import Hand
from tests.unit.capture.test_parquet import group
from tests.unit.cli.test_ls import as_terminal

Call = Callable[..., Result]
A, B, C = RUNS[:3]
ALL = "started > 2026-01-01"


def logged(tmp_path: Path, lr: float, *values: float, name: str = "loss") -> dict[str, Part]:
    """The parts of a run that logged these values, and one of another metric."""
    path = tmp_path / "x.parquet"
    points = [(n, n * 1000, value) for n, value in enumerate(values)]
    write_parquet(tables([group(("acc",), points[:1]), group((name,), points)]), str(path))
    config = {"format": 1, "requires": [], "values": {"lr": lr, "same": 1}, "provenance": {}}
    return {"metrics.parquet": Part(path.read_bytes()), "config.json": Part(encode(config))}


@pytest.fixture
def three(hand: Hand, tmp_path: Path) -> Hand:
    hand.seal(A, logged(tmp_path, 0.1, 4.0, 2.0, 1.0), name="slow")
    hand.seal(B, logged(tmp_path, 0.5, 4.0, 0.5, 0.25))
    hand.seal(C, logged(tmp_path, 0.5, 8.0, name="other"))
    return hand


def test_metrics_as_one_long_table(three: Hand, call: Call, tmp_path: Path) -> None:
    rows = list(csv.reader(io.StringIO(call("metrics", ALL, "loss", "--csv").stdout)))
    assert rows[0] == ["run", "step", "time", "value", "rank", "config.lr"] and len(rows) == 7
    assert [(row[0], row[1], row[3], row[5]) for row in rows[1:4]] == [
        (B, "0", "4.0", "0.5"), (B, "1", "0.5", "0.5"), (B, "2", "0.25", "0.5"),
    ]  # fmt: skip
    assert rows[1][2] == "1970-01-01T00:00:00.000000Z"
    every = list(csv.DictReader(io.StringIO(call("metrics", ALL, "--csv").stdout)))
    assert {(row["run"], row["name"]) for row in every} == {(run, "acc") for run in (A, B, C)} | {
        (A, "loss"), (B, "loss"), (C, "other"),
    }  # fmt: skip
    path = tmp_path / "out.parquet"
    assert call("metrics", ALL, "loss", "--parquet", str(path)).code == 0
    table = pq.read_table(path)
    assert table.column_names == ["run", "name", "step", "time", "value", "rank", "config.lr"] and table.num_rows == 6
    lines = call("metrics", ALL, "loss").stdout.splitlines()
    assert lines[0].split("\t") == [B, "0", "1970-01-01T00:00:00.000000Z", "4.0", ""]


def test_metrics_as_a_list_and_as_json(three: Hand, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line.split("\t") for line in call("metrics", ALL).stdout.splitlines()]
    assert [line[:3] for line in lines if line[1] != "acc"] == [[C, "other", "1"], [B, "loss", "3"], [A, "loss", "3"]]
    found = call("metrics", ALL, "loss", "--json").json()
    assert [each["run"] for each in found] == [C, B, A]
    assert [len(each["points"]["loss"]) for each in found] == [0, 3, 3]
    assert found[2]["metrics"]["loss"]["last"] == 1.0
    as_terminal(monkeypatch, 160)
    monkeypatch.setenv("NO_COLOR", "1")
    header, *rows = call("metrics", ALL).stdout.splitlines()
    assert header.split() == ["RUN", "NAME", "METRIC", "LAST", "STEP", "MIN", "MAX", "POINTS", "CURVE"]
    assert rows[-1].split()[:5] == [A[-6:], "slow", "loss", "1", "2"]


def test_curves_share_their_axes(three: Hand, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    where = "config.same == 1 and metrics.loss > 0"
    assert call("metrics", where, "loss", "--plot").code == 2, "the records have no summaries, so no such key"
    lines = call("metrics", ALL, "loss", "--plot").stdout.splitlines()
    assert lines[0] == "loss" and lines[1].lstrip().startswith("4 |")
    assert sum("b" in line.partition("|")[2] for line in lines) and sum("c" in line.partition("|")[2] for line in lines)
    assert lines[-2:] == [
        f"  b {B[-6:]} lr=0.5  last 0.25, min 0.25, max 4, 3 points",
        f"  c {A[-6:]} slow lr=0.1  last 1, min 1, max 4, 3 points",
    ]
    as_terminal(monkeypatch, 100)
    coloured = call("metrics", ALL, "loss").stdout
    assert "\x1b[33m━\x1b[0m" in coloured and "\x1b[35m━\x1b[0m" in coloured and "⠁" <= max(coloured) <= "⣿"


def test_a_metric_that_none_of_them_has(three: Hand, call: Call) -> None:
    done = call("metrics", ALL, "los", "--csv")
    assert done.code == 1 and "none of these 3 runs has a metric 'los'; there is loss" in done.stderr


def test_a_leg_of_a_resumed_run_is_in_the_last_one(three: Hand, call: Call, tmp_path: Path) -> None:
    three.seal(RUNS[3], logged(tmp_path, 0.1, 3.0, 1.5), name="slow", links={"resumed_from": A})
    where = "name == slow or config.lr == 0.5"
    lines = call("metrics", where, "loss").stdout.splitlines()
    assert {line.split("\t")[0] for line in lines} == {RUNS[3], B}
    alone = call("metrics", where, "loss", "--leg").stdout.splitlines()
    assert {line.split("\t")[0] for line in alone} == {RUNS[3], B, A}


def test_pages_below_each_other(three: Hand, call: Call) -> None:
    pages = call("show", "config.lr == 0.5").stdout
    assert [line for line in pages.splitlines() if line.startswith("run ")] == [
        f"run {C}  completed, exit 0", f"run {B}  completed, exit 0",
    ]  # fmt: skip
    assert [run["id"] for run in call("show", "config.lr == 0.5", "--json").json()] == [C, B]
    assert call("show", "config.lr == 0.1", "--json").json()["id"] == A, "of one run it is no array"
    assert len(call("show", "config.lr == 0.5", "--lineage", "--json").json()) == 2


@pytest.mark.parametrize(
    "words",
    [["checkout"], ["logs"], ["watch"], ["rename", "x"], ["replay"], ["lock"], ["diff"], ["recover"]],
    ids=lambda words: words[0],
)
def test_where_one_run_is_needed_the_others_are_named(three: Hand, call: Call, words: list[str]) -> None:
    verb, *rest = words
    done = call(verb, "config.lr == 0.5", *rest)
    assert done.code == 1
    assert done.stderr.splitlines() == [
        "gitrun: 2 runs meet that, and one is needed here",
        f"  {C}",
        f"  {B}",
        "  next: gitrun ls 'config.lr == 0.5'",
    ]


@pytest.fixture
def files(hand: Hand) -> Hand:
    entries.seal(hand, A, {"out/model.pt": b"one", "out/log": b"1"}, name="x")
    entries.seal(hand, B, {"out/model.pt": b"two"}, name="x")
    entries.seal(hand, C, {"notes": b"three"}, name="x")
    return hand


def test_files_of_all_are_listed(files: Hand, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line.split("\t") for line in call("artifacts", "name == x").stdout.splitlines()]
    assert [(line[0], line[-1]) for line in lines] == [
        (C, "notes"), (B, "out/model.pt"), (A, "out/log"), (A, "out/model.pt"),
    ]  # fmt: skip
    assert [each["run"] for each in call("artifacts", "name == x", "--json").json()] == [C, B, A, A]
    as_terminal(monkeypatch, 160)
    monkeypatch.setenv("NO_COLOR", "1")
    done = call("artifacts", "name == x")
    assert done.stdout.splitlines()[0].split() == ["RUN", "KIND", "SIZE", "STORED", "EVIDENCE", "FROM", "PATH"]
    assert "gitrun get 'name == x' PATH" in done.stderr


def test_files_of_each_come_back_into_a_directory_of_its_own(files: Hand, call: Call, tmp_path: Path) -> None:
    done = call("get", "name == x", "*.pt", "-o", str(tmp_path))
    assert done.code == 0 and "2 files" in done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / run[-6:] / "out/model.pt") for run in (B, A)]
    assert (tmp_path / A[-6:] / "out/model.pt").read_bytes() == b"one"
    assert not (tmp_path / C[-6:]).exists()
    done = call("get", "name == x", "nothing", "-o", str(tmp_path / "none"))
    assert done.code == 1 and "none of these 3 runs has such a file" in done.stderr


def test_content_of_all_goes_or_of_none(files: Hand, call: Call) -> None:
    assert call("tag", B, "pin").code == 0
    done = call("drop", "name == x", "--paths", "*.pt")
    assert done.code == 1 and "is pinned" in done.stderr
    assert all(each["stored"] for each in call("artifacts", "name == x", "--json").json())
    assert call("tag", B, "pin", "--remove").code == 0
    done = call("drop", "name == x", "--paths", "*.pt")
    assert done.stdout.splitlines() == [f"{B}\tout/model.pt", f"{A}\tout/model.pt"]
    assert "2 files of 2 runs dropped" in done.stderr
    kept = {(each["run"], each["path"]): each["stored"] for each in call("artifacts", "name == x", "--json").json()}
    assert kept == {(C, "notes"): True, (B, "out/model.pt"): False, (A, "out/log"): True, (A, "out/model.pt"): False}
    done = call("drop", "name == x", "--paths", "nothing")
    assert done.code == 1 and "none of these 3 runs" in done.stderr


def test_what_cannot_be_a_tag_or_a_name_says_what_to_type(three: Hand, call: Call) -> None:
    for verb in ("tag", "rename"):
        done = call(verb, A, "\n")
        assert done.code == 2 and done.stderr.splitlines()[-1] == f"  next: gitrun {verb} --help"


def test_nothing_is_an_expression_without_a_run(hand: Any, call: Call) -> None:
    assert call("metrics", ALL).code == 1
