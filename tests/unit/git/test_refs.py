"""Refs: created once, read wherever they are, changed together or not at all."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from gitrun.errors import GitrunError
from gitrun.git import reffiles, refs
from gitrun.git.head import read_head
from gitrun.git.refs import (
    LIVE,
    RUNS,
    RefTransaction,
    create,
    delete,
    is_valid_name,
    read_ref,
    read_refs,
    scan_refs,
    update,
)
from gitrun.git.repository import Repository
from tests.forking import in_child
from tests.git_support import add_run, both_formats, both_ways, fsck, git, init, opened, run_id


@pytest.fixture(params=["git", "none"])
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    return opened(init(tmp_path / "r"), request.param)


def _two_commits(repo: Repository) -> tuple[str, str]:
    return add_run(repo, 1)[0], add_run(repo, 2)[0]


def test_create_never_moves(repo: Repository) -> None:
    one, two = _two_commits(repo)
    name = RUNS + run_id(1)
    assert create(repo, name, one) and create(repo, name, one)
    assert not create(repo, name, two)
    assert read_refs(repo) == {name: one}
    git("pack-refs", "--all", cwd=repo.git_dir)
    assert read_refs(repo) == {name: one} and read_ref(repo, name) == one
    assert not create(repo, name, two) and create(repo, name, one)
    assert not os.path.exists(os.path.join(repo.git_dir, "logs/refs/gitrun"))
    assert repo.worktree is not None
    fsck(Path(repo.worktree))


def test_update_and_delete(repo: Repository) -> None:
    one, two = _two_commits(repo)
    name = "refs/gitrun/annotations/w"
    assert create(repo, name, one)
    assert not update(repo, name, one, two) and update(repo, name, two, one) and read_ref(repo, name) == two
    git("pack-refs", "--all", cwd=repo.git_dir)
    assert not delete(repo, name, one) and read_ref(repo, name) == two
    assert delete(repo, name, two) and read_ref(repo, name) is None and delete(repo, name)
    assert git("for-each-ref", cwd=repo.git_dir).count(b"\n") == 1


def test_a_transaction_happens_whole_or_not_at_all(repo: Repository) -> None:
    one, two = _two_commits(repo)
    live, run = LIVE + run_id(1), RUNS + run_id(1)
    assert create(repo, live, one)
    transaction = RefTransaction(repo)
    transaction.create(run, two)
    transaction.delete(live, two)
    assert not transaction.commit() and read_refs(repo, "refs/gitrun/") == {live: one}
    transaction = RefTransaction(repo)
    transaction.create(run, two)
    transaction.delete(live)
    assert transaction.commit() and read_refs(repo, "refs/gitrun/") == {run: two}
    assert not list(Path(repo.git_dir, "refs").rglob("*.lock"))


def test_names_in_the_way_of_each_other(repo: Repository) -> None:
    one, two = _two_commits(repo)
    assert create(repo, "refs/gitrun/runs/a", one)
    for packed in (False, True):
        for name, match in (("refs/gitrun/runs/a/b", "refs/gitrun/runs/a"), ("refs/gitrun/runs", "refs/gitrun/runs")):
            with pytest.raises(GitrunError, match=match) as refused:
                create(repo, name, two)
            assert refused.value.next.startswith("git ") and refused.value.kept
        if not packed:
            git("pack-refs", "--all", cwd=repo.git_dir)
    with pytest.raises(GitrunError, match="not a ref name"):
        create(repo, "refs/gitrun/runs/a..b", one)


def test_an_empty_directory_is_not_in_the_way(repo: Repository) -> None:
    one, _ = _two_commits(repo)
    os.makedirs(os.path.join(repo.git_dir, "refs/gitrun/runs/x/y"))
    assert create(repo, "refs/gitrun/runs/x", one)


def test_a_lock_that_stays(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = _two_commits(repo)
    monkeypatch.setattr(refs, "_PATIENCE_S", 0.2)
    name = RUNS + run_id(1)
    lock = Path(repo.git_dir, name + ".lock")
    lock.parent.mkdir(parents=True)
    lock.touch()
    with pytest.raises(GitrunError) as problem:
        create(repo, name, one)
    assert ".lock" in str(problem.value) and problem.value.next and lock.exists()


def test_foreign_and_broken_refs_are_reported(repo: Repository) -> None:
    one, _ = _two_commits(repo)
    directory = Path(repo.git_dir, RUNS)
    (directory / "deep").mkdir(parents=True)
    (directory / "deep/name").write_text(one + "\n")
    (directory / "broken").write_text("hello")
    (directory / "empty").write_text("")
    (directory / "link").write_text("ref: refs/heads/main\n")
    (directory / "a..b").write_text(one + "\n")
    os.symlink("nowhere", directory / "dangling")
    found, problems = scan_refs(repo)
    assert found == {RUNS + "deep/name": one}
    assert [problem.name[len(RUNS) :] for problem in problems] == ["a..b", "broken", "empty", "link"]
    assert read_refs(repo) == found


@pytest.mark.parametrize(
    "name", ["refs/x/", "refs/.x", "refs/x.lock", "refs/x..y", "refs/a b", "refs/x~1", "x", "refs//x"]
)
def test_invalid_names(name: str) -> None:
    assert not is_valid_name(name)
    assert is_valid_name("refs/gitrun/runs/20261124-061246-abc123") and is_valid_name("refs/heads/é.x")


@both_formats
@both_ways
def test_packing(tmp_path: Path, fmt: str, way: str) -> None:
    root = init(tmp_path / "r", fmt)
    repo = opened(root, way)
    git("tag", "-a", "-m", "t", "v1", cwd=root)
    git("branch", "z", cwd=root)
    git("pack-refs", "--all", cwd=root)
    git("branch", "loose", cwd=root)
    before = git("for-each-ref", "refs/heads", "refs/tags", cwd=root)
    commits = {RUNS + run_id(n): add_run(repo, n)[0] for n in range(5)}
    for name, oid in commits.items():
        assert create(repo, name, oid)
    (root / ".git" / RUNS / "foreign").write_text(git("rev-parse", "v1", cwd=root).decode())
    owner = tmp_path / "owner"
    owner.touch()
    wanted = lambda name, value: name in commits  # noqa: E731
    assert reffiles.pack(repo.common_dir, RUNS, repo.hash_len * 2, str(owner), wanted) == 5
    assert sorted(os.listdir(root / ".git" / RUNS)) == ["foreign"] and (root / ".git/refs/heads/loose").exists()
    assert read_refs(repo).items() >= commits.items()
    after = git("for-each-ref", "refs/heads", "refs/tags", cwd=root)
    assert after == before
    assert b"^{}" in git("show-ref", "-d", cwd=root)
    git("pack-refs", "--all", cwd=root)
    assert read_refs(repo).items() >= commits.items()
    fsck(root)


def test_packing_leaves_what_moved_and_what_is_locked(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    repo = opened(root)
    one, two = _two_commits(repo)
    create(repo, RUNS + "a", one)
    create(repo, RUNS + "b", two)
    owner = tmp_path / "owner"
    owner.touch()
    (root / ".git/packed-refs.lock").touch()
    assert reffiles.pack(repo.common_dir, RUNS, 40, str(owner), lambda n, v: True) == 0
    (root / ".git/packed-refs.lock").unlink()
    os.link(owner, root / ".git/packed-refs.lock")  # what a killed fold leaves
    (root / ".git" / RUNS / "b.lock").touch()
    assert reffiles.pack(repo.common_dir, RUNS, 40, str(owner), lambda n, v: True) == 2
    assert sorted(os.listdir(root / ".git" / RUNS)) == ["b", "b.lock"]
    assert not (root / ".git/packed-refs.lock").exists()
    assert read_refs(repo) == {RUNS + "a": one, RUNS + "b": two}


def test_packed_refs_of_an_old_git(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    repo = opened(root, "none")
    one, two = _two_commits(repo)
    (root / ".git/packed-refs").write_text(
        f"# pack-refs with: peeled \n{two} {RUNS}z\n{one} {RUNS}a\n{one} refs/heads/b\n"
    )
    assert read_refs(repo) == {RUNS + "a": one, RUNS + "z": two}
    assert delete(repo, RUNS + "z")
    lines = (root / ".git/packed-refs").read_text().splitlines()
    assert lines == ["# pack-refs with: peeled sorted ", f"{one} {RUNS}a", f"{one} refs/heads/b"]
    (root / ".git/packed-refs").write_text("garbage\n")
    with pytest.raises(GitrunError, match="packed-refs is damaged"):
        reffiles.rewrite_packed(repo.common_dir, {}, (), 40)


@pytest.mark.parametrize("was_packed", [False, True])
def test_a_deletion_beside_a_packer(repo: Repository, was_packed: bool) -> None:
    """What `git pack-refs` does, slowed down: it has read the loose refs, and renames its new packed-refs later."""
    one, two = _two_commits(repo)
    live, run = LIVE + run_id(1), RUNS + run_id(1)
    assert create(repo, live, one)
    if was_packed:
        git("pack-refs", "--all", cwd=repo.git_dir)
    packed = Path(repo.git_dir, "packed-refs")
    lines = git("for-each-ref", "--format=%(objectname) %(refname)", cwd=repo.git_dir)
    lock = Path(repo.git_dir, "packed-refs.lock")
    lock.write_bytes(b"# pack-refs with: peeled fully-peeled sorted \n" + lines)
    packer = threading.Timer(1, lambda: lock.rename(packed))
    packer.start()
    transaction = RefTransaction(repo)
    transaction.create(run, two)
    transaction.delete(live)
    assert transaction.commit()
    packer.join()
    assert read_refs(repo, "refs/gitrun/") == {run: two}
    assert b"gitrun/live" not in packed.read_bytes() and not lock.exists()
    assert b"gitrun/live" not in git("for-each-ref", cwd=repo.git_dir)


def test_a_packer_that_does_not_end(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = _two_commits(repo)
    monkeypatch.setattr(refs, "_PATIENCE_S", 0.3)
    assert create(repo, LIVE + "a", one)
    Path(repo.git_dir, "packed-refs.lock").touch()
    start = time.monotonic()
    assert delete(repo, LIVE + "a") and read_ref(repo, LIVE + "a") is None
    assert 0.2 < time.monotonic() - start < 5
    assert Path(repo.git_dir, "packed-refs.lock").exists()


@pytest.mark.parametrize("step", ["link", "rename", "unlink"])
def test_killed_while_a_packed_ref_is_deleted(repo: Repository, step: str) -> None:
    one, two = _two_commits(repo)
    assert create(repo, LIVE + "a", one) and create(repo, LIVE + "b", two)
    git("pack-refs", "--all", cwd=repo.git_dir)
    call = getattr(os, step)

    def killed(*args: object, **options: object) -> None:
        call(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    def deletes() -> None:
        setattr(os, step, killed)
        delete(repo, LIVE + "a")

    assert in_child(deletes) == -signal.SIGKILL
    Path(repo.git_dir, LIVE, "a.lock").unlink()  # the recorder's own, which recover knows to be dead
    assert delete(repo, LIVE + "a") and delete(repo, LIVE + "b")
    assert read_refs(repo, LIVE) == {} and not list(Path(repo.git_dir).glob("packed-refs.*"))


@both_ways
def test_head(tmp_path: Path, way: str) -> None:
    root = tmp_path / "r"
    git("init", "-q", "-b", "topic/x", str(root), cwd=tmp_path)
    assert read_head(opened(root, way)) == (None, "refs/heads/topic/x")
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=root)
    commit = git("rev-parse", "HEAD", cwd=root).decode().strip()
    assert read_head(opened(root, way)) == (commit, "refs/heads/topic/x")
    git("pack-refs", "--all", cwd=root)
    assert read_head(opened(root, way)) == (commit, "refs/heads/topic/x")
    git("symbolic-ref", "refs/heads/alias", "refs/heads/topic/x", cwd=root)
    git("symbolic-ref", "HEAD", "refs/heads/alias", cwd=root)
    assert read_head(opened(root, way)).commit == commit
    git("checkout", "-q", "--detach", cwd=root)
    assert read_head(opened(root, way)) == (commit, None) and read_head(opened(root, way)).detached
    git("worktree", "add", "-q", "-b", "wt", str(tmp_path / "wt"), cwd=root)
    assert read_head(opened(tmp_path / "wt", way)) == (commit, "refs/heads/wt")
    (root / ".git/HEAD").write_text("ref: refs/heads/nothing\n")
    assert read_head(opened(root, way)) == (None, "refs/heads/nothing")
