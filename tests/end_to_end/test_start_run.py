"""gitrun.start_run: real programs that record themselves, however they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result
from tests.end_to_end.test_record import live, only_run, record_of, run_ids
from tests.unit.recording.helpers import wait_for

Git = Callable[..., Result]
Gitrun = Callable[..., Result]
Python = Callable[..., Result]
PACKAGE = str(Path(__file__).parents[2])
HEAD = "import gitrun, os, signal, subprocess, sys, time\n"


@pytest.fixture
def repo(make_repo: Callable[..., Path]) -> Path:
    return make_repo({"base.txt": "base\n", ".gitignore": "__pycache__\n/generated.py\n"})


@pytest.fixture
def python(repo: Path) -> Python:
    """Runs a program in the repository, as a file of it."""

    def call(program: str, *words: str, flags: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Result:
        (repo / "program.py").write_text(HEAD + program)
        argv = [sys.executable, *flags, "program.py", *words]
        environ = {**os.environ, "PYTHONPATH": PACKAGE, "GITRUN_RECORD_ON_PROBLEM": "stop", **(env or {})}
        done = subprocess.run(argv, cwd=repo, env=environ, capture_output=True, timeout=120)
        return Result(done.returncode, done.stdout, done.stderr, argv)

    return call


def metric(gitrun: Gitrun, repo: Path, name: str, run: str = "@") -> list[float]:
    """The values that a run has logged, in order."""
    said = gitrun("metrics", run, name, "--csv", cwd=repo)
    assert said.code == 0, said.stderr
    return [float(line.split(",")[2]) for line in said.stdout.splitlines()[1:]]


def part(git: Git, repo: Path, name: str) -> bytes:
    return git("cat-file", "blob", f"refs/gitrun/runs/{run_ids(git, repo)[-1]}:{name}", cwd=repo).stdout_bytes


def test_a_program_records_itself(git: Git, gitrun: Gitrun, repo: Path, python: Python) -> None:
    done = python(
        """
before = dict(os.environ)
with gitrun.start_run(name="me", tags=["a"], note="why", config={"lr": 0.1, "net": {"depth": 3}}) as run:
    for i in range(4):
        gitrun.log({"loss": 1 / (i + 1)}, step=i)
    run.log({"loss": 0.1})
    run.summary["best"] = 0.1
    open("out.txt", "w").write("result")
    assert os.environ["GITRUN_RUN_ID"] == run.id
