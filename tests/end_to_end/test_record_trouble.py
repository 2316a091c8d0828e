"""`gitrun record` in bad company: no descriptors, no space, odd parents, archives that vanish while it runs."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.monitor import Monitor
from gitrun.recording.finish import shell_code
from tests.conftest import Result
from tests.end_to_end.test_record import live, only_run, record_of, recorder, run_ids, started
from tests.unit.recording.helpers import Typist, wait_for

Git = Callable[..., Result]
Gitrun = Callable[..., Result]
MakeRepo = Callable[..., Path]
RUN, STAY = {"GITRUN_RECORD_ON_PROBLEM": "run"}, {"GITRUN_RECORD_ON_PROBLEM": "stop"}
RECORD = [sys.executable, "-m", "gitrun", "record"]


def recorded(repo: Path, *words: str, setup: Callable[[], Any] | None = None, **popen: Any) -> Any:
    """A finished `gitrun record` whose process was set up by `setup` before it began."""
    env = {**os.environ, **popen.pop("env", {})}
    popen = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 60, **popen}
    return subprocess.run([*RECORD, *words], cwd=repo, env=env, preexec_fn=setup, **popen)


def limit(what: int, number: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(what, (number, resource.getrlimit(what)[1]))


# -- before the command


@pytest.mark.parametrize("files", [12, 13, 14, 15, 16, 17, 18, 20])
def test_too_few_descriptors_record_all_or_nothing(make_repo: MakeRepo, git: Git, files: int) -> None:
    repo = make_repo()
    command = ("--", "sh", "-c", "echo ran; exit 5")
    ran = recorded(repo, *command, setup=limit(resource.RLIMIT_NOFILE, files), env=RUN)
    assert (ran.returncode, ran.stdout) == (5, "ran\n"), ran.stderr
    assert ("NOT RECORDED" in ran.stderr) != (len(run_ids(git, repo)) == 1)
    assert not (repo / ".git/gitrun/live").exists() or live(repo) == []
    if "NOT RECORDED" in ran.stderr:
        stopped = recorded(repo, *command, setup=limit(resource.RLIMIT_NOFILE, files), env=STAY)
        assert (stopped.returncode, stopped.stdout) == (125, "") and "nothing was started" in stopped.stderr


def test_without_a_usable_ptmx_the_command_runs_on_pipes(make_repo: MakeRepo, git: Git) -> None:
    private = ["unshare", "-Urm", "sh", "-c"]
    mounts = "mount -t tmpfs none /dev/pts && mount --bind /dev/null /dev/ptmx"
    try:
        possible = subprocess.run([*private, mounts], capture_output=True).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("no private mounts here")
    repo = make_repo()
    words = " ".join(RECORD)
    user = Typist([*private, f"{mounts}; exec {words} -- sh -c 'echo R''AN; exit 5'"], cwd=repo)
    user.expect("RAN")
    assert user.finish() == 5
    record = only_run(git, repo)
    assert record["exit"]["code"] == 5 and record["process"]["terminal_mode"] == "pipes"


def test_a_parent_that_ignores_sigchld(make_repo: MakeRepo, git: Git) -> None:
    repo = make_repo()
    ignored = {"setup": lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)}
    done = recorded(repo, "--", "sh", "-c", "exit 3", **ignored)
    assert done.returncode == 3 and only_run(git, repo)["exit"]["code"] == 3, done.stderr
    done = recorded(repo, "--", "grep", "SigIgn", "/proc/self/status", **ignored)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1], 16) >> (signal.SIGCHLD - 1) & 1, "the command gets what was inherited"


def test_an_id_file_is_never_put_in_the_place_of_something_else(make_repo: MakeRepo, git: Git, tmp_path: Path) -> None:
    repo = make_repo()
    fifo, target, link = tmp_path / "fifo", tmp_path / "target", tmp_path / "link"
    os.mkfifo(fifo)
    target.write_text("old and much longer than an id will be")
    link.symlink_to(target)
    with subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE, text=True) as reader:
        assert recorded(repo, "-q", "--id-file", str(fifo), "--", "true").returncode == 0
        assert reader.stdout is not None and reader.stdout.read().split() == run_ids(git, repo)
    assert fifo.is_fifo()
    assert recorded(repo, "-q", "--id-file", str(link), "--", "true").returncode == 0
    assert link.is_symlink() and target.read_text().strip() in run_ids(git, repo) and len(target.read_text()) == 23
    assert recorded(repo, "-q", "--id-file", "/dev/null", "--", "true").returncode == 0
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("path", ["no-such/id", "", "."])
def test_an_id_file_that_cannot_be_written_is_said_before_the_start(
    make_repo: MakeRepo, git: Git, gitrun: Gitrun, path: str
) -> None:
    repo = make_repo()
    done = gitrun("record", "--id-file", path, "--", "touch", "ran", cwd=repo, env=STAY)
    assert done.code == 125 and "--id-file" in done.stderr and "tmp-" not in done.stderr
    assert not (repo / "ran").exists() and live(repo) == [] and run_ids(git, repo) == []


def test_names_and_remotes_bring_no_secret_along(make_repo: MakeRepo, git: Git, gitrun: Gitrun) -> None:
    repo = make_repo()
    secret = "hf_verysecretvalue0123456789abcdef"
    git("remote", "add", "q", "https://h/x?access_token=sEcret01abcdefghij&private_token=sEcret02abcdefghij", cwd=repo)
    env = {"HF_TOKEN": secret, "GITRUN_RUN_ID": "password=sEcret03abc"}
    words = ("-n", secret, "-t", secret, "-m", f"note {secret}", "-g", "https://u:sEcret04@h")
    assert gitrun("record", "-q", *words, "--", "true", cwd=repo, env=env).code == 0
    record = only_run(git, repo)
    message = git("log", "-1", "--format=%B", f"refs/gitrun/runs/{record['id']}", cwd=repo).stdout
    for text in (json.dumps(record), message):
        assert secret not in text and "sEcret" not in text
    assert record["name"] == "<secret:HF_TOKEN>" and "parent" not in record["links"]


def test_a_setting_that_makes_no_sense_is_told_and_the_rule_decides(make_repo: MakeRepo, gitrun: Gitrun) -> None:
    repo = make_repo()
    command = ("record", "--", "sh", "-c", "exit 5")
    bogus = {"GITRUN_RECORD_ON_PROBLEM": "bogus"}
    ran = gitrun(*command, cwd=repo, env={**bogus, "SLURM_JOB_ID": "1"})
    assert ran.code == 5 and "NOT RECORDED" in ran.stderr and "record.on_problem" in ran.stderr
    other = gitrun(*command, cwd=repo, env={**RUN, "GITRUN_RECORD_GRACE": "xyz"})
    assert other.code == 5 and "record.grace" in other.stderr
    stopped = gitrun(*command, cwd=repo, env={**STAY, "GITRUN_RECORD_GRACE": "xyz"})
    assert stopped.code == 125 and "record.grace" in stopped.stderr


@pytest.mark.parametrize("command", [[], [b"true", b"a\0b"]])
def test_what_is_no_command_is_a_usage_error(make_repo: MakeRepo, command: list[bytes]) -> None:
    script = (
        "import os\nfrom gitrun.errors import UsageError\nfrom gitrun.monitor import SILENT\n"
        "from gitrun.recording.record import record\nfrom gitrun.recording.request import RecordRequest\n"
        f"try:\n    record(RecordRequest({command!r}), dict(os.environ), SILENT)\n"
        "except UsageError as problem:\n    print(problem)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=make_repo(), capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("a command needs"), done.stderr


def test_a_file_size_limit_is_called_by_its_name(make_repo: MakeRepo) -> None:
    done = recorded(make_repo(), "--", "true", setup=limit(resource.RLIMIT_FSIZE, 0), env=STAY)
    assert done.returncode == 125 and "file size limit" in done.stderr, done.stderr
    assert "removing a live directory" not in done.stderr


@pytest.mark.parametrize("name", ["./no-interpreter", "no-interpreter"])
def test_a_script_without_its_interpreter_ends_as_in_a_shell(make_repo: MakeRepo, gitrun: Gitrun, name: str) -> None:
    repo = make_repo()
    (repo / "no-interpreter").write_text("#!/no/such/interpreter\n")
    (repo / "no-interpreter").chmod(0o755)
    done = gitrun("record", "--", name, cwd=repo, env={"PATH": f"{repo}:{os.environ['PATH']}"})
    assert done.code == 127 and "its interpreter does not exist" in done.stderr


def test_a_signal_before_the_command_leaves_nothing(make_repo: MakeRepo, git: Git) -> None:
    repo = make_repo()
    (repo / "sitecustomize.py").write_text(  # a signal at a chosen moment: when the module is imported
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == os.environ['SIGNAL_AT']: os.kill(os.getpid(), int(os.environ['SIGNAL']))\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    for moment, number in (
        ("gitrun.cli.fast", signal.SIGINT),
        ("gitrun.recording.signals", signal.SIGINT),
        ("gitrun.recording.record", signal.SIGINT),
        ("gitrun.capture.snapshot", signal.SIGINT),
        ("gitrun.capture.snapshot", signal.SIGTERM),
        ("gitrun.capture.snapshot", signal.SIGHUP),
    ):
        env = {"PYTHONPATH": f"{repo}:{Path(__file__).parents[2]}", "SIGNAL_AT": moment, "SIGNAL": str(int(number))}
        done = recorded(repo, "--", "touch", "ran", env=env)
        code = 130 if number == signal.SIGINT else -number
        assert (done.returncode, done.stdout, done.stderr) == (code, "", ""), moment
        assert not (repo / "ran").exists() and run_ids(git, repo) == []
        assert not (repo / ".git/gitrun/live").exists() or live(repo) == []
    assert git("for-each-ref", "refs/gitrun", cwd=repo).stdout == ""


# -- while it runs


@pytest.mark.parametrize("vanish", ["rm -rf .git/gitrun/live", "rm -rf .git/gitrun"])
def test_a_removed_live_directory_costs_the_console_and_not_the_run(
    make_repo: MakeRepo, git: Git, gitrun: Gitrun, vanish: str
) -> None:
    repo = make_repo()
    done = gitrun("record", "-q", "--", "sh", "-c", f"sleep .5; {vanish}; echo x; exit 7", cwd=repo)
    assert (done.code, done.stdout) == (7, "x\n")
    record = only_run(git, repo)
    assert record["exit"] == {"code": 7, "signal": None} and live(repo) == []
    assert "was removed" in record["coverage"]["console"][0] and "was removed" in record["coverage"]["environment"][0]


@pytest.mark.parametrize("wait_s", [0, 0.5])
def test_a_moved_repository_keeps_the_run_for_recover(
    make_repo: MakeRepo, git: Git, gitrun: Gitrun, wait_s: float
) -> None:
    repo = make_repo()
    done = gitrun("record", "--", "sh", "-c", f"sleep {wait_s}; echo x; mv .git .git2; exit 7", cwd=repo)
    assert done.code == 7 and "was moved or removed" in done.stderr and not (repo / ".git").exists()
    (repo / ".git2").rename(repo / ".git")
    assert gitrun("recover", cwd=repo).code == 0
    assert only_run(git, repo)["exit"] == {"code": 7, "signal": None}


@pytest.mark.parametrize(("script", "code"), [("sleep 9", 129), ("trap '' HUP; sleep 1; exit 7", 7)])
def test_a_killed_session_leader_does_not_hide_the_end(make_repo: MakeRepo, git: Git, script: str, code: int) -> None:
    """The kernel hangs up its session; the keeper adopts the command and sees how it ends."""
    repo = make_repo()
    user = Typist([*RECORD, "--", "sh", "-c", script], cwd=repo)
    member = started(repo)
    wait_for(lambda: (member / "keeper").stat().st_size)
    time.sleep(0.2)
    os.kill(json.loads((member / "keeper").read_text())["leader"][0], signal.SIGKILL)
    assert user.finish() == code
    assert only_run(git, repo)["exit"] == ({"code": 7, "signal": None} if code == 7 else {"code": None, "signal": 1})


def test_an_end_that_nobody_saw_is_no_success() -> None:
    told: list[str] = []

    class Told(Monitor):
        def warn(self, code: str, message: str) -> None:
            told.append(code)

    assert shell_code([b"true"], {"code": None, "signal": None}, True, Told()) == (125, None)
    assert shell_code([b"true"], None, False, Told()) == (125, None) and told == ["W023", "W023"]
    assert shell_code([b"true"], {"code": None, "signal": 9}, True, Told()) == (137, None)


def test_output_that_a_full_device_refuses_is_told(make_repo: MakeRepo, git: Git) -> None:
    repo = make_repo()
    with open("/dev/full", "wb") as full:
        done = recorded(repo, "--", "sh", "-c", "echo result; sleep .3; echo more; exit 0", stdout=full)
    assert done.returncode == 128 + signal.SIGPIPE, "the command learns of it at its next write"
    assert "could not be passed on: No space left on device" in done.stderr
    record = only_run(git, repo)
    assert "No space left on device" in json.dumps(record["coverage"]["console"])


def test_a_suspended_command_does_not_stay_stopped_without_its_recorder(make_repo: MakeRepo, git: Git) -> None:
    """Behind a pseudo-terminal the kernel sees no orphaned group: the command's leader is still there."""
    repo = make_repo()
    user = Typist([*RECORD, "--", "sh", "-c", "sleep 60; exit 6"], cwd=repo)
    started(repo)
    user.expect("recording")
    time.sleep(0.5)
    user.type("\x1a")
    wait_for(lambda: os.waitid(os.P_PID, user.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT))
    os.kill(user.pid, signal.SIGKILL)
    os.waitpid(user.pid, 0)
    wait_for(lambda: run_ids(git, repo) and live(repo) == [])
    (run_id,) = run_ids(git, repo)
    assert record_of(git, repo, run_id)["exit"] == {"code": None, "signal": signal.SIGHUP}


