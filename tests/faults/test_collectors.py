"""Collectors beside recorders, beside each other, and stopped in the middle: nothing that is needed goes."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.archive import trash
from gitrun.archive.archive import Archive
from gitrun.archive.fsck import fsck
from gitrun.archive.gc import gc
from gitrun.archive.seal import Part
from gitrun.errors import GitrunError
from gitrun.git import refs
from tests.faults.layer import Fault, Layer, read_story
from tests.faults.scenarios import OLD, SCENARIOS, environ
from tests.faults.test_points import is_all, small
from tests.forking import ended, forked
from tests.git_support import fsck as git_fsck
from tests.hand import Hand

__all__ = ["small"]  # the fixture: every test here has it

RECORDERS, SECONDS = 8, 2.0
LATER = "20261124-070000-bbbbbb"
SHARED = [bytes([n]) * 700 for n in range(6)]


def seal(root: Path, run_id: str, contents: list[bytes]) -> None:
    """A run with contents that others store, and lose, at the same time."""
    parts = {f"part{n}.bin": Part(content) for n, content in enumerate(contents)}
    Hand(root).seal(run_id, {**parts, "own.bin": Part(run_id.encode() * 60)})


def collect(root: Path) -> bool:
    """Whether nobody else was collecting."""
    try:
        with Archive.open(str(root), environ()) as archive:
            gc(archive)
    except GitrunError as problem:
        if "another gitrun gc is at work" in str(problem):
            return False
        raise
    return True


def record_and_remove(root: Path, number: int, until: float) -> None:
    """Seal runs and remove every second one, so that contents come and go."""
    chance = random.Random(number)
    for n in range(1, 1000):
        if time.monotonic() > until:
            return
        run_id = f"20261124-{number:02}{n:04}-aaaaaa"
        seal(root, run_id, chance.sample(SHARED, 3))
        if n % 2 == 0:
            with Archive.open(str(root), environ()) as archive:
                trash.remove(archive, run_id)


def collect_until(root: Path, until: float) -> None:
    count = 0
    while time.monotonic() < until:
        count += collect(root)
    assert count


def check(root: Path) -> list[str]:
    """The runs there are, all of them whole."""
    with Archive.open(str(root), environ()) as archive:
        assert [finding for finding in fsck(archive, data=True) if finding.is_damage] == []
        runs = list(archive.sealed())
    git_fsck(root)
    return runs


@pytest.mark.slow
@pytest.mark.parametrize("collectors", [1, 2])
def test_collectors_beside_eight_recorders(
    make_repo: Callable[..., Path], collectors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refs, "_PATIENCE_S", 30.0)  # nine processes change refs all the time, on a busy machine
    root = make_repo()
    Hand(root)
    until = time.monotonic() + SECONDS
    recorders = [forked(lambda n=n: record_and_remove(root, n, until)) for n in range(RECORDERS)]
    collecting = [forked(lambda: collect_until(root, until)) for _ in range(collectors)]
    assert [ended(pid) for pid in (*recorders, *collecting)] == [0] * (RECORDERS + collectors)
    assert len(check(root)) >= RECORDERS
    assert collect(root)
    check(root)


@pytest.mark.parametrize("end", [signal.SIGCONT, signal.SIGKILL])
def test_a_collector_that_is_stopped_anywhere_takes_nothing_from_a_run_sealed_meanwhile(
    tmp_path: Path, end: signal.Signals
) -> None:
    calls = stop_and_seal(tmp_path / "0", 0, end)
    for at in range(1, calls + 1, 1 if is_all() else 6):
        stop_and_seal(tmp_path / str(at), at, end)


def stop_and_seal(place: Path, at: int, end: signal.Signals) -> int:
    """Stop a collector before its call number `at` (0: never), seal a run, have it go on or die; its calls."""
    scenario, root, story = SCENARIOS["gc"], place / "repository", str(place) + " story"
    place.mkdir()
    assert ended(forked(lambda: scenario.prepare(root, lambda *_: None))) == 0

    def collects() -> None:
        Layer(str(place), story, Fault(at, "stop")).install()
        scenario.act(root, lambda *_: None)

    pid = forked(collects)
    if at:
        assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
        seal(root, LATER, [OLD, *SHARED])  # what is about to go is stored again, or stays
        assert at == 1 or not collect(root)  # its lock is held, from its first call on
        os.kill(pid, end)
    assert ended(pid) == (-end if at and end == signal.SIGKILL else 0)
    assert (LATER in check(root)) == bool(at)
    return sum(step.what == "call" for step in read_story(story))
