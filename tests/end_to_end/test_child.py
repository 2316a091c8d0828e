"""The child in recorded runs: what reaches the record, also of a killed run, and what says that nothing did."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.recording.injection import SITE
from tests.conftest import Result
from tests.end_to_end.test_record import only_run, recorder, started
from tests.unit.recording.helpers import wait_for

Git = Callable[..., Result]
Gitrun = Callable[..., Result]
Make = Callable[..., Path]


def coverage(git: Git, repo: Path) -> dict[str, Any]:
    return only_run(git, repo)["coverage"]["child"]


def test_a_python_is_observed_and_the_record_has_the_users_path(make_repo: Make, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo(
        {"train.py": "import random, sys\nrandom.seed(5)\nprint([p for p in sys.path if 'gitrun' in p])\n"}
    )
    done = gitrun("record", "--", sys.executable, "train.py", cwd=repo, env={"PYTHONPATH": "lib"})
    assert done.code == 0 and SITE not in done.stdout
    record = only_run(git, repo)
    assert record["coverage"]["child"] == {"processes": 1, "python": "observed", "labels": []}
    assert record["process"]["variables"]["PYTHONPATH"] == "lib"
    assert record["seeds"]["random.seed"]["last"] == 5


@pytest.mark.parametrize("option", ["-I", "-E", "-S"])
def test_an_isolated_python_is_named(make_repo: Make, gitrun: Gitrun, git: Git, option: str) -> None:
    repo = make_repo()
    assert gitrun("record", "--", sys.executable, option, "-c", "pass", cwd=repo).code == 0
    said = coverage(git, repo)
    assert said["processes"] == 0 and f"started with {option}" in said["python"]


def test_a_command_without_python_is_named(make_repo: Make, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo()
    assert gitrun("record", "--", "true", cwd=repo).code == 0
    assert coverage(git, repo) == {
        "processes": 0,
        "python": "not observed: no Python process with the variables of the run",
        "labels": [],
    }


def test_processes_behind_a_shell_and_ranks(make_repo: Make, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo({"work.py": "import os\nos.write(1, (os.environ['RANK'] + '\\n').encode())\n"})
    script = f"for n in 0 1 2; do RANK=$n {sys.executable} work.py & done; wait"
    done = gitrun("record", "--", "sh", "-c", script, cwd=repo)
    assert sorted(done.stdout.split()) == ["0", "1", "2"]
    assert coverage(git, repo) == {"processes": 3, "python": "observed", "labels": ["ranks 0, 1, 2"]}


def test_a_killed_run_that_is_recovered_says_what_it_had_loaded(make_repo: Make, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo({"train.py": "import wave, os, time\nopen('ready', 'w')\ntime.sleep(60)\n"})
    process = recorder(repo, sys.executable, "train.py")
    wait_for((repo / "ready").exists)
    command = int(next(started(repo).glob("observed-*")).name.split("-")[1])
    process.kill()  # the keeper lives, and has the run sealed when the command ends
    process.wait()
    os.kill(command, signal.SIGKILL)
    process.communicate()

    def sealed() -> str:
        return git("for-each-ref", "refs/gitrun/runs", cwd=repo).stdout

    wait_for(sealed)
    said = coverage(git, repo)
    assert said["python"] == "observed" and said["labels"] == [
        "1 of 1 ended without a last word (killed, or still running)"
    ]


def test_a_record_inside_a_run_is_a_run_of_its_own(make_repo: Make, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo({"inner.py": "import random\nrandom.seed(1)\n", ".gitignore": "ids\n"})
    inner = f"{sys.executable} -m gitrun record -q --id-file ids -- {sys.executable} inner.py"
    assert gitrun("record", "-q", "--", "sh", "-c", inner, cwd=repo, env={"PYTHONPATH": os.getcwd()}).code == 0
    run_id = (repo / "ids").read_text().strip()
    record = gitrun("show", "--json", run_id, cwd=repo).json()
    assert record["coverage"]["child"] == {"processes": 1, "python": "observed", "labels": []}
    assert record["process"]["variables"]["PYTHONPATH"] == os.getcwd()
