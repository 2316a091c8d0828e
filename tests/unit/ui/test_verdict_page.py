"""A verdict on the screen: one line with its extent, what differs, and why."""

from __future__ import annotations

import io
from typing import Any

from gitrun.replay.levels import Level
from gitrun.replay.metric_match import Metric
from gitrun.replay.output_match import Output
from gitrun.replay.verdict import Compared, Ending, Options, extent_of, make_verdict, not_judged
from gitrun.ui.terminal import Screen
from gitrun.ui.verdict import print_verdict

RUN, REPLAY = "20261124-061246-abc123", "20261125-061246-def456"


def printed(verdict: dict[str, Any]) -> list[str]:
    screen = Screen(io.StringIO(), {})
    print_verdict(screen, verdict, extent_of(verdict))
    return screen.stream.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


def made(compared: Compared, causes: list[str], **more: Any) -> dict[str, Any]:
    differences = {"environment": {"python.version": ["3.11", "3.12"]}}
    return {**make_verdict(RUN, REPLAY, compared, Options(), differences, causes), **more}


def test_what_is_the_same_is_one_line_and_what_there_is_to_be_told() -> None:
    compared = Compared(
        True, outputs=[Output(b"a", Level.BIT)] * 3, metrics=[Metric("m", Level.BIT)] * 2, not_compared=["x"]
    )
    assert printed(made(compared, ["moved"], notes=["moved"])) == [
        "bit (3 outputs, 2 metrics; 1 not compared): the same bits; run abc123, replay def456",
        "  not compared: x",
        "  note: moved",
        "  next: gitrun diff abc123 def456",
    ]


def test_the_weakest_comes_first_and_the_causes_are_numbered() -> None:
    outputs = [
        Output(b"z.gz", Level.SEMANTIC, "other times"),
        Output(b"b", Level.DIFFERS, "it has another name", b"a"),
        Output(b"c\x1b[31m", Level.DIFFERS, "line 1"),
        Output(b"t.log", Level.DIFFERS, "line 2", decides=False),
    ]
    metrics = [Metric("loss", Level.TOLERANCE, 3, "1 of 6 values differ")]
    compared = Compared(
        False, outputs=outputs, metrics=metrics, console={"stdout": False, "stderr": True},
        console_first={"stdout": "line 1: 'a', now 'b'"},
        claims=[{"expr": "loss < 1", "held": False, "recorded": 0.5, "replayed": 2}],
    )  # fmt: skip
    assert printed(made(compared, ["first", "second", "told"], notes=["told"])) == [
        "differs (3 outputs, 1 metric): not the same; run abc123, replay def456",
        "  exit status: different",
        "  differs: a -> b: it has another name",
        "  differs: c\\e[31m: line 1",
        "  tolerance: metric loss from step 3 on: 1 of 6 values differ",
        "  semantic: z.gz: other times",
        "  stdout: different, line 1: 'a', now 'b'",
        "  claim: loss < 1: not held (0.5, now 2)",
        "  why, the likeliest first:",
        "     1. first",
        "     2. second",
        "  note: told",
        "  next: gitrun diff abc123 def456",
    ]


def test_long_lists_are_cut_and_say_so() -> None:
    outputs = [Output(b"%02d" % n, Level.DIFFERS, "other") for n in range(30)]
    lines = printed(made(Compared(True, outputs=outputs, not_compared=[str(n) for n in range(30)]), ["why"] * 12))
    assert "  … and 20 more; next: gitrun replay abc123 --json" in lines
    assert "  … and 20 more of these" in lines
    assert "        … and 2 more" in lines


def test_what_was_not_started_says_why_and_claims_no_extent() -> None:
    assert printed(not_judged(RUN, Ending(0, None, "completed"), ["input x: missing"])) == [
        "unverifiable: nobody can tell; run abc123, not started",
        "  why:",
        "     1. input x: missing",
    ]


def test_a_beginning_says_how_much_of_the_run_it_is() -> None:
    prefix = {"points_compared": 1000, "of": 90000, "level": "bit"}
    lines = printed(made(Compared(None, metrics=[Metric("m", Level.BIT)], prefix=prefix), []))
    assert lines[1] == "  beginning: 1,000 of 90,000 points compared, bit"
