"""Two runs without an edit between them start from the same source, whatever the first has left behind."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result
from tests.end_to_end.test_record import record_of

Git = Callable[..., Result]
Gitrun = Callable[..., Result]

TRAIN = """\
import os, subprocess
os.makedirs("out/epochs", exist_ok=True)
for n in range(3):
    open(f"out/epochs/{n}.bin", "wb").write(bytes([n]) * 1000)
open("out/config.yaml", "w").write("lr: 0.1")
subprocess.run(["sh", "-c", "echo log > log.txt; ln -sf log.txt latest; echo x > generated.py"])
open("log.txt").read()
"""
ENV = {"GITRUN_RECORD_OUTPUT_FLOOR": "1"}


def record(gitrun: Gitrun, git: Git, repo: Path, program: str = "train.py") -> tuple[str, dict[str, Any]]:
    """Records a program; the run's id and its source."""
    done = gitrun("record", "--id-file", ".git/id", "--", sys.executable, program, cwd=repo, env=ENV)
    assert done.code == 0, done.stderr
    run_id = (repo / ".git/id").read_text().strip()
    return run_id, record_of(git, repo, run_id)["source"]


def outputs_of(source: dict[str, Any]) -> dict[str, str]:
    """The run that each file was left out for."""
    return {entry["path"]: entry["run"] for entry in source["excluded"] if entry["reason"] == "output"}


ALL = ["latest", "log.txt", "out/config.yaml", "out/epochs/0.bin", "out/epochs/1.bin", "out/epochs/2.bin"]


def test_two_runs_have_the_same_tree(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git) -> None:
    repo = make_repo({"train.py": TRAIN})
    (repo / "generated.py").write_text("x\n")  # as if it had always been there: code that a shell writes stays source
    (repo / "notes.txt").write_text("mine")
    first, before = record(gitrun, git, repo)
    second, after = record(gitrun, git, repo)
    third, last = record(gitrun, git, repo)
    assert before["tree"] == after["tree"] == last["tree"]
    assert after["untracked"] == ["generated.py", "notes.txt"] and "out/epochs" in after["empty_directories"]
    assert outputs_of(before) == {} and outputs_of(after) == dict.fromkeys(ALL, first)
    assert outputs_of(last) == dict.fromkeys(ALL, second) and third != second


def test_an_edit_makes_it_source_again(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git) -> None:
    repo = make_repo({"train.py": TRAIN})
    record(gitrun, git, repo)
    (repo / "out/epochs/1.bin").write_bytes(b"mine")
    os.utime(repo / "log.txt")
    git("add", "out/epochs/2.bin", cwd=repo)
    second, source = record(gitrun, git, repo)
    assert source["untracked"] == ["generated.py", "out/epochs/1.bin"]
    assert sorted(outputs_of(source)) == ["latest", "log.txt", "out/config.yaml", "out/epochs/0.bin"]
    assert git("cat-file", "blob", f"refs/gitrun/runs/{second}:source/out/epochs/1.bin", cwd=repo).stdout == "mine"


def test_so_are_outputs_that_were_stored_after_the_seal(
    make_repo: Callable[..., Path], gitrun: Gitrun, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = make_repo({"train.py": TRAIN})
    monkeypatch.setenv("GITRUN_RECORD_OUTPUT_TIME", "0")
    first, _ = record(gitrun, git, repo)
    _, source = record(gitrun, git, repo)
    assert outputs_of(source) == dict.fromkeys(ALL, first) and source["untracked"] == ["generated.py"]


def test_outputs_of_a_removed_run_come_back_as_source(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git) -> None:
    repo = make_repo({"train.py": TRAIN})
    first, _ = record(gitrun, git, repo)
    assert gitrun("rm", first, cwd=repo).code == 0
    _, source = record(gitrun, git, repo)
    assert "log.txt" in source["untracked"] and outputs_of(source) == {}


def test_a_run_that_uses_what_another_left_replays(
    make_repo: Callable[..., Path], gitrun: Gitrun, git: Git, tmp_path: Path
) -> None:
    repo = make_repo({
        "train.py": "open('model.bin', 'wb').write(b'weights')\n",
        "test.py": "print(open('model.bin', 'rb').read().decode())\n",
    })  # fmt: skip
    first, _ = record(gitrun, git, repo)
    second, source = record(gitrun, git, repo, "test.py")
    assert outputs_of(source) == {"model.bin": first}
    assert gitrun("checkout", second, str(tmp_path / "out"), cwd=repo).code == 0
    shutil.rmtree(tmp_path / "out")
    (repo / "model.bin").unlink()
    done = gitrun("replay", "--json", second, cwd=repo)
    verdict = done.json()
    assert verdict["exit_match"] is True, (verdict, done.stderr)
    assert gitrun("logs", verdict["replay"], cwd=repo).stdout == "weights\n"
