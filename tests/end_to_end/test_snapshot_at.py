"""Snapshots, `record --at` and `record --isolate`: what was frozen is what runs, in a directory of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import Result

Call = Callable[..., Result]


def record(gitrun: Call, repo: Path, *words: str, options: tuple[str, ...] = (), **more: Any) -> tuple[str, Result]:
    """Record a command; returns the run's id and the finished process."""
    id_file = repo.parent / f"id-{os.urandom(4).hex()}"
    done = gitrun("record", "--id-file", id_file, "--quiet", *options, "--", *words, **{"cwd": repo, **more})
    assert id_file.exists(), done.stderr
    return id_file.read_text().strip(), done


def test_what_was_frozen_is_what_runs(
    make_repo: Callable[..., Path], git: Call, gitrun: Call, with_and_without_git: dict[str, str]
) -> None:
    repo = make_repo({"say": "committed\n"})
    (repo / "say").write_text("frozen\n")
    frozen = gitrun("snapshot", "-n", "submitted", cwd=repo, env=with_and_without_git)
    assert frozen.code == 0, frozen.stderr
    snapshot = frozen.stdout.strip()
    (repo / "say").write_text("edited while it was queued\n")
    git("commit", "-qam", "later", cwd=repo)
    for name in (snapshot, snapshot[-6:], "submitted"):
        run, done = record(gitrun, repo, "cat", "say", options=("--at", name), env=with_and_without_git)
        assert (done.code, done.stdout) == (0, "frozen\n"), done.stderr
        shown = gitrun("show", run, "--json", cwd=repo).json()
        assert shown["source"]["modified"] == ["say"]
        assert git("show", f"{shown['source']['snapshot']}:say", cwd=repo).stdout == "frozen\n"
    assert (repo / "say").read_text() == "edited while it was queued\n"


def test_a_snapshot_survives_gc(make_repo: Callable[..., Path], git: Call, gitrun: Call) -> None:
    repo = make_repo({"f": "1"})
    (repo / "f").write_text("frozen")
    (repo / "new").write_text("new")
    snapshot = gitrun("snapshot", cwd=repo).stdout.strip()
    git("checkout", "-qf", "f", cwd=repo)
    (repo / "new").unlink()
    git("gc", "-q", "--prune=now", cwd=repo)
    ref = f"refs/gitrun/snapshots/{snapshot}"
    assert git("show", f"{ref}:source/f", cwd=repo).stdout == "frozen"
    assert git("rev-parse", f"{ref}^", cwd=repo).stdout == git("rev-parse", "HEAD", cwd=repo).stdout
    _, done = record(gitrun, repo, "cat", "f", "new", options=("--at", snapshot))
    assert done.stdout == "frozennew"


def test_the_users_place_in_the_worktree_is_kept(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo({"a/b/f": "x"})
    snapshot = gitrun("snapshot", cwd=repo).stdout.strip()
    for options in (("--at", snapshot), ("--isolate",)):
        run, done = record(gitrun, repo / "a" / "b", "sh", "-c", "pwd; ls", options=options)
        place, name = done.stdout.splitlines()
        assert name == "f"
        assert place.endswith("/repo/a/b")
        assert not place.startswith(str(repo / "a"))
        assert gitrun("show", run, "--json", cwd=repo).json()["cwd"] == "a/b"


def test_isolated_runs_do_not_see_each_other(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo({"f": "x"})
    (repo / "f").write_text("edited")
    places = []
    for _ in range(2):
        _, done = record(gitrun, repo, "sh", "-c", "ls; cat f; echo; pwd; touch result", options=("--isolate",))
        listing, content, place = done.stdout.splitlines()
        assert (listing, content) == ("f", "edited")
        places.append(Path(place))
    assert places[0] != places[1]
    assert all((place / "result").exists() for place in places)  # outputs stay
    assert not (repo / "result").exists()


def test_the_directory_of_isolated_runs_is_a_setting(
    make_repo: Callable[..., Path], gitrun: Call, tmp_path: Path
) -> None:
    repo = make_repo()
    run, done = record(gitrun, repo, "pwd", options=("--isolate",), env={"GITRUN_ISOLATE_DIR": str(tmp_path / "jobs")})
    assert done.stdout == f"{tmp_path}/jobs/{run}/repo\n"


def test_git_in_an_isolated_run_answers_as_outside(make_repo: Callable[..., Path], git: Call, gitrun: Call) -> None:
    repo = make_repo({"f": "x", "g": "y"})
    git("tag", "v1", cwd=repo)
    (repo / "f").write_text("edited")
    (repo / "g").unlink()
    (repo / "new").write_text("n")
    words = ("sh", "-c", "git status --porcelain; git describe --tags --dirty; git rev-parse HEAD --abbrev-ref HEAD")
    _, outside = record(gitrun, repo, *words)
    _, inside = record(gitrun, repo, *words, options=("--isolate",))
    assert inside.stdout == outside.stdout


def test_an_isolated_run_can_be_checked_out_and_replayed(
    make_repo: Callable[..., Path], gitrun: Call, tmp_path: Path
) -> None:
    repo = make_repo({"f": "x"})
    (repo / "f").write_text("edited")
    run, _ = record(gitrun, repo, "cat", "f", options=("--isolate",))
    assert gitrun("checkout", run, tmp_path / "out", cwd=repo).code == 0
    assert (tmp_path / "out" / "f").read_text() == "edited"
    done = gitrun("replay", run, "--json", cwd=repo)
    assert (done.code, done.json()["console"]["stdout"]) == (4, True), done.stderr


def test_an_unknown_or_ambiguous_snapshot_is_one_clear_line(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo()
    done = gitrun("record", "--at", "nosuch", "--", "true", cwd=repo)
    assert done.code == 125
    assert "nosuch" in done.stderr
    ids = [gitrun("snapshot", "-n", "same", cwd=repo).stdout.strip() for _ in range(2)]
    done = gitrun("record", "--at", "same", "--", "true", cwd=repo)
    assert done.code == 125
    assert all(snapshot in done.stderr for snapshot in ids)


def test_a_snapshot_leaves_the_users_repository_as_it_was(
    make_repo: Callable[..., Path], git: Call, gitrun: Call
) -> None:
    repo = make_repo({"f": "x"})
    (repo / "f").write_text("edited")
    before = (repo / ".git" / "index").read_bytes(), git("for-each-ref", "refs/heads", "refs/tags", cwd=repo).stdout
    assert gitrun("snapshot", cwd=repo).code == 0
    after = (repo / ".git" / "index").read_bytes(), git("for-each-ref", "refs/heads", "refs/tags", cwd=repo).stdout
    assert before == after
