"""What a user may type for a run, and what happens when it means several or none."""

from __future__ import annotations

from typing import Any

import pytest

from gitrun.archive.selectors import resolve
from gitrun.errors import AmbiguousRun, RunNotFound, UsageError

OLD, MIDDLE, NEW = "20261124-061246-abc111", "20261124-061247-abc222", "20261125-000000-xyz333"


@pytest.fixture
def archive(hand: Any) -> Any:
    hand.seal(OLD, name="baseline", tags=["best"])
    hand.seal(MIDDLE, name="twice", tags=["paper"])
    hand.seal(NEW, name="twice", tags=["paper"])
    with hand.open() as opened:
        yield opened


@pytest.mark.parametrize(
    ("text", "run_id"),
    [
        (OLD, OLD),
        ("abc111", OLD),
        ("ABC111", OLD),
        ("061247", MIDDLE),
        ("xyz", NEW),
        ("20261125", NEW),
        ("baseline", OLD),
        ("tag:best", OLD),
        ("@", NEW),
        ("@~0", NEW),
        ("@~2", OLD),
    ],
)
def test_resolves(archive: Any, text: str, run_id: str) -> None:
    assert resolve(archive, text).id == run_id


@pytest.mark.parametrize("text", ["nothing", "20261124-061246-zzzzzz", "tag:none", "@~3", "", "../../etc", "\x1b[31m"])
def test_unknown(archive: Any, text: str) -> None:
    with pytest.raises(RunNotFound) as raised:
        resolve(archive, text)
    assert "\x1b" not in str(raised.value)
    assert raised.value.next


@pytest.mark.parametrize(("text", "count"), [("abc", 2), ("2026", 3), ("twice", 2), ("tag:paper", 2)])
def test_ambiguous_lists_candidates(archive: Any, text: str, count: int) -> None:
    with pytest.raises(AmbiguousRun) as raised:
        resolve(archive, text)
    assert len(raised.value.candidates) == count
    assert raised.value.candidates == sorted(raised.value.candidates, reverse=True)


@pytest.mark.parametrize("text", ["@x", "@~", "@~-1", "@best:loss", "@best:up:loss"])
def test_not_a_selector(archive: Any, text: str) -> None:
    with pytest.raises(UsageError):
        resolve(archive, text)


def test_a_bare_best_shows_both_directions(archive: Any) -> None:
    with pytest.raises(UsageError, match=r"@best:max:loss or @best:min:loss"):
        resolve(archive, "@best:loss")


def test_best_says_that_there_are_no_metrics_yet(archive: Any) -> None:
    with pytest.raises(RunNotFound, match="metrics"):
        resolve(archive, "@best:max:acc")


def test_replays_children_and_other_clones_are_not_the_last_run(hand: Any) -> None:
    hand.seal(OLD)
    hand.seal(MIDDLE, links={"replay_of": OLD})
    hand.seal(NEW, links={"parent": OLD})
    hand.seal("20261126-000000-qqqqqq", origin="elsewhere")
    with hand.open() as archive:
        assert resolve(archive, "@").id == OLD


def test_a_clone_without_runs_says_what_to_type(hand: Any) -> None:
    with hand.open() as archive, pytest.raises(RunNotFound, match="no run yet"):
        resolve(archive, "@")


def test_a_name_that_is_also_a_part_of_ids_is_the_name(hand: Any) -> None:
    hand.seal(OLD, name="2026")
    hand.seal(NEW)
    with hand.open() as archive:
        assert resolve(archive, "2026").id == OLD
