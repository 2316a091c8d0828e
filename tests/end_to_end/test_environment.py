"""The environment in a record is that of the Python that ran, however the command got there."""

from __future__ import annotations

import json
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result, write_files
from tests.end_to_end.test_record import record_of

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
    return json.loads(git("cat-file", "blob", f"refs/gitrun/runs/{run['id']}:{name}", cwd=repo).stdout_bytes)


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
