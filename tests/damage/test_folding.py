"""Folding loses nothing: killed at any step, beside other processes, beside the user's gc, under open readers."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.files.locks import FileLock
from gitrun.git import fold as folding
from gitrun.git import packs, reffiles
from gitrun.git.fold import fold, fold_now
from gitrun.git.packs import OwnPacks
from gitrun.git.refs import LIVE, RUNS, RefTransaction, create, read_ref, read_refs
from gitrun.git.repository import Repository
from gitrun.monitor import SILENT, Monitor
from tests.forking import ended, forked, in_child
from tests.git_support import add_run, both_formats, both_ways, fsck, git, init, opened, run_id


class Listener(Monitor):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, code: str, message: str) -> None:
        self.warnings.append(f"{code}: {message}")


def _record(repo: Repository, n: int) -> str:
    """What a recording does with Git: pin, pack, publish the run, unpin."""
    commit, pack = add_run(repo, n)
    if pack is not None:
        pack.sync()
    assert create(repo, LIVE + run_id(n), commit)
    transaction = RefTransaction(repo)
    transaction.create(RUNS + run_id(n), commit)
    transaction.delete(LIVE + run_id(n), commit)
    assert transaction.commit()
    return commit


def _check(root: Path, commits: dict[str, str]) -> None:
    assert read_refs(opened(root)) == commits
    objects = git("rev-list", "--objects", *commits.values(), cwd=root)
    assert objects.count(b"\n") >= 4 * len(commits)
    fsck(root)


@both_formats
@both_ways
def test_a_fold_makes_one_pack_and_no_loose_ref(tmp_path: Path, fmt: str, way: str) -> None:
    root = init(tmp_path / "r", fmt)
    repo = opened(root, way)
    commits = {RUNS + run_id(n): _record(repo, n) for n in range(8)}
    before = git("rev-list", "--objects", "--all", cwd=root).splitlines()
    assert fold_now(repo)
    assert len(OwnPacks(repo.objects_dir, fmt).packs()) == 1
    assert not os.listdir(root / ".git" / RUNS)
    assert sorted(git("rev-list", "--objects", "--all", cwd=root).splitlines()) == sorted(before)
    _check(root, commits)
    folded = OwnPacks(repo.objects_dir, fmt).packs()
    assert fold_now(repo) and OwnPacks(repo.objects_dir, fmt).packs() == folded


def test_deltas_between_runs(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    repo = opened(root)
    for n in range(20):
        _record(repo, n)
    size = sum(pack.size for pack in OwnPacks(repo.objects_dir, "sha1").packs())
    fold_now(repo)
    assert OwnPacks(repo.objects_dir, "sha1").packs()[0].size < 0.7 * size


def test_sizes_grow_geometrically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "_PACKS", 6)
    root = init(tmp_path / "r")
    repo = opened(root)
    commits = {}
    for n in range(40):
        commits[RUNS + run_id(n)] = _record(repo, n)
        fold(repo, SILENT)
        assert len(OwnPacks(repo.objects_dir, "sha1").packs()) < 6
    _check(root, commits)


def test_plain_and_folded_packs_without_git(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    commits = {RUNS + run_id(n): _record(opened(root), n) for n in range(12)}
    fold_now(opened(root))
    without = opened(root, "none")
    commits |= {RUNS + run_id(n): _record(without, n) for n in range(12, 36)}
    fold_now(without)
    assert len(OwnPacks(without.objects_dir, "sha1").packs()) == 2  # deltas are left to git
    _check(root, commits)


_STEPS = ["rename", "unlink", "link", "fsync"]


@both_ways
@pytest.mark.parametrize("step", _STEPS)
def test_killed_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, step: str) -> None:
    root = init(tmp_path / "r")
    repo = opened(root, way)
    commits = {RUNS + run_id(n): _record(repo, n) for n in range(4)}
    call = getattr(os, step)
    kills = 0
    for at in range(200):
        count = 0

        def killed(*args: object, _at: int = at, **options: object) -> object:
            nonlocal count
            count += 1
            if count > _at:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **options)

        def action() -> None:
            setattr(os, step, killed)
            fold_now(repo)

        status = in_child(action)
        assert read_refs(repo) == commits
        objects = git("rev-list", "--objects", *commits.values(), cwd=root)
        assert objects.count(b"\n") >= 4 * len(commits)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        kills += 1
        n = 4 + at  # the next one has something to fold again
        commits[RUNS + run_id(n)] = _record(repo, n)
    assert kills > 3 and status == 0
    monkeypatch.setattr(packs, "_LEFTOVER_AGE_S", -1.0)
    assert fold_now(repo)
    names = os.listdir(root / ".git/objects/pack")
    assert all(name.startswith("tmp_") or len(name.split(".")) == 2 for name in names)
    kept = {name.split(".")[0] for name in names if name.endswith(".keep")}
    assert kept == {name.split(".")[0] for name in names if name.endswith(".idx")}
    left = [name for _, _, files in os.walk(root / ".git") for name in files if name.endswith((".lock", ".gitrun"))]
    assert set(left) <= {"fold.lock", "refs.lock"}
    _check(root, commits)


@both_ways
def test_sixteen_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(folding, "_PACKS", 5)
    root = init(tmp_path / "r")
    each = 4

    def work(worker: int) -> None:
        listener = Listener()
        for n in range(worker * each, worker * each + each):
            repo = opened(root, way)
            _record(repo, n)
            fold(repo, listener)
        assert not listener.warnings, listener.warnings

    children = [forked(lambda worker=worker: work(worker)) for worker in range(16)]
    assert [ended(pid) for pid in children] == [0] * 16
    refs = read_refs(opened(root))
    assert list(refs) == [RUNS + run_id(n) for n in range(16 * each)]
    assert not read_refs(opened(root), LIVE)
    assert len(OwnPacks(str(root / ".git/objects"), "sha1").packs()) < 20
    _check(root, refs)


@both_ways
def test_one_winner(tmp_path: Path, way: str) -> None:
    root = init(tmp_path / "r")
    repo = opened(root, way)
    commits = [add_run(repo, n)[0] for n in range(16)]
    children = [forked(lambda oid=oid: os._exit(0 if create(repo, RUNS + "x", oid) else 9)) for oid in commits]
    statuses = [ended(pid) for pid in children]
    assert sorted(statuses) == [0] + [9] * 15
    assert read_ref(repo, RUNS + "x") == commits[statuses.index(0)]


@both_ways
def test_beside_the_users_gc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(folding, "_PACKS", 4)
    root = init(tmp_path / "r")
    repo = opened(root, way)
    commits: dict[str, str] = {}
    stop = time.monotonic() + 4
    gc = subprocess.Popen(
        ["sh", "-c", "while :; do git gc -q --prune=now; git -c gc.autoPackLimit=1 gc -q --auto; done"],
        cwd=root,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        while time.monotonic() < stop:
            n = len(commits)
            commits[RUNS + run_id(n)] = _record(repo, n)
            fold(repo, SILENT)  # a fold that gc disturbs gives up, and the next one is as good
    finally:
        os.killpg(gc.pid, signal.SIGTERM)
        gc.communicate()
    for lock in root.glob(".git/**/*.lock"):
        lock.unlink(missing_ok=True)  # of the gc that was just killed
    assert len(commits) > 5
    assert read_refs(opened(root)) == commits
    git("fsck", "--strict", cwd=root)


@both_ways
def test_beside_the_users_pack_refs(tmp_path: Path, way: str) -> None:
    root = init(tmp_path / "r")
    head = git("rev-parse", "HEAD", cwd=root)
    for n in range(300):  # so that packing takes long enough to be met
        (root / f".git/refs/tags/t{n}").write_bytes(head)
    packing = subprocess.Popen(
        ["sh", "-c", "while :; do git pack-refs --all; done"],
        cwd=root,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        children = [
            forked(lambda w=worker: [_record(opened(root, way), w * 30 + n) for n in range(30)]) for worker in range(4)
        ]
        assert [ended(pid) for pid in children] == [0] * 4
    finally:
        os.killpg(packing.pid, signal.SIGTERM)
        packing.communicate()
    for lock in root.glob(".git/**/*.lock"):
        lock.unlink(missing_ok=True)  # of the git that was just killed
    assert len(read_refs(opened(root))) == 120
    assert read_refs(opened(root), LIVE) == {}


def test_readers_stay_open_during_a_fold(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    repo = opened(root)
    commits = [_record(repo, n) for n in range(6)]
    reader = subprocess.Popen(
        ["git", "cat-file", "--batch-check"], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert reader.stdin is not None and reader.stdout is not None
    own = OwnPacks(repo.objects_dir, "sha1")
    for n, commit in enumerate(commits):
        reader.stdin.write(commit.encode() + b"\n")
        reader.stdin.flush()
        assert reader.stdout.readline().startswith(commit.encode() + b" commit")
        assert own.contains(commit)
        if n == 2:
            fold_now(repo)
    reader.communicate()


def test_a_fold_that_cannot_happen_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "_PACKS", 2)
    root = init(tmp_path / "r")
    repo = opened(root)
    commits = {RUNS + run_id(n): _record(repo, n) for n in range(3)}
    first = OwnPacks(repo.objects_dir, "sha1").packs()[0]
    os.chmod(first.path("pack"), 0o644)
    whole = Path(first.path("pack")).read_bytes()
    Path(first.path("pack")).write_bytes(whole[:20] + bytes(20) + whole[40:])
    listener = Listener()
    fold(repo, listener)
    assert len(listener.warnings) == 1 and listener.warnings[0].startswith("W010: the archive could not be folded")
    Path(first.path("pack")).write_bytes(whole)
    fold(repo, listener)
    assert len(listener.warnings) == 1
    _check(root, commits)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: bytes(len(data)), lambda data: data[:-1]])
@pytest.mark.parametrize("suffix", ["pack", "idx"])
def test_a_pack_that_a_power_cut_left_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, damage: Callable[[bytes], bytes]
) -> None:
    """Nothing relies on it meanwhile, and what it was to hold is written again."""
    monkeypatch.setattr(folding, "_PACKS", 3)
    root = init(tmp_path / "r")
    repo = opened(root)
    commits = {RUNS + run_id(n): _record(repo, n) for n in range(2)}
    commit, pack = add_run(repo, 2)
    assert pack is not None
    path = Path(pack.path(suffix))
    path.chmod(0o644)
    path.write_bytes(damage(path.read_bytes()))
    assert not OwnPacks(repo.objects_dir, "sha1").contains(commit)
    listener = Listener()
    fold(repo, listener)
    assert [warning[:4] for warning in listener.warnings] == ["W016"]
    assert {name.partition(".")[0] for name in os.listdir(root / ".git/gitrun/quarantine")} == {pack.name}
    commits[RUNS + run_id(2)] = _record(repo, 2)
    assert commits[RUNS + run_id(2)] == commit
    _check(root, commits)


def test_a_pack_of_the_users_is_never_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its index is of version 1, which is none to gitrun, and its empty `.keep` could be what a power cut left."""
    monkeypatch.setattr(folding, "_PACKS", 3)
    root = init(tmp_path / "r")
    git("-c", "pack.indexVersion=1", "repack", "-adq", cwd=root)
    (pack,) = (root / ".git/objects/pack").glob("*.pack")
    pack.with_suffix(".keep").touch()
    repo = opened(root)
    commits = {RUNS + run_id(n): _record(repo, n) for n in range(4)}
    listener = Listener()
    fold(repo, listener)
    assert listener.warnings == [] and pack.exists()
    _check(root, commits)


