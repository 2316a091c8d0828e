"""`gitrun replay` of real recordings: the same command, source and surroundings, and an honest verdict."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import Result

Call = Callable[..., Result]
CONTRACT = {
    "run", "replay", "verdict", "accepted", "exit_match", "claims", "prefix", "outputs", "metrics", "compared",
    "environment", "hardware", "causes",
}  # fmt: skip


def record(gitrun: Call, repo: Path, *words: str, options: tuple[str, ...] = (), **more: Any) -> str:
    """Record a command and return the run's id."""
    id_file = repo.parent / f"id-{os.urandom(4).hex()}"
    gitrun("record", "--id-file", id_file, "--quiet", *options, "--", *words, **{"cwd": repo, **more})
    return id_file.read_text().strip()


def replays(repo: Path) -> list[Path]:
    home = repo / ".git" / "gitrun" / "replays"
    return list(home.iterdir()) if home.exists() else []


def test_the_same_program_is_run_from_its_own_source(
    make_repo: Callable[..., Path], gitrun: Call, with_and_without_git: dict[str, str]
) -> None:
    repo = make_repo({"say": "first\n"})
    (repo / "say").write_text("recorded\n")
    run = record(gitrun, repo, "cat", "say", env=with_and_without_git)
    (repo / "say").write_text("edited later\n")
    done = gitrun("replay", run, "--json", cwd=repo, env=with_and_without_git)
    assert done.code == 4, done.stderr
    verdict = done.json()
    assert verdict.keys() >= CONTRACT
    assert (verdict["run"], verdict["verdict"], verdict["exit_match"]) == (run, "unverifiable", True)
    assert verdict["console"] == {"stdout": True, "stderr": True}
    assert verdict["compared"]["not_compared"] == []
    assert gitrun("logs", verdict["replay"], cwd=repo).stdout == "recorded\n"
    shown = gitrun("show", verdict["replay"], "--json", cwd=repo).json()
    assert shown["links"]["replay_of"] == run
    assert shown["source"]["tree"] == gitrun("show", run, "--json", cwd=repo).json()["source"]["tree"]
    assert replays(repo) == []


def test_the_verdict_is_sealed_with_the_replay(make_repo: Callable[..., Path], git: Call, gitrun: Call) -> None:
    repo = make_repo()
    run = record(gitrun, repo, "true")
    done = gitrun("replay", run, "--json", cwd=repo)
    sealed = git("show", f"refs/gitrun/runs/{done.json()['replay']}:verdict.json", cwd=repo)
    assert sealed.stdout == done.stdout


def test_another_exit_status_differs(make_repo: Callable[..., Path], gitrun: Call, tmp_path: Path) -> None:
    repo = make_repo()
    marker = tmp_path / "marker"
    run = record(gitrun, repo, "sh", "-c", f'test -e "{marker}" && exit 5; exit 0')
    marker.touch()
    done = gitrun("replay", run, "--json", cwd=repo)
    assert (done.code, done.json()["verdict"], done.json()["exit_match"]) == (3, "differs", False)
    assert "exit 5" in done.json()["causes"][0]


def test_a_console_that_differs_is_said_and_decides_nothing(
    make_repo: Callable[..., Path], gitrun: Call, tmp_path: Path
) -> None:
    repo = make_repo()
    counter = tmp_path / "counter"
    counter.write_text("1")
    run = record(gitrun, repo, "sh", "-c", f'cat "{counter}"; echo same >&2')
    counter.write_text("2")
    done = gitrun("replay", run, "--json", cwd=repo)
    assert (done.code, done.json()["console"]) == (4, {"stdout": False, "stderr": True})


