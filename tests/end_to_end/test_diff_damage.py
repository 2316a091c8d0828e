"""`gitrun diff` and damage: the run is named, nothing is guessed, and git and no git say the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.git.hashing import object_id
from tests.conftest import Result

Call = Callable[..., Result]
REF = "refs/gitrun/runs/"


@pytest.fixture
def repo(make_repo: Callable[..., Path], gitrun: Call, git: Call) -> Path:
    """A run of a changed working tree, all its objects loose, and another change since."""
    repo = make_repo({"a": "1\n", "lib/b": "1\n"})
    (repo / "a").write_text("2\n")
    (repo / "lib/b").write_text("2\n")
    assert gitrun("record", "--quiet", "--name", "r", "--", "true", cwd=repo).code == 0
    (repo / "a").write_text("3\n")
    (repo / "lib/b").write_text("3\n")
    for pack in (repo / ".git/objects/pack").glob("*.pack"):
        data = pack.read_bytes()
        for file in pack.parent.glob(f"{pack.stem}.*"):
            file.unlink()
        git("unpack-objects", "-q", cwd=repo, input=data)
    return repo


def run_ref(git: Call, repo: Path) -> str:
    return git("for-each-ref", "--format=%(refname)", REF, cwd=repo).stdout.split()[-1]


def loose(git: Call, repo: Path, what: str) -> Path:
    oid = git("rev-parse", what, cwd=repo).stdout.strip()
    path = repo / ".git/objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("what", ["source/a", "source", "source/lib"])
@pytest.mark.parametrize("damage", [None, b"garbage"])
def test_an_object_that_cannot_be_read(
    repo: Path, git: Call, gitrun: Call, no_git: dict[str, str], what: str, damage: bytes | None
) -> None:
    ref = run_ref(git, repo)
    path = loose(git, repo, f"{ref}:{what}")
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    said = [gitrun("diff", "r", cwd=repo, env=env) for env in ({}, no_git)]
    assert [done.code for done in said] == [5, 5], said
    assert said[0].stderr == said[1].stderr
    assert said[0].stderr.startswith(f"gitrun: run {ref[len(REF) :]} is damaged: ")
    assert path.parent.name + path.name in said[0].stderr


def change_record(git: Call, repo: Path, replace: Callable[[list[str]], list[str]]) -> str:
    """A second run whose tree is that of the first with its lines replaced; its id is of no matter here."""
    ref = run_ref(git, repo)
    lines = replace(git("ls-tree", ref, cwd=repo).stdout.splitlines())
    tree = git("mktree", "--missing", cwd=repo, input="\n".join(lines) + "\n").stdout.strip()
    git("update-ref", ref, git("commit-tree", tree, "-m", "x", cwd=repo).stdout.strip(), cwd=repo)
    return ref[len(REF) :]


def test_a_tree_that_is_none(repo: Path, git: Call, gitrun: Call, no_git: dict[str, str]) -> None:
    data = b"100644 a\0short"
    oid = object_id("tree", data, "sha1")
    git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", cwd=repo, input=data)
    ref = run_ref(git, repo)
    record = json.loads(git("cat-file", "blob", f"{ref}:run.json", cwd=repo).stdout)
    record["source"]["tree"] = oid
    blob = git("hash-object", "-w", "--stdin", cwd=repo, input=json.dumps(record)).stdout.strip()
    run_id = change_record(
        git, repo, lambda lines: [f"{line[:12]}{blob}\trun.json" if "run.json" in line else line for line in lines]
    )
    said = [gitrun("diff", "@", cwd=repo, env=env) for env in ({}, no_git)]
    assert [done.code for done in said] == [5, 5], said
    assert said[0].stderr == said[1].stderr
    assert said[0].stderr.splitlines()[0] == f"gitrun: run {run_id} is damaged: tree {oid} is missing or corrupt"


def test_a_record_that_would_be_an_option(
    repo: Path, git: Call, gitrun: Call, tmp_path: Path, with_and_without_git: dict[str, str]
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    ref = run_ref(git, repo)
    record = json.loads(git("cat-file", "blob", f"{ref}:run.json", cwd=repo).stdout)
    record["source"]["tree"] = f"--output={victim}"
    blob = git("hash-object", "-w", "--stdin", cwd=repo, input=json.dumps(record)).stdout.strip()
    run_id = change_record(
        git, repo, lambda lines: [f"{line[:12]}{blob}\trun.json" if "run.json" in line else line for line in lines]
    )
    done = gitrun("diff", run_id, cwd=repo, env=with_and_without_git)
    assert done.code == 5 and victim.read_text() == "mine\n"
    assert done.stderr.count("is damaged") == 1 and "source.tree" in done.stderr


@pytest.mark.parametrize("damage", [None, b""])
def test_a_run_json_that_cannot_be_read(
    repo: Path, git: Call, gitrun: Call, damage: bytes | None, with_and_without_git: dict[str, str]
) -> None:
    ref = run_ref(git, repo)
    path = loose(git, repo, f"{ref}:run.json")
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    done = gitrun("show", ref[len(REF) :], cwd=repo, env=with_and_without_git)
    oid = path.parent.name + path.name
    assert done.code == 5
    assert done.stderr.splitlines()[0] == (
        f"gitrun: run {ref[len(REF) :]} is damaged: "
        f"run.json cannot be read: object {oid} is missing, corrupt or too big"
    )


def test_a_tree_of_a_run_that_is_gone(
    repo: Path, git: Call, gitrun: Call, with_and_without_git: dict[str, str]
) -> None:
    ref = run_ref(git, repo)
    loose(git, repo, f"{ref}^{{tree}}").unlink()
    done = gitrun("show", ref[len(REF) :], cwd=repo, env=with_and_without_git)
    assert done.code == 5 and done.stderr.count("is damaged") == 1
    assert "its tree " in done.stderr and "is missing or corrupt" in done.stderr


def test_the_working_tree_in_a_sha256_repository(
    make_repo: Callable[..., Path], gitrun: Call, with_and_without_git: dict[str, str]
) -> None:
    repo = make_repo({"a": "1\n"}, init=("--object-format=sha256",))
    assert gitrun("record", "--quiet", "--name", "x", "--", "true", cwd=repo, env=with_and_without_git).code == 0
    (repo / "a").write_text("2\n")
    done = gitrun("diff", "x", cwd=repo, env=with_and_without_git)
    assert done.code == 0 and "-1\n+2\n" in done.stdout, done.stderr


@pytest.mark.parametrize("words", [["ls"], ["snapshot"], ["show", "@"]])
def test_a_current_directory_that_is_gone(tmp_path: Path, words: list[str]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    program = "import os, sys; os.rmdir(os.getcwd()); sys.argv[0] = 'gitrun'; from gitrun.__main__ import main; main()"
    environ = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(os.path.dirname(__file__)))}
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=gone, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "gitrun: the current directory no longer exists"
