"""Legs of a training as one curve: what was done again replaces what was lost."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from gitrun.archive.stitching import stitch
from gitrun.model.metric_tables import SCHEMA


def points(leg: float, **metrics: Any) -> pa.Table:
    """A table in which every value says from which leg it is."""
    rows = [(name.replace("__", "/"), step) for name, steps in sorted(metrics.items()) for step in steps]
    names, steps = ([row[at] for row in rows] for at in (0, 1))
    count = len(rows)
    return pa.table(
        [names, steps, pa.nulls(count, SCHEMA.field("time").type), [leg] * count, [None] * count], schema=SCHEMA
    )


def curve(table: pa.Table, name: str) -> list[tuple[int | None, int]]:
    rows = [row for row in table.to_pylist() if row["name"] == name]
    return [(row["step"], int(row["value"])) for row in rows]


def test_a_leg_replaces_from_its_first_step_on() -> None:
    table = stitch(points(1, loss=range(8)), points(2, loss=range(5, 7)))
    assert curve(table, "loss") == [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (6, 2)]
    table = stitch(table, points(3, loss=[6, 7]))
    assert curve(table, "loss")[4:] == [(4, 1), (5, 2), (6, 3), (7, 3)]


def test_what_was_undone_in_another_metric_goes_as_well() -> None:
    table = stitch(points(1, loss=range(12), val=[0, 5, 10], rare=[1, 9]), points(2, loss=range(6, 9), val=[8]))
    assert curve(table, "val") == [(0, 1), (5, 1), (8, 2)]
    assert curve(table, "rare") == [(1, 1)]


def test_a_number_that_each_leg_logs_once_undoes_nothing_else() -> None:
    table = stitch(points(1, loss=range(9), size=[0]), points(2, loss=[5, 6], size=[0]))
    assert curve(table, "loss") == [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (6, 2)]
    assert curve(table, "size") == [(0, 2)]


@pytest.mark.parametrize("leg", [points(2), points(2, other=[None])])
def test_a_leg_without_steps_undoes_nothing(leg: pa.Table) -> None:
    assert curve(stitch(points(1, loss=[0, 1]), leg), "loss") == [(0, 1), (1, 1)]


def test_points_without_a_step_stay() -> None:
    assert curve(stitch(points(1, loss=[None, 0, 1, 2]), points(2, loss=[None, 1])), "loss") == [
        (None, 1), (None, 2), (0, 1), (1, 2),
    ]  # fmt: skip


def test_ranks_are_replaced_together() -> None:
    before = points(1, loss=[0, 1, 2, 3]).set_column(4, "rank", pa.array([0, 0, 1, 1], pa.int32()))
    leg = points(2, loss=[2]).set_column(4, "rank", pa.array([1], pa.int32()))
    rows = [(row["rank"], row["step"], int(row["value"])) for row in stitch(before, leg).to_pylist()]
    assert rows == [(0, 0, 1), (0, 1, 1), (1, 2, 2)]
