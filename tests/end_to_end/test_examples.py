"""The examples and the quickstart do what their pages say, with the installed program on real data."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Result

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def example(tmp_path: Path, git: Callable[..., Result]) -> Callable[[str], Path]:
    """A committed copy of one of the examples."""

    def copy(name: str) -> Path:
        repo = tmp_path / name
        shutil.copytree(ROOT / "examples" / name, repo)
        git("init", "-q", "-b", "main", cwd=repo)
        git("add", "-A", cwd=repo)
        git("commit", "-q", "-m", name, cwd=repo)
        return repo

    return copy


def test_a_shell_pipeline_comes_back_and_prints_the_same(
    example: Callable[[str], Path], gitrun: Callable[..., Result], tmp_path: Path
) -> None:
    repo = example("pipeline")
    (repo / "text.txt").write_text("to be or not to be\n")
    done = gitrun("record", "-n", "words", "--input", "text.txt", "--", "./run.sh", "text.txt", cwd=repo)
    assert done.code == 0
    assert "6 words, 4 different" in done.stdout
    assert gitrun("logs", "words", cwd=repo).stdout == done.stdout
    (repo / "text.txt").write_text("something else\n")
    gitrun("checkout", "words", str(tmp_path / "back"), cwd=repo)
    assert (tmp_path / "back" / "text.txt").read_text() == "to be or not to be\n"
    assert os.access(tmp_path / "back" / "run.sh", os.X_OK)
    verdict = gitrun("replay", "words", "--json", cwd=repo)
    assert verdict.json()["exit_match"] is True


def test_the_digits_training_is_recorded_with_its_configuration(
    example: Callable[[str], Path], gitrun: Callable[..., Result]
) -> None:
    pytest.importorskip("sklearn", reason="the examples extra is not installed")
    repo = example("digits")
    done = gitrun("record", "--", sys.executable, "train.py", "--epochs", "2", "--lr", "0.05", cwd=repo)
    assert done.code == 0, done.stderr
    shown = gitrun("show", "@", "--json", cwd=repo).json()
    assert shown["status"] == "completed"
    assert float(shown["config"]["values"]["lr"]) == 0.05
    names = {entry["name"].lower() for entry in shown["environment"]["distributions"]}
    assert {"scikit-learn", "numpy"} <= names
    assert len(json.loads((repo / "out" / "scores.json").read_text())) == 2


@pytest.mark.slow
def test_quickstart_runs_to_its_end(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the examples extra is not installed")
    environ = {**os.environ, "VENV": sys.prefix}
    done = subprocess.run(
        [ROOT / "scripts" / "quickstart"],
        cwd=tmp_path,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verdict:" in done.stdout
    assert "Your branch, index and files are as you left them" in done.stdout
