"""Inputs are used where their bytes agree, and named where they do not."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from gitrun.archive.entries import read_entries
from gitrun.capture.inputs import sample
from gitrun.errors import DamagedRecord
from gitrun.files.materialise import Clone, Materialiser
from gitrun.replay.inputs import Inputs
from gitrun.replay.plan import Addition
from gitrun.replay.removal import remove_tree


def entry(path: str, content: bytes | None, **more: Any) -> dict[str, Any]:
    digest = None if content is None else hashlib.sha256(content).hexdigest()
    return {"path": path, "kind": "input", "mode": "0640", "sha256": digest, "reason": "input", **more}


def inputs_of(lines: list[Any], worktree: Path | None, kept: bytes | None = None) -> Inputs:
    """`kept` is what the archive has of each."""
    top = None if worktree is None else str(worktree)
    return Inputs(read_entries(lines), top, lambda entry: None if kept is None else iter([kept]))


def copied(addition: Addition) -> bytes:
    """What is written where no blocks can be shared."""
    content = addition.pieces
    return b"".join(content.pieces if isinstance(content, Clone) else content)


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    (tmp_path / "repo" / "data").mkdir(parents=True)
    (tmp_path / "repo" / "data" / "x").write_bytes(b"data")
    return tmp_path / "repo"


def test_an_input_below_the_worktree_is_copied_while_it_is_hashed(worktree: Path) -> None:
    inputs = inputs_of([entry("data/x", b"data"), {"path": "out", "kind": "output"}], worktree)
    (addition,) = inputs.additions()
    assert (addition.path, addition.mode, copied(addition)) == (b"data/x", 0o640, b"data")
    inputs.verify("/nowhere")  # it was copied, so there is nothing to look at
    assert inputs.problems == []


@pytest.mark.parametrize("content", [b"data", b"other", b"same as data, and longer"])
def test_one_that_shares_its_blocks_is_compared_where_it_was_put(
    worktree: Path, tmp_path: Path, content: bytes
) -> None:
    (worktree / "data" / "x").write_bytes(content)
    inputs = inputs_of([entry("data/x", b"data")], worktree)
    (addition,) = inputs.additions()
    with Materialiser(str(tmp_path / "out"), 1) as out:
        out.file(addition.path, addition.mode, addition.pieces)
        out.finish()
    assert (tmp_path / "out" / "data" / "x").read_bytes() == content
    (worktree / "data" / "x").write_bytes(b"later")  # nobody looks there again
    inputs.verify(str(tmp_path / "out"))
    assert bool(inputs.problems) == (content != b"data")


@pytest.mark.parametrize("content", [b"other", None])
def test_a_changed_or_missing_input_is_named(worktree: Path, content: bytes | None) -> None:
    path = worktree / "data" / "x"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    inputs = inputs_of([entry("data/x", b"data")], worktree)
    copied(inputs.additions()[0])
    assert len(inputs.problems) == 1
    assert inputs.problems[0].startswith("input data/x: ")


def test_a_named_pipe_where_an_input_was_holds_nobody_up(worktree: Path) -> None:
    (worktree / "data" / "x").unlink()
    os.mkfifo(worktree / "data" / "x")
    inputs = inputs_of([entry("data/x", b"data")], worktree)
    copied(inputs.additions()[0])
    assert len(inputs.problems) == 1


def test_an_input_elsewhere_is_read_in_place(worktree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"data")
    inputs = inputs_of([entry(str(outside), b"data")], worktree)
    assert inputs.additions() == []
    inputs.verify(str(tmp_path / "checkout"))
    assert inputs.problems == []
    outside.write_bytes(b"late")
    inputs.verify(str(tmp_path / "checkout"))
    assert len(inputs.problems) == 1


def test_an_input_whose_bytes_were_never_read_cannot_be_vouched_for(worktree: Path) -> None:
    inputs = inputs_of([entry("a", None, reason="secret"), entry("b", None, reason="missing")], worktree)
    inputs.verify(str(worktree))
    assert inputs.problems == ["input a: its bytes were not recorded (secret)"]


def test_what_the_archive_has_is_not_taken_from_the_worktree(worktree: Path) -> None:
    (worktree / "data" / "x").write_bytes(b"late")
    inputs = inputs_of([entry("data/x", b"data")], worktree, kept=b"data")
    assert copied(inputs.additions()[0]) == b"data"
    inputs.verify("/nowhere")
    assert inputs.problems == []


def test_an_input_that_was_written_to_is_no_reason_to_stop_and_is_told(worktree: Path) -> None:
    changed = entry("data/x", b"before", overwritten=True, evidence="observed")
    gone = entry("state", None, reason="overwritten", overwritten=True, evidence="observed")
    inputs = inputs_of([changed, gone], worktree)
    copied(inputs.additions()[0])
    inputs.verify(str(worktree))
    assert inputs.problems == []
    assert [note.partition(":")[0] for note in inputs.notes] == ["input data/x", "input state"]
    declared = inputs_of([{**changed, "evidence": "declared"}], worktree)
    copied(declared.additions()[0])
    assert len(declared.problems) == 1  # that one was hashed before the start, so it is known what the run was given


def test_samples_and_times_are_compared_where_there_is_no_digest(worktree: Path) -> None:
    path = worktree / "data" / "x"
    os.utime(path, ns=(0, 10**18))
    by_time = entry("data/x", None, level="stat", bytes=4, modified="2001-09-09T01:46:40.000000Z")
    by_sample = entry("data/x", None, level="sample", bytes=4, sample=sample(os.fsencode(path), 4))
    for line in (by_time, by_sample):
        inputs = inputs_of([line], worktree)
        assert copied(inputs.additions()[0]) == b"data"
        assert inputs.problems == []
    path.write_bytes(b"late")
    for line in (by_time, by_sample):
        inputs = inputs_of([line], worktree)
        copied(inputs.additions()[0])
        assert len(inputs.problems) == 1


def test_only_what_was_declared_is_declared_again(worktree: Path) -> None:
    inputs = inputs_of([entry("data/x", b"data", evidence="declared"), entry("y", b"y", evidence="observed")], worktree)
    assert inputs.paths("/checkout") == ["/checkout/data/x"]


def test_a_directory_is_removed_in_whatever_state_it_is(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (root / "sealed").mkdir(parents=True)
    (root / "sealed" / "f").write_text("x")
    (root / "link").symlink_to(outside)
    (root / "sealed").chmod(0o000)
    here = os.open(root, os.O_RDONLY)
    for _ in range(1500):  # deeper than a recursion could go
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove_tree(str(root))
    assert not root.exists()
    assert (outside / "kept").exists()


def test_a_directory_that_becomes_a_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "d").mkdir(parents=True)
    (root / "d" / "f").write_text("x")
    outside.mkdir(mode=0o750)
    (outside / "kept").write_text("kept")
    real = os.scandir

    def swapping(path: int | str) -> Any:
        entries = real(path)
        listed = list(entries)
        if any(entry.name == "d" for entry in listed) and not (root / "d").is_symlink():
            os.rename(root / "d", root / "old")
            os.symlink(outside, root / "d")
        return type("Listing", (), {"__enter__": lambda self: iter(listed), "__exit__": lambda *_: entries.close()})()

    monkeypatch.setattr(os, "scandir", swapping)
    remove_tree(str(root))
    assert (outside / "kept").exists() and outside.stat().st_mode & 0o777 == 0o750
    monkeypatch.setattr(os, "scandir", real)
    remove_tree(str(root))
    assert not root.exists()


@pytest.mark.parametrize(
    "line",
    [
        "text",
        {"kind": "input"},
        {"kind": "input", "path": 3},
        {"kind": "input", "path": ""},
        {"kind": "input", "path": "x", "mode": "999"},
        {"kind": "input", "path": "x", "mode": 0o644},
        {"kind": "input", "path": "x", "sha256": ["ab"]},
    ],
)
def test_a_line_that_no_recorder_writes_is_damage(line: Any) -> None:
    with pytest.raises(DamagedRecord, match=r"artifacts\.jsonl"):
        inputs_of([line], None)
