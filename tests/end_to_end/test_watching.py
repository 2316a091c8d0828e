"""A run seen from another terminal: its console as it comes, its page, and what it took of the machine."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitrun.archive.archive import Archive
from gitrun.model.metrics import COLUMNS
from tests.conftest import Result
from tests.end_to_end.test_record import started
from tests.unit.recording.helpers import Typist, wait_for

Gitrun = Callable[..., Result]
GITRUN = [sys.executable, "-m", "gitrun"]
WORK = "import time\nheld = bytearray(64 << 20)\nend = time.time() + 4.2\nwhile time.time() < end: pass"
BAR = """
import os, sys, time
import gitrun
for n in range(101):
    print(f"\\r{n:3d}%|{'#' * (n // 10)}", end="", flush=True)
    gitrun.log({"loss": 1 / (n + 1), "bad\\x1bname": n}, step=n)
print(f"\\ndone in {os.getpid()}", flush=True)
while not os.path.exists("../stop"):
    gitrun.log({"loss": 0.125}, step=101)
    time.sleep(0.05)
print("last words, without an end of line", end="")
"""


@pytest.fixture
def repo(make_repo: Callable[..., Path]) -> Path:
    return make_repo({"bar.py": BAR, "work.py": WORK})


@pytest.fixture
def recorder(repo: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run that draws a progress bar, and then waits to be told."""
    words = [*GITRUN, "record", "-q", "-n", "bar", "--", sys.executable, "bar.py"]
    with subprocess.Popen(words, cwd=repo, stdout=subprocess.PIPE) as process:
        member = started(repo)
        wait_for(lambda: b"done in" in (member / "console").read_bytes())
        yield process
        (repo.parent / "stop").touch()
        process.communicate()


def end(repo: Path, recorder: subprocess.Popen[bytes]) -> bytes:
    """Tells it to end; what the command wrote."""
    (repo.parent / "stop").touch()
    return recorder.communicate(timeout=60)[0]


def test_what_a_run_takes_of_the_machine_is_in_its_record(repo: Path, gitrun: Gitrun) -> None:
    assert gitrun("record", "-q", "--", sys.executable, "work.py", cwd=repo).code == 0
    run = gitrun("show", "--json", cwd=repo).json()
    assert run["coverage"]["system"] == "complete"
    assert set(run["system"]) >= {"cpu_cores", "memory_bytes", "processes", "read_bytes_s", "machine/available_bytes"}
    assert run["system"]["memory_bytes"]["max"] > 64 << 20 and run["system"]["cpu_cores"]["max"] > 0.03
    assert run["system"]["processes"]["max"] == 1
    assert "system" not in gitrun("ls", "--json", cwd=repo).json()[0]
    page = gitrun("show", cwd=repo).stdout
    assert "system\n  cpu " in page and " at most\n" in page
    pq = pytest.importorskip("pyarrow.parquet")
    with Archive.open(str(repo), dict(os.environ)) as archive:
        found = archive.run(run["id"])
        assert found is not None
        data = found.part("system.parquet")
    assert data is not None
    table = pq.read_table(io.BytesIO(data))
    assert {field.name: str(field.type) for field in table.schema} == COLUMNS
    rows = [row for row in table.to_pylist() if row["name"] == "memory_bytes"]
    assert len(rows) == run["system"]["memory_bytes"]["count"] and rows[0]["step"] == 1
    assert max(row["value"] for row in rows) == run["system"]["memory_bytes"]["max"]


def test_a_run_of_two_seconds_is_told_in_short(repo: Path, gitrun: Gitrun) -> None:
    assert gitrun("record", "-q", "--", "sleep", "1.7", cwd=repo).code == 0
    run = gitrun("show", "--json", cwd=repo).json()
    assert run["system"]["processes"] == {"count": 1, "mean": 1.0, "min": 1.0, "max": 1.0}
    assert run["coverage"]["system"] == "complete"
    with Archive.open(str(repo), dict(os.environ)) as archive:
        found = archive.run(run["id"])
        assert found is not None and found.part("system.parquet") is None


def test_a_page_has_what_the_run_takes_now_and_later_what_it_took(
    repo: Path, gitrun: Gitrun, recorder: subprocess.Popen[bytes]
) -> None:
    live = wait_for(lambda: (run := gitrun("show", "bar", "--json", cwd=repo).json())["system"] and run, 60)
    assert live["status"] == "running" and live["system"]["memory_bytes"]["max"] > 0
    page = gitrun("show", "bar", cwd=repo).stdout
    listed = gitrun("ls", "metrics.loss == 0.125", "--columns", "status", cwd=repo).stdout
    assert listed == "running\n", "it has been at its last step for long"
    end(repo, recorder)
    for shown in (page, gitrun("show", "bar", cwd=repo).stdout):
        assert re.search(r"(?m)^  memory +.+ at most(  [▁-█]+)?$", shown), shown


def test_a_short_run_has_no_series(repo: Path, gitrun: Gitrun) -> None:
    assert gitrun("record", "-q", "--", "true", cwd=repo).code == 0
    run = gitrun("show", "--json", cwd=repo).json()
    assert run["system"] == {} and "system" not in run["coverage"]