assert dict(os.environ) == before
assert not gitrun.config and not gitrun.summary
gitrun.log({"loss": 99})
print(run.id)
""",
        "--word",
    )
    assert done.code == 0, done.stderr
    record = only_run(git, repo)
    assert record["id"] == done.stdout.strip() and live(repo) == []
    assert (record["status"], record["exit"]) == ("completed", {"code": 0, "signal": None})
    assert (record["name"], record["tags"], record["notes"]) == ("me", ["a"], ["why"])
    assert record["command"] == [sys.executable, "program.py", "--word"]
    assert record["summary"] == {"best": 0.1} and record["process"]["inside"] == "program"
    assert metric(gitrun, repo, "loss") == [1, 1 / 2, 1 / 3, 1 / 4, 0.1]
    values = json.loads(part(git, repo, "config.json"))["values"]
    assert (values["lr"], values["net.depth"]) == (0.1, 3)
    assert json.loads(part(git, repo, "environment.json"))["distributions"]
    assert {"hardware.json", "metrics.parquet"} <= record["parts"].keys()
    assert b"gitrun.start_run" in part(git, repo, "source/program.py")
    outputs = [json.loads(line) for line in part(git, repo, "artifacts.jsonl").splitlines()]
    assert [(line["path"], line["kind"], line["stored"]) for line in outputs] == [("out.txt", "output", True)]
    assert record["coverage"]["child"]["processes"] == 1
    said = done.stderr.splitlines()
    assert said[0] == f"gitrun: recording {record['id']} (1 changed file)"
    assert said[1].startswith(f"gitrun: {record['id']} completed in ")
    assert said[2:] == ["gitrun: not in a recorded run, so gitrun.log and the like do nothing"]


INSIDE = "with gitrun.start_run('x'):\n    gitrun.log({'a': 1})\n    "
AROUND = "run = gitrun.start_run('x')\ngitrun.log({'a': 1})\n"


@pytest.mark.parametrize(
    ("program", "shell", "status", "exit"),
    [
        (AROUND + "run.finish()", 0, "completed", (0, None)),
        (AROUND + "run.finish(7)", 0, "failed", (7, None)),
        (AROUND + "run.finish(); run.finish(7)", 0, "completed", (0, None)),
        (AROUND, 0, "completed", (0, None)),
        (INSIDE + "raise ValueError('boo')", 1, "failed", (1, None)),
        (AROUND + "raise ValueError('boo')", 1, "failed", (1, None)),
        (INSIDE + "sys.exit(3)", 3, "failed", (3, None)),
        (INSIDE + "sys.exit()", 0, "completed", (0, None)),
        (AROUND + "sys.exit(3)", 3, "failed", (3, None)),
        (AROUND + "sys.exit('boo')", 1, "failed", (1, None)),
        (INSIDE + "raise KeyboardInterrupt", -2, "interrupted", (None, 2)),
        (AROUND + "os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", -2, "interrupted", (None, 2)),
    ],
)
def test_how_it_ends_is_how_it_is_recorded(
    git: Git, gitrun: Gitrun, repo: Path, python: Python, program: str, shell: int, status: str, exit: tuple[Any, Any]
) -> None:
    done = python(program)
    assert done.code == shell, done.stderr
    record = only_run(git, repo)
    assert (record["status"], record["exit"]) == (status, dict(zip(("code", "signal"), exit, strict=True)))
    assert record["metrics"]["a"]["last"] == 1.0
    if "boo" in program:
        assert "boo" in gitrun("logs", "x", cwd=repo).stdout


def test_a_killed_program_has_lost_nothing_that_it_logged(git: Git, gitrun: Gitrun, repo: Path, python: Python) -> None:
    done = python(AROUND + "for i in range(1000): gitrun.log({'b': i})\nos.kill(os.getpid(), signal.SIGKILL)")
    assert done.code == -signal.SIGKILL and run_ids(git, repo) == []
    listed = gitrun("ls", "--json", cwd=repo).json()
    assert [(run["status"], run["exit"]["code"]) for run in listed] == [("lost", None)]
    assert metric(gitrun, repo, "b") == list(range(1000))
    record = only_run(git, repo)
    assert record["coverage"]["metrics"] == "complete" and live(repo) == []
    modules = record["coverage"]["child"]
    assert modules["processes"] == 1  # what it had loaded was told before


def test_a_live_one_is_running_for_others(git: Git, gitrun: Gitrun, repo: Path) -> None:
    (repo / "program.py").write_text(HEAD + AROUND + "print('on', flush=True)\nsys.stdin.read()\n")
    argv = [sys.executable, "program.py"]
    environ = {**os.environ, "PYTHONPATH": PACKAGE}
    with subprocess.Popen(argv, cwd=repo, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == b"on\n"
        listed = gitrun("ls", "--json", cwd=repo).json()
        assert [run["status"] for run in listed] == ["running"]
        assert wait_for(lambda: gitrun("show", "x", "--json", cwd=repo).json()["liveness"]["heartbeat_age_s"] < 60)
        assert metric(gitrun, repo, "a") == [1.0]
        refused = gitrun("recover", listed[0]["id"], cwd=repo)
        assert refused.code == 1 and "may be alive" in refused.stderr
        process.stdin.close()
        assert process.wait() == 0
    assert only_run(git, repo)["status"] == "completed"


def test_its_children_log_into_it_and_do_not_end_it(git: Git, gitrun: Gitrun, repo: Path, python: Python) -> None:
    done = python(
        AROUND
        + """
if os.fork() == 0:
    gitrun.log({"forked": 2})
    run.finish(9)
    sys.exit(5)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 5
