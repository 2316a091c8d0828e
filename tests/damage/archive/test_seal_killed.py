"""Sealing killed at each step, and done by two at once: a run is there whole or not at all, and can be sealed again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive import seal as seal_module
from gitrun.archive.seal import INLINE_LIMIT, Part
from gitrun.git.refs import RUNS, read_ref
from gitrun.store.ingest import Session
from tests.forking import ended, forked, in_child
from tests.hand import Hand

ID = "20261124-061246-k3v9tq"
BIG = b"x" * (INLINE_LIMIT + 1)
PARTS = {"config.json": Part(b"{}\n"), "console.zst": Part(BIG)}
STEPS = [
    ("blobs are durable", Session, "commit"),
    ("objects are written", seal_module.PackWriter, "finish"),
    ("the snapshot's pack is replaced", seal_module, "replace_by_superset"),
    ("the ref is there", seal_module.RefTransaction, "commit"),
]


@pytest.fixture
def hand(make_repo: Callable[..., Path]) -> Hand:
    return Hand(make_repo())


def killed_around(owner: Any, name: str, before: bool) -> None:
    """Make `owner.name` end the process at once, before or after its work."""
    real = getattr(owner, name)

    def dies(*args: Any, **more: Any) -> None:
        if not before:
            real(*args, **more)
        os._exit(9)

    setattr(owner, name, dies)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "name"), [step[1:] for step in STEPS], ids=[step[0] for step in STEPS])
def test_a_kill_leaves_all_or_nothing(hand: Hand, git: Callable[..., Any], owner: Any, name: str, before: bool) -> None:
    def dies() -> None:
        killed_around(owner, name, before)
        hand.seal(ID, PARTS)

    assert in_child(dies) == 9
    git("fsck", "--strict", cwd=hand.root)
    if read_ref(hand.repo, RUNS + ID) is not None:
        assert (owner, before) == (seal_module.RefTransaction, False)
    sealed = hand.seal(ID, PARTS)
    assert not sealed.conflict
    git("gc", "--prune=now", "-q", cwd=hand.root)
    git("fsck", "--strict", cwd=hand.root)
    with hand.open() as archive:
        run = archive.run(ID)
        assert run is not None
        assert run.part("console.zst") == BIG
        assert run.to_json()["status"] == "completed"


def test_two_at_once_seal_one_run(hand: Hand) -> None:
    read, write = os.pipe()
    sealing = [forked(lambda: os.write(write, b"%d" % hand.seal(ID, PARTS).created)) for _ in range(4)]
    assert [ended(pid) for pid in sealing] == [0] * 4
    os.close(write)
    assert sorted(os.read(read, 16)) == sorted(b"1000")
    os.close(read)


def test_two_that_disagree_are_one_run_and_one_conflict(hand: Hand) -> None:
    read, write = os.pipe()

    def seals(status: str) -> None:
        done = hand.seal(ID, PARTS, status=status)
        os.write(write, b"%d%d " % (done.created, done.conflict))

    sealing = [forked(lambda status=status: seals(status)) for status in ("completed", "lost")]
    assert [ended(pid) for pid in sealing] == [0, 0]
    os.close(write)
    assert sorted(os.read(read, 16).split()) == [b"01", b"10"]
    os.close(read)
