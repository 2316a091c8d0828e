"""Where the blobs of a remote are, as a user sees it: set, checked, sent, and brought when they are asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Result

Gitrun = Callable[..., Result]
Git = Callable[..., Result]
WRITE = """\
import random
open("model.bin", "wb").write(random.Random(1).randbytes(3_000_000))
open("notes.txt", "w").write("fine\\n")
"""


@pytest.fixture
def mine(make_repo: Callable[..., Path], git: Git, tmp_path: Path) -> Path:
    """A repository with a remote, an empty bare one."""
    repo = make_repo({"write.py": WRITE, ".gitignore": "model.bin\nnotes.txt\n"}, name="mine")
    git("init", "-q", "--bare", "-b", "main", str(tmp_path / "hub.git"))
    git("remote", "add", "origin", str(tmp_path / "hub.git"), cwd=repo)
    git("push", "-q", "origin", "main", cwd=repo)
    return repo


@pytest.fixture(params=["inside Git", "directory"])
def sent(request: pytest.FixtureRequest, mine: Path, gitrun: Gitrun, tmp_path: Path) -> str:
    """A run that was pushed, its blobs inside Git or to a directory; its id."""
    if request.param == "directory":
        assert gitrun("remote", "set-store", "origin", f"file://{tmp_path}/shelf", cwd=mine).code == 0
    done = gitrun("record", "--keep", "*", "--", "python3", "write.py", cwd=mine)
    assert done.code == 0, done.stderr
    pushed = gitrun("push", "--yes", cwd=mine)
    assert pushed.code == 0, pushed.stderr
    return str(gitrun("ls", "--json", cwd=mine).json()[0]["id"])


@pytest.fixture
def theirs(request: pytest.FixtureRequest, sent: str, git: Git, gitrun: Gitrun, tmp_path: Path) -> Path:
    """A colleague's clone that has fetched the run."""
    git("clone", "-q", str(tmp_path / "hub.git"), str(tmp_path / "theirs"))
    if (tmp_path / "shelf").exists():
        gitrun("remote", "set-store", "origin", f"file://{tmp_path}/shelf", cwd=tmp_path / "theirs")
    fetched = gitrun("fetch", cwd=tmp_path / "theirs")
    assert fetched.code == 0, fetched.stderr
    return tmp_path / "theirs"


def test_files_of_a_fetched_run_come_when_they_are_asked_for(
    mine: Path, theirs: Path, sent: str, gitrun: Gitrun, tmp_path: Path
) -> None:
    assert not list((theirs / ".git" / "gitrun").rglob("*.gpk"))
    got = gitrun("get", sent, "model.bin", "-o", "got", cwd=theirs)
    assert got.code == 0, got.stderr
    assert (theirs / "got" / "model.bin").read_bytes() == (mine / "model.bin").read_bytes()
    shutil.rmtree(tmp_path / "hub.git")
    shutil.rmtree(tmp_path / "shelf", ignore_errors=True)
    again = gitrun("get", sent, "model.bin", "-o", "again", cwd=theirs)  # it is here by now
    assert again.code == 0, again.stderr
    lost = gitrun("get", sent, "notes.txt", "-o", "again", cwd=theirs)
    assert lost.code == 1 and "W051" not in lost.stdout and lost.stderr.count("notes.txt") == 1, lost.stderr


def test_a_checkout_brings_what_it_needs(mine: Path, theirs: Path, sent: str, gitrun: Gitrun, tmp_path: Path) -> None:
    done = gitrun("checkout", sent, str(tmp_path / "out"), "--artifacts", cwd=theirs)
    assert done.code == 0, done.stderr
    assert (tmp_path / "out" / "model.bin").read_bytes() == (mine / "model.bin").read_bytes()
    assert (tmp_path / "out" / "notes.txt").read_text() == "fine\n"


def test_fetch_brings_artifacts_where_it_is_told_to(theirs: Path, sent: str, gitrun: Gitrun) -> None:
    done = gitrun("fetch", "--artifacts", "origin", sent, "--json", cwd=theirs)
    assert done.code == 0, done.stderr
    assert done.json()["blobs_received"] > 5 and done.json()["blobs_missing"] == []
    assert gitrun("fsck", "--json", cwd=theirs).json() == {"ok": True, "problems": []}


def test_what_a_remote_has_is_no_damage(theirs: Path, sent: str, gitrun: Gitrun) -> None:
    done = gitrun("fsck", "--json", cwd=theirs)
    assert done.code == 0, done.stderr
    [problem] = done.json()["problems"]
    assert problem["code"] == "W055" and "origin" in problem["what"] and problem["runs"] == [sent]


def test_a_repair_brings_back_what_was_lost(mine: Path, sent: str, gitrun: Gitrun) -> None:
    shutil.rmtree(mine / ".git" / "gitrun" / "store" / "packs")
    shutil.rmtree(mine / ".git" / "gitrun" / "cache")
    lost = gitrun("fsck", "--json", cwd=mine)
    assert lost.code == 5 and {problem["code"] for problem in lost.json()["problems"]} == {"E034"}
    healed = gitrun("fsck", "--repair", "--json", cwd=mine)
    assert [problem["code"] for problem in healed.json()["problems"]] == ["W054"], healed.stdout
    assert gitrun("fsck", "--data", "--json", cwd=mine).json() == {"ok": True, "problems": []}
    assert gitrun("get", sent, "model.bin", "-o", "got", cwd=mine).code == 0


