"""`gitrun doctor --record` really tries, leaves nothing behind, and finds what would spoil a recording."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Checks = dict[str, list[str]]


def states(done: Any, code: int = 0) -> Checks:
    assert done.code == code, done.stdout + done.stderr
    found: Checks = {}
    for check in done.json()["checks"]:
        found.setdefault(check["topic"], []).append(check["state"])
    return found


def everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def python() -> dict[str, str]:
    """An `env` in which `python` is the one that runs the tests."""
    return {"PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}


def test_all_of_it_works_and_nothing_stays(
    make_repo: Callable[..., Path], gitrun: Callable[..., Any], python: dict[str, str], world: Path
) -> None:
    repo = make_repo()
    (repo / "new.py").write_text("x = 1\n")
    before = everything(repo)
    found = states(gitrun("doctor", "--record", "--json", cwd=repo, env=python))
    assert "fail" not in {state for topic in found.values() for state in topic}
    for topic in ("recording", "console", "python", "unchanged", "loaded", "seeds", "environment", "secrets"):
        assert found[topic][0] == "ok", (topic, found)
    assert "installed" not in found, "what the program loaded is as it was installed"
    assert everything(repo) - before <= {".git/gitrun/refs.lock"}, "empty, and others may hold it by now"
    assert list((world / "tmp").iterdir()) == []
    assert gitrun("ls", cwd=repo).stdout == ""


def test_uncommon_repositories(
    make_repo: Callable[..., Path], gitrun: Callable[..., Any], python: dict[str, str], no_git: dict[str, str]
) -> None:
    sha256 = make_repo(name="other", init=("--object-format=sha256",))
    unborn = make_repo(name="unborn", commit=False)
    for repo, env in ((sha256, python), (unborn, no_git)):
        found = states(gitrun("doctor", "--record", "--json", cwd=repo, env=env))
        assert found["recording"] == ["ok"]


def test_a_python_that_hears_nothing_is_found(
    make_repo: Callable[..., Path], gitrun: Callable[..., Any], world: Path
) -> None:
    wrapper = world / "wrapper" / "python"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -E "$@"\n')
    wrapper.chmod(0o755)
    env = {"PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    found = states(gitrun("doctor", "--record", "--json", cwd=make_repo(), env=env), code=1)
    assert found["python"][0] == "fail"
    assert found["recording"] == ["ok"]


def test_without_a_python_the_rest_is_tried(
    make_repo: Callable[..., Path], gitrun: Callable[..., Any], world: Path
) -> None:
    bin_dir = world / "few"
    bin_dir.mkdir()
    for name in ("sh", "git"):
        (bin_dir / name).symlink_to(str(shutil.which(name)))
    found = states(gitrun("doctor", "--record", "--json", cwd=make_repo(), env={"PATH": str(bin_dir)}))
    assert found["python"] == ["warn"]
    assert (found["recording"], found["secrets"]) == (["ok"], ["ok"])


def test_the_users_sitecustomize_is_run_as_ever(
    make_repo: Callable[..., Path], gitrun: Callable[..., Any], python: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise RuntimeError('mine')\n")
    done = gitrun("doctor", "--record", "--json", cwd=make_repo(), env={**python, "PYTHONPATH": str(tmp_path)})
    assert states(done)["unchanged"] == ["ok"]


def test_a_place_that_takes_no_record_ends_before_the_trial(
    make_repo: Callable[..., Path], gitrun: Callable[..., Any]
) -> None:
    repo = make_repo()
    (repo / ".git" / "gitrun").write_text("in the way")
    found = states(gitrun("doctor", "--record", "--json", cwd=repo), code=1)
    assert found["archive"] == ["fail"]
    assert "recording" not in found


def test_what_would_be_left_out_is_told(
    make_repo: Callable[..., Path], gitrun: Callable[..., Any], python: dict[str, str]
) -> None:
    repo = make_repo()
    (repo / ".env").write_text("KEY=x\n")
    done = gitrun("doctor", "--record", cwd=repo, env=python)
    assert done.code == 0
    assert ".env (secret)" in done.stdout


def test_recording_that_is_switched_off_is_no_recording(
    make_repo: Callable[..., Path], gitrun: Callable[..., Any]
) -> None:
    done = gitrun("doctor", "--record", "--json", cwd=make_repo(), env={"GITRUN_DISABLE": "1"})
    assert states(done, code=1)["trouble"] == ["fail"]


def test_what_a_killed_examination_left_is_swept(
    make_repo: Callable[..., Path], gitrun: Callable[..., Any], python: dict[str, str], world: Path
) -> None:
    """The trial's corner has a name that `recover` looks for."""
    repo, killer = make_repo(), world / "killer"
    killer.mkdir()
    (killer / "sitecustomize.py").write_text(
        "import os, signal, sys\nif 'record' in sys.argv: os.kill(os.getppid(), signal.SIGKILL); os._exit(0)\n"
    )
    done = gitrun("doctor", "--record", cwd=repo, env={**python, "PYTHONPATH": str(killer)})
    assert done.code == -9
    (left,) = (repo / ".git" / "gitrun" / "cache").iterdir()
    os.utime(left, (0, 0))
    assert gitrun("recover", cwd=repo).code == 0
    assert not left.exists()
