"""What a probe tells of a verdict: one answer, what differs, and what to type next."""

from __future__ import annotations

from typing import Any

from gitrun.replay.probe import describe

RUN, REPLAY = "20261124-061246-aaaaaa", "20261124-061250-bbbbbb"


def verdict(word: str, **more: Any) -> dict[str, Any]:
    return {
        "run": RUN,
        "replay": REPLAY,
        "verdict": word,
        "exit_match": True,
        "outputs": [],
        "metrics": [],
        "compared": {"outputs": 1, "metrics": 2},
        "causes": [],
        **more,
    }


def test_a_deterministic_program_gets_one_line() -> None:
    assert describe(verdict("bit")) == ["probe: deterministic, bit for bit (1 output, 2 metrics)"]


def test_what_differs_is_named_with_its_first_step() -> None:
    metrics = [
        {"name": "acc", "level": "bit", "detail": "", "first_divergent_step": None},
        {"name": "loss", "level": "differs", "detail": "3 of 9 values differ", "first_divergent_step": 4},
    ]
    outputs = [{"path": "a\x1b[31m", "level": "differs", "detail": "", "renamed_from": None}]
    found = describe(verdict("differs", metrics=metrics, outputs=outputs, causes=list("abcd"), exit_match=False))
    assert found == [
        "probe: NOT deterministic: the second run differs",
        "  the exit status differs",
        "  metric loss: differs from step 4 on (3 of 9 values differ)",
        r"  output a\e[31m: differs",
        "  perhaps because: a",
        "  perhaps because: b",
        "  perhaps because: c",
        "  next: gitrun diff aaaaaa bbbbbb",
    ]


def test_close_is_not_deterministic_either() -> None:
    for word in ("tolerance", "semantic"):
        assert describe(verdict(word))[0].startswith("probe: NOT deterministic: ")


def test_what_cannot_be_told_is_said_so() -> None:
    found = describe(verdict("unverifiable", replay=None, causes=["an input is missing"], compared={}))
    assert found == [
        "probe: it cannot be told whether this is deterministic (0 outputs, 0 metrics compared)",
        "  an input is missing",
        "  next: gitrun replay aaaaaa",
    ]


def test_many_differences_are_not_all_listed() -> None:
    metrics = [{"name": f"m{n}", "level": "differs", "first_divergent_step": n} for n in range(50)]
    found = describe(verdict("differs", metrics=metrics))
    assert len(found) == 11 and found[-2] == "  … and 42 more"
