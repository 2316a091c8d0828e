"""Results that nobody has seen cap a verdict, unless nothing was written there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from gitrun.model.times import iso
from gitrun.replay.entry_side import Side
from gitrun.replay.gaps import gaps, passed_over
from tests.two_sides import AtHand, entry, side

LINK = "not looked through: out/: a link to a directory elsewhere"


def with_coverage(a: Side, **coverage: Any) -> Side:
    a.record = {
        **a.record,
        "started_at": iso(time.time_ns() - 1_000_000_000),
        "coverage": {"outputs": "complete", **coverage},
    }
    return a


def no(path: bytes) -> bool:
    return False


@pytest.fixture
def place(tmp_path: Path) -> tuple[Side, Path]:
    behind = tmp_path / "scratch"
    behind.mkdir()
    (behind / "old").write_text("x")
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "out").symlink_to(behind)
    return AtHand([], {}, os.fsencode(checkout)), behind


def test_a_complete_look_has_no_gap() -> None:
    a, b = with_coverage(side({"a": b"x"})), with_coverage(side({"a": b"x"}))
    assert gaps(a, b, no) == []


@pytest.mark.parametrize(
    ("coverage", "words"),
    [
        ({"outputs": ["the scan was ended after 20 s: at least 9 directories"]}, "the scan was ended"),
        ({"outputs": ["200,000 outputs, of which 100,000 were kept"]}, "200,000"),
        ({"outputs": ["not captured: KeyError: 'x'"]}, "not captured"),
        ({"outputs": ["not looked through: secret/: Permission denied"]}, "Permission denied"),
        ({"metrics": ["3 points are missing: disk full"]}, "3 points"),
        ({"artifacts": ["journal: a frame is not what log_artifact writes"]}, "frame"),
    ],
)
def test_what_one_side_did_not_see_is_a_gap(coverage: dict[str, Any], words: str) -> None:
    for a, b in ((coverage, {}), ({}, coverage)):
        (found,) = gaps(with_coverage(side()), with_coverage(side(), **b), no) or gaps(
            with_coverage(side(), **a), with_coverage(side()), no
        )
        assert words in found


def test_what_was_not_looked_for_at_all_is_a_gap() -> None:
    a = with_coverage(side())
    a.record = {**a.record, "coverage": {}}
    assert gaps(a, with_coverage(side()), no) == ["the run: what it left behind was not looked for"]


def test_what_a_file_says_of_itself_and_what_does_not_matter_is_none() -> None:
    said = {"outputs": ["a: changed while it was read", "output *.pt: names no file that was written"]}
    assert gaps(with_coverage(side({}, entry("a", b"x")), **said), with_coverage(side()), no) == []
    assert (
        gaps(
            with_coverage(side(), metrics=["12,000 metrics, of which 10,000 are in run.json"]),
            with_coverage(side()),
            no,
        )
        == []
    )


def test_a_summary_that_is_only_described_is_a_gap_until_it_is_ignored() -> None:
    told = "summary.model: only described, because it is no plain value"
    a, b = with_coverage(side(), metrics=[told]), with_coverage(side())
    assert len(gaps(a, b, no)) == 1 and gaps(a, b, lambda name: name == b"summary.model") == []


def test_members_that_a_replay_has_not_are_a_gap() -> None:
    a, b = with_coverage(side()), with_coverage(side())
    a.record = {**a.record, "members": [{"n": 0}, {"n": 1}]}
    assert "2 members" in gaps(a, b, no)[0]


def test_a_process_that_outlived_its_command_may_write_later() -> None:
    a, b = with_coverage(side()), with_coverage(side())
    a.record = {**a.record, "process": {"left_behind": [{"pid": 7, "name": "tensorboard"}]}}
    assert gaps(a, b, no) == ["the run: tensorboard outlived its command, and what it wrote later is not known"]
    assert gaps(a, b, lambda name: name == b"tensorboard") == []


def test_behind_a_link_is_a_gap_only_where_something_was_written(place: tuple[Side, Path]) -> None:
    b, behind = place
    os.utime(behind / "old", (0, 0))
    time.sleep(0.01)
    a = with_coverage(side(), outputs=[LINK])
    with_coverage(b, outputs=[LINK])
    b.record["started_at"] = iso(time.time_ns() + 10_000_000_000)  # everything there is older
    assert gaps(a, b, no) == []
    with_coverage(b, outputs=[LINK])
    (behind / "result").write_text("1")
    (found,) = gaps(a, b, no)
    assert "written behind out/" in found
    assert "out/result" in found
    assert gaps(a, b, lambda path: path == b"out") == []


def test_what_is_recorded_behind_a_link_is_no_gap(place: tuple[Side, Path]) -> None:
    b, behind = place
    known = AtHand([entry(str(behind / "old"), b"x")], {}, b.top)
    assert gaps(with_coverage(side(), outputs=[LINK]), with_coverage(known, outputs=[LINK]), no) == []


def test_a_link_that_leads_nowhere_in_the_replay_is_a_gap(tmp_path: Path) -> None:
    b = AtHand([], {}, os.fsencode(tmp_path))
    assert "not there now" in gaps(with_coverage(side(), outputs=[LINK]), with_coverage(b), no)[0]


def test_a_file_outside_that_only_the_run_has_written_is_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "far.txt"
    path.write_text("x")
    sides = [with_coverage(side({}, entry(str(path), b"x", kind="artifact"))) for _ in range(2)]
    began_ns = path.stat().st_ctime_ns

    def found(run_ns: int, replay_ns: int) -> list[str]:
        for each, since_ns in zip(sides, (run_ns, replay_ns), strict=True):
            each.record = {**each.record, "started_at": iso(since_ns)}
        return gaps(sides[0], sides[1], no)

    second = 1_000_000_000
    (text,) = found(began_ns - second, began_ns + second)
    assert "far.txt: the replay handed it over, and has not written it" in text
    assert found(began_ns - 2 * second, began_ns - second) == []  # written by the replay
    assert found(began_ns + second, began_ns + 2 * second) == []  # by neither: what it is, it was
    assert gaps(sides[0], sides[1], lambda path: path.endswith(b"far.txt")) == []


def test_what_a_replay_wrote_into_caches_and_environments_is_counted(tmp_path: Path) -> None:
    b = with_coverage(AtHand([], {}, os.fsencode(tmp_path)))
    assert passed_over(b) == []
    files = (".cache/r", ".cache/deep/s", "m/__pycache__/a.pyc", "own/pyvenv.cfg", "own/r", ".git/index", "results/r")
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / ".venv").symlink_to("own")
    assert [words.partition(" ")[0] for words in passed_over(b)] == [".cache/:", "own/:"]
    assert ".cache/: 2 files" in passed_over(b)[0]
    b.record = {**b.record, "started_at": iso(time.time_ns() + 10_000_000_000)}  # a source may hold such files
    assert passed_over(b) == []