def test_a_suspended_command_does_not_stay_stopped_when_recorder_and_keeper_are_killed(make_repo: MakeRepo) -> None:
    repo = make_repo()
    user = Typist([*RECORD, "--", "sh", "-c", "sleep 60; exit 6"], cwd=repo)
    member = started(repo)
    user.expect("recording")
    time.sleep(0.5)
    command = json.loads((member / "keeper").read_text())["command"][0]
    user.type("\x1a")
    wait_for(lambda: os.waitid(os.P_PID, user.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT))
    os.killpg(user.pid, signal.SIGKILL)
    os.waitpid(user.pid, 0)
    wait_for(lambda: not os.path.exists(f"/proc/{command}/fd/0"))


# -- after it


@pytest.mark.parametrize("draft", ["garbage", "[]", "{}"])
def test_a_damaged_draft_is_told_and_can_be_put_aside(
    make_repo: MakeRepo, git: Git, gitrun: Gitrun, draft: str
) -> None:
    repo = make_repo()
    with recorder(repo, "sleep", "60", process_group=0) as process:
        member = started(repo)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGKILL)
    run_id = member.parts[-3]
    (member.parents[1] / "run.json").write_text(draft)
    failed = gitrun("recover", cwd=repo)
    assert failed.code == 1 and run_id in failed.stderr and "--force" in failed.stderr
    assert gitrun("recover", run_id, cwd=repo).code == 5
    aside = gitrun("recover", run_id, "--force", cwd=repo)
    assert aside.code == 0 and f"damaged-{run_id}" in aside.stderr
    assert live(repo) == [f"damaged-{run_id}"]
    quiet = gitrun("recover", cwd=repo)
    assert (quiet.code, quiet.stderr) == (0, "nothing to recover\n")