def test_failed_missing_and_killed_commands_can_be_replayed(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo()
    for words in (("false",), ("no-such-command-anywhere",), ("sh", "-c", "kill -9 $$")):
        run = record(gitrun, repo, *words)
        done = gitrun("replay", run, "--json", cwd=repo)
        assert (done.code, done.json()["exit_match"]) == (4, True), (words, done.stderr)


def test_a_replay_of_a_replay(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo()
    run = record(gitrun, repo, "echo", "hello")
    first = gitrun("replay", run, "--json", cwd=repo).json()["replay"]
    second = gitrun("replay", first, "--json", cwd=repo)
    assert second.code == 4, second.stderr
    assert second.json()["run"] == first
    assert gitrun("show", "@", "--json", cwd=repo).json()["id"] == run  # replays do not count


def test_place_variables_and_umask_are_the_recorded_ones(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo({"sub/f": "x"})
    program = 'echo "$OMP_NUM_THREADS,$PYTHONHASHSEED,$SLURM_JOB_ID"; umask; basename "$PWD"; ls'
    script = ("sh", "-c", program)
    id_file = repo.parent / "id"
    code = "import os, sys; os.umask(0o027); os.execv(sys.executable, [sys.executable, '-m', 'gitrun', *sys.argv[1:]])"
    env = {**os.environ, "OMP_NUM_THREADS": "3", "SLURM_JOB_ID": "1"}
    words = [sys.executable, "-c", code, "record", "--quiet", "--id-file", str(id_file), "--", *script]
    first = subprocess.run(words, cwd=repo / "sub", env=env, capture_output=True, text=True, check=True)
    assert first.stdout == "3,,1\n0027\nsub\nf\n"
    run = id_file.read_text().strip()
    now = {"OMP_NUM_THREADS": "9", "PYTHONHASHSEED": "5", "SLURM_JOB_ID": "2"}
    done = gitrun("replay", run, "--json", cwd=repo, env=now)
    assert gitrun("logs", done.json()["replay"], cwd=repo).stdout == "3,,2\n0027\nsub\nf\n"


def test_git_answers_in_a_replay_as_it_did(make_repo: Callable[..., Path], git: Call, gitrun: Call) -> None:
    repo = make_repo()
    git("tag", "v1", cwd=repo)
    (repo / "train.py").write_text("edited")
    run = record(gitrun, repo, "sh", "-c", "git describe --tags --dirty; git status --porcelain; git rev-parse HEAD")
    git("commit", "-qam", "later", cwd=repo)
    done = gitrun("replay", run, "--json", cwd=repo, env={"GIT_DIR": ""})
    assert done.json()["console"]["stdout"] is True, gitrun("logs", done.json()["replay"], cwd=repo).stdout


def test_a_run_inside_a_replay_goes_to_the_same_archive(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo()
    run = record(gitrun, repo, sys.executable, "-m", "gitrun", "record", "--quiet", "--", "true")
    before = len(gitrun("ls", "--json", cwd=repo).json())
    done = gitrun("replay", run, "--json", cwd=repo)
    assert done.code == 4
    listed = gitrun("ls", "--json", cwd=repo).json()
    assert len(listed) == before + 2
    assert done.json()["replay"] in {each["links"]["parent"] for each in listed}


def test_keep_keeps_the_directory(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo()
    run = record(gitrun, repo, "sh", "-c", "echo out > result")
    done = gitrun("replay", run, "--keep", cwd=repo)
    (kept,) = [line.partition("kept: ")[2] for line in done.stdout.splitlines() if "kept: " in line]
    assert Path(kept).name == "repo"
    assert (Path(kept) / "result").read_text() == "out\n"


def test_an_input_is_used_where_it_agrees_and_named_where_not(
    make_repo: Callable[..., Path], gitrun: Call, tmp_path: Path
) -> None:
    repo = make_repo({".gitignore": "data/\n", "f": "x"})
    (repo / "data").mkdir()
    (repo / "data" / "x.csv").write_text("1,2,3\n")
    outside = tmp_path / "outside.csv"
    outside.write_text("4,5\n")
    options = ("--input", "data/*.csv", "--input", str(outside))
    run = record(gitrun, repo, "cat", "data/x.csv", str(outside), options=options)
    done = gitrun("replay", run, "--json", cwd=repo)
    assert (done.code, done.json()["console"]["stdout"]) == (4, True), done.stderr
    count = len(gitrun("ls", "--json", cwd=repo).json())
    for path, change in ((repo / "data" / "x.csv", "changed"), (outside, None)):
        kept = path.read_text()
        path.unlink() if change is None else path.write_text(change)
        done = gitrun("replay", run, "--json", cwd=repo)
        path.write_text(kept)
        assert (done.code, done.json()["verdict"], done.json()["replay"]) == (4, "unverifiable", None)
        assert path.name in done.json()["causes"][0]
    assert len(gitrun("ls", "--json", cwd=repo).json()) == count  # nothing was started
    assert replays(repo) == []


def test_a_secret_is_asked_from_the_environment(make_repo: Callable[..., Path], git: Call, gitrun: Call) -> None:
    repo = make_repo()
    words = ("sh", "-c", 'test "$1" = --token=hunter2hunter2', "x", "--token=hunter2hunter2")
    secret = {"API_TOKEN": "hunter2hunter2"}
    run = record(gitrun, repo, *words, env=secret)
    assert "hunter2hunter2" not in git("show", f"refs/gitrun/runs/{run}:run.json", cwd=repo).stdout
    without = gitrun("replay", run, "--json", cwd=repo)
    assert (without.code, without.json()["replay"]) == (4, None)
    assert "API_TOKEN" in without.json()["causes"][0]
    assert gitrun("replay", run, "--json", cwd=repo, env=secret).json()["exit_match"] is True


def test_a_source_with_files_left_out_is_not_started(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo()
    (repo / "many").mkdir()
    for n in range(20):
        (repo / "many" / f"f{n}").write_text(str(n))
    run = record(gitrun, repo, "true", env={"GITRUN_RECORD_MAX_FILES": "5"})
    done = gitrun("replay", run, "--json", cwd=repo)
    assert (done.code, done.json()["verdict"], done.json()["replay"]) == (4, "unverifiable", None)
    assert "left out" in done.json()["causes"][0]


def test_ctrl_c_seals_the_replay_as_interrupted(make_repo: Callable[..., Path], gitrun: Call, tmp_path: Path) -> None:
    repo = make_repo()
    started = tmp_path / "started"
    run = record(gitrun, repo, "sh", "-c", f'test -e "{started}.go" && touch "{started}" && exec sleep 60; true')
    Path(f"{started}.go").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "gitrun", "replay", run], cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    for _ in range(300):
        if started.exists():
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    newest = gitrun("ls", "--json", cwd=repo).json()[0]
    assert (newest["status"], newest["links"]["replay_of"]) == ("interrupted", run)
    assert replays(repo) == []


def test_an_unknown_environment_is_refused(make_repo: Callable[..., Path], gitrun: Call) -> None:
    repo = make_repo()
    record(gitrun, repo, "true")
    done = gitrun("replay", "@", "--env", "other", cwd=repo)
    assert done.code == 2
    assert "--env" in done.stderr


def test_the_users_tree_is_not_touched(make_repo: Callable[..., Path], git: Call, gitrun: Call) -> None:
    repo = make_repo()
    run = record(gitrun, repo, "sh", "-c", "echo more >> train.py; touch created")
    git("checkout", "-q", "train.py", cwd=repo)
    (repo / "created").unlink()
    index = (repo / ".git" / "index").read_bytes()
    gitrun("replay", run, cwd=repo)
    assert git("status", "--porcelain", cwd=repo, env={"GIT_OPTIONAL_LOCKS": "0"}).stdout == ""
    assert (repo / ".git" / "index").read_bytes() == index
