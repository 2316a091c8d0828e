"""Reading what was recorded, as a user does: real runs, real processes, with and without git."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitrun.git.refs import RUNS
from tests.conftest import Result

Call = Callable[..., Result]
BOTH = """
import sys, time
for stream, data in ((sys.stdout, b"out\\n"), (sys.stderr, b"err\\n"), (sys.stdout, b"\\x00\\xff\\n")):
    stream.buffer.write(data)
    stream.flush()
    time.sleep(0.3)  # two pipes have no common order but time
"""


@pytest.fixture
def repo(make_repo: Callable[..., Path]) -> Path:
    return make_repo({"train.py": "print('one')\n", "lib/util.py": "x = 1\n"})


def record(
    gitrun: Call, repo: Path, *words: str, options: tuple[str, ...] = (), env: dict[str, str] | None = None
) -> str:
    """Record a command and return the run's id."""
    id_file = repo.parent / "id"
    gitrun("record", "--quiet", "--id-file", str(id_file), *options, "--", *words, cwd=repo, env=env)
    return id_file.read_text().strip()


@pytest.fixture
def running(repo: Path, gitrun: Call) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A run that prints and then waits to be told: its id, its recorder."""
    script = "echo first; while [ ! -e go ]; do sleep 0.05; done; echo last"
    id_file = repo.parent / "live-id"
    words = [sys.executable, "-m", "gitrun", "record", "--quiet", "--id-file", str(id_file), "--", "sh", "-c", script]
    process = subprocess.Popen(words, cwd=repo, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not (id_file.exists() and id_file.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.02)
    yield id_file.read_text().strip(), process
    (repo / "go").touch()
    process.wait(30)


def test_list_show_and_logs(repo: Path, gitrun: Call, with_and_without_git: dict[str, str]) -> None:
    env = with_and_without_git
    (repo / "train.py").write_text("print('two')\n")
    (repo / "new.py").write_text("")
    first = record(
        gitrun, repo, sys.executable, "train.py", "--lr", "0.1", options=("-n", "base", "-t", "best"), env=env
    )
    second = record(gitrun, repo, "sh", "-c", "exit 3", env=env)
    listed = [line.split("\t") for line in gitrun("ls", cwd=repo, env=env).stdout.splitlines()]
    assert [fields[0] for fields in listed] == [second, first]
    assert [fields[2] for fields in listed] == ["failed", "completed"]
    run = gitrun("show", "base", "--json", cwd=repo, env=env).json()
    assert run["id"] == first
    assert run["source"]["modified"] == ["train.py"]
    assert run["source"]["untracked"] == ["new.py"]
    assert run["config"]["values"]["lr"] == 0.1
    assert run["tags"] == ["best"]
    assert gitrun("show", "@", "--json", cwd=repo, env=env).json()["exit"] == {"code": 3, "signal": None}
    assert gitrun("show", "tag:best", cwd=repo, env=env).stdout.startswith(f"run {first}  completed, exit 0")
    assert gitrun("logs", "@~1", cwd=repo, env=env).stdout == "two\n"


def test_logs_are_the_bytes_in_order(repo: Path, gitrun: Call) -> None:
    record(gitrun, repo, sys.executable, "-c", BOTH)
    assert gitrun("logs", cwd=repo).stdout_bytes == b"out\nerr\n\x00\xff\n"
    assert gitrun("logs", "--stream", "stderr", cwd=repo).stdout_bytes == b"err\n"
    assert gitrun("logs", "--stream", "stdout", cwd=repo).stdout_bytes == b"out\n\x00\xff\n"


def test_a_reader_that_stops_reading_is_no_error(repo: Path, gitrun: Call) -> None:
    record(gitrun, repo, "seq", "200000")
    piped = f"{sys.executable} -m gitrun logs @ | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", piped], cwd=repo, capture_output=True, check=False)
    assert done.stdout.split() == [b"1", b"141"]
    assert done.stderr == b""


def test_a_live_run_is_shown_followed_and_sealed(
    repo: Path, gitrun: Call, running: tuple[str, subprocess.Popen[bytes]]
) -> None:
    run_id, process = running
    run = gitrun("show", run_id, "--json", cwd=repo).json()
    assert run["status"] == "running"
    assert run["liveness"]["host"] == os.uname().nodename
    assert gitrun("status", "--json", cwd=repo).json()["running"][0]["id"] == run_id
    assert gitrun("ls", "--json", cwd=repo).json()[0]["status"] == "running"
    assert gitrun("logs", run_id, cwd=repo).stdout == "first\n"
    following = subprocess.Popen(
        [sys.executable, "-m", "gitrun", "logs", "-f", run_id], cwd=repo, stdout=subprocess.PIPE
    )
    assert following.stdout is not None
    assert following.stdout.readline() == b"first\n"
    (repo / "go").touch()
    assert following.communicate(timeout=30)[0] == b"last\n"
    assert process.wait(30) == 0
    assert gitrun("show", run_id, "--json", cwd=repo).json()["status"] == "completed"
    assert gitrun("status", "--json", cwd=repo).json()["running"] == []


def test_ctrl_c_while_following(repo: Path, running: tuple[str, subprocess.Popen[bytes]]) -> None:
    following = subprocess.Popen(
        [sys.executable, "-m", "gitrun", "logs", "-f", running[0]],
        cwd=repo,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert following.stdout is not None
    assert following.stdout.readline() == b"first\n"
    following.send_signal(signal.SIGINT)
    assert following.communicate(timeout=30)[1] == b""
    assert following.returncode == 130


def test_diff_of_two_runs(repo: Path, gitrun: Call, with_and_without_git: dict[str, str]) -> None:
    env = with_and_without_git
    first = record(gitrun, repo, sys.executable, "train.py", "--lr", "0.1", env=env)
    (repo / "train.py").write_text("print('two')\n")
    second = record(gitrun, repo, sys.executable, "train.py", "--lr", "0.2", env=env)
    shown = gitrun("diff", first, second, cwd=repo, env=env).stdout
    assert "-print('one')\n+print('two')\n" in shown
    assert "lr  0.1 → 0.2" in shown
    assert "\x1b" not in shown
    found = gitrun("diff", first, second, "--json", cwd=repo, env=env).json()
    assert found["source"]["changed"] == ["train.py"]
    assert found["config"] == [{"key": "lr", "a": 0.1, "b": 0.2}]
    assert found["environment"] == found["hardware"] == []
    assert gitrun("diff", first, first, cwd=repo, env=env).stdout == ""


def state(repo: Path) -> dict[str, Any]:
    """Every file below .git with its bytes, but for what merely caches."""
    files = {}
    for path in sorted((repo / ".git").rglob("*")):
        if path.is_file() and "cache" not in path.parts:
            files[str(path.relative_to(repo))] = path.read_bytes()
    return files


def test_diff_with_the_working_tree_leaves_nothing_behind(
    repo: Path, gitrun: Call, with_and_without_git: dict[str, str], world: Path
) -> None:
    env = with_and_without_git
    run_id = record(gitrun, repo, sys.executable, "train.py", env=env)
    before = state(repo)
    assert gitrun("diff", run_id, cwd=repo, env=env).stdout == ""
    (repo / "train.py").write_text("print('later')\n")
    (repo / "lib" / "more.py").write_text("y = 2\n")
    shown = gitrun("diff", run_id, cwd=repo, env=env)
    assert "+print('later')" in shown.stdout
    assert "+y = 2" in shown.stdout
    found = gitrun("diff", run_id, "--json", cwd=repo, env=env).json()
    assert found["source"]["changed"] == ["lib/more.py", "train.py"]
    assert found["b"] is None
    assert state(repo) == before
    assert list((world / "tmp").iterdir()) == []


def test_damage_and_strangers(repo: Path, gitrun: Call, git: Call) -> None:
    good = record(gitrun, repo, "true")
    git("update-ref", RUNS + "20260101-000000-dddddd", "HEAD", cwd=repo)
    git("update-ref", RUNS + "my-ref", "HEAD", cwd=repo)
    done = gitrun("ls", cwd=repo)
    assert done.code == 0
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [(fields[0], fields[2]) for fields in lines] == [(good, "completed"), ("20260101-000000-dddddd", "damaged")]
    assert "W013" in done.stderr
    refused = gitrun("show", "dddddd", cwd=repo)
    assert refused.code == 5
    assert "Traceback" not in refused.stderr
    codes = {problem["code"] for problem in gitrun("status", "--json", cwd=repo).json()["problems"]}
    assert codes == {"E011", "W013"}


@pytest.mark.parametrize("words", [("ls",), ("show", "@"), ("status",), ("diff", "@"), ("recover",), ("logs",)])
def test_no_repository(tmp_path: Path, gitrun: Call, words: tuple[str, ...]) -> None:
    done = gitrun(*words, cwd=tmp_path)
    assert done.code == 1
    assert "no Git repository" in done.stderr
    assert "next: git init" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_archive_that_cannot_be_written_can_be_read(repo: Path, gitrun: Call) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everything")
    run_id = record(gitrun, repo, "echo", "kept")
    for directory, _, _ in os.walk(repo / ".git"):
        os.chmod(directory, 0o555)
    try:
        assert gitrun("logs", run_id, cwd=repo).stdout == "kept\n"
        assert gitrun("ls", cwd=repo).code == 0
    finally:
        for directory, _, _ in os.walk(repo / ".git"):
            os.chmod(directory, 0o755)


def test_a_linked_worktree_sees_the_same_runs(repo: Path, gitrun: Call, git: Call, tmp_path: Path) -> None:
    run_id = record(gitrun, repo, "true")
    git("worktree", "add", "-q", str(tmp_path / "linked"), cwd=repo)
    assert gitrun("show", "@", "--json", cwd=tmp_path / "linked").json()["id"] == run_id
