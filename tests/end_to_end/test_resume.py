"""`record --resume`: a run that goes on from another, by name, by itself, and after every kind of end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.model.canonical import decode, encode
from tests.conftest import Result
from tests.unit.recording.helpers import wait_for

Gitrun = Callable[..., Result]
STAY = {"GITRUN_RECORD_ON_PROBLEM": "stop"}


def runs_of(gitrun: Gitrun, repo: Path) -> list[dict[str, Any]]:
    """All runs, the latest first."""
    listed: list[dict[str, Any]] = gitrun("ls", "--json", cwd=repo).json()
    return listed


def resumed(gitrun: Gitrun, repo: Path, *options: str, code: int = 0, env: dict[str, str] | None = None) -> str | None:
    """Records a command that ends with `code` and goes on from what `auto` finds; what that is."""
    done = gitrun("record", "--resume", "auto", *options, "--", "sh", "-c", f"exit {code}", cwd=repo, env=env)
    assert done.code == code, done.stderr
    return runs_of(gitrun, repo)[0]["links"]["resumed_from"]


def test_a_chain_of_legs_until_one_completes(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo({"train.py": "", "model.py": ""})
    assert resumed(gitrun, repo, "-n", "train", code=3) is None
    first = runs_of(gitrun, repo)[0]["id"]
    gitrun("record", "-q", "-n", "other", "--", "false", cwd=repo)
    (repo / "model.py").write_text("width = 2\n")
    done = gitrun("record", "--resume", "auto", "-n", "train", "--", "false", cwd=repo)
    second = runs_of(gitrun, repo)[0]
    assert second["links"]["resumed_from"] == first
    start = done.stderr.splitlines()[0]
    told = f"1 changed file, resumes {first[-6:]}, whose source differs: model.py"
    assert start == f"gitrun: recording {second['id']} ({told})"
    assert resumed(gitrun, repo, "-n", "train") == second["id"]
    third = runs_of(gitrun, repo)[0]["id"]
    assert resumed(gitrun, repo, "-n", "train") is None, "what has completed is not gone on from, nor what led to it"

    shown = gitrun("show", third, "--json", cwd=repo).json()["legs"]
    assert [(leg["id"], leg["status"], leg["drift"]) for leg in shown] == [
        (first, "failed", None), (second["id"], "failed", ["model.py"]), (third, "completed", []),
    ]  # fmt: skip
    page = gitrun("show", third, cwd=repo).stdout
    (line,) = [line for line in page.splitlines() if "differs" in line]
    assert second["id"][-6:] in line and "model.py" in line


def test_a_run_that_is_named_brings_its_name_and_group(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo()
    gitrun("record", "-q", "-n", "train", "-g", "study", "-t", "old", "--", "true", cwd=repo)
    assert gitrun("record", "-q", "--resume", "@", "--", "true", cwd=repo).code == 0
    second, first = runs_of(gitrun, repo)
    assert second["links"]["resumed_from"] == first["id"]
    assert (second["name"], second["group"], second["tags"]) == ("train", "study", [])
    gitrun("record", "-q", "--resume", "train", "-n", "more", "-g", "", "--", "true", cwd=repo)
    third = runs_of(gitrun, repo)[0]
    assert (third["links"]["resumed_from"], third["name"], third["group"]) == (second["id"], "more", None)


def test_a_run_that_is_not_there(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo()
    command = ("record", "--resume", "nosuch", "--", "touch", "ran")
    stopped = gitrun(*command, cwd=repo, env=STAY)
    assert stopped.code == 125 and "no run answers to 'nosuch'" in stopped.stderr
    assert not (repo / "ran").exists() and runs_of(gitrun, repo) == []
    ran = gitrun(*command, cwd=repo, env={"GITRUN_RECORD_ON_PROBLEM": "run"})
    assert ran.code == 0 and "starts afresh" in ran.stderr and (repo / "ran").exists()
    assert [run["links"]["resumed_from"] for run in runs_of(gitrun, repo)] == [None]


def test_auto_without_anything_to_know_a_run_by(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo()
    gitrun("record", "-q", "--", "false", cwd=repo)
    done = gitrun("record", "--resume", "auto", "--", "true", cwd=repo)
    assert done.code == 0 and "needs a --name, or a Slurm job" in done.stderr
    assert runs_of(gitrun, repo)[0]["links"]["resumed_from"] is None


def test_a_slurm_job_that_is_requeued(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo()
    assert resumed(gitrun, repo, code=1, env={"SLURM_JOB_ID": "7"}) is None
    first = runs_of(gitrun, repo)[0]["id"]
    assert resumed(gitrun, repo, code=1, env={"SLURM_JOB_ID": "8"}) is None
    assert resumed(gitrun, repo, env={"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"}) == first


def test_the_jobs_of_an_array_do_not_take_each_others_runs(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo()

    def task(index: int, job: int) -> dict[str, str]:
        return {"SLURM_JOB_ID": str(job), "SLURM_ARRAY_JOB_ID": "40", "SLURM_ARRAY_TASK_ID": str(index)}

    first = {}
    for index in (1, 2):
        assert resumed(gitrun, repo, "-n", "sweep", code=1, env=task(index, 40 + index)) is None
        first[index] = runs_of(gitrun, repo)[0]["id"]
    assert resumed(gitrun, repo, "-n", "sweep", env=task(1, 51)) == first[1]
    assert resumed(gitrun, repo, "-n", "sweep", env=task(2, 52)) == first[2]


@pytest.mark.parametrize("code", [0, 1])
def test_after_a_kill_of_everything_but_the_exit(make_repo: Callable[..., Path], gitrun: Gitrun, code: int) -> None:
    """The recorder is killed, the command goes on and ends: only what it left says whether it had completed."""
    repo = make_repo()
    words = [sys.executable, "-m", "gitrun", "record", "-q", "-n", "train", "--"]
    script = f"touch began; while [ ! -e go ]; do sleep 0.05; done; exit {code}"
    with subprocess.Popen([*words, "sh", "-c", script], cwd=repo) as recorder:
        wait_for((repo / "began").exists)
        live = gitrun("record", "--resume", "auto", "-n", "train", "--", "true", cwd=repo)
        assert "may still run" in live.stderr and runs_of(gitrun, repo)[0]["links"]["resumed_from"] is None
        other = gitrun("record", "--resume", runs_of(gitrun, repo)[1]["id"], "--", "true", cwd=repo, env=STAY)
        assert other.code == 125 and "has not ended" in other.stderr
        recorder.kill()
    first = runs_of(gitrun, repo)[1]["id"]
    (repo / "go").touch()
    wait_for(lambda: runs_of(gitrun, repo)[1]["status"] != "running")
    assert resumed(gitrun, repo, "-n", "train") == (first if code else None)


def test_a_run_of_a_node_that_is_gone(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    """Nobody here can prove that it ended, but a scheduler that started its job again, or a person who names it."""
    repo = make_repo()
    env = {"SLURM_JOB_ID": "7"}
    words = [sys.executable, "-m", "gitrun", "record", "-q", "-n", "train", "--", "sleep", "60"]
    with subprocess.Popen(words, cwd=repo, env={**os.environ, **env}, start_new_session=True) as recorder:
        drafts = repo / ".git/gitrun/live"
        (draft,) = wait_for(lambda: [d for d in drafts.glob("2*/run.json") if '"finished": true' in d.read_text()])
        header = draft.parent / "members/0/header.json"
        header.write_bytes(encode({**decode(header.read_bytes()), "host_id": "another", "host": "node9"}))
        os.killpg(recorder.pid, signal.SIGKILL)
    run_id = draft.parent.name
    said = gitrun("record", "--resume", "auto", "-n", "train", "--", "true", cwd=repo, env=env)
    assert "may still run (it runs on node9)" in said.stderr
    assert runs_of(gitrun, repo)[0]["links"]["resumed_from"] is None
    assert resumed(gitrun, repo, "-n", "train", env={**env, "SLURM_RESTART_COUNT": "1"}, code=1) == run_id
    gitrun("record", "-q", "--resume", run_id, "-n", "person", "--", "true", cwd=repo)
    assert runs_of(gitrun, repo)[0]["links"]["resumed_from"] == run_id


def test_metrics_of_all_legs_are_one_curve(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    """The first leg dies at step 7, the second goes on from step 5: what was done again replaces what was lost."""
    program = (
        "import gitrun, os, sys\n"
        "first, last, leg = map(int, sys.argv[1:])\n"
        "for step in range(first, last):\n"
        "    gitrun.log({'loss': leg}, step=step)\n"
        "    if step % 3 == 0:\n"
        "        gitrun.log({'val': leg}, step=step)\n"
        "os._exit(3 - leg)\n"
    )
    repo = make_repo({"train.py": program})
    for leg, (first, last) in enumerate([(0, 8), (5, 7), (6, 10)], 1):
        words = ("python", "train.py", str(first), str(last), str(leg))
        assert gitrun("record", "-q", "-n", "train", "--resume", "auto", "--", *words, cwd=repo).code == 3 - leg

    def points(*options: str) -> list[tuple[int, int]]:
        lines = gitrun("metrics", "train", *options, "--csv", cwd=repo).stdout.splitlines()[1:]
        return [(int(line.split(",")[0]), int(float(line.split(",")[2]))) for line in lines]

    assert points("loss") == [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (6, 3), (7, 3), (8, 3), (9, 3)]
    assert points("val") == [(0, 1), (3, 1), (6, 3), (9, 3)]
    assert points("loss", "--leg") == [(6, 3), (7, 3), (8, 3), (9, 3)]


def test_a_list_shows_a_chain_as_one_line(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo()
    for _ in range(3):
        gitrun("record", "-q", "-n", "train", "--resume", "auto", "--", "false", cwd=repo)
    gitrun("record", "-q", "-n", "alone", "--", "true", cwd=repo)
    names = [line.split("\t")[1] for line in gitrun("ls", cwd=repo).stdout.splitlines()]
    assert names == ["alone", "train"]
    assert len(gitrun("ls", "--legs", cwd=repo).stdout.splitlines()) == 4
    assert [run["name"] for run in runs_of(gitrun, repo)] == ["alone", "train", "train", "train"]
    header, *rows = (line.split(",") for line in gitrun("ls", "--csv", cwd=repo).stdout.splitlines())
    assert [row[header.index("legs")] for row in rows] == ["", "3"]
    table = gitrun("ls", "--md", cwd=repo).stdout
    assert "LEGS" in table and "| 3 " in table
    assert len(gitrun("ls", "name == alone", "--md", cwd=repo).stdout.splitlines()) == 3
    first = runs_of(gitrun, repo)[-1]["id"]
    assert gitrun("ls", f"id == '{first}'", cwd=repo).stdout.startswith(first), "asked for by itself it is there"
