"""`gitrun record` as a user types it: the command notices nothing, the record says everything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.files.holder import stat_of
from tests.conftest import Result
from tests.unit.recording.helpers import Typist, wait_for

Git = Callable[..., Result]
Gitrun = Callable[..., Result]
STAY = {"GITRUN_RECORD_ON_PROBLEM": "stop"}


def run_ids(git: Git, repo: Path) -> list[str]:
    listed = git("for-each-ref", "--format=%(refname)", "refs/gitrun/runs", cwd=repo).stdout.split()
    return [name.rpartition("/")[2] for name in listed]


def only_run(git: Git, repo: Path) -> dict[str, Any]:
    (run_id,) = run_ids(git, repo)
    return record_of(git, repo, run_id)


def record_of(git: Git, repo: Path, run_id: str) -> dict[str, Any]:
    return json.loads(git("cat-file", "blob", f"refs/gitrun/runs/{run_id}:run.json", cwd=repo).stdout_bytes)


def live(repo: Path) -> list[str]:
    return sorted(os.listdir(repo / ".git/gitrun/live"))


def started(repo: Path) -> Path:
    """The member directory of the one live run, once its command is running."""
    home = repo / ".git/gitrun/live"
    wait_for(lambda: home.exists() and list(home.glob("2*/members/0/keeper")))
    return next(home.glob("2*/members/0"))


def recorder(repo: Path, *command: str, **popen: Any) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "gitrun", "record", "--", *command]
    return subprocess.Popen(argv, cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **popen)


def test_a_run_is_recorded_and_the_command_notices_nothing(
    make_repo: Callable[..., Path], gitrun: Gitrun, git: Git, with_and_without_git: dict[str, str]
) -> None:
    repo = make_repo({"train.py": "import sys\nprint('trained', sys.argv[1:])\nsys.exit(3)\n"})
    (repo / "new.txt").write_text("new\n")
    done = gitrun("record", "-n", "first", "-t", "a", "-t", "b", "-m", "why", "--", "python", "train.py", "--lr", "0.1",
                  cwd=repo, env=with_and_without_git)  # fmt: skip
    assert (done.code, done.stdout) == (3, "trained ['--lr', '0.1']\n")
    first, last = done.stderr.splitlines()
    record = only_run(git, repo)
    assert record["id"] in first and "1 changed file" in first
    assert last.startswith(f"gitrun: {record['id']} failed in ") and last.endswith(f"gitrun show {record['id'][-6:]}")
    assert record["status"] == "failed" and record["exit"] == {"code": 3, "signal": None}
    assert record["name"] == "first" and record["tags"] == ["a", "b"] and record["notes"] == ["why"]
    assert record["command"] == ["python", "train.py", "--lr", "0.1"] and record["cwd"] == "."
    assert record["process"]["max_rss_bytes"] > 0 and record["process"]["terminal_mode"] == "pipes"
    assert {"config.json", "environment.json", "hardware.json", "console.zst"} <= record["parts"].keys()
    assert live(repo) == []
    assert git("for-each-ref", "refs/gitrun/live", cwd=repo).stdout == ""


def test_the_commands_environment_names_the_run(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git) -> None:
    repo = make_repo()
    script = 'echo "$GITRUN_RUN_ID $GITRUN_ARCHIVE"; test -d "$GITRUN_RUN_DIR" && echo there'
    done = gitrun("record", "-q", "--id-file", "id", "--", "sh", "-c", script, cwd=repo)
    run_id = only_run(git, repo)["id"]
    assert done.stdout == f"{run_id} {repo}/.git\nthere\n" and done.stderr == ""
    assert (repo / "id").read_text() == run_id + "\n"


def test_a_recording_inside_a_recording_is_a_child_run(
    make_repo: Callable[..., Path], gitrun: Gitrun, git: Git
) -> None:
    repo = make_repo()
    inner = f"{sys.executable} -m gitrun record -q -- true"
    assert gitrun("record", "-q", "--", "sh", "-c", inner, cwd=repo).code == 0
    records = [record_of(git, repo, run_id) for run_id in run_ids(git, repo)]
    parents = [record["links"].get("parent") for record in records]
    assert sorted(parent is None for parent in parents) == [False, True]


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("./train.py", 126)])
def test_a_command_that_cannot_start_is_said_and_recorded(
    make_repo: Callable[..., Path], gitrun: Gitrun, git: Git, command: str, code: int
) -> None:
    repo = make_repo()
    done = gitrun("record", "--", command, cwd=repo)
    assert done.code == code and command in done.stderr.splitlines()[-2]
    assert only_run(git, repo)["exit"] == {"code": code, "signal": None}


def test_arguments_beyond_what_the_system_passes_on(make_repo: Callable[..., Path], git: Git) -> None:
    """Ten megabytes of arguments cannot reach gitrun through exec, so the library is asked."""
    repo = make_repo()
    script = (
        "from gitrun.recording.record import record\n"
        "from gitrun.recording.request import RecordRequest\n"
        "from gitrun.monitor import SILENT\n"
        "import os\n"
        "done = record(RecordRequest([b'echo'] + [b'x' * 1000] * 10_000), dict(os.environ), SILENT)\n"
        "print(done.exit_code, done.sealed, done.failure)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=repo, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("126 True echo: the arguments (10,0"), done.stderr
    assert len(only_run(git, repo)["command"]) == 10_001


def test_where_nothing_can_be_recorded(tmp_path: Path, gitrun: Gitrun) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    stopped = gitrun("record", "--", "touch", "ran", cwd=outside, env=STAY)
    assert stopped.code == 125 and not (outside / "ran").exists()
    assert "nothing was started" in stopped.stderr and "next:" in stopped.stderr
    ran = gitrun("record", "--", "sh", "-c", "touch ran; exit 4", cwd=outside, env={"SLURM_JOB_ID": "7"})
    assert ran.code == 4 and (outside / "ran").exists() and "NOT RECORDED" in ran.stderr
    missing = gitrun("record", "--", "no-such", cwd=outside, env={"GITRUN_RECORD_ON_PROBLEM": "run"})
    assert missing.code == 127


def test_a_disabled_gitrun_is_not_there(make_repo: Callable[..., Path], gitrun: Gitrun, git: Git) -> None:
    repo = make_repo()
    done = gitrun("record", "--", "sh", "-c", "echo out; exit 5", cwd=repo, env={"GITRUN_DISABLE": "1"})
    assert (done.code, done.stdout, done.stderr) == (5, "out\n", "")
    assert run_ids(git, repo) == [] and not (repo / ".git/gitrun").exists()


@pytest.mark.parametrize("words", [["--no-such-option", "true"], ["-n"], []])
def test_wrong_words_start_nothing(make_repo: Callable[..., Path], gitrun: Gitrun, words: list[str]) -> None:
    done = gitrun("record", *words, cwd=make_repo())
    assert done.code == 125 and done.stderr.startswith("gitrun: ")


def test_an_unwritable_git_directory(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo()
    (repo / ".git/gitrun").write_text("in the way")
    done = gitrun("record", "--", "touch", "ran", cwd=repo, env=STAY)
    assert done.code == 125 and not (repo / "ran").exists() and "Traceback" not in done.stderr


def test_a_forwarded_signal_makes_an_interrupted_run(make_repo: Callable[..., Path], git: Git) -> None:
    repo = make_repo()
    with recorder(repo, "sleep", "60") as process:
        started(repo)
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
    record = only_run(git, repo)
    assert record["status"] == "interrupted" and record["exit"] == {"code": None, "signal": 15}


def test_a_killed_recorder_is_sealed_by_the_keeper_with_the_true_exit(make_repo: Callable[..., Path], git: Git) -> None:
    repo = make_repo()
    with recorder(repo, "sh", "-c", "echo before; sleep 1; echo after; exit 6") as process:
        started(repo)
        time.sleep(0.3)
        process.kill()
        assert process.stdout is not None and process.stdout.read() == b"before\nafter\n"
    wait_for(lambda: run_ids(git, repo) and live(repo) == [])
    record = only_run(git, repo)
    assert record["status"] == "failed" and record["exit"] == {"code": 6, "signal": None}


def test_a_killed_keeper_makes_a_lost_run(make_repo: Callable[..., Path], git: Git) -> None:
    repo = make_repo()
    with recorder(repo, "sh", "-c", "while sleep .1; do echo x; done") as process:
        member = started(repo)
        time.sleep(0.3)
        os.kill(json.loads((member / "keeper").read_text())["keeper"][0], signal.SIGKILL)
        assert process.wait(30) == 125
        assert process.stderr is not None and b"keeper was killed" in process.stderr.read()
    record = only_run(git, repo)
    assert record["status"] == "lost" and record["exit"] is None and record["ended_at"] is None


def test_everything_killed_at_once_is_sealed_later_as_lost(
    make_repo: Callable[..., Path], git: Git, gitrun: Gitrun
) -> None:
    repo = make_repo()
    with recorder(repo, "sleep", "60", process_group=0) as process:
        started(repo)
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGKILL)
    assert gitrun("recover", cwd=repo).code == 0
    assert only_run(git, repo)["status"] == "lost" and live(repo) == []


def test_sixteen_at_once_in_one_checkout(make_repo: Callable[..., Path], git: Git) -> None:
    repo = make_repo()
    processes = [recorder(repo, "sh", "-c", f"echo {n}") for n in range(16)]
    outputs = sorted(int(process.communicate(timeout=120)[0]) for process in processes)
    assert outputs == list(range(16)) and {process.returncode for process in processes} == {0}
    assert len(run_ids(git, repo)) == 16 and live(repo) == []


def test_on_a_terminal(make_repo: Callable[..., Path], git: Git) -> None:
    repo = make_repo()
    script = "import sys; print(sys.stdin.isatty(), sys.stdout.isatty(), input())"
    user = Typist([sys.executable, "-m", "gitrun", "record", "--", sys.executable, "-c", script], cwd=repo)
    user.expect("recording")
    user.type("typed\n")
    user.expect("True True typed")
    user.expect("completed in")
    assert user.finish() == 0
    assert only_run(git, repo)["process"]["terminal_mode"] == "pty"


def test_secrets_do_not_reach_the_archive(make_repo: Callable[..., Path], git: Git, gitrun: Gitrun) -> None:
    repo = make_repo()
    env = {"HF_TOKEN": "hf_verysecretvalue0123456789abcdef"}
    script = "import os; print(os.environ['HF_TOKEN'])"
    gitrun("record", "-q", "--", "python3", "-c", script, "--token", "abcdef0123456789zz", cwd=repo, env=env)
    run_id = only_run(git, repo)["id"]
    show = gitrun("logs", run_id, cwd=repo).stdout
    body = git("cat-file", "blob", f"refs/gitrun/runs/{run_id}:run.json", cwd=repo).stdout
    for secret in ("hf_verysecretvalue0123456789abcdef", "abcdef0123456789zz"):
        assert secret not in show and secret not in body
    assert "<secret:HF_TOKEN>" in show


def test_ctrl_c_is_an_interruption_however_late_the_recorder_hears_of_it(
    make_repo: Callable[..., Path], git: Git
) -> None:
    repo = make_repo()
    with recorder(repo, "sh", "-c", "echo ready; exec sleep 60", process_group=0) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        member = started(repo)
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: (found := stat_of(process.pid)) and found.state == "T")
        os.killpg(process.pid, signal.SIGINT)
        wait_for(lambda: (member / "exit").read_bytes().strip(b"\0"))
        process.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and b"wakeup" not in errors
    assert only_run(git, repo)["status"] == "interrupted"
