"""Claims: a small grammar read by hand, and judged without favour."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitrun.errors import UsageError
from gitrun.model.claims import judge_claims, parse_claim

GOOD = {
    "max:val_acc within 0.5%": ("max", "val_acc", "within", 0.005, True),
    "loss within 0.01": ("last", "loss", "within", 0.01, False),
    "last:loss within 1e-3": ("last", "loss", "within", 1e-3, False),
    "min:loss <= 0.3": ("min", "loss", "<=", 0.3, False),
    "min:loss<=.3": ("min", "loss", "<=", 0.3, False),
    "first:val/acc>-2": ("first", "val/acc", ">", -2.0, False),
    "  loss   within   2 %  ": ("last", "loss", "within", 0.02, True),
    "'a metric' >= 1e3": ("last", "a metric", ">=", 1e3, False),
    r"'it\'s' < 1": ("last", "it's", "<", 1.0, False),
    "'max:x' within 1": ("last", "max:x", "within", 1.0, False),
    "metrics.loss < 1": ("last", "metrics.loss", "<", 1.0, False),
}
BAD = [
    "", "loss", "loss within", "loss within x", "loss within -1", "loss == 1", "loss <", "< 1", "loss within 1e999",
    "mean:loss within", "a b < 1", "loss < 1 or 1", "loss within 1\n", "__import__('os') within", "'open < 1",
    "loss within 0x10", "loss within nan", "x" * 600 + " < 1",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_a_claim_says_what_of_which_metric(text: str) -> None:
    claim = parse_claim(text)
    assert (claim.part, claim.metric, claim.sign, claim.number, claim.is_share) == GOOD[text]
    assert claim.expr == text.strip()


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_claim_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="val_acc within"):
        parse_claim(text)


@given(st.text(max_size=60))
def test_no_text_does_any_harm(text: str) -> None:
    try:
        claim = parse_claim(text)
    except UsageError:
        return
    assert math.isfinite(claim.number)


def judged(claim: str, recorded: Any, replayed: Any) -> bool | None:
    def metrics(value: Any) -> dict[str, Any]:
        return {} if value is None else {"loss": {"last": value, "min": value, "max": value, "first": value}}

    (found,) = judge_claims(metrics(recorded), metrics(replayed), [claim])
    assert found["expr"] == claim
    return found["held"]


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("claim", "recorded", "replayed", "held"),
    [
        ("loss within 0.01", 0.5, 0.509, True),
        ("loss within 0.01", 0.5, 0.489, False),
        ("loss within 0", 0.5, 0.5, True),
        ("loss within 0", 0.5, 0.5000001, False),
        ("loss within 1%", -200, -202, True),
        ("loss within 1%", -200, -202.1, False),
        ("loss within 10%", 0.0, 1e-9, False),
        ("loss within 1", NAN, NAN, None),
        ("loss within 1", 1.0, NAN, False),
        ("loss within 1", INF, INF, True),
        ("loss within 1", INF, 1.0, False),
        ("loss within 100%", INF, 1.0, False),
        ("loss within 1", 1.0, INF, False),
        ("loss within 1", INF, -INF, False),
        ("loss within 1", None, 1.0, None),
        ("loss within 1", 1.0, None, False),
        ("loss < 1", None, 0.5, True),
        ("loss < 1", 0.5, 1, False),
        ("loss <= 1", 0.5, 1, True),
        ("loss > 1", 0.5, NAN, False),
        ("loss >= 1", 5, 1, True),
        ("loss >= 1", 5, None, False),
        ("loss >= 1", 5, 10**400, True),
        ("metrics.loss < 1", 0.5, 0.5, True),
        ("other < 1", 0.5, 0.5, False),
        ("other within 1", 0.5, 0.5, None),
        ("no claim at all", 0.5, 0.5, None),
    ],
)
def test_what_became_of_a_claim(claim: str, recorded: Any, replayed: Any, held: bool | None) -> None:
    assert judged(claim, recorded, replayed) is held


def test_the_part_that_is_claimed_is_judged_and_told() -> None:
    def summary(low: float, high: float) -> dict[str, Any]:
        return {"loss": {"min": low, "max": high, "first": high, "last": low}}

    found = judge_claims(summary(1, 9), summary(2, 9), ["max:loss within 0", "min:loss within 0.5", "first:loss > 8"])
    assert [one["held"] for one in found] == [True, False, True]
    assert found[1] == {"expr": "min:loss within 0.5", "held": False, "recorded": 1.0, "replayed": 2.0}


def test_a_record_with_endless_or_strange_claims_is_judged_all_the_same() -> None:
    strange: dict[str, Any] = {"loss": "none", "acc": {"last": "high"}, "x": {"last": True}}
    found = judge_claims(strange, strange, ["loss < 1", "acc < 1", "x < 1"] * 1000)
    assert len(found) == 1000 and {one["held"] for one in found} == {False}
