"""The environment in a record is that of the Python that ran, however the command got there."""

from __future__ import annotations

import json
import os
import signal
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.model.canonical import decode, path_bytes
from tests.conftest import Result, write_files
from tests.end_to_end.test_record import live, only_run, record_of, recorder, started
from tests.unit.capture_facts.test_edited import install
from tests.unit.recording.helpers import wait_for

Git = Callable[..., Result]
Gitrun = Callable[..., Result]


@pytest.fixture
def repo(make_repo: Callable[..., Path], tmp_path: Path) -> Path:
    run = f"exec {tmp_path}/env/bin/python train.py\n"
    return make_repo({"train.py": "import mine\nprint(mine.X)\n", "run.sh": run})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A virtual environment outside the repository, with one distribution that is edited elsewhere."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "env"), "platbase": str(tmp_path / "env")}))
    origin = {"url": f"file://{tmp_path}/lib%20rary", "dir_info": {"editable": True}}
    files = {"METADATA": "Name: mine\nVersion: 1.5\n", "RECORD": "", "direct_url.json": json.dumps(origin)}
    write_files(site, {f"mine-1.5.dist-info/{name}": text for name, text in files.items()})
    write_files(tmp_path / "lib rary", {"mine.py": "X = 1\n", "notes.txt": "kept with it\n"})
    (site / "_mine.pth").write_text(f"{tmp_path}/lib rary\n")
    return tmp_path


def record(git: Git, gitrun: Gitrun, repo: Path, *command: str) -> dict[str, Any]:
    done = gitrun("record", "--id-file", ".git/id", "--", *command, cwd=repo)
    assert done.code == 0, done.stderr
    return record_of(git, repo, (repo / ".git/id").read_text().strip())


def part(git: Git, repo: Path, run: dict[str, Any], name: str) -> Any:
    return decode(git("cat-file", "blob", f"refs/gitrun/runs/{run['id']}:{name}", cwd=repo).stdout_bytes)


