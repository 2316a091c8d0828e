"""What is wrong in gitrun itself, or was cut off early, changes nothing for the command and leaves nothing behind."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.git.executable import find_git
from gitrun.git.repository import discover
from gitrun.monitor import SILENT
from gitrun.recording.live import LiveDirectory
from gitrun.recording.recover import recover_all
from tests.conftest import Result
from tests.end_to_end.test_record import run_ids

MakeRepo = Callable[..., Path]
Git = Callable[..., Result]
BROKEN = """
import sys
import gitrun.recording.{module} as module
def broken(*_, **__): raise RuntimeError("broken on purpose")
module.{name} = broken
from gitrun.cli.fast import main
sys.exit(main(["--", "sh", "-c", "sleep 0.3; exit 7"]))
"""


@pytest.mark.parametrize(("module", "name"), [("record", "_note_changes"), ("finish", "_seal")])
def test_a_bug_beside_the_command_is_logged_and_harmless(make_repo: MakeRepo, module: str, name: str) -> None:
    repo = make_repo()
    script = BROKEN.format(module=module, name=name)
    done = subprocess.run([sys.executable, "-c", script], cwd=repo, capture_output=True, text=True, timeout=60)
    assert done.returncode == 7 and "a bug in gitrun" in done.stderr
    (log,) = (repo / ".git/gitrun/log").glob("bug-*")
    assert "broken on purpose" in log.read_text() and str(log) in done.stderr


@pytest.mark.parametrize(
    ("module", "name", "log"),
    [("record", "_note_changes", "bug-*"), ("finish", "_seal", "bug-*"), ("keeper", "Keeper.serve", "keeper-*")],
)
def test_a_traceback_holds_no_secret(make_repo: MakeRepo, module: str, name: str, log: str) -> None:
    repo = make_repo()
    secret = "correct-horse-battery-9"
    script = BROKEN.format(module=module, name=name).replace(
        '"broken on purpose"', '"broken by " + os.environ["MY_TOKEN"]'
    )
    env = {**os.environ, "MY_TOKEN": secret}
    done = subprocess.run(
        [sys.executable, "-c", "import os\n" + script], cwd=repo, env=env, capture_output=True, text=True, timeout=60
    )
    (path,) = (repo / ".git/gitrun/log").glob(log)
    assert "broken by <secret:MY_TOKEN>" in path.read_text() and secret not in path.read_text() + done.stderr


def made(repo: Path, run_id: str) -> LiveDirectory:
    found, lock = LiveDirectory.create(str(repo / ".git/gitrun"), run_id, {"format": 1})
    lock.release()
    return found


def test_a_live_directory_is_private_and_can_be_synced(make_repo: MakeRepo) -> None:
    found = made(make_repo(), "20261124-000000-abcdef")
    assert stat.S_IMODE(os.stat(found.path).st_mode) == 0o700
    found.sync()


@pytest.mark.parametrize(("age_s", "left"), [(0, 1), (7200, 0)])
def test_an_old_unborn_directory_without_a_header_goes(make_repo: MakeRepo, git: Git, age_s: int, left: int) -> None:
    repo = make_repo()
    home = repo / ".git/gitrun/live"
    found = made(repo, "20261124-000000-abcdef")
    os.unlink(os.path.join(found.member, "header.json"))
    unborn = home / ("new-" + found.run_id)
    os.rename(found.path, unborn)
    os.utime(unborn, (time.time() - age_s,) * 2)
    archive = discover(str(repo), find_git(), dict(os.environ))
    assert recover_all(archive, dict(os.environ), SILENT) == []
    assert len(os.listdir(home)) == left and run_ids(git, repo) == []
