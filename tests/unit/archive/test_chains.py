"""Legs of one training: which are shown, and that links in a circle end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gitrun.archive.archive import Archive
from gitrun.archive.chains import describe_legs, last_legs, legs

A, B, C, D = (f"20261124-06124{n}-aaaaa{n}" for n in range(4))


def test_the_legs_of_a_run() -> None:
    assert legs(C, {C: B, B: A}) == [A, B, C]
    assert legs(A, {C: B, B: A}) == [A]
    assert legs(B, {B: "removed"}) == ["removed", B]


@pytest.mark.parametrize(
    ("listed", "links", "shown"),
    [
        ([C, B, A], {C: B, B: A}, [C]),
        ([C, A], {C: B, B: A}, [C]),  # B is not in the list, and C goes on from A all the same
        ([B, A], {C: B, B: A}, [B]),
        ([D, C, B], {D: B, C: B}, [D, C]),  # two go on from one
        ([B, A], {A: B, B: A}, [B]),  # a circle: the first one listed stays
        ([A, B], {B: A}, [B]),  # a clock that was set back
        ([A], {A: A}, [A]),
        ([B, A], {}, [B, A]),
    ],
)
def test_a_list_shows_last_legs(listed: list[str], links: dict[str, str], shown: list[str]) -> None:
    assert last_legs(listed, links) == shown


def test_every_leg_is_told_with_its_drift(hand: Any) -> None:
    """The source of `hand` is one file that holds the run's id, so it differs from leg to leg."""
    hand.seal(A, status="failed")
    hand.seal(B, links={"resumed_from": A})
    hand.seal(C, links={"resumed_from": "20261123-000000-aaaaaa"})
    with hand.open() as archive:
        told = {run_id: describe_legs(archive, found(archive, run_id)) for run_id in (A, B, C)}
    assert told[A] == [] and told[C] == []
    assert [(leg["id"], leg["status"], leg["drift"]) for leg in told[B]] == [
        (A, "failed", None),
        (B, "completed", ["train.py"]),
    ]


def test_links_in_a_circle_end(hand: Any) -> None:
    hand.seal(A, links={"resumed_from": B})
    hand.seal(B, links={"resumed_from": A})
    with hand.open() as archive:
        assert [leg["id"] for leg in describe_legs(archive, found(archive, B))] == [A, B]


def test_a_leg_whose_source_is_gone(hand: Any) -> None:
    hand.seal(A)
    hand.seal(B, links={"resumed_from": A})
    with hand.open() as archive:
        run = found(archive, B)
        run.record["source"]["tree"] = "0" * 40  # an object that nobody has
        assert describe_legs(archive, run)[-1]["drift"] is None


def test_a_name_that_all_legs_have_means_the_last(hand: Any, call: Callable[..., Any]) -> None:
    hand.seal(A, name="train", status="failed")
    hand.seal(B, name="train", links={"resumed_from": A})
    assert call("show", "train", "--json").json()["id"] == B
    hand.seal(C, name="train")
    assert call("show", "train", "--json").code == 1


def found(archive: Archive, run_id: str) -> Any:
    run = archive.run(run_id)
    assert run is not None
    return run
