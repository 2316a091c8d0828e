"""A repository that only GIT_DIR and GIT_WORK_TREE lead to records and replays like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conftest import Result


def test_a_run_of_a_git_directory_elsewhere_can_be_replayed(
    tmp_path: Path, git: Callable[..., Result], gitrun: Callable[..., Result]
) -> None:
    work, git_dir = tmp_path / "work", tmp_path / "dotfiles.git"
    work.mkdir()
    git("init", "-q", "--bare", str(git_dir))
    env = {"GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(work)}
    (work / "f").write_text("1\n")
    git("add", "f", cwd=work, env=env)
    git("commit", "-q", "-m", "first", cwd=work, env=env)
    assert gitrun("record", "--", "cat", "f", cwd=work, env=env).stdout == "1\n"
    replayed = gitrun("replay", "@", cwd=work, env=env)
    assert replayed.code == 4, replayed.stderr
