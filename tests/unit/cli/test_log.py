"""`gitrun log`: points from shells and other languages, into one file of the run."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.cli.fast_log import parse
from gitrun.errors import UsageError
from tests.conftest import Result
from tests.metrics_journal import read_journals

Gitrun = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run/members/0").mkdir(parents=True)
    return tmp_path / "run"


def test_points_and_their_steps(gitrun: Gitrun, run: Path) -> None:
    env = {"GITRUN_RUN_DIR": str(run), "RANK": "2"}
    before = time.time_ns()
    for words in (["loss=0.3", "val/acc=1e-2", "--step", "5"], ["loss=nan"], ["--step=-3", "a b=inf", "x=y=1"][:2]):
        done = gitrun("log", *words, env=env)
        assert (done.code, done.stdout, done.stderr) == (0, "", "")
    found = read_journals(run)
    assert [(point.file, point.step) for point in found.points] == [
        ("metrics-log", 5),
        ("metrics-log", None),
        ("metrics-log", -3),
    ]
    assert found.points[0].values == {"loss": 0.3, "val/acc": 0.01} and math.isnan(found.points[1].values["loss"])
    assert found.points[2].values == {"a b": math.inf}
    assert before < found.points[0].time_ns < found.points[1].time_ns < time.time_ns()
    (head,) = found.of("metrics")
    assert head["rank"] == 2


def test_many_at_once_lose_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITRUN_RUN_DIR", str(run))
    every = [subprocess.Popen([sys.executable, "-m", "gitrun", "log", f"x={n}", "--step", str(n)]) for n in range(20)]
    assert [process.wait() for process in every] == [0] * 20
    assert sorted(point.values["x"] for point in read_journals(run).points) == list(range(20))
    assert len(read_journals(run).of("metrics")) == 1


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ([], "log needs a KEY=VALUE"),
        (["--step", "3"], "log needs a KEY=VALUE"),
        (["loss"], "'loss' is not KEY=VALUE"),
        (["=3"], "'=3' is not KEY=VALUE"),
        (["x" * 1001 + "=1"], "is not KEY=VALUE"),
        (["loss=high"], "loss='high' is no number"),
        (["x=1", "--step", "2.5"], "--step '2.5'"),
        (["x=1", "--step"], "--step ''"),
        (["x=1", f"--step={2**63}"], "64 bits"),
        (["-x=1"], "no option -x=1"),
    ],
)
def test_words_that_make_no_point(words: list[str], what: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert what in str(caught.value)


def test_how_it_ends(gitrun: Gitrun, run: Path) -> None:
    wrong = gitrun("log", "loss", env={"GITRUN_RUN_DIR": str(run)})
    assert (wrong.code, wrong.stderr) == (2, "gitrun: 'loss' is not KEY=VALUE\n  next: gitrun log --help\n")
    outside = gitrun("log", "loss=1")
    assert (outside.code, outside.stderr) == (
        0,
        "gitrun: not in a recorded run, so gitrun.log and the like do nothing\n",
    )
    disabled = gitrun("log", "loss=1", env={"GITRUN_DISABLE": "1", "GITRUN_RUN_DIR": str(run)})
    assert (disabled.code, disabled.stderr, read_journals(run).points) == (0, "", [])
    over = gitrun("log", "loss=1", env={"GITRUN_RUN_DIR": str(run / "gone")})
    assert over.code == 1 and "the run is over" in over.stderr
    shown = gitrun("log", "--help")
    assert shown.code == 0 and "KEY=VALUE... [--step N]" in shown.stdout and "  log " in gitrun("--help").stdout


def test_it_loads_nothing_slow(run: Path) -> None:
    code = (
        "import sys\nfrom gitrun.cli.fast_log import main\nassert main(['x=1']) == 0\n"
        "print({'typer', 'rich', 'dulwich', 'msgpack', 'subprocess', 'typing', 'gitrun.recording'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], env={"GITRUN_RUN_DIR": str(run)}, capture_output=True, text=True
    )
    assert done.stdout == "set()\n", done.stderr