subprocess.run([sys.executable, "-c", "import gitrun; gitrun.log({'started': 3})"], check=True)
gitrun.log({"a": 4})
"""
    )
    assert done.code == 0, done.stderr
    record = only_run(git, repo)
    assert record["status"] == "completed" and record["coverage"]["child"]["processes"] == 2
    assert metric(gitrun, repo, "forked") == [2.0]
    assert metric(gitrun, repo, "started") == [3.0]
    assert metric(gitrun, repo, "a") == [1.0, 4.0]


def test_within_a_recorded_command_it_is_a_child_run(git: Git, gitrun: Gitrun, repo: Path) -> None:
    inner = "with gitrun.start_run('in'): gitrun.log({'inner': 2})\n"
    program = "gitrun.log({'outer': 1})\n" + inner + "gitrun.log({'outer': 3})"
    (repo / "program.py").write_text(HEAD + program)
    done = gitrun("record", "-n", "out", "--", sys.executable, "program.py", cwd=repo, env={"PYTHONPATH": PACKAGE})
    assert done.code == 0, done.stderr
    by_name = {record["name"]: record for record in (record_of(git, repo, run_id) for run_id in run_ids(git, repo))}
    assert by_name["in"]["links"]["parent"] == by_name["out"]["id"]
    assert metric(gitrun, repo, "inner", "in") == [2.0]
    assert metric(gitrun, repo, "outer", "out") == [1.0, 3.0]
    assert set(by_name["out"]["metrics"]) == {"outer"} and set(by_name["in"]["metrics"]) == {"inner"}


def test_one_after_the_other_and_never_two(git: Git, gitrun: Gitrun, repo: Path, python: Python) -> None:
    done = python(
        """
for n in range(2):
    with gitrun.start_run(f"n{n}", config={f"key{n}": n}):
        gitrun.log({"a": n})
        try:
            gitrun.start_run("other")
        except Exception as problem:
            print(type(problem).__name__, problem)
"""
    )
    assert done.code == 0, done.stderr
    ids = run_ids(git, repo)
    assert done.stdout.splitlines() == [f"UsageError this process is recording run {run_id}" for run_id in ids]
    assert [record_of(git, repo, run_id)["metrics"]["a"]["last_step"] for run_id in ids] == [0, 0]
    assert json.loads(part(git, repo, "config.json"))["values"] == {"key1": 1}


def test_threads_that_begin_at_once_are_one_run(git: Git, gitrun: Gitrun, repo: Path, python: Python) -> None:
    done = python(
        """
import threading
refused, gate, ended = [], threading.Barrier(4), threading.Event()
def go():
    gate.wait()
    try:
        with gitrun.start_run():
            gitrun.log({"x": 1})
            ended.wait(60)
    except gitrun.errors.UsageError:
        refused.append(1)
    if len(refused) == 3:
        ended.set()