def test_a_script_that_chooses_a_python(git: Git, gitrun: Gitrun, repo: Path, place: Path) -> None:
    direct = record(git, gitrun, repo, f"{place}/env/bin/python", "train.py")
    shell = record(git, gitrun, repo, "sh", "run.sh")
    assert direct["parts"]["environment.json"]["sha256"] == shell["parts"]["environment.json"]["sha256"]
    assert shell["interpreter"] == direct["interpreter"] and shell["interpreter"]["prefix"] == f"{place}/env"
    value = part(git, repo, shell, "environment.json")
    assert value["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert [(each["name"], each["version"]) for each in value["distributions"]] == [("mine", "1.5")]
    assert direct["coverage"]["environment"] == shell["coverage"]["environment"] == "complete"


def test_what_is_installed_from_a_directory_is_source(git: Git, gitrun: Gitrun, repo: Path, place: Path) -> None:
    run = record(git, gitrun, repo, f"{place}/env/bin/python", "train.py")
    (root,) = run["source"]["roots"]
    assert (root["path"], root["kind"], root["imported_from"]) == (f"{place}/lib rary", "outside", ["."])
    kept = git("ls-tree", "-r", "--name-only", root["tree"], cwd=repo).stdout.split()
    assert kept == ["mine.py", "notes.txt"]


def test_native_libraries_are_stored_once(git: Git, gitrun: Gitrun, repo: Path, place: Path) -> None:
    runs = [record(git, gitrun, repo, f"{place}/env/bin/python", "train.py") for _ in range(2)]
    assert runs[0]["parts"]["native.json"] == runs[1]["parts"]["native.json"]
    libraries = part(git, repo, runs[0], "native.json")["libraries"]
    libc = [each for each in libraries if (each.get("soname") or "").startswith("libc.")]
    assert [(each["place"], bool(each["build_id"])) for each in libc] == [("system", True)]
    assert runs[0]["coverage"]["native"] == "complete"


def test_a_script_that_runs_on_is_looked_at_while_it_runs(git: Git, gitrun: Gitrun, repo: Path, place: Path) -> None:
    (repo / "train.py").write_text("import mine, time\ntime.sleep(2.5)\n")
    run = record(git, gitrun, repo, "sh", "run.sh")
    assert run["interpreter"]["prefix"] == f"{place}/env" and run["coverage"]["environment"] == "complete"
    (root,) = run["source"]["roots"]
    assert root["path"] == f"{place}/lib rary"
    assert "when it had ended" not in run["lock"]["reason"] and "no Python" not in run["lock"]["reason"]
    assert run["coverage"]["installed"] == "complete" and run["process"]["installed"]["scope"] == "all"


@pytest.mark.parametrize(
    "script", ["{python} train.py", "sleep 2; {python} train.py", "sleep 2; {python} train.py; sleep 6"]
)
def test_a_python_that_starts_late_is_known_as_an_early_one_is(
    git: Git, gitrun: Gitrun, repo: Path, place: Path, script: str
) -> None:
    direct = record(git, gitrun, repo, f"{place}/env/bin/python", "train.py")
    late = record(git, gitrun, repo, "sh", "-c", script.format(python=f"{place}/env/bin/python"))
    for name in ("environment.json", "pylock.toml"):
        assert direct["parts"].get(name) == late["parts"].get(name)
    assert late["lock"] == direct["lock"] and "no Python" not in late["lock"]["reason"]
    assert late["interpreter"] == direct["interpreter"]
    named = [(root["path"], root["tree"], root["imported_from"]) for root in late["source"]["roots"]]
    assert named == [(root["path"], root["tree"], root["imported_from"]) for root in direct["source"]["roots"]]
    assert direct["coverage"]["installed"] == "loaded"
    assert late["coverage"]["installed"] == ("complete" if "sleep 6" in script else "loaded")
    assert late["coverage"]["environment"] == "complete"


def test_a_short_run_says_which_installed_files_it_loaded_are_edited(
    git: Git, gitrun: Gitrun, repo: Path, place: Path
) -> None:
    site = Path(sysconfig.get_path("purelib", vars={"base": str(place / "env"), "platbase": str(place / "env")}))
    install(site, "alpha", {"alpha.py": b"X = 1\n"})
    install(site, "beta", {"beta.py": b"X = 1\n"})
    for name in ("alpha.py", "beta.py"):
        (site / name).write_bytes(b"X = 2\n")
    (repo / "train.py").write_text("import alpha\n")
    run = record(git, gitrun, repo, f"{place}/env/bin/python", "train.py")
    (edited,) = run["process"]["installed"]["edited"]
    assert (edited["path"], edited["state"], edited["loaded"]) == ("alpha.py", "changed", True)
    assert run["coverage"]["installed"] == "loaded", "beta.py was not loaded, and nobody looked at it"
    shown = json.loads(gitrun("show", run["id"], "--json", cwd=repo).stdout)["replayable"]
    assert "1 installed file(s) that the run loaded are not as they were installed (alpha.py)" in shown["because"]


def test_a_killed_recorder_leaves_what_it_had_found_among_the_installed_files(
    git: Git, gitrun: Gitrun, repo: Path, place: Path
) -> None:
    site = Path(sysconfig.get_path("purelib", vars={"base": str(place / "env"), "platbase": str(place / "env")}))
    install(site, "alpha", {"alpha.py": b"X = 1\n"})
    (site / "alpha.py").write_bytes(b"X = 2\n")
    (repo / "train.py").write_text("import time, mine\ntime.sleep(60)\n")
    process = recorder(repo, f"{place}/env/bin/python", "train.py")
    state = started(repo).parent.parent / "installed.json"
    try:
        wait_for(state.exists)
    finally:
        process.kill()
        os.kill(json.loads((state.parent / "members/0/keeper").read_text())["command"][0], signal.SIGKILL)
        process.communicate()
    wait_for(lambda: live(repo) == [])
    run = only_run(git, repo)
    assert [each["path"] for each in run["process"]["installed"]["edited"]] == ["alpha.py"]
    assert run["process"]["installed"]["scope"] == "all" and run["coverage"]["installed"] == "complete"


def test_paths_without_end_or_encoding(git: Git, gitrun: Gitrun, repo: Path, place: Path) -> None:
    odd = place / b"odd\xff".decode("utf-8", "surrogateescape") / "site-packages"
    write_files(odd, {"strange-1.dist-info/METADATA": "Name: strange\nVersion: 1\n"})  # and no RECORD
    write_files(odd, {b"broken\xff-2.dist-info/METADATA": b"\xff\xfe\0\0", "empty-3.dist-info/RECORD": '"'})
    (repo / "train.py").write_text(
        "import sys\nsys.path += [f'/x/{n}' for n in range(10_000)]\nimport json, mine\nprint(len(sys.path))\n"
    )
    path = ":".join([str(odd), *(f"/y/{n}" for n in range(9_000))])
    for command in ([f"{place}/env/bin/python", "train.py"], ["sh", "run.sh"]):
        words = ["record", "--id-file", ".git/id", "--", *command]
        done = gitrun(*words, cwd=repo, env={"PYTHONPATH": path})
        assert done.code == 0 and int(done.stdout) > 19_000, done.stderr
        run = record_of(git, repo, (repo / ".git/id").read_text().strip())
        found = part(git, repo, run, "environment.json")["distributions"]
        names = [path_bytes(each["name"]) for each in found]
        assert names == [b"broken\xff", b"empty", b"mine", b"strange"]
        said = "\n".join(run["coverage"]["environment"])
        assert "strange: RECORD" in said and "empty: " in said and "packages were looked for in 200" in said
