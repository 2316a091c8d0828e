"""No spoiled case is called the same: all that need no process, and of the others what needs a real replay.

`scripts/spoil` judges every case by real replays and real trainings; it takes minutes.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from scripts.spoil_lib import alone, table
from scripts.spoil_lib.by_hand import Bench
from scripts.spoil_lib.case import BIT, Case, problem_of
from scripts.spoil_lib.steered import Steered

REAL = (
    "ends nothing is spoiled",
    "ends another stderr, and --strict-console",
    "trees a name that is no UTF-8",
    "trees Hydra: a link into the directory",
    "metrics the payload of a NaN",
)
ALONE = (
    "inputs one bit outside of the tree",
    "places outside the tree, by a shell, handed over, not written: the old one lies there",
)
PARQUET = ("words of the writer", "a last place", "null is NaN")  # each is read in a process of its own


def is_quick(case: Case) -> bool:
    kind, _, what = case.name.partition(": ")
    return kind != "parquet" or what in PARQUET


def test_every_case_that_can_be_written_by_hand_has_its_verdict(tmp_path: Path) -> None:
    bench = Bench(tmp_path, table.BY_HAND)
    judged = [(case, *bench.judge(case)) for case in table.BY_HAND if bench.can_judge(case) and is_quick(case)]
    assert len(judged) > 200
    assert [problem for each in judged if (problem := problem_of(*each))] == []


def test_real_replays_have_the_same_verdicts(tmp_path: Path) -> None:
    steered = Steered(tmp_path / "world", table.STEERED)
    chosen = [case for case in table.STEERED if f"{case.group} {case.name}" in REAL]
    assert len(chosen) == len(REAL)
    assert [problem for case in chosen if (problem := problem_of(case, *steered.judge(case)))] == []


@pytest.mark.parametrize("name", ALONE)
def test_what_lies_outside_of_the_record_is_not_the_same(name: str, tmp_path: Path) -> None:
    (each,) = (each for each in alone.CASES if f"{each.case.group} {each.case.name}" == name)
    assert problem_of(each.case, *each.judge(tmp_path / "world")) is None


def test_the_page_lists_what_is_judged() -> None:
    assert table.DOCUMENT.read_text() == table.document(), "scripts/spoil --write makes it anew"
    counts = Counter(f"{case.group} {case.name}" for case in table.CASES)
    assert max(counts.values()) == 1
    assert sum(case.verdict != BIT for case in table.CASES) >= 100
    assert table.unexpected() == []
