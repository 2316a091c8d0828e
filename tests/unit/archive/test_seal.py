"""Sealing: one commit, everything durable before the ref, the same record twice is one run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive import seal as seal_module
from gitrun.archive.seal import INLINE_LIMIT, Part
from gitrun.errors import DiskFull
from gitrun.git.refs import LIVE, RUNS, create, read_ref
from gitrun.model.canonical import decode
from gitrun.store.blobs import BlobStore

ID = "20261124-061246-k3v9tq"


def test_the_tree_is_the_record(hand: Any, git: Callable[..., Any]) -> None:
    sealed = hand.seal(ID, {"config.json": Part(b"{}\n")})
    assert sealed.created
    names = git("ls-tree", "--name-only", "-r", sealed.commit, cwd=hand.root).stdout.split()
    assert names == ["config.json", "run.json", "source/train.py"]
    assert git("show", f"{sealed.commit}^:train.py", cwd=hand.root).stdout == ID
    record = decode(git("show", f"{sealed.commit}:run.json", cwd=hand.root).stdout_bytes)
    assert record["parts"]["config.json"] == {
        "bytes": 3,
        "in": "tree",
        "sha256": hashlib.sha256(b"{}\n").hexdigest(),
    }
    git("fsck", "--strict", cwd=hand.root)


def test_snapshot_and_record_share_one_pack(hand: Any) -> None:
    before = set(os.listdir(os.path.join(hand.repo.objects_dir, "pack")))
    hand.seal(ID)
    after = set(os.listdir(os.path.join(hand.repo.objects_dir, "pack"))) - before
    assert sorted(name.rpartition(".")[2] for name in after) == ["idx", "keep", "pack"]


def test_a_large_snapshot_keeps_its_own_pack(
    hand: Any, monkeypatch: pytest.MonkeyPatch, git: Callable[..., Any]
) -> None:
    monkeypatch.setattr(seal_module, "SMALL_PACK", 1)
    hand.seal(ID)
    packs = [name for name in os.listdir(os.path.join(hand.repo.objects_dir, "pack")) if name.endswith(".pack")]
    assert len(packs) == 2
    git("fsck", "--strict", cwd=hand.root)


def test_the_live_ref_goes_in_the_same_step(hand: Any) -> None:
    (commit, _), _ = hand.snapshot(b"pinned")
    assert create(hand.repo, LIVE + ID, commit)
    sealed = hand.seal(ID)
    assert read_ref(hand.repo, LIVE + ID) is None
    assert read_ref(hand.repo, RUNS + ID) == sealed.commit


def test_large_parts_go_to_the_store(hand: Any, tmp_path: Path) -> None:
    big = os.urandom(INLINE_LIMIT + 1)
    (tmp_path / "console").write_bytes(big * 2)
    hand.seal(ID, {"console.zst": Part(path=str(tmp_path / "console")), "notes.bin": Part(big)})
    with hand.open() as archive:
        run = archive.run(ID)
        assert run is not None
        assert run.record["parts"]["notes.bin"]["in"] == "store"
        assert run.part("notes.bin") == big
        assert run.part("console.zst") == big * 2
        assert run.part("config.json") is None


def test_sealing_twice_is_one_run(hand: Any) -> None:
    first = hand.seal(ID)
    assert hand.seal(ID) == first._replace(created=False)


def test_another_record_of_the_same_id_is_a_conflict_and_changes_nothing(hand: Any) -> None:
    first = hand.seal(ID)
    again = hand.seal(ID, status="failed")
    assert (again.created, again.conflict, again.commit) == (False, True, first.commit)
    assert read_ref(hand.repo, RUNS + ID) == first.commit


def test_a_lost_race_is_an_answer(hand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody seals the run between our look at the ref and our own."""
    first = hand.seal(ID)
    real = seal_module.read_ref
    answers = iter([None])
    monkeypatch.setattr(seal_module, "read_ref", lambda repo, name: next(answers, ()) or real(repo, name))
    assert hand.seal(ID, status="failed") == first._replace(created=False, conflict=True)


def test_nothing_is_named_before_it_is_durable(hand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    def log(module: Any, name: str, step: str) -> None:
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, **k: (steps.append(step), real(*a, **k))[1])

    log(seal_module, "_place", "blobs")
    log(seal_module, "_write_objects", "objects")
    log(seal_module, "_publish", "ref")
    log(seal_module, "fold", "fold")
    hand.seal(ID, {"x": Part(b"x" * (INLINE_LIMIT + 1))})
    assert steps == ["blobs", "objects", "ref", "fold"]


def test_a_full_disk_is_said_and_leaves_no_ref(hand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(seal_module, "_write_tree", full)
    with pytest.raises(DiskFull):
        hand.seal(ID)
    assert read_ref(hand.repo, RUNS + ID) is None


def test_the_store_is_not_touched_without_large_parts(hand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BlobStore, "session", lambda self: pytest.fail("the store was opened"))
    assert hand.seal(ID, {"config.json": Part(b"{}\n")}).created