threads = [threading.Thread(target=go) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(refused))
"""
    )
    assert (done.code, done.stdout) == (0, "3\n"), done.stderr
    only_run(git, repo)
    assert metric(gitrun, repo, "x") == [1]


def test_what_names_it_may_be_anything(git: Git, repo: Path, python: Python) -> None:
    done = python(
        "gitrun.start_run(7, tags='one', note='\\ud800', group='\\udcff').finish()\n"
        "try:\n    gitrun.start_run(config=[1])\nexcept TypeError:\n    print('refused')\n"
    )
    assert (done.code, done.stdout) == (0, "refused\n"), done.stderr
    record = only_run(git, repo)
    assert (record["name"], record["tags"], record["notes"]) == ("7", ["one"], ["\\ud800"])


def test_disabled_it_does_nothing(git: Git, repo: Path, python: Python) -> None:
    done = python(
        "with gitrun.start_run('x', config={'a': 1}) as run:\n    run.log({'a': 1})\n    print(run.id)",
        env={"GITRUN_DISABLE": "1"},
    )
    assert (done.code, done.stdout, done.stderr) == (0, "None\n", "")
    assert run_ids(git, repo) == []


def test_without_a_repository_it_raises_or_goes_on(tmp_path: Path) -> None:
    program = "import gitrun\nwith gitrun.start_run() as run: print(run.id); gitrun.log({'a': 1})"
    environ = {**os.environ, "PYTHONPATH": PACKAGE, "GITRUN_RECORD_ON_PROBLEM": "stop"}
    argv = [sys.executable, "-c", program]
    stopped = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert stopped.returncode == 1 and "NotARepository" in stopped.stderr
    environ["GITRUN_RECORD_ON_PROBLEM"] = "run"
    going_on = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert (going_on.returncode, going_on.stdout) == (0, "None\n")
    assert going_on.stderr.startswith("gitrun: NOT RECORDED: ") and "go on" not in going_on.stderr.splitlines()[1]


def test_what_it_loaded_is_kept_although_git_ignores_it(git: Git, repo: Path, python: Python) -> None:
    (repo / "generated.py").write_text("VALUE = 1\n")
    done = python(AROUND + "import generated\n")
    assert done.code == 0, done.stderr
    extra = [json.loads(line) for line in part(git, repo, "extra.jsonl").splitlines()]
    assert [(line["path"], line["reason"]) for line in extra] == [("generated.py", "loaded")]


def test_a_secret_is_neither_in_the_traceback_nor_in_the_config(
    git: Git, gitrun: Gitrun, repo: Path, python: Python
) -> None:
    secret = "hunter2-very-long-and-secret"
    done = python(
        INSIDE + "gitrun.config.update(url=os.environ['API_TOKEN'])\n    raise ValueError(os.environ['API_TOKEN'])",
        env={"API_TOKEN": secret},
    )
    assert done.code == 1
    assert "ValueError: <secret:API_TOKEN>" in gitrun("logs", "x", cwd=repo).stdout
    assert secret.encode() not in part(git, repo, "config.json")


def test_an_archive_that_is_gone_costs_the_program_nothing(repo: Path, python: Python) -> None:
    done = python(AROUND + "import shutil\nshutil.rmtree('.git')\nrun.finish()\nprint('done')")
    assert (done.code, done.stdout) == (0, "done\n")
    assert "is not sealed" in done.stderr and "Traceback" not in done.stderr


def test_a_live_directory_that_is_gone_is_made_again(git: Git, repo: Path, python: Python) -> None:
    done = python(AROUND + "import shutil\nshutil.rmtree(os.environ['GITRUN_RUN_DIR'])\nrun.finish()\nprint('done')")
    assert (done.code, done.stdout) == (0, "done\n"), done.stderr
    record = only_run(git, repo)
    assert record["status"] == "completed" and "lost" in record["coverage"]["environment"][0]


def test_a_program_that_closes_everything_loses_no_file_of_its_own(
    git: Git, gitrun: Gitrun, repo: Path, python: Python
) -> None:
    done = python(
        AROUND
        + """
os.closerange(3, 4000)
files = [open(f"own{n}", "w") for n in range(50)]
gitrun.log({"a": 2})
run.finish()
for file in files:
    file.write("mine")
    file.close()
"""
    )
    assert done.code == 0, done.stderr
    assert [(repo / f"own{n}").read_text() for n in range(50)] == ["mine"] * 50
    assert metric(gitrun, repo, "a") == [1.0, 2.0] and only_run(git, repo)["status"] == "completed"


def test_an_open_archive_lets_the_own_run_live(repo: Path, python: Python) -> None:
    done = python(
        """
archive = gitrun.open()
with gitrun.start_run("x") as run:
    gitrun.log({"a": 1})
    assert [each.status for each in archive.runs()] == ["running"]
    assert len(archive["x"].metrics("a")) == 1
    gitrun.log({"a": 2})
assert archive[run.id].status == "completed" and len(archive["@"].metrics("a")) == 2
"""
    )
    assert done.code == 0, done.stderr


# -- sessions


SHELL = """
import types
class Events(list):
    def register(self, name, call): self.append((name, call))
    def unregister(self, name, call): self.remove((name, call))
class Shell:
    def __init__(self):
        self.events, self.history_manager = Events(), types.SimpleNamespace(input_hist_raw=[""])
        self.space = {"gitrun": gitrun, "os": os, "signal": signal}
    def run(self, code):
        info = types.SimpleNamespace(raw_cell=code, store_history=True)
        for _, call in list(self.events): call(info)
        self.history_manager.input_hist_raw.append(code)
        try: exec(code, self.space)
        except Exception as problem: print(type(problem).__name__)
