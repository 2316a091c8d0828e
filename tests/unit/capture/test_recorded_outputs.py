"""What an earlier run recorded and nobody touched since is not source; whatever else is untracked is."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture import recorded_outputs
from gitrun.recording import remembering
from gitrun.recording.remembering import Row, remember
from tests.differential.snapshot_states import base, write
from tests.snapshots import files_of, git, gits_tree, snapshot

RUN, OTHER = "20261124-131356-abcdef", "20261124-131357-abcdef"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "repo"
    base(made)
    for run in (RUN, OTHER):
        git(made, "update-ref", f"refs/gitrun/runs/{run}", "HEAD")
    return made


def note(root: Path, *paths: str, run: str = RUN, proved: bool = True) -> None:
    """Note these files as outputs, as they are."""
    rows = []
    for path in map(os.fsencode, paths):
        file = os.path.join(os.fsencode(root), path)
        found, is_link = os.lstat(file), os.path.islink(file)
        data = os.readlink(file) if is_link else Path(os.fsdecode(file)).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        rows.append(Row(path, len(data), digest, is_link, found if proved else None))
    remember(str(root / ".git/gitrun"), str(root), run, rows)


def left_out(root: Path) -> dict[str, dict[str, Any]]:
    return {entry["path"]: entry for entry in snapshot(root).source["excluded"]}


def test_outputs_leave_the_tree_as_it_was(root: Path) -> None:
    before = snapshot(root)
    write(root, "out/deep/result.csv", b"1,2\n")
    os.symlink("deep/result.csv", root / "out/latest")
    note(root, "out/deep/result.csv", "out/latest")
    after = snapshot(root)
    assert after.tree == before.tree and after.source["dirty"] == before.source["dirty"]
    assert after.source["untracked"] == before.source["untracked"]
    assert after.source["excluded"] == [
        {
            "path": "out/deep/result.csv",
            "bytes": 4,
            "reason": "output",
            "run": RUN,
            "sha256": hashlib.sha256(b"1,2\n").hexdigest(),
        },
        {
            "path": "out/latest",
            "bytes": 15,
            "reason": "output",
            "run": RUN,
            "sha256": hashlib.sha256(b"deep/result.csv").hexdigest(),
        },
    ]


def test_what_was_edited_since_is_source(root: Path) -> None:
    write(root, "same-length", b"aaaa")
    write(root, "longer", b"aaaa")
    os.symlink("a", root / "link")
    write(root, "kind", b"a")
    note(root, "same-length", "longer", "link", "kind")
    times = (root / "same-length").stat()
    (root / "same-length").write_bytes(b"bbbb")
    os.utime(root / "same-length", ns=(times.st_atime_ns, times.st_mtime_ns))  # only the change time tells
    (root / "longer").write_bytes(b"aaaab")
    for name, target in (("link", "b"), ("kind", "a")):
        (root / name).unlink()
        os.symlink(target, root / name)
    taken = snapshot(root)
    assert taken.source["excluded"] == [] and taken.tree == gits_tree(root)
    assert {b"same-length", b"longer", b"link", b"kind"} <= files_of(root, taken.tree).keys()


@pytest.mark.parametrize("how", ["touched", "unproved", "copied"])
def test_without_proof_by_its_stat_the_content_decides(root: Path, how: str) -> None:
    write(root, "result", b"r" * 100)
    note(root, "result", proved=how != "unproved")
    if how == "touched":
        os.utime(root / "result")
    elif how == "copied":
        (root / "copy").write_bytes(b"r" * 100)
        os.replace(root / "copy", root / "result")
    assert left_out(root)["result"]["run"] == RUN


def test_what_its_stat_proves_is_not_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "result", b"r" * 100)
    note(root, "result")
    monkeypatch.setattr(recorded_outputs.RecordedOutputs, "_hash", None)
    assert "result" in left_out(root)


def test_a_large_file_is_compared_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "weights", os.urandom(2 << 20))
    note(root, "weights", proved=False)
    time.sleep(0.05)  # older than the clock's tick
    assert "weights" in left_out(root)
    monkeypatch.setattr(recorded_outputs.os, "read", None)
    assert "weights" in left_out(root)


def test_the_newest_run_counts(root: Path) -> None:
    write(root, "result", b"new")
    note(root, "result")
    note(root, "result", run=OTHER)
    assert left_out(root)["result"]["run"] == OTHER


def test_outputs_of_a_removed_run_are_source(root: Path) -> None:
    write(root, "result", b"new")
    note(root, "result")
    git(root, "update-ref", "-d", f"refs/gitrun/runs/{RUN}")
    assert b"result" in files_of(root, snapshot(root).tree)


def test_a_tracked_output_is_source(root: Path) -> None:
    write(root, "result", b"new")
    note(root, "result")
    git(root, "add", "result")
    assert left_out(root) == {} and b"result" in files_of(root, snapshot(root).tree)


def test_directories_with_nothing_but_outputs_come_back_empty(root: Path) -> None:
    before = set(snapshot(root).source["empty_directories"])
    for path in ("only/a/one", "only/two", "mixed/out/three", "mixed/code.txt", "around/four", "around/below/code.txt"):
        write(root, path, b"x")
    (root / "with").mkdir()
    (root / "with/empty").mkdir()
    write(root, "with/five", b"x")
    note(root, "only/a/one", "only/two", "mixed/out/three", "around/four", "with/five")
    assert set(snapshot(root).source["empty_directories"]) - before == {"only/a", "mixed/out", "with/empty"}


def test_many_are_named_by_directory(root: Path) -> None:
    names = [f"many/{number}" for number in range(1001)]
    for name in names:
        write(root, name, b"x")
    note(root, *names)
    assert snapshot(root).source["excluded"] == [{"path": "many/", "bytes": 1001, "reason": "output", "files": 1001}]


def test_another_working_tree_knows_nothing(root: Path, tmp_path: Path) -> None:
    git(root, "worktree", "add", "-q", str(tmp_path / "linked"))
    for place in (root, tmp_path / "linked"):
        write(place, "result", b"new")
    note(root, "result")
    assert "result" in left_out(root) and left_out(tmp_path / "linked") == {}


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "directory", "missing"])
def test_a_damaged_cache_makes_everything_source(root: Path, damage: str) -> None:
    write(root, "result", b"new")
    note(root, "result")
    (file,) = [path for path in (root / ".git/gitrun/cache/outputs").iterdir() if path.name != "lock"]
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.unlink()
    if damage == "directory":
        file.mkdir()
    elif damage != "missing":
        file.write_bytes({"cut": data[:-9], "flipped": data, "empty": b""}[damage])
    assert left_out(root) == {} and b"result" in files_of(root, snapshot(root).tree)


def test_the_oldest_make_room(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "MOST_ROWS", 8)
    for name in "abcdefghi":
        write(root, name + ".out", b"x")
    note(root, *(name + ".out" for name in "efghi"))
    note(root, *(name + ".out" for name in "abcd"), run=OTHER)
    known = left_out(root)
    assert len(known) == 6 and {"a.out", "b.out", "c.out", "d.out"} <= known.keys()


def test_hundreds_cost_next_to_nothing(root: Path) -> None:
    names = [f"out-{number}" for number in range(500)]
    for name in names:
        write(root, name, b"x")
    note(root, *names)
    top = os.fsencode(root) + b"/"
    candidates = [(os.fsencode(name), os.lstat(root / name)) for name in names]

    def once() -> float:
        known = recorded_outputs.RecordedOutputs(str(root / ".git/gitrun"), str(root), lambda: [RUN])
        began = time.perf_counter()
        source, outputs = known.divide(candidates, top, b"")
        took = time.perf_counter() - began
        assert not source and len(outputs) == 500
        return took

    assert min(once() for _ in range(20)) < 0.004  # 1 ms on an idle machine
