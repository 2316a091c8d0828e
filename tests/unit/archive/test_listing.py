"""Lists and groups: which runs, in which order, with what tells them apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitrun.archive.listing import AGGREGATES, Query, aggregate, grouping, listing, parse_aggregates
from gitrun.archive.querying import Runs, ask
from gitrun.errors import GitrunError, UsageError
from tests.unit.archive.test_index_db import config, metric

NAN = float("nan")


@pytest.fixture
def sweep(hand: Any) -> Callable[..., Any]:
    """Six runs, three learning rates by two seeds; what a question makes of them."""
    losses = iter([0.5, 0.6, 0.1, 0.3, NAN, 0.4])
    number = 0
    for lr in (0.1, 0.01, 0.001):
        for seed in (1, 2):
            metrics = {"loss": metric(next(losses)), "acc": metric(seed / 10)}
            more = {"d": metric(1), "e": metric(2)} if number == 0 else {}
            hand.seal(
                f"20261124-06124{number}-aaaaa{number}",
                config(lr=lr, seed=seed, data="cifar", **({"fast": True} if number == 3 else {})),
                metrics={**metrics, **more},
            )
            number += 1
    hand.seal("20261124-061249-aaaaa9", status="failed", exit={"code": 1, "signal": None})

    def answer(question: Callable[[Runs], Any]) -> Any:
        with hand.open() as archive:
            return ask(archive, question)

    return answer


def listed(sweep: Callable[..., Any], **query: Any) -> str:
    return " ".join(run_id[-1] for run_id in sweep(lambda runs: listing(runs, Query(**query), ["id"])).ids)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, "9 5 4 3 2 1 0"),
        ({"sort": "loss"}, "2 3 5 0 1 9 4"),  # no number and none at all come last, as they were
        ({"sort": "-loss"}, "1 0 5 3 2 9 4"),
        ({"sort": "metrics.loss", "where": "config.seed == 1"}, "2 0 4"),
        ({"sort": "status"}, "5 4 3 2 1 0 9"),
        ({"sort": "-started", "limit": 2}, "9 5"),
        ({"best": "min:loss"}, "2"),
        ({"best": "max:metrics.loss"}, "1"),
        ({"best": "max:acc"}, "5"),  # the newest of equals
        ({"best": "min:loss", "by": "config.lr"}, "5 2 0"),
        ({"best": "min:loss", "by": "config.lr", "sort": "loss"}, "2 5 0"),
        ({"best": "min:loss", "where": "status == failed"}, ""),
    ],
)
def test_which_runs_in_which_order(sweep: Callable[..., Any], query: dict[str, Any], ids: str) -> None:
    assert listed(sweep, **query) == ids


def test_what_tells_runs_apart(sweep: Callable[..., Any]) -> None:
    def extra(**query: Any) -> list[str]:
        return [str(key) for key in sweep(lambda runs: listing(runs, Query(**query), ["id"])).extra]

    config_keys = ["config.fast", "config.lr", "config.seed"]  # not `data`, which all have alike
    assert extra() == [*config_keys, "metrics.acc", "metrics.loss", "metrics.d"]
    assert extra(where="config.lr == 0.1") == ["config.seed", "metrics.acc", "metrics.loss", "metrics.d"]
    assert extra(where="metrics.e > 0") == ["metrics.e", "metrics.acc", "metrics.d"]
    assert extra(sort="e")[3:] == ["metrics.e", "metrics.acc", "metrics.loss"]
    assert extra(where="min:metrics.loss > 0")[3] == "min:metrics.loss"
    assert extra(where="status == failed") == []
    assert extra(columns="id,config.data") == []


def test_rows_hold_what_was_asked_for(sweep: Callable[..., Any]) -> None:
    query = Query(where="config.seed == 1", columns="config.lr,loss", limit=2)
    found = sweep(lambda runs: listing(runs, query, ["id", "status"]))
    assert [str(key) for key in found.columns] == ["config.lr", "metrics.loss"]
    assert found.hidden == 1
    assert found.rows[1] == {
        "id": "20261124-061242-aaaaa2",
        "status": "completed",
        "config.lr": 0.01,
        "metrics.loss": 0.1,
    }


def test_groups(sweep: Callable[..., Any]) -> None:
    found = sweep(lambda runs: grouping(runs, Query(by="lr", columns="loss", where="config.lr")))
    assert [group.values for group in found.groups] == [[0.001], [0.01], [0.1]]
    assert [aggregate("mean", group.numbers[0]) for group in found.groups[1:]] == [0.2, 0.55]
    assert math.isnan(aggregate("mean", found.groups[0].numbers[0]) or 0)  # one of them is no number
    assert [len(group.ids) for group in found.groups] == [2, 2, 2]


def test_groups_are_sorted_by_values_or_means(sweep: Callable[..., Any]) -> None:
    def order(sort: str, **more: Any) -> list[Any]:
        found = sweep(lambda runs: grouping(runs, Query(by="lr", sort=sort, where="config.lr", **more)))
        return [group.values[0] for group in found.groups]

    assert order("loss") == [0.01, 0.1, 0.001]
    assert order("-loss") == [0.1, 0.01, 0.001]
    assert order("-config.lr", limit=2) == [0.1, 0.01]
    with pytest.raises(UsageError, match="no status to be sorted by"):
        order("status")


def test_a_run_without_the_value_is_a_group_of_its_own(sweep: Callable[..., Any]) -> None:
    found = sweep(lambda runs: grouping(runs, Query(by="config.lr,status")))
    assert [group.values for group in found.groups][-1] == [None, "failed"]
    assert len(found.groups) == 4


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=20))
def test_aggregates_are_those_of_the_standard_library(numbers: list[float]) -> None:
    import statistics

    assert aggregate("n", numbers) == len(numbers)
    assert aggregate("mean", numbers) == pytest.approx(statistics.fmean(numbers))
    assert aggregate("std", numbers) == pytest.approx(statistics.stdev(numbers), abs=1e-6)
    assert aggregate("median", numbers) == pytest.approx(statistics.median(numbers))
    assert (aggregate("min", numbers), aggregate("max", numbers)) == (min(numbers), max(numbers))


def test_aggregates_of_few_and_of_odd_numbers() -> None:
    assert [aggregate(name, []) for name in AGGREGATES] == [None, None, 0, None, None, None]
    assert [aggregate(name, [2.0]) for name in AGGREGATES] == [2.0, None, 1, 2.0, 2.0, 2.0]
    assert aggregate("mean", [1.0, float("inf")]) == float("inf")
    assert all(math.isnan(aggregate(name, [1.0, NAN]) or 0) for name in ("mean", "std", "min", "max", "median"))


def test_what_cannot_be_asked(sweep: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="max:loss or min:loss"):
        listed(sweep, best="loss")
    with pytest.raises(UsageError, match="none of mean"):
        parse_aggregates("mean,sum")
    for query in ({"sort": "lost"}, {"columns": "id,,name"}, {"by": "config.nothing"}, {"sort": "loss,acc"}):
        with pytest.raises(GitrunError):
            sweep(lambda runs, query=query: listing(runs, Query(**{**query, "best": "max:acc"}), ["id"]))
