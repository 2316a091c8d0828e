"""Runs that belong together: the group nobody had to name, and runs that were recorded inside another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result
from tests.unit.recording.helpers import wait_for

Gitrun = Callable[..., Result]
INNER = f"{sys.executable} -m gitrun record -q"


def runs_of(gitrun: Gitrun, repo: Path) -> list[dict[str, Any]]:
    """All runs, the latest first."""
    listed: list[dict[str, Any]] = gitrun("ls", "--json", cwd=repo).json()
    return listed


@pytest.mark.parametrize(
    ("options", "env", "group"),
    [
        ([], {}, None),
        ([], {"SLURM_ARRAY_JOB_ID": "4242", "SLURM_JOB_ID": "4250"}, "4242"),
        ([], {"WANDB_SWEEP_ID": "k3v9"}, "k3v9"),
        (["-g", "mine"], {"SLURM_ARRAY_JOB_ID": "4242"}, "mine"),
        (["--group="], {"SLURM_ARRAY_JOB_ID": "4242"}, None),
    ],
)
def test_a_group_by_itself_or_by_name(
    make_repo: Callable[..., Path], gitrun: Gitrun, options: list[str], env: dict[str, str], group: str | None
) -> None:
    repo = make_repo()
    assert gitrun("record", "-q", *options, "--", "true", cwd=repo, env=env).code == 0
    (run,) = runs_of(gitrun, repo)
    assert run["group"] == group
    assert gitrun("ls", cwd=repo).stdout.split("\t")[7] == (group or "")


def test_the_jobs_of_a_multirun(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo({"train.py": "", ".gitignore": "multirun/\n"})
    sweep = repo / "multirun/2026-11-24/06-12-46"
    for number in range(2):
        (sweep / str(number) / ".hydra").mkdir(parents=True)
        (sweep / str(number) / ".hydra/hydra.yaml").write_text("hydra:\n  mode: MULTIRUN\n")
    (sweep / "multirun.yaml").touch()
    for number in range(2):
        gitrun("record", "-q", "--", "true", cwd=sweep / str(number))
    assert [run["group"] for run in runs_of(gitrun, repo)] == ["multirun/2026-11-24/06-12-46"] * 2


def test_runs_inside_a_run(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    """Two children and a grandchild: each names its parent, `@` is the one that a person started."""
    repo = make_repo()
    script = f"{INNER} -n first -- {INNER} -n deep -- true; {INNER} -n second -- false; true"
    assert gitrun("record", "-q", "-n", "before", "--", "true", cwd=repo).code == 0
    assert gitrun("record", "-q", "-n", "sweep", "--", "sh", "-c", script, cwd=repo).code == 0
    runs = {run["name"]: run for run in runs_of(gitrun, repo)}
    ids = {name: run["id"] for name, run in runs.items()}
    assert {name: run["links"]["parent"] for name, run in runs.items()} == {
        "before": None, "sweep": None, "first": ids["sweep"], "second": ids["sweep"], "deep": ids["first"],
    }  # fmt: skip
    assert runs["second"]["status"] == "failed" and runs["sweep"]["status"] == "completed"

    for selector, name in (("@", "sweep"), ("@~1", "before")):
        assert gitrun("show", selector, "--json", cwd=repo).json()["name"] == name
    assert gitrun("show", "@~2", cwd=repo).code == 1

    lines = {line.split("\t")[1]: line.split("\t")[9] for line in gitrun("ls", cwd=repo).stdout.splitlines()}
    assert lines == {name: run["links"]["parent"] or "" for name, run in runs.items()}
    page = gitrun("show", "sweep", cwd=repo).stdout
    children = [line.split()[-2:] for line in page.splitlines() if ids["first"] in line or ids["second"] in line]
    assert children == [[ids["first"], "completed"], [ids["second"], "failed"]]
    assert ids["deep"] not in page and ids["before"] not in page
    (parent,) = [line for line in gitrun("show", "deep", cwd=repo).stdout.splitlines() if "parent" in line]
    assert parent.split() == ["parent", ids["first"]]


def test_a_child_in_another_repository_is_kept_with_its_parent(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo, other = make_repo(name="one"), make_repo(name="two")
    gitrun("record", "-q", "--", "sh", "-c", f"cd {other} && {INNER} -- true", cwd=repo)
    child, parent = runs_of(gitrun, repo)
    assert child["links"]["parent"] == parent["id"]
    assert runs_of(gitrun, other) == []


def test_a_recorder_that_was_killed_loses_neither_group_nor_job(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo()
    env = {**os.environ, "SLURM_ARRAY_JOB_ID": "4242", "SLURM_JOB_ID": "4250", "SLURM_ARRAY_TASK_ID": "3"}
    words = [sys.executable, "-m", "gitrun", "record", "-q", "--", "sh", "-c", "while [ ! -e go ]; do sleep 0.05; done"]
    with subprocess.Popen(words, cwd=repo, env=env) as recorder:
        drafts = repo / ".git/gitrun/live"
        wait_for(lambda: any('"finished": true' in draft.read_text() for draft in drafts.glob("2*/run.json")))
        recorder.kill()
    (repo / "go").touch()
    wait_for(lambda: [run["status"] for run in runs_of(gitrun, repo)] == ["completed"])
    (run,) = runs_of(gitrun, repo)
    assert run["group"] == "4242"
    (member,) = gitrun("show", run["id"], "--json", cwd=repo).json()["members"]
    assert member["jobs"] == [{"kind": "slurm", "job_id": "4250", "array_id": "4242", "array_index": "3"}]
    assert run["hardware"]["relevant"]["usable_cores"] >= 1
