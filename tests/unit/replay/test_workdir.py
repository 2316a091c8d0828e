"""Where a replayed command starts: the recorded place, and never outside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitrun.errors import HostilePath
from gitrun.replay.recipe import workdir_of


def test_the_recorded_place_is_made_where_git_had_nothing_in_it(tmp_path: Path) -> None:
    assert workdir_of(str(tmp_path), ".") == str(tmp_path)
    assert workdir_of(str(tmp_path), "a/b") == str(tmp_path / "a/b")
    assert (tmp_path / "a/b").is_dir()
    assert workdir_of(str(tmp_path), "/elsewhere/./x") == "/elsewhere/x"


@pytest.mark.parametrize("cwd", ["..", "../x", "a/../../x", "", "a//b", ".git", "a/.GIT/x"])
def test_a_crafted_place_is_refused(tmp_path: Path, cwd: str) -> None:
    inside = tmp_path / "checkout"
    inside.mkdir()
    with pytest.raises(HostilePath):
        workdir_of(str(inside), cwd)
    assert not (tmp_path / "x").exists()
    assert os.listdir(inside) == []


def test_a_link_in_the_source_leads_nowhere_else(tmp_path: Path) -> None:
    inside = tmp_path / "checkout"
    inside.mkdir()
    (inside / "out").symlink_to(tmp_path)
    with pytest.raises(HostilePath, match="out of the checkout"):
        workdir_of(str(inside), "out/new")
    assert not (tmp_path / "new").exists()
