"""gitrun.open: which runs, in which order, and what a run and a table of runs have."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import gitrun
from gitrun.api.reading import Archive, Runs
from gitrun.archive.archive import Archive as Below
from gitrun.archive.seal import Part
from gitrun.archive.tagging import rename, tag
from gitrun.capture.parquet import tables, write_parquet
from gitrun.errors import ExpressionError, GitrunError, NotARepository, RunNotFound
from gitrun.model.canonical import encode, encode_line
from tests.hand import Hand
from tests.unit.capture.test_parquet import group

IDS = ("20261124-061246-aaa111", "20261124-061247-bbb222", "20261124-061248-ccc333")


@pytest.fixture
def points(tmp_path: Path) -> Part:
    """Three points of `acc` and of `loss`: 0, 1/4, 1/2."""
    path = tmp_path / "points.parquet"
    write_parquet(tables([group(("acc", "loss"), [(n, n * 1000, n / 4) for n in range(3)])]), str(path))
    return Part(path.read_bytes())


@pytest.fixture
def archive(hand: Hand, points: Part) -> Iterator[Archive]:
    """Three runs: the first and the second differ in `lr` and have metrics, the third failed."""
    for run_id, lr in zip(IDS[:2], (0.1, 0.2), strict=True):
        hand.seal(run_id, {"metrics.parquet": points, "config.json": config(lr=lr, same=1)}, **logged(last=lr * 10))
    hand.seal(IDS[2], name="bad", status="failed", exit={"code": 1, "signal": None}, tags=["t"])
    with gitrun.open(hand.root) as opened:
        yield opened


def config(**values: Any) -> Part:
    return Part(encode({"format": 1, "requires": [], "values": values, "provenance": {}}))


def logged(last: float) -> dict[str, Any]:
    return {"metrics": {"loss": {"count": 3, "min": 0.0, "max": 0.5, "first": 0.0, "last": last}}}


def test_runs_are_newest_first_or_sorted(archive: Archive) -> None:
    assert archive.runs().ids == [*reversed(IDS)]
    assert archive.runs(sort="metrics.loss").ids == [*IDS]  # one without such a number comes last
    assert archive.runs(sort="-loss", limit=1).ids == [IDS[1]]


def test_an_expression_chooses(archive: Archive) -> None:
    assert archive.runs("config.lr > 0.15").ids == [IDS[1]]
    assert archive.runs("status == failed")[0].name == "bad"
    assert len(archive.runs("status == lost")) == 0
    with pytest.raises(ExpressionError, match=r"config\.lr"):
        archive.runs("config.lrr > 0.15")


def test_a_sequence_of_runs(archive: Archive) -> None:
    runs = archive.runs()
    assert [run.id for run in runs] == runs.ids == [runs[n].id for n in range(3)]
    assert runs[-1].id == IDS[0]
    assert isinstance(runs[:2], Runs) and runs[:2].ids == runs.ids[:2]
    assert repr(runs[2:]) == f"<1 gitrun runs: {IDS[0]}>"
    with pytest.raises(IndexError):
        runs[3]


def test_one_run(archive: Archive) -> None:
    run = archive["aaa111"]
    assert (run.id, run.status, run.name, run.tags) == (IDS[0], "completed", None, [])
    assert run.config == {"lr": 0.1, "same": 1} and run.summary == {}
    assert archive["@"].id == IDS[2] and archive["@best:min:metrics.loss"].id == IDS[0]
    assert run.to_json()["metrics"]["loss"]["last"] == 1.0
    with pytest.raises(RunNotFound):
        archive["nobody"]


def test_what_was_said_later_is_seen_by_an_open_archive(archive: Archive, hand: Hand) -> None:
    assert archive["bad"].tags == ["t"]
    with Below.open(str(hand.root), {}) as other:
        found = other.run(IDS[2])
        assert found is not None
        tag(other, found, ["later"])
        rename(other, found, "good")
    hand.seal("20261124-061249-ddd444")
    assert (archive["good"].tags, archive["good"].record["name"]) == (["t", "later"], "good")
    assert archive.runs().ids[0] == "20261124-061249-ddd444"


def test_the_metrics_of_a_run(archive: Archive) -> None:
    table = archive[IDS[0]].metrics("loss")
    assert table.columns == ["name", "step", "time", "value", "rank"]
    assert [(row["step"], row["value"]) for row in table] == [(0, 0.0), (1, 0.25), (2, 0.5)]
    assert len(archive[IDS[0]].metrics()) == 6 and len(archive["bad"].metrics()) == 0
    with pytest.raises(GitrunError, match=f"run {IDS[0]} has no metric 'lss'; there is loss"):
        archive[IDS[0]].metrics("lss")


def test_the_metrics_of_many_runs_are_one_long_table_with_what_differs(archive: Archive) -> None:
    table = archive.runs("status == completed").metrics("loss")
    assert table.columns == ["run", "name", "step", "time", "value", "rank", "config.lr"]
    assert [(row["run"], row["config.lr"]) for row in table] == [(IDS[1], 0.2)] * 3 + [(IDS[0], 0.1)] * 3
    assert archive.runs().metrics("loss", config=["same"]).columns[-1] == "config.same"
    assert len(archive.runs("status == lost").metrics("loss")) == 0
    with pytest.raises(GitrunError, match="none of these runs has a metric 'lss'; there is loss"):
        archive.runs().metrics("lss")


def test_a_table_of_runs(archive: Archive) -> None:
    table = archive.runs(sort="started").to_arrow()
    assert table["id"].to_pylist() == [*IDS]
    assert table["config.lr"].to_pylist() == [0.1, 0.2, None]
    assert table["metrics.loss"].to_pylist() == [1.0, 2.0, None]
    assert table["started"][0].as_py() == datetime(2026, 11, 24, 6, 12, 46, tzinfo=UTC)
    assert table["tag"].to_pylist() == [[], [], ["t"]] and table["exit"].to_pylist() == ["0", "0", "1"]
    kinds = {name: table.schema.field(name).type for name in ("duration", "changes", "dirty", "parent")}
    assert kinds == {"duration": pa.float64(), "changes": pa.int64(), "dirty": pa.bool_(), "parent": pa.string()}
    assert archive.runs("status == lost").to_arrow().num_rows == 0


def test_a_damaged_run_is_a_row_and_hides_no_other(archive: Archive, hand: Hand) -> None:
    hand.seal("20261124-061249-ddd444", {"config.json": Part(b"no json")})
    table = archive.runs().to_arrow()
    assert table["status"].to_pylist() == ["damaged", "failed", "completed", "completed"]
    assert table["problem"][0].as_py().startswith("E014")


def test_a_run_that_is_recorded_elsewhere_is_listed(archive: Archive, hand: Hand) -> None:
    hand.live("20261124-061249-ddd444", name="live")
    assert archive.runs("status == running").ids == ["20261124-061249-ddd444"]
    assert archive["live"].status == "running" and archive["live"].config == {}


def test_files_by_number_and_by_path(hand: Hand, archive: Archive) -> None:
    line = {"kind": "output", "type": "file", "bytes": 3, "mode": "0644", "sha256": None, "stored": False}
    lines = [{**line, "path": path, "reason": "secret"} for path in ("a.pem", "b.pem")]
    hand.seal("20261124-061249-ddd444", {"artifacts.jsonl": Part(b"".join(map(encode_line, lines)))})
    files = archive["ddd444"].artifacts
    assert [file.path for file in files] == ["a.pem", "b.pem"] and files["b.pem"].path == files[-1].path
    assert [file.path for file in files[1:]] == ["b.pem"]
    with pytest.raises(GitrunError, match=r"a\.pem: it may hold a secret"):
        files[0].read()
    with pytest.raises(GitrunError, match=r"has no file 'c\.pem'"):
        files["c.pem"]
    assert len(archive["bad"].artifacts) == 0


def test_a_place_that_is_named_counts_more_than_the_variable(
    hand: Hand, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITRUN_ARCHIVE", str(tmp_path))
    with gitrun.open(hand.root) as opened:
        assert len(opened.runs()) == 3
    with pytest.raises(NotARepository):
        gitrun.open(tmp_path)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_users_libraries(archive: Archive, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = archive.runs(sort="started")
    if importlib.util.find_spec(library) is not None:
        frame = getattr(runs, f"to_{library}")()
        assert list(frame["id"]) == [*IDS] and list(frame["metrics.loss"])[:2] == [1.0, 2.0]
        points = getattr(runs.metrics("loss"), f"to_{library}")()
        assert list(points["value"]) == [0.0, 0.25, 0.5] * 2
    monkeypatch.setitem(sys.modules, library, None)  # as where it is not installed
    with pytest.raises(ImportError, match=f"pip install {library}"):
        getattr(runs, f"to_{library}")()


def test_star_does_not_take_the_place_of_open() -> None:
    space: dict[str, Any] = {}
    exec("from gitrun import *", space)
    assert "start_run" in space and "open" not in space