def test_a_repair_mends_damage_from_a_remote(mine: Path, sent: str, gitrun: Gitrun) -> None:
    for pack in (mine / ".git" / "gitrun" / "store" / "packs").rglob("*.gpk"):
        data = bytearray(pack.read_bytes())
        data[200:300] = bytes(100)
        pack.chmod(0o644)
        pack.write_bytes(data)
    first = gitrun("fsck", "--repair", "--json", cwd=mine)
    assert first.code == 5
    assert {"W036", "W054"} <= {problem["code"] for problem in first.json()["problems"]}, first.stdout
    assert gitrun("fsck", "--data", "--json", cwd=mine).json() == {"ok": True, "problems": []}


def test_what_was_dropped_is_fetched(mine: Path, sent: str, gitrun: Gitrun) -> None:
    assert gitrun("drop", sent, "--paths", "model.bin", cwd=mine).code == 0
    assert gitrun("gc", cwd=mine).code == 0
    got = gitrun("get", sent, "model.bin", "-o", "got", cwd=mine)
    assert got.code == 0, got.stderr
    assert (mine / "got" / "model.bin").read_bytes() == (mine / "model.bin").read_bytes()


def test_what_was_dropped_and_is_nowhere_says_what_makes_it_again(mine: Path, gitrun: Gitrun) -> None:
    gitrun("record", "--keep", "*", "--", "python3", "write.py", cwd=mine)
    gitrun("drop", "@", "--paths", "model.bin", cwd=mine)
    gitrun("gc", cwd=mine)
    got = gitrun("get", "@", "model.bin", "-o", "got", cwd=mine)
    assert got.code == 1 and "it was dropped; gitrun replay" in got.stderr


def test_remotes_are_listed_with_their_stores(mine: Path, sent: str, gitrun: Gitrun, tmp_path: Path) -> None:
    [row] = gitrun("remote", "--json", cwd=mine).json()
    assert row["name"] == "origin" and row["runs"] == 1
    assert row["store"] == (f"file://{tmp_path}/shelf" if (tmp_path / "shelf").exists() else "inside Git")
    assert gitrun("remote", cwd=mine).stdout.split("\t")[0] == "origin"


def test_a_remote_is_added_with_its_store(mine: Path, gitrun: Gitrun, git: Git, tmp_path: Path) -> None:
    shelf = f"file://{tmp_path}/shelf"
    done = gitrun("remote", "add", "lab", str(tmp_path / "hub.git"), "--store", shelf, cwd=mine)
    assert done.code == 0, done.stderr
    assert git("config", "remote.lab.gitrun-store", cwd=mine).stdout.strip() == shelf
    assert gitrun("remote", "set-store", "lab", "git", cwd=mine).code == 0
    assert git("config", "remote.lab.gitrun-store", cwd=mine, check=False).code == 1
    assert gitrun("remote", "add", "lab", str(tmp_path / "hub.git"), cwd=mine).code == 1


@pytest.mark.parametrize(
    "url", ["s3://key:secret@bucket/x", "http://example.org", "file://relative", "/shelf", "file:///", "s3:///x", ""]
)
def test_a_place_that_cannot_be_one_is_refused(url: str, mine: Path, gitrun: Gitrun, git: Git) -> None:
    done = gitrun("remote", "set-store", "origin", url, cwd=mine)
    assert done.code == 2 and "next:" in done.stderr
    assert git("config", "remote.origin.gitrun-store", cwd=mine, check=False).code == 1
    assert gitrun("remote", "set-store", "nobody", "git", cwd=mine).code == 2


def test_a_store_is_never_taken_from_a_committed_file(mine: Path, gitrun: Gitrun, tmp_path: Path) -> None:
    (mine / ".gitrun.toml").write_text(f'[remote.origin]\ngitrun-store = "file://{tmp_path}/evil"\n')
    gitrun("record", "--keep", "*", "--", "python3", "write.py", cwd=mine)
    gitrun("push", "--yes", cwd=mine)
    assert not (tmp_path / "evil").exists()


def test_a_check_tries_and_leaves_nothing(mine: Path, sent: str, gitrun: Gitrun, git: Git, tmp_path: Path) -> None:
    before = git("ls-remote", "origin", cwd=mine).stdout
    done = gitrun("remote", "check", "--json", cwd=mine)
    assert done.code == 0, done.stderr
    assert {each["state"] for each in done.json()} == {"ok"}
    assert git("ls-remote", "origin", cwd=mine).stdout == before
    if (tmp_path / "shelf").exists():
        assert len(list((tmp_path / "shelf").rglob("*.gpk"))) == len(list((tmp_path / "shelf" / "tails").iterdir()))


def test_a_check_says_what_does_not_work(mine: Path, gitrun: Gitrun, git: Git, tmp_path: Path) -> None:
    hook = tmp_path / "hub.git" / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase "$1" in refs/heads/*) exit 0;; esac\necho "only branches here" >&2\nexit 1\n')
    hook.chmod(0o755)
    refused = gitrun("remote", "check", cwd=mine)
    assert refused.code == 1 and "fail" in refused.stdout and "next:" in refused.stdout
    hook.write_text(f'#!/bin/sh\n[ "$3" != {"0" * 40} ]\n')
    kept = gitrun("remote", "check", cwd=mine)
    assert kept.code == 0 and "warn" in kept.stdout and "gc --remote" in kept.stdout
    shutil.rmtree(tmp_path / "hub.git")
    gone = gitrun("remote", "check", cwd=mine)
    assert gone.code == 1 and "fail" in gone.stdout


def test_a_large_run_inside_git_is_asked_about(mine: Path, gitrun: Gitrun, git: Git) -> None:
    (mine / "write.py").write_text('open("model.bin", "wb").write(__import__("os").urandom(270 << 20))\n')
    gitrun("record", "--keep", "*", "--", "python3", "write.py", cwd=mine)
    refused = gitrun("push", cwd=mine)
    assert refused.code == 1 and "--yes" in refused.stderr, refused.stderr
    assert "refs/gitrun/" not in git("ls-remote", "origin", cwd=mine).stdout
