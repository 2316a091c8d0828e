"""gitrun.log in recorded commands: real recorders, environments without gitrun, shells, kills."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Result
from tests.metrics_journal import read_journals
from tests.unit.recording.helpers import wait_for

Gitrun = Callable[..., Result]
KEEP = "shutil.copytree(os.environ['GITRUN_RUN_DIR'], 'kept', ignore=shutil.ignore_patterns('lock', 'seal.lock'))\n"


@pytest.fixture
def plain(tmp_path: Path) -> str:
    """A Python of an environment in which nothing is installed."""
    venv.create(tmp_path / "plain", with_pip=False)
    return str(tmp_path / "plain/bin/python")


def test_a_program_whose_environment_has_no_gitrun(make_repo: Callable[..., Path], gitrun: Gitrun, plain: str) -> None:
    repo = make_repo({
        "train.py": "import gitrun, os, shutil, sys\n"
        "for i in range(100):\n    gitrun.log({'loss': 1 / (i + 1)}, step=i)\n"
        "gitrun.summary['best'] = 0.01\ngitrun.config.update(lr=0.1)\ngitrun.seed(1)\n" + KEEP,
    })  # fmt: skip
    assert subprocess.run([plain, "-c", "import gitrun"], capture_output=True, cwd=repo).returncode == 1
    done = gitrun("record", "--", plain, "train.py", cwd=repo)
    assert done.code == 0, done.stderr
    found = read_journals(repo / "kept")
    assert [point.step for point in found.points] == list(range(100))
    assert (len(found.of("summary")), len(found.of("config")), len(found.of("seed"))) == (1, 1, 1)
    shown = gitrun("show", "@", "--json", cwd=repo).json()
    assert shown["source"]["extra"] == [] and shown["source"]["roots"] == []
    assert shown["environment"]["distributions"] == []
    assert shown["seeds"]["random.seed"]["last"] == 1


def test_a_shell_script_logs(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    command = f"{sys.executable} -m gitrun log"
    repo = make_repo({
        "train.sh": f"set -e\nfor n in 1 2 3; do {command} loss=0.$n; done\n{command} acc=1 --step 7\n"
        f"{command} acc=much && exit 1\ncp -r $GITRUN_RUN_DIR/members kept\n",
    })  # fmt: skip
    done = gitrun("record", "--", "sh", "train.sh", cwd=repo)
    assert done.code == 0, done.stderr
    (repo / "kept").rename(repo / "members")
    points = read_journals(repo).points
    assert [point.values for point in points] == [{"loss": 0.1}, {"loss": 0.2}, {"loss": 0.3}, {"acc": 1.0}]


def test_kill_9_of_all_loses_no_point(make_repo: Callable[..., Path], tmp_path: Path, plain: str) -> None:
    repo = make_repo({
        "train.py": "import gitrun, os\nfd = os.open('told', os.O_CREAT | os.O_WRONLY | os.O_TRUNC)\n"
        "for i in range(10**9):\n    gitrun.log({'loss': i})\n    os.pwrite(fd, b'%9d' % i, 0)\n",
    })  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "gitrun", "record", "--", plain, "train.py"], cwd=repo, start_new_session=True
    )
    wait_for(lambda: (repo / "told").exists() and int((repo / "told").read_bytes() or 0) > 1000)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (live,) = (repo / ".git/gitrun/live").iterdir()
    shutil.copytree(live, tmp_path / "live")
    steps = [point.step for point in read_journals(tmp_path / "live").points]
    assert steps == list(range(len(steps))) and len(steps) > int((repo / "told").read_bytes())
