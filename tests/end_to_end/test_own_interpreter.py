"""gitrun's own interpreter does not import what the user's Python is told to import, and the recorded command does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import Result
from tests.end_to_end.test_record import only_run, recorder, started
from tests.unit.recording.helpers import wait_for

Git = Callable[..., Result]
Gitrun = Callable[..., Result]
Make = Callable[..., Path]
NAMES = ("signal", "json", "hashlib", "typing", "struct", "zlib", "subprocess", "dataclasses", "msgpack", "typer")
HOME = Path(__file__).parents[2]


def poison(place: Path) -> Path:
    """Modules with the names of those that gitrun needs; each raises when it is imported."""
    place.mkdir(exist_ok=True)
    for name in NAMES:
        (place / f"{name}.py").write_text(f"raise RuntimeError('this is the {name} of the user')\n")
    return place


PROGRAM = """
import sys
for name in sys.argv[1:]:
    try:
        __import__(name)
    except RuntimeError as problem:
        print(problem)
"""


@pytest.mark.parametrize("where", ["PYTHONPATH", "an empty entry", "the working directory"])
def test_the_users_modules_are_the_commands_alone(
    make_repo: Make, gitrun: Gitrun, git: Git, tmp_path: Path, where: str
) -> None:
    repo = make_repo({"program.py": PROGRAM, ".gitignore": "*.py\n"})
    value = {"PYTHONPATH": str(poison(tmp_path / "poison")), "an empty entry": f"{tmp_path}:"}.get(where, "")
    if where != "PYTHONPATH":
        poison(repo)
    env = {"PYTHONPATH": value, "PYTHONSTARTUP": "nowhere.py"}
    done = gitrun("record", "--", sys.executable, "program.py", *NAMES, cwd=repo, env=env)
    assert done.code == 0 and "Traceback" not in done.stderr
    assert done.stdout.splitlines() == [f"this is the {name} of the user" for name in NAMES]
    commands = [["ls"], ["show", "@"], ["logs", "@"], ["fsck"], ["gc", "--dry-run"], ["recover"]]
    for words in commands if where == "PYTHONPATH" else commands[:1]:
        assert (gitrun(*words, cwd=repo, env=env).code, words) == (0, words)
    record = only_run(git, repo)
    assert record["process"]["variables"].get("PYTHONPATH", "") == value
    assert record["coverage"]["child"]["python"] == "observed"


def test_a_run_is_recovered_without_them(make_repo: Make, gitrun: Gitrun, git: Git, tmp_path: Path) -> None:
    """Both ways: by the keeper when the recorder was killed, and by hand when both were."""

    def sealed(count: int) -> bool:
        return len(git("for-each-ref", "refs/gitrun/runs", cwd=repo).stdout.splitlines()) == count

    def gone(pid: int) -> bool:
        return not Path(f"/proc/{pid}").exists()

    repo = make_repo({"train.py": "import time\nopen('ready', 'w')\ntime.sleep(60)\n"})
    env = {"PYTHONPATH": str(poison(tmp_path / "poison"))}
    for count, both in enumerate((False, True), 1):
        process = recorder(repo, sys.executable, "train.py", env={**os.environ, **env})
        wait_for((repo / "ready").exists)
        (repo / "ready").unlink()
        command = int(next(started(repo).glob("observed-*")).name.split("-")[1])
        keeper = int(Path(f"/proc/{command}/stat").read_text().rpartition(")")[2].split()[1])
        process.kill()
        process.wait()
        if both:
            os.kill(keeper, signal.SIGKILL)
        os.kill(command, signal.SIGKILL)
        process.communicate()
        if both:
            wait_for(partial(gone, keeper))
            assert gitrun("recover", cwd=repo, env=env).code == 0
        wait_for(partial(sealed, count))


FIND = """
import sys
from gitrun.own_python import leave_users_places, own_variables
before = list(sys.path)
leave_users_places()
print([place for place in before if place not in sys.path], [place for place in sys.path if place in before[:3]])
print(own_variables({"PYTHONPATH": sys.argv[1], "PYTHONSTARTUP": "x", "A": "1"}))
"""


def test_a_gitrun_that_only_pythonpath_leads_to_has_its_libraries_and_asks_them_last(tmp_path: Path) -> None:
    """Installed with `pip install --target`, say, or by `module load`."""
    python, beside = os.path.join(sys.base_prefix, "bin", "python3"), str(poison(tmp_path / "beside"))
    variables = {"PYTHONPATH": f"{beside}:{HOME}", "PATH": os.environ["PATH"]}
    words = [python, "-c", FIND + "import json, msgpack\n", variables["PYTHONPATH"]]
    done = subprocess.run(words, env=variables, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        f"[''] {[beside, str(HOME)]}",
        str({"A": "1", "PYTHONPATH": variables["PYTHONPATH"]}),
    ], done.stderr
    assert "this is the msgpack of the user" in done.stderr and "json" not in done.stderr


def test_places_of_python_stay_though_pythonpath_names_them(tmp_path: Path) -> None:
    asked = "import site, os; print(os.pathsep.join([os.path.dirname(os.__file__), *site.getsitepackages()]))"
    own = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, cwd=tmp_path).stdout.strip()
    variables = {**os.environ, "PYTHONPATH": f"{own}:{tmp_path}"}
    look = FIND + "import sys, msgpack\nprint(set(sys.argv[1].split(':')) <= set(sys.path))\n"
    done = subprocess.run([sys.executable, "-P", "-c", look, own], env=variables, capture_output=True, text=True)
    assert done.stdout.startswith(f"[{str(tmp_path)!r}]") and done.stdout.endswith("True\n"), done.stderr
