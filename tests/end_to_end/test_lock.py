"""Lockfiles of recorded runs: made beside the command, waited for two seconds, resolvable later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.pylock import Pylock

from tests.package_index import Installation, PackageIndex, make_wheel


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """The only index there is; pip asks it."""
    server = PackageIndex()
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:hunter2secret@{server.address}/simple")
    monkeypatch.setenv("GITRUN_LOCK_RESOLVER", "pip")
    yield server
    server.close()


@pytest.fixture
def installation(tmp_path: Path, index: PackageIndex) -> Installation:
    """An environment with one package that the index has, and one that it has not."""
    made = Installation(tmp_path / "venv")
    wheel = make_wheel("alpha", "1.0")
    made.install(wheel)
    made.install(make_wheel("private", "1.0"))
    index.add(wheel)
    return made


# A command that ends when its lockfile is finished: how long a resolver takes on a busy machine is nobody's promise.
UNTIL_LOCKED = """
import os, time
path = os.path.join(os.environ["GITRUN_RUN_DIR"], "lock.json")
until = time.monotonic() + 60
while time.monotonic() < until:
    if os.path.exists(path) and "when the run had ended" not in open(path).read():
        break
    time.sleep(0.05)
"""


def shown(gitrun: Callable[..., Any], repo: Path) -> dict[str, Any]:
    found: dict[str, Any] = gitrun("show", "@", "--json", cwd=repo).json()
    return found


def part(git: Callable[..., Any], repo: Path, run: str, name: str) -> bytes:
    data: bytes = git("show", f"refs/gitrun/runs/{run}:{name}", cwd=repo).stdout_bytes
    return data


def check_pylock(data: bytes) -> dict[str, Any]:
    fields = tomllib.loads(data.decode())
    Pylock.from_dict(fields).validate()
    assert b"hunter2secret" not in data
    return {package["name"]: package for package in fields["packages"]}


def test_a_run_has_the_lockfile_of_its_environment(
    make_repo: Any, gitrun: Any, git: Any, installation: Installation, index: PackageIndex
) -> None:
    repo = make_repo()
    assert gitrun("record", "--", installation.python, "-c", UNTIL_LOCKED, cwd=repo).code == 0
    run = shown(gitrun, repo)
    assert run["lock"] == {"state": "resolved", "reason": None, "source": "pip", "missing": [], "vendored": ["private"]}
    assert run["coverage"]["lock"] == "complete"
    packages = check_pylock(part(git, repo, run["id"], "pylock.toml"))
    assert packages.keys() == {"alpha", "private"}
    line = json.loads(part(git, repo, run["id"], "vendored.jsonl"))
    assert packages["private"]["wheels"][0]["hashes"] == {"sha256": line["sha256"]}

    asked = len(index.asked)
    assert gitrun("record", "--", installation.python, "-c", "1", cwd=repo).code == 0
    again = shown(gitrun, repo)
    assert again["lock"] == run["lock"] and len(index.asked) == asked
    for name in ("pylock.toml", "vendored.jsonl"):
        same = git(
            "rev-parse", *(f"refs/gitrun/runs/{one['id']}:{name}" for one in (run, again)), cwd=repo
        ).stdout.split()
        assert same[0] == same[1], "stored once"
    assert gitrun("gc", cwd=repo).code == 0 and gitrun("fsck", "--data", cwd=repo).code == 0


def test_the_end_of_a_command_waits_two_seconds_and_no_longer(
    make_repo: Any, gitrun: Any, installation: Installation, index: PackageIndex
) -> None:
    repo = make_repo()
    index.delay.clear()
    began = time.monotonic()
    assert gitrun("record", "--", installation.python, "-c", "print('done')", cwd=repo).stdout == "done\n"
    took = time.monotonic() - began
    run = shown(gitrun, repo)
    assert run["lock"]["state"] == "none" and "not resolved when the run had ended" in run["lock"]["reason"]
    assert took < 20, "the index never answers: two seconds, and what a record takes on a busy machine"
    ours = [Path(path).read_bytes() for path in map(str, Path("/proc").glob("[0-9]*/cmdline")) if _readable(path)]
    assert not any(str(installation.prefix).encode() in words and b"--dry-run" in words for words in ours)


def _readable(path: str) -> bool:
    try:
        return bool(Path(path).read_bytes())
    except OSError:
        return False


def test_a_lockfile_can_be_made_later_and_is_kept_beside_the_run(
    make_repo: Any, gitrun: Any, git: Any, installation: Installation, index: PackageIndex
) -> None:
    repo = make_repo()
    assert (
        gitrun("record", "--", installation.python, "-c", "1", cwd=repo, env={"GITRUN_LOCK_RESOLVER": "none"}).code == 0
    )
    before = shown(gitrun, repo)
    assert before["lock"]["state"] == "none" and "lock.resolver is none" in before["lock"]["reason"]
    commit = git("rev-parse", f"refs/gitrun/runs/{before['id']}", cwd=repo).stdout
    done = gitrun("lock", "@", cwd=repo)
    assert done.code == 0, done.stderr
    assert check_pylock(done.stdout_bytes).keys() == {"alpha", "private"}
    after = shown(gitrun, repo)
    assert after["lock"]["state"] == "resolved" and after["lock"]["vendored"] == ["private"]
    assert after["coverage"]["lock"] == "complete"
    assert git("rev-parse", f"refs/gitrun/runs/{before['id']}", cwd=repo).stdout == commit
    asked = len(index.asked)
    assert gitrun("gc", cwd=repo).code == 0
    assert gitrun("lock", "@", "--json", cwd=repo).json()["state"] == "resolved" and len(index.asked) == asked
    assert gitrun("lock", "@", cwd=repo).stdout_bytes == done.stdout_bytes
    assert git("fsck", "--strict", cwd=repo).code == 0


def test_later_the_lockfiles_of_that_time_count_and_another_environment_is_not_vendored(
    make_repo: Any, gitrun: Any, installation: Installation, index: PackageIndex
) -> None:
    text = f"alpha==1.0 --hash=sha256:{'a' * 64}\n"
    repo = make_repo({"sub/requirements.txt": text, "sub/train.py": "1\n"})
    off = {"GITRUN_LOCK_RESOLVER": "none"}
    assert gitrun("record", "--", installation.python, "train.py", cwd=repo / "sub", env=off).code == 0
    assert shown(gitrun, repo)["lock"]["source"] == "sub/requirements.txt"
    (repo / "sub/requirements.txt").write_text("")
    with open(installation.site / "private-1.0.dist-info/RECORD", "a") as record:
        record.write("private/more.py,,\n")
    found = gitrun("lock", "@", "--again", "--json", cwd=repo).json()
    assert found["source"] == "sub/requirements.txt" and found["missing"] == ["private"]
    assert "private (what is installed now is something else)" in found["reason"]


def test_what_cannot_be_locked_is_an_error_that_says_why(make_repo: Any, gitrun: Any) -> None:
    repo = make_repo()
    assert gitrun("record", "--", "true", cwd=repo).code == 0
    run = shown(gitrun, repo)
    assert run["lock"]["state"] == "none" and "no Python program" in run["lock"]["reason"]
    done = gitrun("lock", "@", cwd=repo)
    assert done.code == 1 and "no Python program" in done.stderr and done.stdout == ""


def test_vendoring_is_chosen_on_the_command_line(
    make_repo: Any, gitrun: Any, git: Any, installation: Installation
) -> None:
    repo = make_repo()
    wait = (installation.python, "-c", UNTIL_LOCKED)
    assert gitrun("record", "--vendor-env", "all", "--", *wait, cwd=repo).code == 0
    assert shown(gitrun, repo)["lock"]["vendored"] == ["alpha", "private"]
    assert gitrun("record", "--vendor-env=none", "--", installation.python, "-c", "1", cwd=repo).code == 0
    run = shown(gitrun, repo)
    assert run["lock"]["vendored"] == [] and run["lock"]["missing"] == ["private"]
    wrong = gitrun("record", "--vendor-env", "some", "--", "true", cwd=repo)
    assert wrong.code == 125 and "missing|all|none" in wrong.stderr


def test_a_killed_recorder_leaves_the_lockfile_it_had(
    make_repo: Any, gitrun: Any, git: Any, installation: Installation, index: PackageIndex
) -> None:
    repo = make_repo()
    text = f"print('on', flush=True)\n{UNTIL_LOCKED}\ntime.sleep(60)"
    words = [sys.executable, "-m", "gitrun", "record", "--", installation.python, "-c", text]
    with subprocess.Popen(words, cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as recorder:
        assert recorder.stdout is not None and recorder.stdout.readline() == b"on\n"
        (live,) = (repo / ".git/gitrun/live").glob("2*")
        until = time.monotonic() + 20
        while "private" not in _text(live / "lock.json") and time.monotonic() < until:
            time.sleep(0.05)
        recorder.kill()
        pids = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _command(pid, text)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 20
    while not git("for-each-ref", "refs/gitrun/runs", cwd=repo).stdout and time.monotonic() < until:
        gitrun("recover", cwd=repo)
        time.sleep(0.1)
    run = shown(gitrun, repo)
    assert run["lock"]["state"] == "resolved" and run["lock"]["vendored"] == ["private"]
    data = part(git, repo, run["id"], "pylock.toml")
    assert check_pylock(data).keys() == {"alpha", "private"}


def _text(path: Path) -> str:
    lock = json.loads(path.read_text())["lock"] if path.exists() else {"vendored": []}
    return " ".join(lock["vendored"])


def _command(pid: str, text: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return text.encode() in words and b"gitrun" not in words
