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

from gitrun.model.canonical import decode, path_bytes
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
    assert run["coverage"]["installed"] == "complete"


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