def test_a_fold_in_another_process_is_left_to_it(tmp_path: Path) -> None:
    repo = opened(init(tmp_path / "r"))
    _record(repo, 1)
    assert fold_now(repo)
    with FileLock(os.path.join(repo.common_dir, "gitrun/fold.lock")):
        assert not fold_now(repo)
    assert reffiles.read_loose(repo.common_dir, RUNS) == {}


def test_a_multi_pack_index_does_not_name_what_is_gone(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    repo = opened(root)
    commits = {RUNS + run_id(n): _record(repo, n) for n in range(3)}
    git("multi-pack-index", "write", cwd=root)
    commits[RUNS + run_id(9)] = _record(repo, 9)
    fold_now(repo)
    assert not (root / ".git/objects/pack/multi-pack-index").exists()
    _check(root, commits)
    git("multi-pack-index", "write", cwd=root)
    assert fold_now(repo)  # there is nothing to fold now
    assert (root / ".git/objects/pack/multi-pack-index").exists()
    for damage in (b"", b"MIDX\x01\x01\x09", b"else"):
        (root / ".git/objects/pack/multi-pack-index").chmod(0o644)
        (root / ".git/objects/pack/multi-pack-index").write_bytes(damage)
        packs.multipackindex.forget(str(root / ".git/objects/pack"), ["pack-x"])