shell = Shell()
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: shell)
"""


def cells(git: Git, repo: Path) -> list[tuple[int, str]]:
    return [(line["n"], line["code"]) for line in map(json.loads, part(git, repo, "cells.jsonl").splitlines())]


def test_the_cells_of_a_notebook_are_kept_in_order(git: Git, gitrun: Gitrun, repo: Path, python: Python) -> None:
    typed = ["x = 1", "run = gitrun.start_run('x')", "gitrun.log({'a': x})", "1 / 0", "x = 'hunter2-long-secret'"]
    done = python(SHELL + f"for code in {typed!r}: shell.run(code)", env={"DB_PASSWORD": "hunter2-long-secret"})
    assert (done.code, done.stdout) == (0, "ZeroDivisionError\n"), done.stderr
    assert cells(git, repo) == [*enumerate(typed[:4], 1), (5, "x = '<secret:DB_PASSWORD>'")]
    record = only_run(git, repo)
    assert record["status"] == "completed"  # a cell that failed was typed again, or not
    assert metric(gitrun, repo, "a") == [1.0]
    able = gitrun("show", "x", "--json", cwd=repo).json()["replayable"]
    assert able["level"] == "no" and "session" in able["because"][0]
    assert gitrun("replay", "x", cwd=repo).code == 4


def test_a_cell_that_kills_the_kernel_is_kept(git: Git, gitrun: Gitrun, repo: Path, python: Python) -> None:
    typed = ["run = gitrun.start_run('x')", "gitrun.log({'a': 1})\nos.kill(os.getpid(), signal.SIGKILL)"]
    assert python(SHELL + f"for code in {typed!r}: shell.run(code)").code == -signal.SIGKILL
    assert gitrun("recover", cwd=repo).code == 0
    assert cells(git, repo) == list(enumerate(typed, 1))
    assert only_run(git, repo)["status"] == "lost"


def test_another_run_in_a_notebook_finishes_the_one_before(git: Git, repo: Path, python: Python) -> None:
    typed = ["run = gitrun.start_run('x')", "run = gitrun.start_run('y')", "run.finish()", "assert not shell.events"]
    done = python(SHELL + f"shell.space['shell'] = shell\nfor code in {typed!r}: shell.run(code)")
    assert (done.code, done.stdout) == (0, ""), done.stderr
    records = [record_of(git, repo, run_id) for run_id in run_ids(git, repo)]
    assert [(record["name"], record["status"]) for record in records] == [("x", "completed"), ("y", "completed")]
    assert [code for _, code in cells(git, repo)] == typed[:3]


def test_with_ipython_itself(git: Git, repo: Path, python: Python) -> None:
    pytest.importorskip("IPython")
    typed = ["x = 1", "run = gitrun.start_run('x')", "%time y = x", "run.finish()"]
    done = python(
        "from IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell.instance()\n"
        f"shell.user_ns['gitrun'] = gitrun\nfor code in {typed!r}: shell.run_cell(code, store_history=True)"
    )
    assert done.code == 0, done.stderr
    assert cells(git, repo) == list(enumerate(typed, 1))


# -- what it costs who does not use it


def test_importing_gitrun_does_not_load_it(python: Python) -> None:
    heavy = ("gitrun.api", "gitrun.recording", "pyarrow")
    done = python(f"print([name for name in sys.modules if name.startswith({heavy})])")
    assert (done.code, done.stdout) == (0, "[]\n")


def test_where_gitruns_libraries_are_missing_it_says_so(python: Python) -> None:
    program = "try: gitrun.start_run\nexcept ImportError as problem: print(problem)\ngitrun.log({'a': 1})"
    done = python(program, flags=("-S",))
    assert done.code == 0 and "need gitrun installed in this Python (" in done.stdout, done.stderr
    assert "pip install gitrun" in done.stdout


def test_no_process_of_the_user_is_forked(git: Git, repo: Path, python: Python) -> None:
    for n in range(3100):  # so many that a recorder would send a scout
        (repo / f"file{n}").touch()
    git("add", "-A", cwd=repo)
    done = python("os.register_at_fork(before=lambda: print('forked'))\nwith gitrun.start_run(): pass")
    assert (done.code, done.stdout) == (0, ""), done.stderr


def test_a_large_file_is_stored_when_the_process_exits(git: Git, repo: Path, python: Python) -> None:
    done = python(AROUND + "open('big.bin', 'wb').write(os.urandom(6 << 20))\n")
    assert done.code == 0, done.stderr
    (line,) = [json.loads(line) for line in part(git, repo, "artifacts.jsonl").splitlines()]
    assert (line["path"], line["stored"], line["bytes"]) == ("big.bin", True, 6 << 20), done.stderr


def test_metrics_are_sealed_when_the_process_exits_whatever_arrow_loads(
    gitrun: Gitrun, repo: Path, python: Python
) -> None:
    (repo / "pandas.py").write_text("import concurrent.futures.thread\n__version__ = '2.0.0'\n")
    done = python(AROUND + "assert 'pyarrow' not in sys.modules")
    assert done.code == 0, done.stderr
    assert metric(gitrun, repo, "a") == [1.0]


RANK = """
with gitrun.start_run(name='ranks', **eval(sys.argv[1])) as run:
    print(run.id, flush=True)
    while len(os.listdir(os.environ['GITRUN_RUN_DIR'] + '/members')) < int(sys.argv[2]):
        time.sleep(0.02)
    for i in range(3):
        gitrun.log({'loss': i + 10 * int(os.environ.get('RANK', 0))}, step=i)
    time.sleep(float(os.environ.get('WAIT', 0)))
