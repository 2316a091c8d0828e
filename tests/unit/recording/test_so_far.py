"""What the programs of a live run have said: in lists, in its record and configuration, cheaply where there is much."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive.live_view import LiveRun
from gitrun.child import points as made
from gitrun.child.frames import frame, pack_value
from gitrun.recording import so_far as module
from gitrun.recording.so_far import so_far
from tests.conftest import Result
from tests.hand import Hand

Call = Callable[..., Result]
ID = "20261124-061246-k3v9tq"


def journal(member: Path, points: list[dict[str, float]], rank: int | None = None, **said: dict[str, Any]) -> None:
    """A metrics journal with these points, a step each, behind what was said."""
    data = bytearray(made.head(7, 1_000 + (rank or 0), rank))
    for kind, values in said.items():
        data += frame(pack_value({"kind": kind, "values": values}))
    packers: dict[tuple[str, ...], Any] = {}
    for step, values in enumerate(points):
        names = tuple(values)
        if names not in packers:
            data += made.schema(len(packers) + 1, names)
            packers[names] = made.packer(len(packers) + 1, len(names))
        data += made.point(packers[names], step, 1000 * step, values.values())
    member.mkdir(parents=True, exist_ok=True)
    (member / f"metrics-7-{rank or 0:08x}").write_bytes(data)


@pytest.fixture
def live(hand: Hand) -> Path:
    """A run that is being recorded elsewhere, with points, configuration and summary."""
    directory = hand.live(ID, name="now")
    values = [{"loss": value} for value in (0.5, math.nan, 0.25, 4.0, 1.0)]
    journal(directory / "members" / "0", values, config={"lr": 0.7, "opt": {"name": "adam"}}, summary={"best": 0.25})
    return directory


def test_what_is_known_of_each_metric(live: Path) -> None:
    found = so_far(str(live), 1 << 20)
    assert found.metrics == {
        "loss": {
            "count": 5, "min": 0.25, "max": 4.0, "first": 0.5, "last": 1.0, "last_step": 4,
            "min_step": 2, "max_step": 3,
        }
    }  # fmt: skip
    assert (found.config, found.summary) == ({"lr": 0.7, "opt.name": "adam"}, {"best": 0.25})


def test_ranks_and_steps_that_go_backwards(tmp_path: Path) -> None:
    journal(tmp_path / "members/0", [{"loss": 1.0}], 0)
    journal(tmp_path / "members/1", [{"loss": 9.0, "only": 2.0}], 1)
    found = so_far(str(tmp_path), 1 << 20).metrics
    assert found["loss"]["last"] == 1.0 and found["only"]["last"] == 2.0
    assert module._ends([5, 3, 9, 3], [1, 7, 3, 6]) == (3, 2)


def test_of_a_long_journal_only_its_ends_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    member = tmp_path / "members/0"
    journal(member, [{"loss": float(n)} for n in range(100_000)], config={"lr": 1})
    size = sum(path.stat().st_size for path in member.iterdir())
    read: list[int] = []
    real = module.Points.read

    def counted(points: Any) -> Any:
        done = real(points)
        read.append(sum(group.count for group in points.groups))
        return done

    monkeypatch.setattr(module.Points, "read", counted)
    found = so_far(str(tmp_path), 64 << 10)
    one = found.metrics["loss"]
    assert (one["first"], one["last"], one["last_step"]) == (0.0, 99_999.0, 99_999)
    assert (one["count"], one["min"], one["max"], one["min_step"]) == (None, None, None, None)
    assert found.config == {"lr": 1}
    assert read[0] < 100_000 * (80 << 10) // size


def test_lists_and_expressions_know_a_live_run(hand: Hand, live: Path, call: Call) -> None:
    where = "metrics.loss == 1 and min:metrics.loss == 0.25 and config.lr == 0.7 and summary.best < 1"
    assert call("ls", where, "--columns", "id,status,metrics.loss").stdout == f"{ID}\trunning\t1.0\n"
    (run,) = call("ls", "--json").json()
    assert run["metrics"]["loss"]["count"] == 5 and run["config"]["values"] == {"lr": 0.7, "opt.name": "adam"}
    shown = call("show", "now", "--json").json()
    assert shown["summary"] == {"best": 0.25} and shown["config"]["provenance"]["lr"]["source"] == "api"


def test_a_list_that_does_not_ask_for_it_reads_no_journal(
    hand: Hand, live: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a journal was read")

    monkeypatch.setattr(module, "so_far", refuse)
    assert call("ls", "status == running", "--sort", "started").stdout.startswith(ID)
    assert call("show", "@best:max:metrics.loss").code == 70, "this one has to"


def test_the_python_side_knows_it_as_well(hand: Hand, live: Path) -> None:
    from gitrun.api.reading import open as open_archive

    with open_archive(hand.root) as archive:
        run = archive["now"]
        assert run.config == {"lr": 0.7, "opt.name": "adam"} and run.summary == {"best": 0.25}
        assert run.record["metrics"]["loss"]["last"] == 1.0
        assert archive.runs("metrics.loss == 1").to_arrow()["config.lr"].to_pylist() == [0.7]


def test_a_directory_that_goes_away(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    assert so_far(gone, 1 << 20) == ({}, {}, {})
    run = LiveRun(ID, gone, 0.0, lambda directory: so_far(directory, os.cpu_count() or 1))
    assert run.summary.status == "running" and run.value("config.json") is None
