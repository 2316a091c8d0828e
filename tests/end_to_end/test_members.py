"""Several processes side by side that are one run: how they find each other, who seals, and kill -9 of each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gitrun.model.canonical import decode, encode
from tests.conftest import Result
from tests.unit.recording.helpers import wait_for

Gitrun = Callable[..., Result]
WAITS = "while [ ! -e go ]; do sleep 0.05; done"


class Member:
    """A `gitrun record` in a session of its own, as on a host of its own."""

    all: ClassVar[list[Member]] = []

    def __init__(self, repo: Path, *words: str, env: dict[str, str] | None = None, join: tuple[str, ...] = ()) -> None:
        argv = [sys.executable, "-m", "gitrun", "record", *join, "--", *words]
        self.process = subprocess.Popen(
            argv, cwd=repo, env={**os.environ, **(env or {})}, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.all.append(self)

    def ended(self) -> tuple[int, str]:
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err

    def kill_all(self) -> None:
        """Recorder, keeper and command."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture(autouse=True)
def nobody_stays() -> Iterator[None]:
    """Whatever a test has left running ends with it."""
    yield
    while Member.all:
        Member.all.pop().kill_all()


def step(rank: int, of: int, **more: str) -> dict[str, str]:
    """The variables of a task of a Slurm step."""
    return {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_ID": "0",
        "SLURM_PROCID": str(rank),
        "SLURM_STEP_NUM_TASKS": str(of),
        **more,
    }


def started(repo: Path, count: int) -> Path:
    """The live directory of the one run, once the commands of so many members run."""
    home = repo / ".git/gitrun/live"
    return wait_for(
        lambda: next((d for d in home.glob("2*") if len(list(d.glob("members/*/keeper"))) == count), None), 60
    )


def runs_of(gitrun: Gitrun, repo: Path) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = gitrun("ls", "--json", cwd=repo).json()
    return listed


