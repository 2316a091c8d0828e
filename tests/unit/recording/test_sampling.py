"""The system series as the keeper writes it: real commands, and disks that refuse."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitrun.capture.series import Points
from gitrun.child.frames import SYSTEM
from gitrun.recording.sampling import EVERY_S, Sampling
from gitrun.recording.system_series import read_system_series, summary
from tests.unit.recording.helpers import keep_argv, wait_for


def series(member: Path) -> dict[str, list[float]]:
    groups, problems = read_system_series([str(member)])
    assert problems == []
    found: dict[str, list[float]] = {}
    for group in groups:
        for number, name in enumerate(group.names):
            values = memoryview(b"".join(group.columns[2 + number])).cast("d").tolist()
            found.setdefault(name, []).extend(values)
    return found


def look(sampling: Sampling, count: int = 1) -> None:
    for _ in range(count):
        sampling.look(time.monotonic(), set())


@pytest.fixture
def sampling(tmp_path: Path) -> Sampling:
    return Sampling(str(tmp_path))


@pytest.mark.parametrize("mode", ["pipes", "pty"])
def test_a_run_is_looked_at_once_a_second_without_gitruns_own_processes(tmp_path: Path, mode: str) -> None:
    work = "import time; a = bytearray(64 << 20); end = time.time() + 3.6\nwhile time.time() < end: pass"
    subprocess.run(keep_argv(tmp_path, sys.executable, "-c", work, mode=mode), timeout=60, check=True)
    found = series(tmp_path)
    names = ["cpu_cores", "machine/available_bytes", "memory_bytes", "processes", "read_bytes_s", "written_bytes_s"]
    assert sorted(found) == names
    assert 2 <= len(found["cpu_cores"]) <= 4
    assert max(found["cpu_cores"]) > 0.03  # a machine may have much else to do
    assert all(64 << 20 < value < 200 << 20 for value in found["memory_bytes"][1:])
    assert set(found["processes"]) == {1.0}


def test_a_command_that_ends_within_a_second_leaves_no_series(tmp_path: Path) -> None:
    subprocess.run(keep_argv(tmp_path, "true"), timeout=60, check=True)
    assert not list(tmp_path.glob(f"{SYSTEM}*"))


def test_the_step_is_the_seconds_since_the_start(tmp_path: Path, sampling: Sampling) -> None:
    now = time.monotonic()
    for later in (1.1, 2.0, 7.4):
        sampling.look(now + later, set())
    (group,) = read_system_series([str(tmp_path)])[0]
    assert memoryview(b"".join(group.columns[0])).cast("q").tolist() == [1, 2, 7]


def test_a_full_disk_loses_points_and_nothing_else(
    tmp_path: Path, sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    look(sampling, 2)
    for refuse in (lambda fd, data: real(fd, data[:7]), lambda fd, data: (_ for _ in ()).throw(OSError(28, "full"))):
        monkeypatch.setattr(os, "write", refuse)
        look(sampling, 2)
        assert sampling.due > time.monotonic() + EVERY_S  # it does not try in vain all the time
        monkeypatch.setattr(os, "write", real)
        look(sampling)
    assert len(series(tmp_path)["processes"]) == 4


def test_a_disk_that_is_full_from_the_start(
    tmp_path: Path, sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:-1]))
    look(sampling)
    monkeypatch.setattr(os, "write", real)
    look(sampling, 2)
    assert len(series(tmp_path)["processes"]) == 2


def test_a_bug_ends_the_series_and_is_told_in_the_log(
    tmp_path: Path, sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitrun.capture.load.ProcessTree.look", lambda *args: 1 / 0)
    look(sampling)
    assert sampling.due == float("inf")
    assert "ZeroDivisionError" in (tmp_path / "keeper.log").read_text()


def test_looks_that_take_long_come_later(sampling: Sampling, monkeypatch: pytest.MonkeyPatch) -> None:
    look(sampling)  # the first loads what it needs, which is not counted
    assert sampling.due - time.monotonic() < 1.1 * EVERY_S
    clock = iter([0.0, 0.02, 1.0, 1.02])
    monkeypatch.setattr(time, "thread_time", lambda: next(clock))
    look(sampling)
    assert 15 < sampling.due - time.monotonic() <= 20
    look(sampling)
    assert 35 < sampling.due - time.monotonic() <= 40


def test_old_runs_are_looked_at_less_often(sampling: Sampling) -> None:
    look(sampling)
    now = time.monotonic() + 30 * 86_400
    sampling.look(now, set())
    assert sampling.due - now == pytest.approx(30, rel=0.01)


def test_devices_join_the_series_when_they_are_first_heard_of(tmp_path: Path, sampling: Sampling) -> None:
    class Gpus:
        pid = 0
        said = iter([{}, {"gpu/0/busy": 0.5}, {"gpu/0/busy": 0.75}])

        def latest(self) -> dict[str, float]:
            return next(self.said)

    look(sampling)
    sampling._gpus = Gpus()  # type: ignore[assignment]
    look(sampling, 3)
    found = series(tmp_path)
    assert found["gpu/0/busy"] == [0.5, 0.75] and len(found["processes"]) == 4


def test_several_members_are_told_apart_by_their_number(tmp_path: Path) -> None:
    for number in (0, 1):
        (tmp_path / str(number)).mkdir()
        look(Sampling(str(tmp_path / str(number))), 2 + number)
    groups, _ = read_system_series([str(tmp_path / "0"), str(tmp_path / "1")])
    assert [(group.rank, group.count) for group in groups] == [(0, 2), (1, 3)]
    assert summary(groups, "processes")["count"] == 5


def test_a_process_of_the_run_may_write_nonsense_there(tmp_path: Path, sampling: Sampling) -> None:
    look(sampling)
    (tmp_path / f"{SYSTEM}1-00000000").write_bytes(os.urandom(500))
    assert Points([str(tmp_path)], SYSTEM).read().groups
    assert len(read_system_series([str(tmp_path)])[0]) == 1


def test_the_keeper_writes_on_when_its_recorder_is_gone(tmp_path: Path) -> None:
    with subprocess.Popen(keep_argv(tmp_path, "sleep", "4")) as recorder:
        wait_for(lambda: "processes" in series(tmp_path))
        before = len(series(tmp_path)["processes"])
        recorder.kill()
    assert wait_for(lambda: len(series(tmp_path)["processes"]) > before)
