"""Who may say that a run is over: proof, and nothing but proof."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitrun.errors import LiveElsewhere
from gitrun.files.holder import filesystem_of, here
from gitrun.git.executable import find_git
from gitrun.git.repository import Repository, discover
from gitrun.monitor import SILENT, Monitor
from gitrun.recording.live import LiveDirectory
from gitrun.recording.liveness import ALIVE, DEAD, ELSEWHERE, judge
from gitrun.recording.recover import recover, recover_all
from tests.conftest import Result
from tests.end_to_end.test_record import live, only_run, record_of, recorder, run_ids, started
from tests.unit.recording.helpers import wait_for

Git = Callable[..., Result]


@pytest.fixture
def dead(make_repo: Callable[..., Path]) -> Path:
    """A repository with a live directory whose processes were all killed."""
    repo = make_repo()
    with recorder(repo, "sleep", "60", process_group=0) as process:
        started(repo)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGKILL)
    wait_for(lambda: judged(repo))
    return repo


@pytest.fixture
def running(make_repo: Callable[..., Path]) -> Iterator[Path]:
    """A repository with a run that is being recorded."""
    repo = make_repo()
    with recorder(repo, "sh", "-c", "while test ! -e stop; do sleep .05; done; exit 9") as process:
        started(repo)
        time.sleep(0.5)
        yield repo
        (repo / "stop").touch()
        process.wait(20)


def opened(repo: Path) -> Repository:
    return discover(str(repo), find_git(), dict(os.environ))


def directory(repo: Path) -> LiveDirectory:
    return LiveDirectory(str(next((repo / ".git/gitrun/live").glob("2*"))))


def change_header(found: LiveDirectory, **fields: Any) -> None:
    path = Path(found.member, "header.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_the_dead_are_dead_and_the_living_live(dead: Path) -> None:
    assert judge(directory(dead), here()).state == DEAD


def test_a_running_run_is_alive_by_its_lock_and_by_its_processes(running: Path, git: Git) -> None:
    found = directory(running)
    assert judge(found, here()).state == ALIVE
    os.unlink(os.path.join(found.member, "lock"))  # a file system whose locks always succeed
    assert judge(found, here()).state == ALIVE
    with pytest.raises(LiveElsewhere):
        recover(opened(running), found.run_id, dict(os.environ), SILENT, force=True)
    assert recover_all(opened(running), dict(os.environ), SILENT) == [] and run_ids(git, running) == []


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"host_id": "another"}, ELSEWHERE),
        ({"pid_namespace": "pid:[1]"}, ELSEWHERE),
        ({"boot_id": ""}, ELSEWHERE),
        ({"boot_id": "another", "filesystem": "ext4"}, DEAD),
        ({"boot_id": "another", "filesystem": "nfs4"}, ELSEWHERE),
        ({"host_id": "another", "boot_id": "another"}, ELSEWHERE),
        ({"format": 99}, ELSEWHERE),
        ({"recorder": None}, ELSEWHERE),
    ],
)
def test_what_proves_a_death(dead: Path, fields: dict[str, Any], state: str) -> None:
    change_header(directory(dead), **fields)
    assert judge(directory(dead), here()).state == state


def test_only_force_seals_what_may_live_elsewhere(dead: Path, git: Git) -> None:
    found = directory(dead)
    change_header(found, host_id="another", host="far")
    assert recover_all(opened(dead), dict(os.environ), SILENT) == []
    with pytest.raises(LiveElsewhere, match="far"):
        recover(opened(dead), found.run_id, dict(os.environ), SILENT)
    sealed = recover(opened(dead), found.run_id, dict(os.environ), SILENT, force=True)
    assert sealed is not None and sealed.status == "unknown"
    assert only_run(git, dead)["exit"] is None
    assert live(dead) == [found.run_id]  # its recorder may come back


def test_a_recorder_whose_run_was_sealed_by_force_seals_a_successor(make_repo: Callable[..., Path], git: Git) -> None:
    repo = make_repo()
    with recorder(repo, "sh", "-c", "while test ! -e stop; do sleep .05; done; exit 9") as process:
        started(repo)
        time.sleep(0.8)
        found = directory(repo)
        header = Path(found.member, "header.json")
        truth = header.read_text()
        change_header(found, host_id="another")
        assert recover(opened(repo), found.run_id, dict(os.environ), SILENT, force=True) is not None
        header.write_text(truth)
        (repo / "stop").touch()
        assert process.wait(20) == 9
    ids = run_ids(git, repo)
    assert len(ids) == 2 and found.run_id in ids
    (successor,) = [run_id for run_id in ids if run_id != found.run_id]
    record = record_of(git, repo, successor)
    assert record["links"]["supersedes"] == found.run_id and record["exit"]["code"] == 9
    assert record_of(git, repo, found.run_id)["status"] == "unknown" and live(repo) == []


def test_sealing_twice_at_once_gives_one_run(dead: Path, git: Git) -> None:
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(recover_all(opened(dead), dict(os.environ), SILENT)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(result) for result in results) == [0, 0, 0, 1]
    assert only_run(git, dead)["status"] == "lost" and live(dead) == []


def test_a_sealed_run_whose_directory_was_left_is_not_sealed_again(dead: Path, git: Git, tmp_path: Path) -> None:
    found = directory(dead)
    subprocess.run(["cp", "-a", found.path, str(tmp_path / "copy")], check=True)
    assert len(recover_all(opened(dead), dict(os.environ), SILENT)) == 1
    subprocess.run(["cp", "-a", str(tmp_path / "copy"), found.path], check=True)
    assert recover_all(opened(dead), dict(os.environ), SILENT) == []
    assert len(run_ids(git, dead)) == 1 and live(dead) == []


def test_a_directory_without_a_draft_is_only_removed(dead: Path, git: Git) -> None:
    os.unlink(os.path.join(directory(dead).path, "run.json"))
    assert recover_all(opened(dead), dict(os.environ), SILENT) == []
    assert run_ids(git, dead) == [] and live(dead) == []


def test_another_container_never_seals_what_runs_here(running: Path, git: Git) -> None:
    """Two pid and host-name namespaces on one directory; the lock is gone, so every lock succeeds."""
    found = directory(running)
    os.unlink(os.path.join(found.member, "lock"))
    inside = ["unshare", "-Urpf", "--uts", "--mount-proc", "sh", "-c",
              f"hostname other; exec {sys.executable} -m gitrun recover"]  # fmt: skip
    done = subprocess.run(inside, cwd=running, capture_output=True, text=True, timeout=60)
    if "unshare" in done.stderr:
        pytest.skip("no user namespaces here")
    assert done.returncode == 0 and "nothing to recover" in done.stderr
    assert run_ids(git, running) == [] and live(running) == [found.run_id]


def test_a_run_in_another_container_is_not_sealed_from_here(make_repo: Callable[..., Path], git: Git) -> None:
    repo = make_repo()
    inside = ["unshare", "-Urpf", "--uts", "--mount-proc", "sh", "-c",
              f"hostname other; exec {sys.executable} -m gitrun record -- sh -c "
              "'while test ! -e stop; do sleep .05; done'"]  # fmt: skip
    with subprocess.Popen(inside, cwd=repo, stderr=subprocess.PIPE) as process:
        time.sleep(0.3)
        if process.poll() is not None:
            pytest.skip("no user namespaces here")
        member = started(repo)
        time.sleep(0.5)
        os.unlink(member / "lock")
        assert json.loads((member / "header.json").read_text())["host"] == "other"
        assert judge(directory(repo), here()).state == ELSEWHERE
        assert recover_all(opened(repo), dict(os.environ), SILENT) == []
        (repo / "stop").touch()
        assert process.wait(20) == 0
    assert only_run(git, repo)["status"] == "completed"


def test_file_systems_are_told_apart(tmp_path: Path) -> None:
    assert filesystem_of("/proc") == "proc" and filesystem_of(str(tmp_path)) not in ("", "proc")


class Heard(Monitor):
    """Remembers what was warned about."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, code: str, message: str) -> None:
        self.said.append(f"{code} {message}")


