"""The fixtures do what they promise: nothing of the developer's machine reaches a test."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Result


def test_the_developers_git_configuration_is_out_of_reach(git: Callable[..., Result], world: Path) -> None:
    assert os.environ["HOME"] == str(world / "home")
    listed = git("config", "--global", "--list").stdout
    assert listed == ""
    assert [name for name in os.environ if name.startswith("GITRUN_")] == ["GITRUN_LOCK_RESOLVER"]


def test_make_repo_makes_one_commit(make_repo: Callable[..., Path], git: Callable[..., Result]) -> None:
    repo = make_repo({"a/b.txt": "text", b"caf\xe9": b"\x00\x01", "link": Path("a/b.txt")})
    assert git("rev-list", "--count", "HEAD", cwd=repo).stdout == "1\n"
    assert git("status", "--porcelain", cwd=repo).stdout == ""
    assert (repo / "link").is_symlink()


def test_no_git_hides_every_git(no_git: dict[str, str]) -> None:
    assert not any(os.path.exists(os.path.join(directory, "git")) for directory in no_git["PATH"].split(os.pathsep))