def test_a_pipe_gets_every_byte_and_a_terminal_what_the_bar_came_to(
    repo: Path, gitrun: Gitrun, recorder: subprocess.Popen[bytes]
) -> None:
    following = subprocess.Popen([*GITRUN, "logs", "-f", "bar"], cwd=repo, stdout=subprocess.PIPE)
    user = Typist([*GITRUN, "logs", "-f", "bar"], cwd=repo)
    user.expect(r"^100%\|##########\r\ndone in \d+\r\n")
    printed = end(repo, recorder)
    assert printed.count(b"\r") == 101 and printed.endswith(b"end of line")
    assert following.communicate(timeout=60)[0] == printed
    user.expect(r"last words, without an end of line$")
    assert user.finish() == 0
    assert gitrun("logs", "bar", cwd=repo).stdout_bytes == printed
    assert gitrun("logs", "bar", "--collapse", cwd=repo).stdout.startswith("100%|##########\ndone in ")
    raw = Typist([*GITRUN, "logs", "bar", "--raw"], cwd=repo)
    raw.expect(r"\r  0%\|\r  1%")
    assert raw.finish() == 0


def test_a_run_beyond_what_is_kept_is_followed_to_its_last_byte(repo: Path) -> None:
    """What the last look found in the files that take turns, and what came after it until the run was sealed."""
    script = "seq 1 100000; while [ ! -e ../stop ]; do sleep 0.05; done; seq 100001 200000; echo the end"
    env = {**os.environ, "GITRUN_RECORD_CONSOLE_MAX": "64k"}
    words = [*GITRUN, "record", "-q", "--", "sh", "-c", script]
    with subprocess.Popen(words, cwd=repo, env=env, stdout=subprocess.DEVNULL) as recorder:
        member = started(repo)
        wait_for((member / "console-tail-0").exists)
        following = subprocess.Popen([*GITRUN, "logs", "-f"], cwd=repo, stdout=subprocess.PIPE)
        time.sleep(1.5)
        (repo.parent / "stop").touch()
        out = following.communicate(timeout=60)[0]
        recorder.wait(60)
    assert out.endswith(b"199999\n200000\nthe end\n")
    numbers = [int(line) for line in out.splitlines() if line.isdigit()]
    assert numbers[:100] == list(range(1, 101)) and len(set(numbers)) == len(numbers) > 100_000


def test_following_ends_when_everything_was_killed(repo: Path, recorder: subprocess.Popen[bytes]) -> None:
    from gitrun.recording.member import read_pids

    pids = read_pids(str(started(repo)))
    following = subprocess.Popen([*GITRUN, "logs", "-f", "bar"], cwd=repo, stdout=subprocess.PIPE)
    assert following.stdout is not None
    assert os.read(following.stdout.fileno(), 5) == b"\r  0%"
    for pid in (pids["keeper"].pid, recorder.pid, pids["command"].pid):
        os.kill(pid, signal.SIGKILL)
    recorder.wait(60)
    assert b"done in" in following.communicate(timeout=60)[0]


def test_watching_on_a_terminal(repo: Path, recorder: subprocess.Popen[bytes]) -> None:
    user = Typist([*GITRUN, "watch", "bar", "--every", "0.3"], cwd=repo, env={"TERM": "xterm", "PYTHONUTF8": "1"})
    user.resize(40, 120)
    user.expect(r"\x1b\[\?1049h")
    user.expect(r"running.{0,20} for [\d.]+ s  bar")
    user.expect(r"loss {6,}.{0,10} 0\.125  step 101")
    user.expect(r"console.{0,20}\r\n  100%\|##########\x1b\[K\r\n  done in \d+\x1b\[K")
    user.expect(r"memory {5,}.{0,10} [\d.]+ MiB")
    assert b"bad\x1bname" not in user.seen
    end(repo, recorder)
    user.expect(r"\x1b\[\?1049l")
    user.expect(r"completed.{0,10} in [\d.]+ s\r\n")
    user.expect(r"loss +0\.125\r\n")
    user.expect(r"last words, without an end of line\r\n")
    assert user.finish() == 0


def test_watching_in_a_pipe(repo: Path, gitrun: Gitrun, recorder: subprocess.Popen[bytes]) -> None:
    watching = subprocess.Popen(
        [*GITRUN, "watch", "bar", "--every", "0.5"], cwd=repo, stdout=subprocess.PIPE, text=True
    )
    assert watching.stdout is not None
    line = watching.stdout.readline().rstrip("\n").split("\t")
    assert line[1] == "running" and "loss=0.125" in line[3] and line[-1].startswith("done in ")
    end(repo, recorder)
    rest = watching.communicate(timeout=60)[0]
    last = rest.splitlines()[-1].split("\t")
    assert last[1] == "completed" and "loss=0.125" in last[3] and "\x1b" not in rest
    assert gitrun("watch", "bar", cwd=repo).stdout.splitlines()[0].split("\t")[1:] == last[1:]


def test_ctrl_c_ends_the_watching_and_not_the_run(repo: Path, recorder: subprocess.Popen[bytes]) -> None:
    user = Typist([*GITRUN, "watch", "bar", "--every", "0.3"], cwd=repo)
    user.expect("running")
    user.type("\x03")
    user.expect(r"\x1b\[\?1049l")
    assert user.finish() == 130
    assert recorder.poll() is None


@pytest.mark.parametrize("every", ["0", "nan", "-1"])
def test_a_time_that_makes_no_sense(repo: Path, gitrun: Gitrun, every: str) -> None:
    assert gitrun("watch", "--every", every, cwd=repo).code == 2
