"""Runs that die, each in its way: the list tells the truth about the end, and nothing that was acknowledged is missing.

The program writes down each step when the call that logged it has returned. What it wrote down has to be in the record.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitrun.recording.member import read_pids
from tests.conftest import Result
from tests.end_to_end.test_record import started
from tests.unit.recording.helpers import wait_for

Gitrun = Callable[..., Result]

# Logs until it is told to stop. Its words: what it does with SIGTERM, and where it writes down what it has logged.
TRAIN = """
import os, signal, sys, time
import gitrun
acknowledged = os.open(sys.argv[2] + "/acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def stop(number, frame):
    for step in range(1_000_000, 1_000_010):
        gitrun.log({"loss": 0.5}, step=step)
        os.write(acknowledged, b"%d\\n" % step)
        time.sleep(0.05)
    sys.exit(0)
if sys.argv[1] == "saves":
    signal.signal(signal.SIGTERM, stop)
elif sys.argv[1] == "ignores":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
step = 0
while not os.path.exists(sys.argv[2] + "/stop"):
    gitrun.log({"loss": 1 / (step + 1)}, step=step)
    os.write(acknowledged, b"%d\\n" % step)
    step += 1
    time.sleep(0.0005)
"""


class Training:
    """A recorded training that goes on until the file `stop` is there."""

    def __init__(self, repo: Path, place: Path, gitrun: Gitrun, on_term: str, env: dict[str, str]) -> None:
        self.repo = repo
        self._place = place
        self._gitrun = gitrun
        command = [sys.executable, "train.py", on_term, str(place)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gitrun", "record", "-q", "--", *command],
            cwd=repo,
            env={**os.environ, **env},
            process_group=0,
            stdout=subprocess.DEVNULL,
        )
        self.member = started(repo)
        wait_for(lambda: len(self.acknowledged()) > 100)

    @property
    def pids(self) -> dict[str, int]:
        """Recorder, keeper and command."""
        return {"recorder": self.process.pid, **{role: one.pid for role, one in read_pids(str(self.member)).items()}}

    def kill(self, *roles: str) -> None:
        """Kills them with SIGKILL, in one moment."""
        for pid in [self.pids[role] for role in roles]:
            os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """Tells the training to end."""
        (self._place / "stop").touch()

    def acknowledged(self) -> list[int]:
        """The steps whose call has returned."""
        try:
            return [int(line) for line in (self._place / "acknowledged").read_bytes().splitlines()]
        except FileNotFoundError:
            return []

    def listed(self) -> dict[str, Any]:
        """The one run, as the list has it."""
        (run,) = self._gitrun("ls", "--json", cwd=self.repo).json()
        return run

    def sealed(self) -> dict[str, Any]:
        """The same once it is sealed, with nothing missing."""
        run = wait_for(lambda: (found := self.listed())["status"] != "running" and found, 60)
        printed = self._gitrun("metrics", run["id"], "loss", "--csv", cwd=self.repo)
        steps = {int(line.split(",")[0]) for line in printed.stdout.splitlines()[1:]}
        assert steps >= set(self.acknowledged()), printed.stderr
        assert run["metrics"]["loss"]["count"] == len(steps)
        assert self._gitrun("fsck", cwd=self.repo).code == 0
        return run


@pytest.fixture
def train(make_repo: Callable[..., Path], gitrun: Gitrun, tmp_path: Path) -> Iterator[Callable[..., Training]]:
    """`train("saves")`: starts one."""
    trainings: list[Training] = []

    def start(on_term: str = "dies", name: str = "repo", **env: str) -> Training:
        trainings.append(Training(make_repo({"train.py": TRAIN}, name=name), tmp_path, gitrun, on_term, env))
        return trainings[-1]

    yield start
    for training in trainings:
        training.stop()
        training.process.wait(60)


Train = Callable[..., Training]


def test_a_killed_command_has_failed(train: Train) -> None:
    training = train()
    training.kill("command")
    assert training.process.wait(60) == 128 + signal.SIGKILL
    run = training.sealed()
    assert (run["status"], run["exit"]) == ("failed", {"code": None, "signal": signal.SIGKILL})


def test_a_run_outlives_its_recorder(train: Train) -> None:
    training = train()
    training.kill("recorder")
    training.process.wait(60)
    assert training.listed()["status"] == "running"
    training.stop()
    run = training.sealed()
    assert (run["status"], run["exit"]) == ("completed", {"code": 0, "signal": None})


def test_without_its_keeper_nobody_sees_the_end(train: Train) -> None:
    training = train()
    training.kill("keeper")
    wait_for(lambda: not os.path.exists(f"/proc/{training.pids['keeper']}/exe"))
    assert training.listed()["status"] == "running"
    training.stop()
    assert training.process.wait(60) == 125
    run = training.sealed()
    assert (run["status"], run["exit"]) == ("lost", {"code": None, "signal": None})


def test_a_command_that_lost_both_is_running_until_it_has_ended(train: Train) -> None:
    training = train()
    training.kill("recorder", "keeper")
    training.process.wait(60)
    assert training.listed()["status"] == "running"
    training.stop()
    assert training.sealed()["status"] == "lost"


def test_all_killed_at_once(train: Train) -> None:
    training = train()
    training.kill("keeper", "recorder", "command")
    training.process.wait(60)
    assert training.sealed()["status"] == "lost"


def test_a_scheduler_that_ends_a_job_gives_it_time_to_save(train: Train) -> None:
    training = train("saves")
    os.killpg(training.process.pid, signal.SIGTERM)
    assert training.process.wait(60) == 0
    run = training.sealed()
    assert (run["status"], run["metrics"]["loss"]["last_step"]) == ("completed", 1_000_009)


def test_a_signal_that_ends_the_command_is_an_interruption(train: Train) -> None:
    training = train()
    training.process.send_signal(signal.SIGTERM)
    assert training.process.wait(60) == 128 + signal.SIGTERM
    assert training.sealed()["status"] == "interrupted"


def test_a_job_that_did_not_hear_is_killed_after_the_grace(train: Train) -> None:
    training = train("ignores")
    os.killpg(training.process.pid, signal.SIGTERM)
    time.sleep(0.5)
    assert training.listed()["status"] == "running"
    training.kill("keeper", "recorder", "command")
    training.process.wait(60)
    assert training.sealed()["status"] == "lost"


def test_after_a_reboot(train: Train) -> None:
    """The header says another boot, and the last write of the journal was torn by the power that went."""
    training = train()
    training.kill("keeper", "recorder", "command")
    training.process.wait(60)
    header = training.member / "header.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "boot_id": "before", "filesystem": "ext4"}))
    (journal,) = (path for path in training.member.glob("metrics-*") if path.name != "metrics-log")
    with open(journal, "ab") as file:
        file.write(journal.read_bytes()[-30:-7])
    assert training.sealed()["status"] == "lost"


def test_after_a_reboot_on_a_shared_disk_only_a_person_can_tell(train: Train, gitrun: Gitrun) -> None:
    training = train()
    training.kill("keeper", "recorder", "command")
    training.process.wait(60)
    header = training.member / "header.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "boot_id": "before", "filesystem": "nfs4"}))
    assert training.listed()["status"] == "running"
    assert gitrun("recover", training.listed()["id"], "--force", cwd=training.repo).code == 0
    assert training.sealed()["status"] == "unknown"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=32M", "tmpfs", str(place)], capture_output=True
        ).returncode
    ):
        pytest.skip("a small disk cannot be made here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_full_for_a_while(train: Train, gitrun: Gitrun, small_disk: Path) -> None:
    """The training goes on; what could not be written is counted, and what came before and after is there."""
    training = train(name="disk/repo", GITRUN_RECORD_FREE_SPACE_FLOOR="0")
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 10, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue  # full, but for smaller pieces
    journal_bytes = sum(path.stat().st_size for path in training.member.glob("metrics-*"))
    time.sleep(1.5)
    assert sum(path.stat().st_size for path in training.member.glob("metrics-*")) <= journal_bytes + (8 << 10)
    assert training.process.poll() is None
    filler.unlink()
    time.sleep(2.5)
    training.stop()
    assert training.process.wait(60) == 0
    run = wait_for(lambda: (found := training.listed())["status"] != "running" and found)
    assert run["status"] == "completed"
    (said,) = (text for text in run["coverage"]["metrics"] if "missing" in text)
    lost = int(said.split()[0].replace(",", ""))
    printed = gitrun("metrics", run["id"], "loss", "--csv", cwd=training.repo).stdout.splitlines()[1:]
    steps = [int(line.split(",")[0]) for line in printed]
    assert lost > 0 and len(steps) == len(set(steps)) == len(training.acknowledged()) - lost


def test_a_clock_that_is_set_back(train: Train, tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path / "clock.so"
    source = Path(__file__).parents[1] / "fake_clock.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    training = train(LD_PRELOAD=str(library), CLOCK_FILE=str(tmp_path / "set-back"))
    (tmp_path / "set-back").touch()
    before = len(training.acknowledged())
    wait_for(lambda: len(training.acknowledged()) > before + 100)
    training.stop()
    assert training.process.wait(60) == 0
    run = training.sealed()
    assert run["status"] == "completed" and 0 < run["duration_s"] < 60
    assert run["coverage"]["clock"] == [
        "the clock was set back by 3600 s while it ran: times are as it told them, the duration is right"
    ]
    assert run["metrics"]["loss"]["last_step"] == max(training.acknowledged())


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A control group whose processes may have 64 MiB."""
    home = Path("/sys/fs/cgroup/memory")
    group = (home if home.is_dir() else Path("/sys/fs/cgroup")) / f"gitrun-test-{os.getpid()}"
    try:
        group.mkdir()
        limit = "memory.limit_in_bytes" if home.is_dir() else "memory.max"
        (group / limit).write_text(str(64 << 20))
    except OSError as problem:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no control group can be made here: {problem}")
    yield group
    wait_for(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


def test_a_command_that_the_kernel_killed_for_want_of_memory(
    make_repo: Callable[..., Path], gitrun: Gitrun, memory_group: Path
) -> None:
    repo = make_repo()
    script = f"echo $$ > {memory_group}/cgroup.procs; exec {sys.executable} -c 'bytearray(1 << 30)'"
    done = gitrun("record", "--", "sh", "-c", script, cwd=repo)
    assert done.code == 128 + signal.SIGKILL
    run = gitrun("show", "@", "--json", cwd=repo).json()
    assert (run["status"], run["exit"]["signal"]) == ("failed", signal.SIGKILL)
    assert run["process"]["oom_kills"] >= 1
    assert "for want of memory" in gitrun("show", "@", cwd=repo).stdout