"""


def ranks_of(repo: Path, count: int, options: str, together: int, **more: str) -> list[tuple[str, str]]:
    """What so many processes print and say that record themselves side by side; rank 0 ends last."""
    (repo / "ranks.py").write_text(HEAD + RANK)
    running = []
    for rank in range(count):
        env = {"RANK": str(rank), "WORLD_SIZE": str(count), "PYTHONPATH": PACKAGE, "WAIT": "0" if rank else "1", **more}
        argv = [sys.executable, "ranks.py", options, str(together)]
        running.append(
            subprocess.Popen(
                argv, cwd=repo, env={**os.environ, **env}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        )
    ended = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0] * count, ended
    return ended


def test_the_ranks_of_a_launcher_are_one_run(gitrun: Gitrun, repo: Path) -> None:
    together = {"TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    ended = ranks_of(repo, 3, "{}", 3, **together)
    (run_id,) = {out.strip() for out, _ in ended}
    assert sum(" go on" in err or " goes on" in err for _, err in ended) == 2
    (run,) = gitrun("ls", "--json", cwd=repo).json()
    assert (run["id"], run["status"]) == (run_id, "completed") and len(run["members"]) == 3
    assert sorted(member["rank"] for member in run["members"]) == [0, 1, 2]
    assert run["coverage"]["members"] == "complete"
    assert run["metrics"]["loss"]["last"] == 2.0  # of rank 0
    assert sorted(metric(gitrun, repo, "loss")) == [0, 1, 2, 10, 11, 12, 20, 21, 22]
    listed = gitrun("metrics", "@", "--rank", "2", cwd=repo).stdout.split("\t")
    assert (listed[0], listed[1], listed[5]) == ("loss", "3", "22.0")
    assert "no metrics of rank 7" in gitrun("metrics", "@", "--rank", "7", cwd=repo).stderr


def test_processes_with_one_key_are_one_run_and_without_each_is_its_own(gitrun: Gitrun, repo: Path) -> None:
    ranks_of(repo, 2, "{'join': 'here', 'members': 2}", 2, WORLD_SIZE="")
    (run,) = gitrun("ls", "--json", cwd=repo).json()
    assert len(run["members"]) == 2 and run["status"] == "completed"
    ranks_of(repo, 2, "{'join': ''}", 1, TORCHELASTIC_RUN_ID="none")
    assert len(gitrun("ls", "--json", cwd=repo).json()) == 3


def test_a_number_of_members_needs_a_key(repo: Path, python: Python) -> None:
    done = python("gitrun.start_run(members=2)")
    assert done.code == 1 and "members=N says how many" in done.stderr


def test_its_replay_is_the_run_that_it_would_begin(git: Git, gitrun: Gitrun, repo: Path, python: Python) -> None:
    assert python("with gitrun.start_run('x', config={'lr': 1}): gitrun.log({'a': 1})").code == 0
    done = gitrun("replay", "x", "--env", "current", "--json", cwd=repo)
    verdict = done.json()
    assert (done.code, verdict["verdict"], verdict["compared"]["metrics"]) == (0, "bit", 1), verdict
    assert "NOT RECORDED" not in done.stderr and len(run_ids(git, repo)) == 2
    replayed = gitrun("show", verdict["replay"], "--json", cwd=repo).json()
    assert replayed["config"]["values"]["lr"] == 1
