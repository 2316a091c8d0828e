"""The runner: no deadlock, no leak of the caller's Git environment, no hooks, plain words for failures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitrun.errors import GitFailed, NotWritable, UnsafeRepository
from gitrun.git.executable import Finished, Git, clean_environment, failure, find_git
from tests.git_support import init, opened


def _script(path: Path, text: str) -> Git:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return Git(str(path))


def test_large_input_and_output_at_once(tmp_path: Path) -> None:
    git = _script(tmp_path / "git", "echo warning >&2; cat")
    data = os.urandom(3 << 20)
    running = [git.start(["x"], cwd="/", stdin=data) for _ in range(2)]
    assert [r.result() for r in running] == [data, data]
    assert running[0].finish().err == b"warning\n"


def test_input_that_is_not_read(tmp_path: Path) -> None:
    assert _script(tmp_path / "git", "exit 0").run(["x"], cwd="/", stdin=b"x" * (1 << 20)) == b""


def test_failure_says_what_git_said(tmp_path: Path) -> None:
    git = _script(tmp_path / "git", "echo 'fatal: no such luck' >&2; echo out; exit 7")
    with pytest.raises(GitFailed, match=r"git gc failed \(exit 7\): fatal: no such luck"):
        git.run(["-q", "gc"], cwd="/")
    assert git.run(["gc"], cwd="/", check=False) == b"out\n"


def test_failures_that_mean_something() -> None:
    unsafe = (
        b"fatal: detected dubious ownership in repository at '/r'\nTo add an exception for this directory, call:\n\n"
    )
    unsafe += b"\tgit config --global --add safe.directory /r\n"
    problem = failure(["rev-parse"], Finished(128, b"", unsafe))
    assert isinstance(problem, UnsafeRepository)
    assert problem.next == "git config --global --add safe.directory /r"
    assert isinstance(failure(["gc"], Finished(128, b"", b"cannot open x: Permission denied")), NotWritable)


def test_a_git_that_cannot_be_started(tmp_path: Path) -> None:
    (tmp_path / "git").write_text("not a program")
    (tmp_path / "git").chmod(0o755)
    with pytest.raises(GitFailed, match="could not be started"):
        Git(str(tmp_path / "git")).run(["x"], cwd="/")


def test_finding(tmp_path: Path) -> None:
    own = _script(tmp_path / "git", "")
    quiet = {"GIT_CONFIG_NOSYSTEM": "1", "PATH": str(tmp_path)}
    assert find_git({**quiet, "GITRUN_GIT_EXECUTABLE": "none"}) is None
    assert (found := find_git({**quiet, "PATH": f"/nowhere:{tmp_path}"})) is not None and found.path == own.path
    chosen = {**quiet, "GITRUN_GIT_EXECUTABLE": own.path, "PATH": ""}
    assert (found := find_git(chosen)) is not None and found.path == own.path
    assert find_git({**quiet, "PATH": str(tmp_path / "empty")}) is None


def test_the_setting_is_the_users_own_and_never_the_repositorys(tmp_path: Path) -> None:
    own, other = _script(tmp_path / "git", ""), _script(tmp_path / "other", "")
    mine, broken = tmp_path / "config", tmp_path / "broken"
    environ = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": str(mine), "PATH": str(tmp_path)}

    def found(more: dict[str, str]) -> str | None:
        git = find_git({**environ, **more})
        return git and git.path

    for value, path in ((other.path, other.path), ("other", other.path), ("none", None), ("", own.path)):
        mine.write_text(f'[gitrun "git"]\n\texecutable = {value}\n')
        assert found({}) == path
    mine.write_text('[gitrun "git"]\n\texecutable = none\n')
    pair = {"GIT_CONFIG_KEY_0": "gitrun.git.executable", "GIT_CONFIG_VALUE_0": "other", "GIT_CONFIG_COUNT": "1"}
    assert found(pair) == other.path
    assert found({"GITRUN_GIT_EXECUTABLE": ""}) == own.path  # a variable comes last, also an empty one
    broken.write_text("[gitrun\n")
    assert found({"GIT_CONFIG_GLOBAL": str(broken)}) == own.path


def test_a_repository_does_not_choose_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = init(tmp_path / "r")
    subprocess.run(["git", "config", "gitrun.git.executable", "none"], cwd=root, check=True)
    monkeypatch.chdir(root)
    assert find_git() is not None


def test_environment_of_a_hook_does_not_leak(tmp_path: Path) -> None:
    environ = {"GIT_INDEX_FILE": "/x", "GIT_DIR": "/y", "GIT_PREFIX": "z", "GIT_CONFIG_COUNT": "0", "HOME": "/h"}
    cleaned = clean_environment(environ)
    assert {"GIT_INDEX_FILE", "GIT_DIR", "GIT_PREFIX"}.isdisjoint(cleaned)
    assert cleaned["GIT_CONFIG_COUNT"] == "0" and cleaned["HOME"] == "/h" and cleaned["GIT_OPTIONAL_LOCKS"] == "0"


def test_hooks_never_run(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    hook = root / ".git/hooks/reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    opened(root).run(["update-ref", "refs/gitrun/runs/x", "HEAD"])
    assert not (tmp_path / "ran").exists()


def test_closed_standard_streams(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    program = (
        "import os, sys\nfor n in (0, 1, 2): os.close(n)\n"
        "from gitrun.git.executable import find_git\nfrom gitrun.git.repository import discover\n"
        f"repo = discover({str(root)!r}, find_git(), os.environ)\n"
        f"open({str(tmp_path / 'out')!r}, 'wb').write(repo.run(['cat-file', 'commit', 'HEAD']))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])
    assert (tmp_path / "out").read_bytes().startswith(b"tree ")


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    repo = opened(init(tmp_path / "r"))
    before = os.listdir("/proc/self/fd")
    repo.run(["rev-parse", "HEAD"])
    repo.run(["rev-parse", "nonsense"], check=False)
    assert os.listdir("/proc/self/fd") == before
