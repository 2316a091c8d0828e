"""What replays say of a run: on its page, in lists, and never more than they prove."""

from __future__ import annotations

from typing import Any

import pytest

from gitrun.archive.proofs import Proof, Replays, summary
from gitrun.archive.querying import ask
from gitrun.archive.seal import Part
from gitrun.archive.tagging import claim
from gitrun.archive.verdicts import WEAKEST_FIRST, weakest, word_of
from gitrun.errors import UsageError
from gitrun.model.canonical import encode
from gitrun.replay.levels import Level

RUN = "20261124-061246-aaaaaa"
NO_PREFIX = {"points_compared": 0, "of": 0, "level": None}


def replay_id(number: int) -> str:
    return f"20261124-0613{number:02}-bbbbbb"


def replayed(hand: Any, number: int, word: str | None, host: str = "one", **more: Any) -> str:
    """Seal a replay of RUN with such a verdict, or none."""
    verdict = {"format": 1, "verdict": word, "accepted": word == "bit", "prefix": NO_PREFIX, **more}
    parts = {} if word is None else {"verdict.json": Part(data=encode(verdict))}
    members = [{"n": 0, "host": host}]
    hand.seal(replay_id(number), parts, links={"replay_of": RUN}, members=members)
    return replay_id(number)


def select(hand: Any, text: str) -> list[str]:
    with hand.open() as archive:
        found: list[str] = ask(archive, lambda runs: runs.select(text))
        return found


def proofs(hand: Any) -> list[Proof]:
    with hand.open() as archive:
        run = archive.run(RUN)
        assert run is not None
        return Replays(archive).of(run)


def test_the_words_are_those_of_verdicts() -> None:
    assert tuple(level.word for level in sorted(Level)) == WEAKEST_FIRST


@pytest.mark.parametrize("verdict", [None, 3, [], {}, {"verdict": 3}, {"verdict": ["bit"]}, {"verdict": "certain"}])
def test_what_is_no_verdict_has_no_word(verdict: Any) -> None:
    assert word_of(verdict) is None


def test_a_prefix_is_never_taken_for_the_whole() -> None:
    prefix = {"points_compared": 5, "of": 10, "level": "bit"}
    assert word_of({"verdict": "bit", "prefix": prefix}) == "prefix bit"
    assert word_of({"verdict": "bit", "prefix": NO_PREFIX}) == "bit"
    assert weakest(["prefix bit"]) is None
    assert weakest(["bit", "prefix bit"]) == "bit"
    assert weakest(["bit", "prefix differs"]) == "differs"


def test_replays_together_are_as_strong_as_the_weakest() -> None:
    assert weakest([]) is None
    assert weakest(["bit", "bit"]) == "bit"
    assert weakest(["bit", "differs", "semantic"]) == "differs"
    assert weakest(["bit", "unverifiable"]) == "unverifiable"


def test_lists_know_what_replays_say(hand: Any) -> None:
    hand.seal(RUN)
    assert select(hand, "replayed") == []
    first = replayed(hand, 1, "bit")
    assert select(hand, "verdict == bit") == [first]
    assert select(hand, "replayed == bit") == [RUN]
    second = replayed(hand, 2, "differs")
    assert select(hand, "replayed == bit") == []
    assert select(hand, "replayed == differs") == [RUN]
    assert select(hand, "verdict") == [second, first]
    third = replayed(hand, 3, "bit", prefix={"points_compared": 5, "of": 10, "level": "bit"})
    assert select(hand, "verdict == bit") == [first]
    assert select(hand, "verdict ~ 'prefix*'") == [third]
    with hand.open() as archive:
        rows = ask(archive, lambda runs: runs.rows([RUN, first], runs.keys("verdict,replayed,id")))
    assert rows == [
        {"verdict": None, "id": RUN, "replayed": "differs"},
        {"verdict": "bit", "id": first},
    ]


def test_a_page_has_all_replays_and_what_they_prove(hand: Any) -> None:
    hand.seal(RUN)
    assert proofs(hand) == [] and summary([]) == ""
    replayed(hand, 1, "bit", claims=[{"expr": "loss < 1", "held": True}])
    replayed(hand, 2, "bit", host="two")
    replayed(hand, 3, "bit")
    hand.seal("20261124-061400-cccccc", links={"replay_of": replay_id(1)})  # of another run
    found = proofs(hand)
    assert [one.id for one in found] == [replay_id(1), replay_id(2), replay_id(3)]
    assert [one.verdict for one in found] == ["bit"] * 3
    assert found[0].claims == [{"expr": "loss < 1", "held": True}]
    assert summary(found) == "3 of 3 bit-exact on 2 machines"
    replayed(hand, 4, "differs")
    replayed(hand, 5, "bit", prefix={"points_compared": 5, "of": 10, "level": "bit"})
    replayed(hand, 6, None)
    assert summary(proofs(hand)) == "3 of 4 bit-exact on 2 machines, 1 of its beginning, 1 without a verdict"


def test_one_replay_was_on_one_machine(hand: Any) -> None:
    hand.seal(RUN)
    replayed(hand, 1, "bit")
    replayed(hand, 2, "differs", host="two")
    assert summary(proofs(hand)) == "1 of 2 bit-exact"


def test_a_damaged_verdict_hides_nothing_else(hand: Any) -> None:
    hand.seal(RUN)
    replayed(hand, 1, "bit")
    links = {"replay_of": RUN}
    hand.seal(replay_id(2), {"verdict.json": Part(data=b"not json")}, links=links)
    hand.seal(replay_id(3), {"verdict.json": Part(data=encode(["bit"]))}, links=links)
    assert [(one.id, one.verdict) for one in proofs(hand)] == [(replay_id(1), "bit"), (replay_id(3), None)]
    assert select(hand, "replayed == bit") == [RUN]


def test_claims_are_made_and_taken_back_after_the_run(hand: Any) -> None:
    hand.seal(RUN, claims=["loss < 1"])
    with hand.open() as archive:
        run = archive.run(RUN)
        assert claim(archive, run) == ["loss < 1"]
        assert claim(archive, run, ["acc within 1%", " acc within 1% "]) == ["loss < 1", "acc within 1%"]
        assert claim(archive, run, remove=["loss < 1", "never said"]) == ["acc within 1%"]
        with pytest.raises(UsageError):
            claim(archive, run, ["acc is good"])
        assert run.to_json()["claims"] == ["acc within 1%"]
    with hand.open() as archive:
        assert archive.run(RUN).to_json()["claims"] == ["acc within 1%"]