def test_killed_at_any_moment(make_repo: Callable[..., Path], git: Git) -> None:
    """Whatever had been accepted is sealed, nothing is sealed twice, and nothing is left."""
    repo = make_repo({f"file{n}": "x" * n for n in range(50)})
    for step in range(12):
        before = set(run_ids(git, repo))
        with recorder(repo, "sleep", "0.05", process_group=0) as process:
            time.sleep(0.03 * (step + 1))
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it had ended by then
        time.sleep(0.1)  # a kill takes effect when it does
        wait_for(lambda: judged(repo))
        heard = Heard()
        recover_all(opened(repo), dict(os.environ), heard)
        new = set(run_ids(git, repo)) - before
        assert len(new) <= 1
        left = live(repo) if (repo / ".git/gitrun/live").exists() else []
        left = [name for name in left if not name.startswith("new-")]
        assert left == [], heard.said
        for run_id in new:
            assert record_of(git, repo, run_id)["status"] in ("lost", "completed", "failed")
    assert git("fsck", "--strict", cwd=repo).code == 0


def judged(repo: Path) -> bool:
    return all(judge(LiveDirectory(str(path)), here()).state == DEAD for path in (repo / ".git/gitrun/live").glob("2*"))


def test_a_ref_lock_of_the_dead_is_no_obstacle(dead: Path, git: Git) -> None:
    found = directory(dead)
    for kind in ("live", "runs"):
        lock = dead / ".git/refs/gitrun" / kind / f"{found.run_id}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    assert len(recover_all(opened(dead), dict(os.environ), SILENT)) == 1
    assert only_run(git, dead)["status"] == "lost" and live(dead) == []


