"""What no tidy user does: a gigabyte on stdout, and a repository that belongs to somebody else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Result
from tests.end_to_end.test_record import live, only_run, run_ids

Call = Callable[..., Result]
SOMEBODY = 12345


def test_a_gigabyte_on_stdout_is_passed_on_whole_and_kept_in_part(make_repo: Callable[..., Path], git: Call) -> None:
    repo = make_repo()
    gigabyte = "import sys; block = bytes(range(256)) * 4096\nfor _ in range(1024): sys.stdout.buffer.write(block)"
    record = [sys.executable, "-m", "gitrun", "record", "--", sys.executable, "-c", gigabyte]
    env = {**os.environ, "GITRUN_RECORD_CONSOLE_MAX": "2M"}
    with subprocess.Popen(record, cwd=repo, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stderr is not None
        passed = 0
        while block := running.stdout.read(1 << 20):
            passed += len(block)
        said = running.stderr.read().decode()
    assert (running.returncode, passed) == (0, 1 << 30), said
    run = only_run(git, repo)
    assert run["status"] == "completed" and live(repo) == []
    logs = subprocess.run([sys.executable, "-m", "gitrun", "logs", "@"], cwd=repo, capture_output=True, check=True)
    assert (2 << 20) <= len(logs.stdout) < (8 << 20) and b"bytes" in logs.stderr
    assert logs.stdout.startswith(bytes(range(256))) and logs.stdout.endswith(bytes(range(256)))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository away")
@pytest.mark.parametrize("executable", ["", "none"])
def test_a_repository_of_somebody_else_is_refused_with_the_line_to_type(
    make_repo: Callable[..., Path], gitrun: Call, git: Call, executable: str
) -> None:
    repo = make_repo()
    for directory, _, files in os.walk(repo):
        for name in (".", *files):
            os.chown(os.path.join(directory, name), SOMEBODY, SOMEBODY, follow_symlinks=False)
    env = {"GITRUN_GIT_EXECUTABLE": executable} if executable else {}
    stopped = gitrun("record", "--", "echo", "ran", cwd=repo, env={**env, "GITRUN_RECORD_ON_PROBLEM": "stop"})
    assert (stopped.code, stopped.stdout) == (125, "")
    assert "dubious ownership" in stopped.stderr and f"safe.directory {repo}" in stopped.stderr
    ran = gitrun("record", "--", "echo", "ran", cwd=repo, env={**env, "GITRUN_RECORD_ON_PROBLEM": "run"})
    assert (ran.code, ran.stdout) == (0, "ran\n") and "NOT RECORDED" in ran.stderr
    assert not (repo / ".git/gitrun").exists() and not (repo / ".git/refs/gitrun").exists()
    allowed = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": str(repo)}
    assert gitrun("record", "--", "echo", "ran", cwd=repo, env={**env, **allowed}).code == 0
    git("config", "--global", "--add", "safe.directory", str(repo), cwd=repo)
    assert len(run_ids(git, repo)) == 1
