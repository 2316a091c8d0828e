"""The beginning of a run repeated: stopped where it was told to, or at the first point that the run did not have."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gitrun.child.frames import frame, pack_value
from gitrun.errors import UsageError
from gitrun.model.metric_tables import SCHEMA
from gitrun.replay.compare import Tolerance
from gitrun.replay.levels import Level
from gitrun.replay.point_series import series_of
from gitrun.replay.prefix import Goal, PrefixWatch, close, compare_prefix, parse_goal, same_bits

Row = tuple[str, int | None, float, int | None]  # name, step, value, rank
OTHER_NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000001))[0]


def table(rows: Iterable[Row], times: dict[int, int | None] | None = None) -> pa.Table:
    """Points as a record has them; logged in the order of the rows unless `times` (by row) say otherwise."""
    numbered = [(name, step, (times or {}).get(n, n), value, rank) for n, (name, step, value, rank) in enumerate(rows)]
    numbered.sort(
        key=lambda row: (row[0], row[4] is not None, row[4] or 0, -1 if row[1] is None else row[1], row[2] or 0)
    )
    columns = [pa.array([row[n] for row in numbered], field.type) for n, field in enumerate(SCHEMA)]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def training(steps: int, value: Callable[[int], float] = float, rank: int | None = None) -> list[Row]:
    return [row for n in range(steps) for row in (("loss", n, value(n), rank), ("acc", n, n / 7, rank))]


@pytest.mark.parametrize(
    ("until", "duration", "goal"),
    [
        (None, None, None),
        ("step=500", None, Goal(500)),
        ("500", None, Goal(500)),
        (" step = 5 ", None, Goal(5)),
        (None, "90s", Goal(None, 90)),
        (None, "10m", Goal(None, 600)),
        (None, "1.5h", Goal(None, 5400)),
        (None, "2d", Goal(None, 172800)),
        (None, "30", Goal(None, 30)),
    ],
)
def test_how_far_a_replay_goes(until: str | None, duration: str | None, goal: Goal | None) -> None:
    assert parse_goal(until, duration) == goal


@pytest.mark.parametrize(
    ("until", "duration"), [("step", None), ("-5", None), (None, "0"), (None, "soon"), ("5", "5s")]
)
def test_a_goal_that_is_none_is_refused(until: str | None, duration: str | None) -> None:
    with pytest.raises(UsageError):
        parse_goal(until, duration)


def test_values_are_the_same_by_their_bits_and_close_by_a_tolerance() -> None:
    assert same_bits(math.nan, math.nan) and not same_bits(math.nan, OTHER_NAN) and not same_bits(0.0, -0.0)
    near = close(Tolerance(1e-2, 0))
    assert near(1.005, 1.0) and not near(1.02, 1.0) and near(math.nan, OTHER_NAN)
    assert near(math.inf, math.inf) and not near(math.inf, 1.0) and not near(1.0, math.nan)


def test_a_table_is_cut_into_series() -> None:
    assert series_of(table([])) == {}
    rows = [*training(3), *training(2, rank=0), ("a", None, 5.0, None)]
    found = series_of(table(rows))
    assert sorted(found, key=str) == sorted(
        [("a", None), ("acc", None), ("acc", 0), ("loss", None), ("loss", 0)], key=str
    )
    assert list(found["loss", None].steps) == [0, 1, 2] and list(found["loss", 0].values) == [0.0, 1.0]
    sliced = series_of(pa.concat_tables([table(rows).slice(0, 4), table(rows).slice(4)]))
    assert sliced == found


# -- when all is there


def prefix(recorded: list[Row], replayed: list[Row], tolerance: Tolerance = Tolerance()) -> Any:  # noqa: B008
    return compare_prefix(table(recorded), table(replayed), tolerance)


def test_a_beginning_that_agrees_is_told_with_its_extent() -> None:
    found = prefix(training(100), training(10))
    assert found.to_json() == {"points_compared": 20, "of": 200, "level": "bit"}
    assert [(one.name, one.points, one.first_divergent_step) for one in found.metrics] == [
        ("acc", 10, None),
        ("loss", 10, None),
    ]


def test_nothing_to_compare_proves_nothing() -> None:
    assert prefix(training(100), []).to_json() == {"points_compared": 0, "of": 200, "level": "unverifiable"}
    assert prefix([], []).level is Level.UNVERIFIABLE


def test_the_first_step_that_differs_is_told() -> None:
    found = prefix(training(100), training(10, lambda n: n if n < 7 else n + 0.5))
    assert found.level is Level.DIFFERS
    (loss,) = (one for one in found.metrics if one.name == "loss")
    assert loss.first_divergent_step == 7 and "7.0, now 7.5" in loss.detail


@pytest.mark.parametrize(
    ("recorded", "replayed", "level"),
    [
        (math.nan, math.nan, Level.BIT),
        (math.nan, OTHER_NAN, Level.TOLERANCE),
        (math.nan, 1.0, Level.DIFFERS),
        (0.0, -0.0, Level.TOLERANCE),
        (1.0, 1.0 + 1e-9, Level.TOLERANCE),
        (1.0, 1.001, Level.DIFFERS),
        (math.inf, math.inf, Level.BIT),
        (math.inf, -math.inf, Level.DIFFERS),
    ],
)
def test_values_decide_the_level(recorded: float, replayed: float, level: Level) -> None:
    found = prefix([("x", 0, recorded, None), ("x", 1, 1.0, None)], [("x", 0, replayed, None)])
    assert found.level is level


def without(rows: list[Row], name: str, step: int | None = None) -> list[Row]:
    return [row for row in rows if row[0] != name or (step is not None and row[1] != step)]


@pytest.mark.parametrize(
    "replayed",
    [
        without(training(10), "acc"),
        without(training(10), "acc", 3),
        without(training(10), "loss", 0),
        [*training(10), ("extra", 0, 1.0, None)],
        [*training(10), ("loss", 4, 4.0, None)],
        [*training(10), ("loss", 1000, 4.0, None)],
        training(10, rank=0),
        [("loss", 5, 5.0, None)],
    ],
    ids=["no-metric", "no-point", "no-first-point", "new-metric", "twice", "beyond", "other-rank", "begins-later"],
)
def test_what_is_missing_or_too_much_differs(replayed: list[Row]) -> None:
    assert prefix(training(100), replayed).level is Level.DIFFERS


def test_what_the_run_logged_later_is_not_missing() -> None:
    epochs: list[Row] = [("val", n, n / 3, None) for n in range(3)]
    recorded = [*training(50), epochs[0], *training(100)[100:], epochs[1]]
    assert prefix(recorded, training(50)).level is Level.BIT
    assert prefix(recorded, [*training(50), epochs[0]]).level is Level.BIT
    assert prefix(recorded, training(60)).level is Level.DIFFERS  # `val` was logged before that


def test_steps_that_begin_again_with_each_epoch_are_no_difference() -> None:
    recorded: list[Row] = [("loss", n, float(10 * epoch + n), None) for epoch in range(5) for n in range(10)]
    assert prefix(recorded, recorded[:23]).to_json() == {"points_compared": 23, "of": 50, "level": "bit"}
    assert prefix(recorded, [*recorded[:22], ("loss", 2, 99.0, None)]).level is Level.DIFFERS


def test_without_times_what_lies_before_the_last_step_is_missing() -> None:
    times = dict.fromkeys(range(200), None)
    recorded = table(training(100), times)
    assert compare_prefix(recorded, table(training(10), times), Tolerance()).level is Level.BIT
    assert compare_prefix(recorded, table(without(training(10), "loss", 3), times), Tolerance()).level is Level.DIFFERS


def test_ranks_are_compared_each_with_itself() -> None:
    recorded = [*training(20, rank=0), *training(20, lambda n: -n, rank=1)]
    found = prefix(recorded, [*training(10, rank=0), *training(9, lambda n: -n if n < 5 else n, rank=1)])
    (loss,) = (one for one in found.metrics if one.name == "loss")
    assert (loss.level, loss.first_divergent_step, loss.points) == (Level.DIFFERS, 5, 19)
    assert "(rank 1)" in loss.detail


# -- while it runs


class Journal:
    """What a program of the replay writes, and a `Running` that looks at it after each part of it."""

    def __init__(self, directory: Path, parts: list[bytes]) -> None:
        self.member = str(directory)
        self._path = directory / f"metrics-{os.getpid()}-{os.urandom(4).hex()}"
        head = {"kind": "metrics", "format": 1, "rank": None, "started_ns": 1}
        self._parts = [frame(pack_value(head)) + parts[0], *parts[1:]] if parts else []
        self.stops = 0
        self.looks = 0

    def wait(self, timeout_s: float) -> bool:
        assert timeout_s >= 0
        if not self._parts:
            return True
        with self._path.open("ab") as file:
            file.write(self._parts.pop(0))
        self.looks += 1
        return False

    def stop(self) -> bool:
        self.stops += 1
        return True


def points(*rows: Row) -> bytes:
    """Frames as the child writes them for points without a schema."""
    return b"".join(
        frame(pack_value({"kind": "point", "step": step, "time_ns": 5, "rank": rank, "values": {name: value}}))
        for name, step, value, rank in rows
    )


def watch(
    directory: Path, recorded: list[Row], parts: list[bytes], goal: Goal, **more: Any
) -> tuple[PrefixWatch, Journal]:
    watcher, running = PrefixWatch(table(recorded), goal, **more), Journal(directory, parts)
    watcher(running)  # type: ignore[arg-type]
    return watcher, running


def test_it_is_stopped_when_every_rank_is_beyond_the_step(tmp_path: Path) -> None:
    parts = [points(*training(100)[at : at + 10]) for at in range(0, 200, 10)]
    watcher, running = watch(tmp_path, training(100), parts, Goal(step=11))
    assert watcher.stopped == "step 11 reached" and running.stops == 1
    assert running.looks == 3  # of 20: 5 steps in each


def test_it_waits_for_the_slowest_rank(tmp_path: Path) -> None:
    recorded = [*training(50, rank=0), *training(50, rank=1)]
    parts = [points(*training(50, rank=0)), points(*training(5, rank=1)), points(*training(30, rank=1)[10:]), b""]
    watcher, running = watch(tmp_path, recorded, parts, Goal(step=20))
    assert (watcher.stopped, running.looks) == ("step 20 reached", 3)


def test_a_divergence_stops_it_at_once(tmp_path: Path) -> None:
    replayed = training(100, lambda n: n if n < 7 else n + 1e-12)
    parts = [points(*replayed[at : at + 10]) for at in range(0, 200, 10)]
    watcher, running = watch(tmp_path, training(100), parts, Goal(step=90))
    assert watcher.divergence is not None and watcher.divergence[:2] == ("loss", 7)
    assert watcher.stopped == "loss is another at step 7" and running.looks == 2


def test_within_a_tolerance_nothing_diverges(tmp_path: Path) -> None:
    replayed = training(100, lambda n: n + 1e-12)
    watcher, _ = watch(tmp_path, training(100), [points(*replayed)], Goal(step=90), same=close(Tolerance()))
    assert watcher.divergence is None and watcher.stopped == "step 90 reached"


def test_a_step_that_the_run_never_had_is_a_divergence(tmp_path: Path) -> None:
    watcher, _ = watch(tmp_path, training(100), [points(("loss", 500, 1.0, None))], Goal(seconds=60))
    assert watcher.divergence is not None and watcher.divergence.step == 500


def test_a_replay_that_ends_by_itself_is_not_stopped(tmp_path: Path) -> None:
    for goal in (Goal(step=99), Goal(step=5000), Goal(seconds=60)):
        watcher, running = watch(tmp_path, training(100), [points(*training(100))], goal)
        assert watcher.stopped is None and running.stops == 0


def test_time_that_is_over_stops_it(tmp_path: Path) -> None:
    watcher, running = watch(tmp_path, training(100), [points(*training(3)), b""], Goal(seconds=0.0))
    assert watcher.stopped == "0 s reached" and running.stops == 1


def test_a_metric_that_the_run_had_not_is_left_to_the_comparison(tmp_path: Path) -> None:
    watcher, _ = watch(tmp_path, training(100), [points(("new", 1, 1.0, None), ("loss", 1, 1.0, None))], Goal(step=90))
    assert watcher.divergence is None


def test_steps_that_begin_again_do_not_diverge(tmp_path: Path) -> None:
    recorded: list[Row] = [("loss", n, float(10 * epoch + n), None) for epoch in range(5) for n in range(10)]
    watcher, _ = watch(tmp_path, recorded, [points(*recorded[:15]), points(*recorded[15:35])], Goal(seconds=60))
    assert watcher.divergence is None


def test_what_is_ignored_neither_stops_it_nor_is_compared(tmp_path: Path) -> None:
    replayed = training(20, lambda n: n + 1)
    watcher, _ = watch(tmp_path, training(100), [points(*replayed)], Goal(step=10), ignore=("lo*",))
    assert watcher.divergence is None and watcher.stopped == "step 10 reached"
    assert watcher.compare(table(replayed), Tolerance()).to_json() == {"points_compared": 20, "of": 100, "level": "bit"}
    assert watcher.compare(None, Tolerance()).level is Level.UNVERIFIABLE
