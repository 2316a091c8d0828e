"""A real recording, of which a process is killed at one of its writes, and then all of its processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import pytest

from tests.conftest import Result
from tests.faults.layer import read_story
from tests.faults.test_points import is_all

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20.0


class Killed:
    """One repository, in which a recording with a fault happens."""

    def __init__(self, repo: Path, gitrun: Callable[..., Result], git: Callable[..., Result]) -> None:
        self.repo, self.gitrun, self.git = repo, gitrun, git
        self.story = repo.parent / "story"

    def record(self, at: int, kind: str) -> int:
        """How the recorder ended."""
        words = ["record", "--quiet", "--name", "faulty", "--", "sh", "-c", "echo said; echo x >>ran"]
        start = [sys.executable, "-m", "tests.faults.armed", str(self.repo), str(self.story), str(at), kind]
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "GITRUN_RECORD_ON_PROBLEM": "stop"}
        process = subprocess.Popen(
            [*start, *words], cwd=self.repo, env=environ, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
        )
        code = process.wait(60)
        until = time.monotonic() + PATIENCE_S
        while _session(process.pid) and time.monotonic() < until:  # a keeper, and what it has seal the run
            time.sleep(0.02)
        assert not _session(process.pid)
        return code

    def runs(self) -> list[dict[str, Any]]:
        """The runs of that name, sealed by now."""
        self.gitrun("recover", cwd=self.repo)
        return [run for run in self.gitrun("ls", "--json", cwd=self.repo).json() if run.get("name") == "faulty"]


def _session(leader: int) -> list[str]:
    """The processes of a session that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
            if session == str(leader) and state != "Z":
                found.append(path.parent.name)
    return found


def calls(killed: Killed) -> int:
    """How many calls a whole recording makes."""
    assert killed.record(0, "none") == 0
    return sum(step.what == "call" for step in read_story(str(killed.story)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kill", "kill all"])
def test_killed_at_any_write(
    make_repo: Callable[..., Path], gitrun: Callable[..., Result], git: Callable[..., Result], kind: str
) -> None:
    killed = Killed(make_repo({"train.py": "1\n", ".gitignore": "ran\n"}), gitrun, git)
    count = calls(killed)
    (before,) = killed.runs()
    points = range(1, count + 1) if is_all() else range(7, count + 1, count // 3)
    for at in points:
        (killed.repo / "ran").unlink(missing_ok=True)
        known = {run["id"] for run in killed.runs()}
        code = killed.record(at, kind)
        new = [run for run in killed.runs() if run["id"] not in known]
        ran = (killed.repo / "ran").read_text() if (killed.repo / "ran").exists() else ""
        assert ran in ("", "x\n") and len(new) <= 1, (at, kind)
        assert new or not ran, f"at {at} the command ran and nothing tells of it"
        assert all(run["status"] in ("completed", "lost", "interrupted", "failed") for run in new), (at, new)
        assert code != 0 or new[0]["status"] == "completed", (at, kind)
        assert gitrun("fsck", cwd=killed.repo).code == 0
        git("fsck", "--strict", cwd=killed.repo)
        git("pack-refs", "--all", cwd=killed.repo)
    assert before["id"] in {run["id"] for run in killed.runs()}
    print(f"{kind}: {len(points)} of {count} calls")
