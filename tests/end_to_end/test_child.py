"""The child in recorded runs: what reaches the record, also of a killed run, and what says that nothing did."""

from __future__ import annotations

import os
import signal
import subprocess
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
        "1 of 1 ended without a last word (killed, still running, or unable to write)"
    ]


def test_a_record_inside_a_run_is_a_run_of_its_own(make_repo: Make, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo({"inner.py": "import random\nrandom.seed(1)\n", ".gitignore": "ids\n"})
    inner = f"{sys.executable} -m gitrun record -q --id-file ids -- {sys.executable} inner.py"
    assert gitrun("record", "-q", "--", "sh", "-c", inner, cwd=repo, env={"PYTHONPATH": os.getcwd()}).code == 0
    run_id = (repo / "ids").read_text().strip()
    record = gitrun("show", "--json", run_id, cwd=repo).json()
    assert record["coverage"]["child"] == {"processes": 1, "python": "observed", "labels": []}
    assert record["process"]["variables"]["PYTHONPATH"] == os.getcwd()


def test_a_pythonpath_of_its_own_is_named(make_repo: Make, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo(
        {"lib/helper.py": "", "x.py": "import sys, helper\nprint([p for p in sys.path if 'gitrun' in p])\n"}
    )
    done = gitrun("record", "--", "env", "PYTHONPATH=lib", sys.executable, "x.py", cwd=repo)
    assert (done.code, done.stdout.count(SITE)) == (0, 0)
    assert coverage(git, repo)["python"] == (
        "not observed: Python was started with another PYTHONPATH than that of the run"
    )


def test_a_python_without_site_has_nothing_of_ours_on_its_path(make_repo: Make, gitrun: Gitrun) -> None:
    words = [sys.executable, "-S", "-c", "import sys; print(sys.path)"]
    bare = subprocess.run(
        words, cwd=make_repo(), env={**os.environ, "PYTHONPATH": "lib"}, capture_output=True, text=True
    )
    done = gitrun("record", "--", *words, cwd=make_repo(name="other"), env={"PYTHONPATH": "lib"})
    assert done.stdout.replace("other", "repo") == bare.stdout and SITE not in done.stdout


def test_one_without_site_below_a_shell_is_named_beside_the_others(make_repo: Make, gitrun: Gitrun, git: Git) -> None:
    repo = make_repo()
    text = f"{sys.executable} -c pass; {sys.executable} -S -c pass"
    assert gitrun("record", "--", "sh", "-c", text, cwd=repo).code == 0
    assert coverage(git, repo) == {
        "processes": 1,
        "python": "observed",
        "labels": ["not observed beside them: Python was started with -S, so it imports no sitecustomize"],
    }


@pytest.mark.parametrize("kib", [4, 40, 400])
def test_a_limit_on_the_size_of_files_is_the_records_problem_alone(make_repo: Make, gitrun: Gitrun, kib: int) -> None:
    repo = make_repo({"x.py": "print('x' * (1 << 20))\nopen('out', 'w').write('small')\nraise SystemExit(3)\n"})
    command = f"ulimit -f {kib} && exec {sys.executable} -m gitrun record -- {sys.executable} x.py"
    env = {"GITRUN_RECORD_ON_PROBLEM": "run", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(["bash", "-c", command], cwd=repo, env={**os.environ, **env}, capture_output=True, text=True)
    assert done.returncode == 3 and len(done.stdout) == (1 << 20) + 1 and (repo / "out").read_text() == "small"
    assert "the file size limit (ulimit -f) is reached" in done.stderr and "Traceback" not in done.stderr
    assert gitrun("recover", cwd=repo).code == 0 and gitrun("fsck", cwd=repo).code == 0
    if kib == 400:
        said = gitrun("show", "--json", "@", cwd=repo).json()["coverage"]["console"]
        assert said == ["capture stopped: the file size limit (ulimit -f) is reached"]


@pytest.mark.parametrize("quiet", [["-q"], []])
def test_quiet_is_quiet_unless_something_is_lost(make_repo: Make, gitrun: Gitrun, quiet: list[str]) -> None:
    repo = make_repo({f"{n}.txt": str(n) for n in range(20)}, commit=False)
    env = {"GITRUN_RECORD_WARN_FILES": "10", "GITRUN_QUIET": "" if quiet else "1"}
    assert gitrun("record", *quiet, "--", "true", cwd=repo, env=env).stderr == ""
    assert "20 new files" in gitrun("record", "--", "true", cwd=repo, env={**env, "GITRUN_QUIET": ""}).stderr
    loud = gitrun("record", *quiet, "--", "sh", "-c", "kill -9 $PPID; exit 3", cwd=repo, env=env)
    assert loud.code == 125 and "nobody saw how the command ended" in loud.stderr
