"""Live refs that came back: dropped where a sealed run holds what they held, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gitrun.git.executable import find_git
from gitrun.git.repository import discover
from gitrun.monitor import SILENT
from gitrun.recording.recover import recover_all
from tests.conftest import Result


def test_only_what_a_sealed_run_holds_is_dropped(
    make_repo: Callable[..., Path], git: Callable[..., Result], gitrun: Callable[..., Result]
) -> None:
    repo = make_repo()
    for _ in range(2):
        assert gitrun("record", "--quiet", "--", "true", cwd=repo).code == 0
    listed = git("for-each-ref", "--format=%(refname:lstrip=3)", "refs/gitrun/runs", cwd=repo)
    left, forced = listed.stdout.split()
    unknown = "20200101-000000-aaaaaa"
    for run_id in (left, forced, unknown):
        git("update-ref", f"refs/gitrun/live/{run_id}", "HEAD", cwd=repo)
    git("pack-refs", "--all", cwd=repo)
    (repo / ".git/gitrun/live" / forced).mkdir()  # as after `recover --force`: its recorder may come back
    assert recover_all(discover(str(repo), find_git(), dict(os.environ)), dict(os.environ), SILENT) == []
    live = git("for-each-ref", "--format=%(refname:lstrip=3)", "refs/gitrun/live", cwd=repo).stdout.split()
    assert live == [unknown, forced]


def test_what_killed_snapshots_left_is_swept_once_nobody_can_be_using_it(make_repo: Callable[..., Path]) -> None:
    repo = make_repo()
    cache = repo / ".git/gitrun/cache"
    for name in ("private-1-old", "private-2-new"):
        (cache / name / "objects").mkdir(parents=True)
        (cache / name / "index").write_bytes(b"DIRC")
    (cache / "environment-x").write_bytes(b"{}")
    os.utime(cache / "private-1-old", (0, 0))
    recover_all(discover(str(repo), find_git(), dict(os.environ)), dict(os.environ), SILENT)
    assert sorted(path.name for path in cache.iterdir()) == ["environment-x", "private-2-new"]