def test_a_removal_that_was_cut_off_is_finished(dead: Path, git: Git) -> None:
    found = directory(dead)
    os.rename(found.path, os.path.join(os.path.dirname(found.path), "gone-" + found.run_id))
    assert recover_all(opened(dead), dict(os.environ), SILENT) == [] and live(dead) == []


def test_a_full_disk_keeps_the_run_for_later(make_repo: Callable[..., Path], tmp_path: Path) -> None:
    """On a small file system: the command is unharmed, and the run is sealed once there is space again."""
    script = f"""
    set -e
    mount -t tmpfs -o size=6m none {tmp_path}/small
    cd {tmp_path}/small
    git init -q -b main . && git -c user.name=a -c user.email=b commit -q --allow-empty -m first
    export GITRUN_RECORD_FREE_SPACE_FLOOR=0
    {sys.executable} -m gitrun record -- sh -c 'cat /dev/zero > .git/filler 2>/dev/null; echo hello; exit 3' && exit 70
    echo "code $?"
    rm .git/filler
    {sys.executable} -m gitrun recover
    git for-each-ref --format='%(contents:subject)' refs/gitrun/runs
    """
    (tmp_path / "small").mkdir()
    done = subprocess.run(["unshare", "-Urm", "bash", "-c", script], capture_output=True, text=True, timeout=120)
    if "unshare" in done.stderr:
        pytest.skip("no user namespaces here")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["hello", "code 3"], done.stderr
    assert "not sealed" in done.stderr and "failed: sh -c" in lines[-1]


def test_a_draft_whose_command_never_ran_is_only_removed(dead: Path, git: Git) -> None:
    member = directory(dead).member
    for name in ("keeper", "exit"):
        os.unlink(os.path.join(member, name))
    assert recover_all(opened(dead), dict(os.environ), SILENT) == []
    assert run_ids(git, dead) == [] and live(dead) == []