def test_a_step_of_four_tasks_is_one_run(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    """Each has its console, its exit and its rank; what they wrote and logged is the run's."""
    program = (
        "import gitrun, os, sys\n"
        "rank = int(os.environ['SLURM_PROCID'])\n"
        "print('I am', rank)\n"
        "open(f'out-{rank}', 'w').write(str(rank))\n"
        "gitrun.log({'loss': float(rank)}, step=0)\n"
        "sys.exit(3 if rank == 2 else 0)\n"
    )
    repo = make_repo({"train.py": program})
    members = [Member(repo, "python", "train.py", env=step(rank, 4)) for rank in range(4)]
    ended = [member.ended() for member in members]
    assert [code for code, _ in ended] == [0, 0, 3, 0]
    sealed = [said for _, said in ended if "next: gitrun show" in said]
    assert len(sealed) == 1 and sum("other member" in said for _, said in ended) == 3
    (run,) = runs_of(gitrun, repo)
    run = gitrun("show", run["id"], "--json", cwd=repo).json()
    assert run["status"] == "failed" and run["exit"] == {"code": 3, "signal": None}
    assert sorted((m["rank"], m["status"], m["exit"]["code"]) for m in run["members"]) == [
        (0, "completed", 0), (1, "completed", 0), (2, "failed", 3), (3, "completed", 0),
    ]  # fmt: skip
    assert run["coverage"]["members"] == "complete"
    assert [(e["path"], e["kind"]) for e in run["artifacts"]] == [(f"out-{n}", "output") for n in range(4)]
    said = {m["rank"]: gitrun("logs", "@", "--member", str(m["n"]), cwd=repo).stdout for m in run["members"]}
    assert said == {rank: f"I am {rank}\n" for rank in range(4)}
    rows = [line.split(",") for line in gitrun("metrics", "@", "loss", "--csv", cwd=repo).stdout.splitlines()[1:]]
    assert [(row[3], row[2]) for row in rows] == [(str(n), f"{n}.0") for n in range(4)]
    assert run["metrics"]["loss"]["last"] == 0.0, "what stands for the run is rank 0's"
    assert not list((repo / ".git/gitrun/live").iterdir())
    assert gitrun("fsck", cwd=repo).code == 0


def test_a_member_that_never_comes_is_told(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo()
    env = {"GITRUN_RECORD_JOIN_WAIT": "3"}
    members = [Member(repo, "true", env={**step(rank, 3), **env}) for rank in (0, 2)]
    assert [member.ended()[0] for member in members] == [0, 0]
    (run,) = runs_of(gitrun, repo)
    assert run["status"] == "completed" and len(run["members"]) == 2
    assert run["coverage"]["members"] == ["1 of 3 members never came (rank 1)"]


def test_a_key_is_a_run_until_that_has_ended(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo()
    key = ("--join", "mine")
    first = Member(repo, "sh", "-c", WAITS, join=key)
    started(repo, 1)
    assert Member(repo, "echo", "second", join=key).ended()[0] == 0
    other = Member(repo, "true", join=("--join", "other"))
    assert other.ended()[0] == 0
    (repo / "go").touch()
    assert first.ended()[0] == 0
    assert Member(repo, "true", join=key).ended()[0] == 0
    third, alone, both = runs_of(gitrun, repo)
    assert [len(run["members"]) for run in (third, alone, both)] == [1, 1, 2]
    assert both["members"][1]["command"] == ["echo", "second"] and "command" not in both["members"][0]
    page = gitrun("show", both["id"], cwd=repo).stdout
    assert "member 1" in page


def test_watching_all_members_and_one(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo()
    words = ("sh", "-c", f'echo "this is $0"; {WAITS}')
    members = [Member(repo, *words, str(n), join=("--join", "k", "--members", "2")) for n in range(2)]
    started(repo, 2)
    argv = [sys.executable, "-m", "gitrun", "watch", "--every", "0.3"]
    with subprocess.Popen(argv, cwd=repo, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        lines = [watching.stdout.readline().rstrip("\n").split("\t") for _ in range(3)]
        assert lines[-1][1] == "running (2 of 2 members)" and lines[-1][-1].startswith(("0| this is ", "1| this is "))
        (repo / "go").touch()
        assert watching.communicate(timeout=60)[0].splitlines()[-1].split("\t")[1] == "completed"
    assert [member.ended()[0] for member in members] == [0, 0]
    alone = gitrun("logs", "--member", "1", cwd=repo).stdout
    assert alone.startswith("this is ")


def test_two_commands_of_one_step_are_two_runs(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo()
    record = f"{sys.executable} -m gitrun record -q"
    script = f"{record} -n prepare -- true; {record} -n train -- true"
    tasks = [subprocess.Popen(["sh", "-c", script], cwd=repo, env={**os.environ, **step(rank, 2)}) for rank in range(2)]
    assert [task.wait(60) for task in tasks] == [0, 0]
    assert [(run["name"], len(run["members"])) for run in runs_of(gitrun, repo)] == [("train", 2), ("prepare", 2)]


def test_what_is_recorded_inside_a_member_is_a_run_of_its_own(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = make_repo()
    inner = f"{sys.executable} -m gitrun record -q -n inner -- true"
    members = [Member(repo, "sh", "-c", inner, env=step(rank, 2), join=("-n", "outer")) for rank in range(2)]
    assert [member.ended()[0] for member in members] == [0, 0]
    runs = runs_of(gitrun, repo)
    assert sorted((run["name"], len(run["members"])) for run in runs) == [("inner", 1), ("inner", 1), ("outer", 2)]
    outer = next(run["id"] for run in runs if run["name"] == "outer")
    assert {run["links"]["parent"] for run in runs if run["name"] == "inner"} == {outer}


def test_a_member_in_another_directory(
    make_repo: Callable[..., Path], gitrun: Gitrun, git: Callable[..., Result]
) -> None:
    """Its files are not those of the run's source, which is said; what it wrote is kept under its own path."""
    repo = make_repo()
    other = repo.parent / "other"
    git("worktree", "add", "-q", str(other), cwd=repo)
    join = ("--join", "k", "--members", "2")
    first = Member(repo, "sh", "-c", f"{WAITS}; echo 1 > out", join=join)
    started(repo, 1)
    second = Member(other, "sh", "-c", "echo 2 > out; echo 2 > ../other/more", join=join)
    assert second.ended()[0] == 0
    (repo / "go").touch()
    assert first.ended()[0] == 0
    run = gitrun("show", "@", "--json", cwd=repo).json()
    (gap,) = run["coverage"]["source"]
    assert gap.startswith(f"member 1: it ran in {other}")
    kept = [entry["path"] for entry in run["artifacts"] if entry["path"] != "go"]
    assert kept == [f"{other}/more", f"{other}/out", "out"]
    assert gitrun("get", "@", "out", f"{other}/out", "-o", "back", cwd=repo).code == 0


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("what", ["recorder", "keeper", "command", "all"])
def test_kill_9_of_each(make_repo: Callable[..., Path], gitrun: Gitrun, victim: int, what: str) -> None:
    """The one that is left seals the run, with the truth about the other."""
    repo = make_repo(
        {"train.py": "print('here', flush=True)\nimport os, time\nwhile not os.path.exists('go'): time.sleep(0.05)\n"}
    )
    members = [Member(repo, "python", "train.py", env=step(0, 2))]
    started(repo, 1)
    members.append(Member(repo, "python", "train.py", env=step(1, 2)))
    live = started(repo, 2)
    consoles = [live / f"members/{n}/console" for n in range(2)]
    wait_for(lambda: all(console.exists() and b"here" in console.read_bytes() for console in consoles), 60)
    pids = json.loads((live / f"members/{victim}/keeper").read_text())
    if what == "all":
        members[victim].kill_all()
    else:
        pid = members[victim].process.pid if what == "recorder" else pids[what][0]
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.3)
    (repo / "go").touch()
    assert members[1 - victim].ended()[0] == 0
    members[victim].process.communicate(timeout=60)
    wait_for(lambda: not list((repo / ".git/gitrun/live").iterdir()) or gitrun("recover", cwd=repo) is None, 60)
    (run,) = runs_of(gitrun, repo)
    by_rank = {member["rank"]: member for member in run["members"]}
    expected = {"recorder": "completed", "keeper": "lost", "command": "failed", "all": "lost"}[what]
    assert by_rank[victim]["status"] == expected and by_rank[1 - victim]["status"] == "completed"
    assert run["status"] == expected
    for member in run["members"]:
        assert gitrun("logs", "@", "--member", str(member["n"]), cwd=repo).stdout == "here\n"
    assert run["coverage"]["members"] == "complete"


def test_a_member_on_a_host_that_is_gone(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    """Nobody here can say how it ended: the run shows as running there, and a person may seal it."""
    repo = make_repo()
    members = [Member(repo, "sh", "-c", WAITS, env=step(rank, 2)) for rank in range(2)]
    live = started(repo, 2)
    header = next(live.glob("members/1/header.json"))
    gone = next(m for m in members if m.process.pid == decode(header.read_bytes())["recorder"]["pid"])
    other = next(m for m in members if m is not gone)
    header.write_bytes(encode({**decode(header.read_bytes()), "host_id": "another", "host": "node9"}))
    gone.kill_all()
    (repo / "go").touch()
    code, said = other.ended()
    assert code == 0 and "1 other member goes on" in said
    (run,) = runs_of(gitrun, repo)
    assert run["status"] == "running" and run["liveness"]["host"] == "node9"
    assert gitrun("recover", run["id"], "--force", cwd=repo).code == 0
    (run,) = runs_of(gitrun, repo)
    assert run["status"] == "unknown"
    assert [(member["n"], member["status"]) for member in run["members"]] == [(0, "completed"), (1, "unknown")]
