"""A run whose commit is gone and whose live directory is still there stops nobody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.archive.seal import seal
from gitrun.errors import DamagedRecord
from gitrun.git.refs import RUNS
from gitrun.monitor import SILENT
from tests.conftest import Result
from tests.hand import Hand

RUN, MISSING = "20261124-061246-aaaaa1", "ab" * 20


def name_nothing(repo: Path, run_id: str) -> None:
    """Point a run's ref at a commit that is not there, which git itself would not do."""
    path = repo / ".git" / RUNS / run_id
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MISSING + "\n")


def test_reading_goes_on(
    make_repo: Callable[..., Path],
    gitrun: Callable[..., Result],
    tmp_path: Path,
    with_and_without_git: dict[str, str],
) -> None:
    repo, kept = make_repo(), tmp_path / "kept"
    assert gitrun("record", "--quiet", "--name", "good", "--", "true", cwd=repo).code == 0
    copy = f'cp -a "$GITRUN_RUN_DIR" {kept}; echo $GITRUN_RUN_ID'
    damaged = gitrun("record", "--quiet", "--", "sh", "-c", copy, cwd=repo).stdout.strip()
    name_nothing(repo, damaged)
    kept.rename(repo / ".git/gitrun/live" / damaged)  # as a recorder leaves it that dies after its ref
    for command, code in (("ls", 0), ("status", 0), ("recover", 1)):
        done = gitrun(command, cwd=repo, env=with_and_without_git)
        assert done.code == code, done.stderr
        assert f"run {damaged} is sealed, and its commit {MISSING} cannot be read" in done.stderr
        assert command != "ls" or "good" in done.stdout


def test_sealing_over_what_cannot_be_read_is_said(make_repo: Callable[..., Path]) -> None:
    hand = Hand(make_repo())
    name_nothing(hand.root, RUN)
    with pytest.raises(DamagedRecord, match=f"run {RUN} was sealed before, and cannot be read"):
        seal(hand.repo, lambda: None, hand.record(RUN), {}, None, None, [], SILENT, environ={})  # type: ignore[arg-type,return-value]
