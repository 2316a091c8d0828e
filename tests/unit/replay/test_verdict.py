"""A verdict claims what was compared and nothing more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gitrun.replay.verdict import Ending, compare_consoles, console_of, encode_verdict, judge

OK = Ending(0, None, "completed")
CONTRACT = {
    "run", "replay", "verdict", "accepted", "exit_match", "claims", "prefix", "outputs", "metrics", "compared",
    "environment", "hardware", "causes",
}  # fmt: skip


def verdict(recorded: Ending, replayed: Ending | None) -> dict[str, Any]:
    return judge("r", None if replayed is None else "s", recorded, replayed, compare_consoles(None, None), {}, [])


def test_every_key_of_the_contract_is_there() -> None:
    made = json.loads(encode_verdict(verdict(OK, OK)))
    assert made.keys() >= CONTRACT
    assert made["prefix"].keys() == {"points_compared", "of", "level"}
    assert made["compared"] == {"outputs": 0, "metrics": 0, "not_compared": ["outputs and metrics not compared"]}


@pytest.mark.parametrize(
    ("recorded", "replayed", "word", "match"),
    [
        (OK, OK, "unverifiable", True),
        (Ending(3, None, "failed"), Ending(3, None, "failed"), "unverifiable", True),
        (Ending(None, 9, "failed"), Ending(None, 9, "failed"), "unverifiable", True),
        (OK, Ending(1, None, "failed"), "differs", False),
        (Ending(None, 9, "failed"), Ending(137, None, "failed"), "differs", False),
        (Ending(127, None, "failed"), OK, "differs", False),
        (Ending(None, None, "lost"), OK, "unverifiable", None),
        (OK, Ending(None, 2, "interrupted"), "unverifiable", None),
        (OK, Ending(None, None, "lost"), "unverifiable", None),
        (OK, None, "unverifiable", None),
    ],
)
def test_only_another_exit_status_differs(
    recorded: Ending, replayed: Ending | None, word: str, match: bool | None
) -> None:
    made = verdict(recorded, replayed)
    assert (made["verdict"], made["exit_match"], made["accepted"]) == (word, match, False)


def test_a_verdict_says_why() -> None:
    assert verdict(OK, Ending(None, 9, "failed"))["causes"] == ["the run ended with exit 0, the replay with signal 9"]
    assert "nobody saw" in verdict(Ending(None, None, "lost"), OK)["causes"][0]
    assert "interrupted" in verdict(OK, Ending(None, 2, "interrupted"))["causes"][0]


def test_consoles_agree_stream_by_stream_however_they_were_cut() -> None:
    one = console_of([(1, 10, b"ab"), (2, 11, b"x"), (1, 12, b"c")])
    other = console_of([(2, 5, b"y"), (1, 6, b"a"), (1, 7, b"bc")])
    assert compare_consoles(one, other) == {"stdout": True, "stderr": False}


def test_a_console_with_a_gap_is_not_compared() -> None:
    whole = console_of([(1, 10, b"ab")])
    gapped = console_of([(1, 10, b"ab"), (0, 0, b"[5 bytes not kept]")])
    for other in (gapped, None):
        assert compare_consoles(whole, other) == compare_consoles(other, whole) == {"stdout": None, "stderr": None}
