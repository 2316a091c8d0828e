"""What the checkout's own .git says, and that no record can make it say something else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.errors import DamagedRecord
from gitrun.git.executable import find_git
from gitrun.git.repository import Repository, discover
from gitrun.replay.private_git import Identity, encode_config, full_branch, write_git_directory
from tests.conftest import Result


def lender(path: Path, environ: dict[str, str]) -> Repository:
    return discover(str(path), find_git(environ=environ), environ)


@pytest.mark.parametrize(
    "value", ["plain", " spaces ", 'a "quote"', "back\\slash", "semi; # hash", "two\nlines", "tab\t", "ü", "\udcff"]
)
def test_git_reads_every_value_back(tmp_path: Path, git: Callable[..., Result], value: str) -> None:
    (tmp_path / "config").write_bytes(encode_config([("a.b", "1"), ('remote.x "y\\.url', value), ("a.c", "2")]))
    listed = git("config", "--file", str(tmp_path / "config"), "--list", "-z").stdout_bytes
    assert listed == b'a.b\n1\0remote.x "y\\.url\n' + value.encode("utf-8", "surrogateescape") + b"\0a.c\n2\0"


@pytest.mark.parametrize("name", ["x\nevil", "../../x", "a..b", "/abs", "a b", "x.lock", "", "refs/heads/", "a~1"])
def test_a_branch_no_ref_can_have_is_damage(name: str) -> None:
    with pytest.raises(DamagedRecord):
        full_branch(name)


def test_a_branch_is_named_in_full_or_in_short() -> None:
    assert full_branch("main") == full_branch("refs/heads/main") == "refs/heads/main"
    assert full_branch(None) is None


def test_objects_are_borrowed_and_the_lender_is_not_touched(
    make_repo: Callable[..., Path], git: Callable[..., Result], tmp_path: Path
) -> None:
    repo = make_repo(name='q"uote\nline')
    git("config", "core.autocrlf", "input", cwd=repo)
    git("config", "core.hooksPath", "/somewhere", cwd=repo)
    git("config", "filter.f.clean", "sed s/a/b/", cwd=repo)
    head = git("rev-parse", "HEAD", cwd=repo).stdout.strip()
    work = tmp_path / "work"
    work.mkdir()
    write_git_directory(
        str(work / ".git"),
        lender(repo, dict(os.environ)),
        Identity("refs/heads/topic", head),
        {"refs/tags/v1": head},
        {"origin": "https://example.org/x.git"},
        b"",
    )
    assert git("rev-parse", "HEAD", cwd=work).stdout.strip() == head
    assert git("symbolic-ref", "HEAD", cwd=work).stdout.strip() == "refs/heads/topic"
    assert git("describe", "--tags", cwd=work).stdout.strip() == "v1"
    assert git("remote", "get-url", "origin", cwd=work).stdout.strip() == "https://example.org/x.git"
    assert git("config", "core.autocrlf", cwd=work).stdout.strip() == "input"
    assert git("config", "filter.f.clean", cwd=work).stdout.strip() == "sed s/a/b/"
    assert git("config", "core.hooksPath", cwd=work, check=False).stdout == ""
    (work / "new").write_text("new")
    git("add", "new", cwd=work)
    git("commit", "-qm", "in the checkout", cwd=work)
    assert git("rev-parse", "HEAD", cwd=repo).stdout.strip() == head
    assert git("cat-file", "-e", git("rev-parse", "HEAD", cwd=work).stdout.strip(), cwd=repo, check=False).code != 0
