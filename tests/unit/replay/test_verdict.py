"""A verdict claims what was compared and nothing more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gitrun.errors import UsageError
from gitrun.replay.levels import Level
from gitrun.replay.metric_match import Metric
from gitrun.replay.output_match import Output
from gitrun.replay.verdict import (
    Compared,
    Ending,
    Options,
    encode_verdict,
    exit_status,
    extent_of,
    make_verdict,
    not_judged,
)

CONTRACT = {
    "run", "replay", "verdict", "accepted", "exit_match", "claims", "prefix", "outputs", "metrics", "compared",
    "environment", "hardware", "causes",
}  # fmt: skip
WORDS = ("bit", "semantic", "tolerance", "unverifiable", "differs")
DEFAULT = Options()
SAME = {"stdout": True, "stderr": True}


def output(word: str, **more: Any) -> Output:
    return Output(f"out/{word}".encode(), Level[word.upper()], **more)


def verdict(compared: Compared, options: Options = DEFAULT) -> dict[str, Any]:
    return make_verdict("r", "s", compared, options, {}, [])


def judged(*words: str, exit_match: bool | None = True, options: Options = DEFAULT, **more: Any) -> dict[str, Any]:
    return verdict(Compared(exit_match, outputs=[output(word) for word in words], **more), options)


def test_every_key_of_the_contract_is_there() -> None:
    made = json.loads(encode_verdict(judged("bit")))
    assert made.keys() >= CONTRACT
    assert made["prefix"] == {"points_compared": 0, "of": 0, "level": None}
    assert made["compared"].keys() >= {"outputs", "metrics", "not_compared"}
    assert made["outputs"][0].keys() >= {"path", "level", "detail", "renamed_from"}


def test_the_weakest_part_is_the_level_of_the_whole() -> None:
    for n, word in enumerate(WORDS):
        weaker = WORDS[n:]
        assert judged(*weaker)["verdict"] == "differs"
        for other in WORDS[: n + 1]:
            expected = "differs" if word == "differs" else word
            assert judged(other, word)["verdict"] == expected
            metrics = [Metric("m", Level[word.upper()])]
            assert verdict(Compared(True, outputs=[output(other)], metrics=metrics))["verdict"] == expected


@pytest.mark.parametrize(
    ("compared", "word"),
    [
        (Compared(True), "unverifiable"),
        (Compared(False), "differs"),
        (Compared(None), "unverifiable"),
        (Compared(False, outputs=[output("bit")]), "differs"),
        (Compared(None, outputs=[output("bit")]), "unverifiable"),
        (Compared(True, outputs=[output("bit")], gaps=True), "unverifiable"),
        (Compared(True, outputs=[output("differs")], gaps=True), "differs"),
        (Compared(None, True, outputs=[output("differs")]), "unverifiable"),
        (Compared(True, outputs=[output("differs", decides=False)]), "unverifiable"),
        (Compared(True, outputs=[output("differs", decides=False), output("bit")]), "bit"),
        (Compared(True, console={"stdout": False, "stderr": True}, outputs=[output("bit")]), "bit"),
        (Compared(None, metrics=[Metric("m", Level.BIT)], prefix={"level": "bit"}), "bit"),
        (Compared(None, True, metrics=[Metric("m", Level.DIFFERS)], prefix={"level": "differs"}), "differs"),
    ],
)
def test_what_was_not_compared_is_never_called_the_same(compared: Compared, word: str) -> None:
    assert verdict(compared)["verdict"] == word


@pytest.mark.parametrize(
    ("console", "word"),
    [
        (SAME, "bit"),
        ({"stdout": False, "stderr": True}, "differs"),
        ({"stdout": True, "stderr": False}, "differs"),
        ({"stdout": None, "stderr": None}, "unverifiable"),
    ],
)
def test_the_console_decides_where_it_is_asked_to(console: dict[str, bool | None], word: str) -> None:
    strict = Options(strict_console=True)
    assert verdict(Compared(True, outputs=[output("bit")], console=console), strict)["verdict"] == word
    assert verdict(Compared(True, console=console), strict)["verdict"] == word
    assert verdict(Compared(True, outputs=[output("bit")], console=console))["verdict"] == "bit"


@pytest.mark.parametrize("accept", [None, "bit", "semantic", "tolerance"])
@pytest.mark.parametrize("word", WORDS)
def test_what_reaches_the_accepted_level_is_accepted(word: str, accept: str | None) -> None:
    made = judged(word, options=Options(accept=accept))
    good = WORDS.index(word) <= WORDS.index(accept or "bit")
    assert (made["accepted"], exit_status(made)) == (good, 0 if good else 4 if word == "unverifiable" else 3)


def held(*values: bool | None) -> list[dict[str, Any]]:
    return [{"expr": "loss within 1%", "held": value, "recorded": 1.0, "replayed": 1.0} for value in values]


@pytest.mark.parametrize(
    ("claims", "match", "accept", "code"),
    [
        (held(True, True), True, None, 0),
        (held(True, False), True, None, 3),
        (held(True, None), True, None, 4),
        (held(False, None), True, None, 3),
        (held(True), False, None, 3),
        (held(True), None, None, 4),
        (held(True), True, "tolerance", 3),
        (held(False), True, "bit", 3),
    ],
)
def test_claims_decide_where_there_are_any_and_no_level_is_asked_for(
    claims: list[dict[str, Any]], match: bool | None, accept: str | None, code: int
) -> None:
    made = judged("differs", exit_match=match, options=Options(accept=accept), claims=claims)
    assert (exit_status(made), made["accepted"]) == (code, code == 0)
    assert (made["verdict"], made["accept"]) == ("differs", accept or "claims")


@pytest.mark.parametrize(("leg", "code"), [("differs", 3), ("tolerance", 3), ("unverifiable", 4)])
def test_an_earlier_leg_that_fell_short_is_no_doubt(leg: str, code: int) -> None:
    made = judged("bit", claims=held(True))
    last = {"run": "b", "replay": "d", "verdict": "bit", "accepted": True}
    made["chain"] = [{"run": "a", "replay": "c", "verdict": leg, "accepted": False}, last]
    made["accepted"] = False
    assert (made["accept"], exit_status(made)) == ("claims", code)


def test_an_interrupted_replay_is_not_accepted_by_its_claims() -> None:
    made = verdict(Compared(None, True, claims=held(True)))
    assert (made["verdict"], made["accepted"], exit_status(made)) == ("unverifiable", False, 4)


def test_the_extent_is_told() -> None:
    metrics = [Metric("a", Level.BIT), Metric("b", Level.UNVERIFIABLE)]
    compared = Compared(True, outputs=[output("bit"), output("unverifiable")], metrics=metrics, not_compared=["x", "b"])
    made = verdict(compared)
    assert extent_of(made) == "1 output, 1 metric; 2 not compared"
    assert extent_of(judged("bit", "bit", "bit")) == "3 outputs, 0 metrics"


def test_of_many_files_the_weakest_are_listed_and_all_are_counted() -> None:
    outputs = [Output(b"%d" % n, Level.DIFFERS if n == 4999 else Level.BIT) for n in range(5000)]
    made = verdict(Compared(True, outputs=outputs, not_compared=[str(n) for n in range(5000)]))
    assert (made["verdict"], made["compared"]["outputs"], len(made["outputs"])) == ("differs", 5000, 2000)
    assert made["outputs"][-1]["path"] == "4999"
    assert (len(made["compared"]["not_compared"]), extent_of(made)) == (
        2000,
        "5,000 outputs, 0 metrics; 5,000 not compared",
    )


def test_what_was_not_started_says_so() -> None:
    made = not_judged("r", Ending(0, None, "completed"), ["input x: its content has changed"])
    assert (made["verdict"], made["replay"], exit_status(made)) == ("unverifiable", None, 4)
    assert made["causes"] == ["input x: its content has changed"]
    assert made["compared"]["not_compared"] == ["the program was not started"]


@pytest.mark.parametrize(
    "options",
    [Options(accept="differs"), Options(accept="nearly"), Options(rtol=-1.0), Options(atol=float("nan"))],
)
def test_options_that_nothing_can_be_judged_by_are_refused(options: Options) -> None:
    with pytest.raises(UsageError):
        options.checked()
