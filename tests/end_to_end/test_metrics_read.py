"""What a run logged, from its journals into its record and back: by the command line, while it runs, after a kill."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gitrun.capture.series import Points
from gitrun.recording import measuring
from tests.conftest import Result
from tests.unit.recording.helpers import Typist, wait_for

Git = Callable[..., Result]
Gitrun = Callable[..., Result]
PACKAGE = str(Path(__file__).parents[2])
TRAIN = (
    "import gitrun\n"
    "for step in range(100):\n"
    "    gitrun.log({'loss': 1 / (1 + step), 'val': {'acc': step / 100}})\n"
    "gitrun.log({'loss': float('nan')})\n"
)


@pytest.fixture
def record(make_repo: Callable[..., Path], gitrun: Gitrun) -> Callable[..., Path]:
    """Records a program; the repository."""

    def call(program: str, *options: str, **more: str) -> Path:
        repo = make_repo({"train.py": program})
        done = gitrun(
            "record", *options, "--", sys.executable, "train.py", cwd=repo, env={"PYTHONPATH": PACKAGE, **more}
        )
        assert done.code == 0, done.stderr
        return repo

    return call


def test_a_logged_run_is_read_back(record: Callable[..., Path], gitrun: Gitrun, tmp_path: Path) -> None:
    repo = record(TRAIN)
    shown = gitrun("show", "--json", cwd=repo).json()
    assert shown["coverage"]["metrics"] == "complete"
    assert shown["metrics"]["loss"] == {
        "count": 101, "min": 0.01, "max": 1.0, "first": 1.0, "last": {"$float": "nan"}, "last_step": 100,
        "min_step": 99, "max_step": 0,
    }  # fmt: skip
    assert set(shown["metrics"]) == {"loss", "val/acc"}

    lines = list(csv.reader(io.StringIO(gitrun("metrics", "@", "loss", "--csv", cwd=repo).stdout)))
    assert lines[0] == ["step", "time", "value", "rank"] and len(lines) == 102
    assert [int(line[0]) for line in lines[1:]] == list(range(101))
    assert lines[3][2] == repr(1 / 3) and lines[-1][2] == "nan" and lines[1][3] == ""
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line[1]) for line in lines[1:])

    both = list(csv.reader(io.StringIO(gitrun("metrics", "--csv", cwd=repo).stdout)))
    assert both[0] == ["name", "step", "time", "value", "rank"] and len(both) == 202
    named = gitrun("metrics", "@", "loss", "val/acc", "--json", cwd=repo).json()
    assert named["metrics"] == {name: shown["metrics"][name] for name in ("loss", "val/acc")}
    assert named["points"]["val/acc"][50]["value"] == 0.5 and len(named["points"]["loss"]) == 101

    listed = gitrun("metrics", cwd=repo).stdout.splitlines()
    assert listed[0].split("\t") == ["loss", "101", "0.01", "1.0", "1.0", "nan", "100", "99", "0"]
    piped = gitrun("metrics", "@", "val/acc", cwd=repo).stdout.splitlines()
    assert len(piped) == 100 and piped[0].split("\t")[2] == "0.0"
    target = tmp_path / "out.parquet"
    assert gitrun("metrics", "@", "--parquet", str(target), cwd=repo).code == 0
    assert pq.read_table(target).num_rows == 201


def test_for_people(record: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = record(TRAIN)
    plotted = gitrun("metrics", "@", "val/acc", "--plot", cwd=repo).stdout
    assert "val/acc  last 0.99, min 0, max 0.99, 100 points" in plotted and "│" in plotted
    plain = gitrun("metrics", "@", "loss", "--plot", cwd=repo, env={"PYTHONIOENCODING": "ascii"}).stdout
    assert "*" in plain and plain.isascii()
    page = gitrun("show", cwd=repo).stdout
    assert re.search(r"loss +nan at step 100, 0\.01 … 1  █[▁-█ ]+\n", page)
    typist = Typist([sys.executable, "-m", "gitrun", "metrics"], cwd=repo)
    assert typist.finish() == 0
    assert b"METRIC" in typist.seen and "▁▁▁".encode() in typist.seen
    unknown = gitrun("metrics", "@", "acc", cwd=repo)
    assert unknown.code == 1 and "no metric 'acc'; there is val/acc" in unknown.stderr
    assert gitrun("metrics", "--csv", "--plot", cwd=repo).code == 2


def test_a_run_without_metrics(record: Callable[..., Path], gitrun: Gitrun) -> None:
    repo = record("print(1)")
    assert "metrics" not in gitrun("show", "--json", cwd=repo).json()["coverage"]
    done = gitrun("metrics", cwd=repo)
    assert done.code == 0 and "has no metrics" in done.stderr and done.stdout == ""


def test_files_that_the_command_writes(record: Callable[..., Path], gitrun: Gitrun) -> None:
    program = "open('log.csv', 'w').write('epoch,loss\\n0,2\\n1,1\\n')\nopen('m.jsonl', 'w').write('{\"acc\": 0.5}')"
    repo = record(program, "--metrics", "log.csv", "--metrics", "m.jsonl", "--metrics", "none.csv")
    shown = gitrun("show", "--json", cwd=repo).json()
    assert shown["metrics"]["loss"]["last"] == 1.0 and shown["metrics"]["acc"]["last_step"] == 0
    assert shown["coverage"]["metrics"] == ["none.csv: No such file or directory"]
    wrong = gitrun("record", "--metrics", "log.txt", "--", "true", cwd=repo)
    assert wrong.code == 125 and "--metrics log.txt" in wrong.stderr


def test_a_killed_run_has_all_that_was_logged(make_repo: Callable[..., Path], gitrun: Gitrun) -> None:
    program = (
        "import gitrun, sys, time\n"
        "for step in range(10**9):\n    gitrun.log({'loss': step})\n"
        "    if step == 1000: print('there', flush=True)\n    if step >= 1000: time.sleep(0.001)\n"
    )
    repo = make_repo({"train.py": program})
    argv = [sys.executable, "-m", "gitrun", "record", "--id-file", "../id", "--", sys.executable, "train.py"]
    env = {**os.environ, "PYTHONPATH": PACKAGE}
    with subprocess.Popen(argv, cwd=repo, env=env, stdout=subprocess.PIPE, start_new_session=True) as recorder:
        assert recorder.stdout is not None and recorder.stdout.readline() == b"there\n"
        run_id = (repo.parent / "id").read_text().strip()
        running = gitrun("metrics", run_id, "loss", "--json", cwd=repo).json()["metrics"]["loss"]
        assert running["count"] > 1000 and running["last"] == running["count"] - 1
        live = gitrun("show", run_id, "--json", cwd=repo).json()
        assert live["status"] == "running" and live["metrics"]["loss"]["count"] >= running["count"]
        member = repo / ".git" / "gitrun" / "live" / run_id / "members" / "0"
        keeper = json.loads((member / "keeper").read_text())
        os.killpg(recorder.pid, signal.SIGSTOP)
        journal = Points([str(member)]).read()
        written = sum(group.count for group in journal.groups)
        for pid, _ in keeper.values():
            os.kill(pid, signal.SIGKILL)
        os.killpg(recorder.pid, signal.SIGKILL)
    wait_for(lambda: gitrun("recover", cwd=repo).code == 0 and not member.exists())
    shown = gitrun("show", run_id, "--json", cwd=repo).json()
    assert shown["status"] == "lost" and shown["metrics"]["loss"]["count"] == written


def test_ranks_are_kept_and_rank_0_stands_for_the_run(record: Callable[..., Path], gitrun: Gitrun) -> None:
    program = (
        "import os, subprocess, sys\n"
        'log = \'import gitrun, os; gitrun.log({"loss": float(os.environ["RANK"]) + 5})\'\n'
        "for rank in '012':\n"
        "    subprocess.run([sys.executable, '-c', log], env={**os.environ, 'RANK': rank}, check=True)\n"
    )
    repo = record(program)
    one = gitrun("metrics", "@", "loss", "--json", cwd=repo).json()
    assert (one["metrics"]["loss"]["count"], one["metrics"]["loss"]["last"]) == (1, 5.0)
    assert [(point["rank"], point["value"]) for point in one["points"]["loss"]] == [(0, 5.0), (1, 6.0), (2, 7.0)]


def test_a_secret_in_a_name_is_none_in_the_record(record: Callable[..., Path], gitrun: Gitrun, git: Git) -> None:
    secret = "hunter2-is-the-password"
    repo = record(f"import gitrun; gitrun.log({{'loss {secret}': 1}})", DB_PASSWORD=secret)
    shown = gitrun("show", "--json", cwd=repo).json()
    assert list(shown["metrics"]) == ["loss <secret:DB_PASSWORD>"]
    data = git("cat-file", "blob", f"refs/gitrun/runs/{shown['id']}:metrics.parquet", cwd=repo).stdout_bytes
    assert secret.encode() not in data


def test_a_disk_that_is_full_keeps_the_journals(make_repo: Callable[..., Path], gitrun: Gitrun, world: Path) -> None:
    hook = world / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import sys\nif 'record' in sys.orig_argv:\n"
        "    import gitrun.capture.parquet as parquet, gitrun.errors as errors\n"
        "    def full(*_): raise errors.DiskFull('no room for metrics')\n"
        "    parquet.write_parquet = full\n"
    )
    repo = make_repo({"train.py": TRAIN})
    path = os.pathsep.join((str(hook), PACKAGE))
    done = gitrun("record", "--", sys.executable, "-S", "train.py", cwd=repo, env={"PYTHONPATH": path})
    assert done.code == 0 and "is not sealed: no room for metrics" in done.stderr
    assert len(list((repo / ".git" / "gitrun" / "live").glob("2*"))) == 1
    assert gitrun("recover", cwd=repo).code == 0
    assert gitrun("show", "--json", cwd=repo).json()["metrics"]["loss"]["count"] == 101


def test_config_and_summary_are_in_the_record(record: Callable[..., Path], gitrun: Gitrun) -> None:
    program = (
        "import argparse, gitrun\n"
        "p = argparse.ArgumentParser(); p.add_argument('--lr', type=float, default=0.1); p.parse_args([])\n"
        "gitrun.config.update(lr=0.5, model={'depth': 3}, what=object())\n"
        "gitrun.summary['best'] = 0.9; gitrun.summary['note'] = 'token=ghp_' + 'a1B2' * 9\n"
        "gitrun.seed(3); gitrun.seed(4)\n"
    )
    repo = record(program)
    shown: dict[str, Any] = gitrun("show", "--json", cwd=repo).json()
    assert shown["config"]["values"]["lr"] == 0.5 and shown["config"]["values"]["model.depth"] == 3
    assert shown["config"]["provenance"]["model.depth"] == {"source": "api", "default": None}
    assert shown["config"]["provenance"]["what"] == {"source": "api", "default": None, "exact": False}
    assert shown["config"]["provenance"]["lr"] == {"source": "api", "default": 0.1}
    assert shown["summary"]["best"] == 0.9 and "ghp_" not in json.dumps(shown)
    assert shown["seeds"]["gitrun.seed"] == {"calls": 2, "unseeded": 0, "last": 4}
    assert "summary best" in gitrun("show", cwd=repo).stdout


def test_a_million_points_are_sealed_in_time(tmp_path: Path) -> None:
    from tests.unit.capture.test_series import Journal

    journal = Journal()
    for step in range(20_000):
        journal.log({f"m{n}": float(step) for n in range(50)}, step, step * 1_000_000)
    member = tmp_path / "members" / "0"
    member.mkdir(parents=True)
    (tmp_path / "parts").mkdir()
    journal.write(member)
    live = measuring.LiveDirectory(str(tmp_path))
    draft: dict[str, Any] = {"live": {}}

    class Plain:
        def text(self, text: str) -> str:
            return text

    began = time.process_time()
    assert measuring.measure(live, draft, Plain()) == "complete"  # type: ignore[arg-type]
    assert time.process_time() - began < 10  # a bound against a slip of the algorithm; `scripts/bench metrics` measures
    assert len(draft["metrics"]) == 50 and (tmp_path / "parts" / "metrics.parquet").stat().st_size < 8_000_000
