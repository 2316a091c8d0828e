"""The directories of a replay: what a killed one left goes, and nothing that only looks like it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitrun.replay.recipe import Recipe
from gitrun.replay.stage import REPLAYS, Stage, sweep

RUN = "20261124-061246-aaaaaa"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As much of an archive as a stage asks for, in a place where temporary files are shared with others."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return SimpleNamespace(gitrun_dir=str(tmp_path / "gitrun"), environ={"HOME": str(tmp_path / "home")})


def killed(archive: Any) -> None:
    """What is left of a replay whose process is gone."""
    parent = Path(archive.gitrun_dir, REPLAYS, RUN)
    parent.mkdir(parents=True)
    (parent / "lock").touch()


def test_what_a_killed_replay_left_is_removed(archive: Any, tmp_path: Path) -> None:
    killed(archive)
    scratch = tmp_path / "home/.cache/gitrun" / REPLAYS / RUN
    scratch.mkdir(parents=True)
    sweep(archive)
    assert not scratch.exists() and not Path(archive.gitrun_dir, REPLAYS, RUN).exists()


def test_a_link_that_somebody_put_in_its_place_is_not_followed(archive: Any, tmp_path: Path) -> None:
    killed(archive)
    mine = tmp_path / "mine" / RUN
    mine.mkdir(parents=True)
    (tmp_path / "tmp" / f"gitrun-{os.getuid()}").symlink_to(tmp_path / "mine")
    sweep(archive)
    assert mine.is_dir() and not Path(archive.gitrun_dir, REPLAYS, RUN).exists()


def test_nobody_else_can_put_anything_into_it(archive: Any) -> None:
    run: Any = SimpleNamespace()
    umask = os.umask(0)  # the run's
    try:
        with Stage(archive, Recipe(run, run, None, "."), RUN) as stage:
            assert os.stat(stage.scratch).st_mode & 0o077 == 0
    finally:
        os.umask(umask)
    assert not os.path.exists(stage.scratch) and not os.path.exists(stage.parent)
