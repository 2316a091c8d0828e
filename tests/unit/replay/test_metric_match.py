"""What two runs have in common of what they logged: every way to spoil a point."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from gitrun.model.metric_tables import SCHEMA
from gitrun.recording.measuring import MAX_TEXT
from gitrun.replay.compare import Tolerance
from gitrun.replay.levels import Level
from gitrun.replay.metric_match import Metric, match_metrics, match_summaries

TOLERANCE = Tolerance()
Row = tuple[str, int | None, float, int | None]
LOSS: list[Row] = [("loss", step, 1.0 / (step + 1), None) for step in range(6)]
NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000))[0]
OTHER_NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000001))[0]


def table(rows: Iterable[Row], second: int = 0) -> pa.Table:
    ordered = sorted(rows, key=lambda row: (row[0], -1 if row[3] is None else row[3], -1 if row[1] is None else row[1]))
    times = [datetime(2026, 11, 24, 6, second, n % 60, tzinfo=UTC) for n in range(len(ordered))]
    names, steps, values, ranks = ([row[n] for row in ordered] for n in range(4))
    return pa.table([names, steps, times, values, ranks], schema=SCHEMA)


def match(a: Iterable[Row], b: Iterable[Row], tolerance: Tolerance = TOLERANCE) -> list[Metric]:
    return match_metrics(table(a), table(b, second=9), tolerance)


def one(a: Iterable[Row], b: Iterable[Row]) -> Metric:
    (found,) = match(a, b)
    return found


def with_value(step: int, value: float) -> list[Row]:
    return [(name, at, value if at == step else was, rank) for name, at, was, rank in LOSS]


def test_the_same_points_are_the_same_whenever_they_were_logged() -> None:
    found = one(LOSS, LOSS)
    assert (found.level, found.first_divergent_step, found.detail, found.points, found.of) == (
        Level.BIT,
        None,
        "",
        6,
        6,
    )
    assert match([], []) == []


@pytest.mark.parametrize(
    ("rows", "step"),
    [
        (with_value(3, 0.7), 3),
        (with_value(0, math.inf), 0),
        (with_value(5, NAN), 5),
        (LOSS[:-1], 5),
        (LOSS[1:], 0),
        ([*LOSS, ("loss", 6, 0.1, None)], 6),
        ([*LOSS, ("loss", 5, 0.1, None)], 5),
        ([(name, (step or 0) + 1, value, rank) for name, step, value, rank in LOSS], 0),
        ([(name, None if step == 0 else step, value, rank) for name, step, value, rank in LOSS], 0),
        ([], 0),
        ([("acc", *row[1:]) for row in LOSS], 0),
        ([(*row[:3], 1) for row in LOSS], 0),
    ],
)
def test_a_spoiled_point_differs_in_both_directions_and_its_step_is_named(rows: list[Row], step: int) -> None:
    for a, b in ((LOSS, rows), (rows, LOSS)):
        found = match(a, b)
        assert min(each.level for each in found) == Level.DIFFERS
        assert all(each.detail for each in found)
    assert match(LOSS, rows)[-1].first_divergent_step == step


def test_near_values_are_within_tolerance_with_their_figures() -> None:
    found = one(LOSS, with_value(2, math.nextafter(1 / 3, 1)))
    assert (found.level, found.first_divergent_step) == (Level.TOLERANCE, 2)
    assert found.detail.startswith("1 of 6 values differ, max |Δ| 5.55e-17, rms-relative ")
    assert "ULP p99 1; at step 2: 0.3333333333333333, now 0.33333333333333337" in found.detail
    assert found.first_gap is not None and found.first_gap < 1e-15
    (strict,) = match(LOSS, with_value(2, 0.33334), Tolerance(0, 0))
    assert strict.level == Level.DIFFERS


@pytest.mark.parametrize(
    ("was", "now", "level", "words"),
    [
        (NAN, OTHER_NAN, Level.TOLERANCE, "1 NaN have other payloads"),
        (NAN, NAN, Level.BIT, ""),
        (OTHER_NAN, OTHER_NAN, Level.BIT, ""),
        (math.inf, math.inf, Level.BIT, ""),
        (math.inf, -math.inf, Level.DIFFERS, "infinite on one side"),
        (0.0, -0.0, Level.TOLERANCE, "1 zeros have another sign"),
        (1e308, -1e308, Level.DIFFERS, "max |Δ|"),
        (NAN, 0.0, Level.DIFFERS, "no number"),
    ],
)
def test_equal_is_equal_bits(was: float, now: float, level: Level, words: str) -> None:
    found = one(with_value(3, was), with_value(3, now))
    assert (found.level, words in found.detail) == (level, True)


def test_ranks_are_compared_with_their_own_and_the_first_step_of_all_is_told() -> None:
    ranks = [*LOSS, *[("loss", step, float(step), 1) for step in range(6)]]
    spoiled = [row if row[1:] != (4, 4.0, 1) else ("loss", 4, 9.0, 1) for row in ranks]
    found = one(ranks, spoiled)
    assert (found.level, found.first_divergent_step) == (Level.DIFFERS, 4)
    assert found.detail.startswith("rank 1: ")
    swapped = [(name, step, value, None if rank == 1 else 1) for name, step, value, rank in ranks]
    assert one(ranks, swapped).level == Level.DIFFERS


def test_points_of_one_step_are_compared_in_their_order() -> None:
    twice: list[Row] = [("loss", 1, 0.1, None), ("loss", 1, 0.2, None)]
    assert one(twice, twice).level == Level.BIT
    assert one(twice, list(reversed(twice))).level == Level.DIFFERS


def test_one_metric_among_others_is_named() -> None:
    names = [f"m{n}" for n in range(20)]
    a = [(name, *row[1:]) for name in names for row in LOSS]
    b = [row if row[:2] != ("m7", 2) else ("m7", 2, 9.0, None) for row in a]
    assert [each.name for each in match(a, b) if each.level != Level.BIT] == ["m7"]


@pytest.mark.parametrize(
    ("was", "now", "level"),
    [
        ({"best": 0.9}, {"best": 0.9}, Level.BIT),
        ({"best": 0.9}, {"best": 0.9 + 1e-12}, Level.TOLERANCE),
        ({"best": 0.9}, {"best": 0.8}, Level.DIFFERS),
        ({"best": 1}, {"best": 1.0}, Level.DIFFERS),
        ({"best": 1}, {"best": True}, Level.DIFFERS),
        ({"best": "a"}, {"best": "b"}, Level.DIFFERS),
        ({"best": NAN}, {"best": NAN}, Level.BIT),
        ({"best": [NAN, 1.0]}, {"best": [float("nan"), 1.0]}, Level.BIT),
        ({"best": [1, 2]}, {"best": [True, 2.0]}, Level.DIFFERS),
        ({"best": [0.0]}, {"best": [-0.0]}, Level.DIFFERS),
        ({"best": "<secret:KEY>"}, {"best": "<secret:KEY>"}, Level.UNVERIFIABLE),
        ({"best": "a" * MAX_TEXT}, {"best": "a" * MAX_TEXT}, Level.UNVERIFIABLE),
        ({"best": 0.9}, {}, Level.DIFFERS),
        ({}, {"best": 0.9}, Level.DIFFERS),
    ],
)
def test_what_a_program_says_in_summary_is_a_metric_of_one_value(was: dict, now: dict, level: Level) -> None:
    (found,) = match_summaries(was, now, TOLERANCE)
    assert (found.name, found.level) == ("summary.best", level)
