"""Runs over real remotes: a directory, git http-backend (also behind nginx), sshd; with git and without."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.conftest import Result

Gitrun = Callable[..., Result]
Git = Callable[..., Result]
TOKEN = "ghp_" + "A1b2" * 9


@pytest.fixture
def hub(tmp_path: Path, git: Git) -> Path:
    """A bare repository that takes pushes, over http as well."""
    root = tmp_path / "hub"
    git("init", "-q", "--bare", "-b", "main", str(root / "r.git"))
    git("config", "http.receivepack", "true", cwd=root / "r.git")
    return root


@pytest.fixture
def url(hub: Path) -> str:
    """Its address, as a path."""
    return str(hub / "r.git")


@pytest.fixture(params=["file", "http", "nginx", "ssh"])
def any_url(
    request: pytest.FixtureRequest, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Its address over each way there is."""
    if request.param == "file":
        yield f"file://{hub}/r.git"
    elif request.param == "http":
        with servers.http(hub) as address:
            yield f"{address}/r.git"
    elif request.param == "nginx":
        if servers.NGINX is None or servers.FCGIWRAP is None:
            pytest.skip("nginx or fcgiwrap is not installed")
        with servers.nginx(hub, tmp_path / "nginx") as address:
            yield f"{address}/r.git"
    else:
        if servers.SSHD is None:
            pytest.skip("sshd is not installed")
        with servers.sshd(tmp_path / "sshd") as ssh:
            monkeypatch.setenv("GIT_SSH_COMMAND", ssh.command)
            yield ssh.url(hub / "r.git")


def origin(root: Path, url: str, git: Git, *, push: bool = True) -> Path:
    """Give a repository this remote, and the remote its branch."""
    git("remote", "add", "origin", url, cwd=root)
    if push:
        git("push", "-q", "origin", "HEAD:refs/heads/main", cwd=root)
        git("fetch", "-q", "origin", cwd=root)
    return root


def record(root: Path, gitrun: Gitrun, *words: str, **env: str) -> str:
    """Record a run; its id."""
    out = root / ".git" / "id"
    done = gitrun("record", "-q", "--id-file", str(out), *words, "--", "echo", "hello", cwd=root, env=env)
    assert done.code == 0, done.stderr
    return out.read_text().strip()


def clone(url: str, place: Path, git: Git) -> Path:
    git("clone", "-q", url, str(place))
    return place


def ok(done: Result) -> Result:
    assert done.code == 0, done.stderr
    return done


def refs(root: Path | str, git: Git, prefix: str = "") -> dict[str, str]:
    out = git("for-each-ref", "--format=%(refname) %(objectname)", *([prefix] if prefix else []), cwd=root).stdout
    return dict(line.split(" ") for line in out.splitlines())


def whole(root: Path | str, git: Git) -> None:
    """Every object that a ref names is there."""
    git("fsck", "--strict", "--connectivity-only", cwd=root)
    git("rev-list", "--objects", "--all", "--quiet", cwd=root)


def ids(root: Path, gitrun: Gitrun) -> set[str]:
    return {run["id"] for run in ok(gitrun("ls", "--json", cwd=root)).json()}


def test_a_run_goes_there_and_comes_back(
    make_repo: Callable[..., Path], any_url: str, hub: Path, git: Git, gitrun: Gitrun, tmp_path: Path
) -> None:
    here = origin(make_repo(), any_url, git)
    (here / "train.py").write_text("print('edited')\n")
    run = record(here, gitrun, "-n", "first")
    sent = ok(gitrun("push", "--json", cwd=here)).json()
    assert (sent["runs"], sent["already"], sent["refused"], sent["wrapped"]) == ([run], [], [], {})
    assert sent["bytes_sent"] > 0 and sent["blobs_sent"] == 0
    again = ok(gitrun("push", "--json", cwd=here)).json()
    assert (again["runs"], again["already"], again["bytes_sent"]) == ([], [run], 0)
    assert ok(gitrun("push", "origin", run[-6:], "--json", cwd=here)).json()["already"] == [run]
    whole(hub / "r.git", git)

    there = clone(any_url, tmp_path / "there", git)
    before = refs(there, git)
    got = ok(gitrun("fetch", "--json", cwd=there)).json()
    assert (got["runs"], got["already"], got["refused"]) == ([run], [], [])
    assert ok(gitrun("fetch", "--json", cwd=there)).json()["already"] == [run]
    after = refs(there, git)
    assert after.pop(f"refs/gitrun/runs/{run}") == refs(here, git)[f"refs/gitrun/runs/{run}"]
    assert after == before and not (there / ".git/FETCH_HEAD").exists()
    mine, theirs = (ok(gitrun("show", run, "--json", cwd=root)).json() for root in (here, there))
    assert mine == theirs
    assert "hello" in ok(gitrun("logs", run, cwd=there)).stdout
    place = ok(gitrun("checkout", run, str(tmp_path / "out"), cwd=there)).stdout.strip()
    assert (Path(place) / "train.py").read_text() == "print('edited')\n"
    git("fsck", "--strict", cwd=there)
    git("gc", "-q", "--prune=now", cwd=there)
    assert ok(gitrun("show", run, "--json", cwd=there)).json() == theirs
    assert not any((there / ".git/gitrun/tmp").glob("incoming-*"))


def test_what_is_pushed_without_git_is_fetched_without_git(
    make_repo: Callable[..., Path],
    url: str,
    git: Git,
    gitrun: Gitrun,
    tmp_path: Path,
    with_and_without_git: dict[str, str],
) -> None:
    here, env = origin(make_repo(), url, git), with_and_without_git
    (here / "new.py").write_text("x = 1\n")
    run = record(here, gitrun)
    ok(gitrun("tag", run[-6:], "good", cwd=here))
    assert ok(gitrun("push", "--json", cwd=here, env=env)).json()["runs"] == [run]
    assert ok(gitrun("push", "--json", cwd=here, env=env)).json()["already"] == [run]
    whole(url, git)
    there = tmp_path / "there"
    git("clone", "-q", "--no-local", "file://" + url, str(there))
    assert ok(gitrun("fetch", "--json", cwd=there, env=env)).json()["runs"] == [run]
    assert ok(gitrun("show", run, "--json", cwd=there, env=env)).json()["tags"] == ["good"]
    git("fsck", "--strict", cwd=there)
    # a commit that is only here, the long way
    git("commit", "-q", "--allow-empty", "-m", "only here", cwd=here)
    second = record(here, gitrun)
    assert list(ok(gitrun("push", "--json", cwd=here, env=env)).json()["wrapped"]) == [second]
    whole(url, git)


def test_commits_that_are_only_here_stay_here(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun, tmp_path: Path
) -> None:
    here = origin(make_repo(), url, git)
    public = git("rev-parse", "HEAD", cwd=here).stdout.strip()
    (here / "idea.txt").write_text("not for everybody\n")
    git("add", "-A", cwd=here)
    git("commit", "-q", "-m", "SECRET IDEA", cwd=here)
    private = git("rev-parse", "HEAD", cwd=here).stdout.strip()
    run = record(here, gitrun)
    sent = ok(gitrun("push", "--json", cwd=here)).json()
    assert (sent["runs"], sent["wrapped"]) == ([run], {run: public})
    assert git("cat-file", "-e", private, cwd=url, check=False).code != 0
    travelled = refs(url, git)[f"refs/gitrun/runs/{run}"]
    assert git("rev-parse", f"{travelled}^^", cwd=url).stdout.strip() == public
    local = refs(here, git)[f"refs/gitrun/runs/{run}"]
    assert travelled != local
    trees = [git("rev-parse", f"{oid}^{{tree}}", cwd=root).stdout for oid, root in ((local, here), (travelled, url))]
    assert trees[0] == trees[1]
    # it is known for the same run, also by who has forgotten that
    assert ok(gitrun("push", "--json", cwd=here)).json()["already"] == [run]
    shutil.rmtree(here / ".git/gitrun/cache/remotes")
    assert ok(gitrun("push", "--json", cwd=here)).json()["already"] == [run]
    shutil.rmtree(here / ".git/gitrun/cache/remotes")
    got = ok(gitrun("fetch", "--json", cwd=here)).json()
    assert (got["already"], got["refused"]) == ([run], [])
    assert ok(gitrun("push", run, "--json", cwd=here)).json()["already"] == [run]
    assert refs(here, git)[f"refs/gitrun/runs/{run}"] == local
    # and goes on from there
    there = clone(url, tmp_path / "there", git)
    assert ok(gitrun("fetch", "--json", cwd=there)).json()["runs"] == [run]
    assert ok(gitrun("checkout", run, str(tmp_path / "out"), cwd=there))
    assert (tmp_path / "out/idea.txt").read_text() == "not for everybody\n"


def test_commits_become_public_only_after_a_yes(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun
) -> None:
    here = origin(make_repo(), url, git)
    git("commit", "-q", "--allow-empty", "-m", "half an idea", cwd=here)
    private = git("rev-parse", "HEAD", cwd=here).stdout.strip()
    run = record(here, gitrun)
    refused = gitrun("push", "--with-commits", cwd=here)
    assert refused.code == 1 and "half an idea" in refused.stderr and "gitrun push --yes" in refused.stderr
    assert refs(url, git, "refs/gitrun") == {}
    sent = ok(gitrun("push", "--with-commits", "--yes", "--json", cwd=here)).json()
    assert (sent["runs"], sent["public"], sent["wrapped"]) == ([run], [private], {})
    assert refs(url, git)[f"refs/gitrun/runs/{run}"] == refs(here, git)[f"refs/gitrun/runs/{run}"]


def test_a_shallow_clone_pushes(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun, tmp_path: Path
) -> None:
    first = origin(make_repo(), url, git)
    for n in range(3):
        git("commit", "-q", "--allow-empty", "-m", f"c{n}", cwd=first)
    git("push", "-q", "origin", "HEAD:main", cwd=first)
    here = tmp_path / "shallow"
    git("clone", "-q", "--depth=1", f"file://{url}", str(here))
    shallow = (here / ".git/shallow").read_text()
    run = record(here, gitrun)
    assert ok(gitrun("push", "--json", cwd=here)).json()["runs"] == [run]
    git("commit", "-q", "--allow-empty", "-m", "only here", cwd=here)
    second = record(here, gitrun)
    assert ok(gitrun("push", "--json", cwd=here)).json()["runs"] == [second]
    whole(url, git)
    assert (here / ".git/shallow").read_text() == shallow
    # a remote that has none of this history
    other = tmp_path / "other.git"
    git("init", "-q", "--bare", str(other))
    assert set(ok(gitrun("push", str(other), "--json", cwd=here)).json()["runs"]) == {run, second}
    whole(other, git)
    # and the other way round
    third = record(first, gitrun)
    ok(gitrun("push", cwd=first))
    assert ok(gitrun("fetch", "--json", cwd=here)).json()["runs"] == [third]
    assert (here / ".git/shallow").read_text() == shallow
    git("fsck", cwd=here)


def test_another_run_of_the_same_id_is_refused(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun, tmp_path: Path
) -> None:
    here = origin(make_repo(), url, git)
    one, two = record(here, gitrun), record(here, gitrun)
    mine = refs(here, git)
    git("push", "-q", "origin", f"{mine[f'refs/gitrun/runs/{two}']}:refs/gitrun/runs/{one}", cwd=here)
    done = gitrun("push", "--json", cwd=here)
    assert done.code == 1
    assert done.json()["runs"] == [two]
    assert [(each["code"], each["run"]) for each in done.json()["refused"]] == [("E060", one)]
    assert refs(url, git)[f"refs/gitrun/runs/{one}"] == mine[f"refs/gitrun/runs/{two}"]
    named = gitrun("push", "origin", one, "--json", cwd=here)
    assert named.code == 1 and named.json()["refused"][0]["code"] == "E060"
    got = gitrun("fetch", "--json", cwd=here)
    assert got.code == 1 and [(each["code"], each["run"]) for each in got.json()["refused"]] == [("E060", one)]
    assert refs(here, git) == mine
    # nor does anybody else take it
    there = clone(url, tmp_path / "there", git)
    got = gitrun("fetch", "--json", cwd=there)
    assert got.code == 1 and got.json()["runs"] == [two] and got.json()["refused"][0]["code"] == "E012"
    assert ids(there, gitrun) == {two}


def test_a_damaged_run_keeps_no_other_from_travelling(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun
) -> None:
    here = origin(make_repo(), url, git)
    good, later = record(here, gitrun), record(here, gitrun)
    tree = git("rev-parse", "HEAD^{tree}", cwd=here).stdout.strip()
    for bad, target in (
        ("20260101-000000-aaaaaa", tree),
        ("20260101-000000-bbbbbb", git("rev-parse", "HEAD", cwd=here).stdout.strip()),
        ("20260101-000000-cccccc", refs(here, git)[f"refs/gitrun/runs/{good}"]),
    ):
        git("update-ref", f"refs/gitrun/runs/{bad}", target, cwd=here)
    done = gitrun("push", "--json", cwd=here)
    assert done.code == 1
    assert set(done.json()["runs"]) == {good, later}
    assert sorted((each["run"][-6:], each["code"]) for each in done.json()["refused"]) == [
        ("aaaaaa", "E010"),
        ("bbbbbb", "E011"),
        ("cccccc", "E012"),
    ]
    assert len(refs(url, git, "refs/gitrun/runs")) == 2


def test_machines_that_push_at_once_lose_nothing(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun, tmp_path: Path
) -> None:
    first = origin(make_repo(), url, git)
    clones = [clone(url, tmp_path / f"m{n}", git) for n in range(16)]
    runs = {record(root, gitrun) for root in clones}
    for root in clones:
        ok(gitrun("tag", "@", f"of-{root.name}", cwd=root))
    pushing = [
        subprocess.Popen([sys.executable, "-m", "gitrun", "push", "-q"], cwd=root, stderr=subprocess.PIPE)
        for root in clones
    ]
    for process in pushing:
        assert process.wait() == 0, process.stderr.read() if process.stderr else ""
        if process.stderr:
            process.stderr.close()
    whole(url, git)
    assert {name.removeprefix("refs/gitrun/runs/") for name in refs(url, git, "refs/gitrun/runs")} == runs
    assert set(ok(gitrun("fetch", "--json", cwd=first)).json()["runs"]) == runs
    tags = {tag for run in ok(gitrun("ls", "--json", cwd=first)).json() for tag in run["tags"]}
    assert tags == {f"of-m{n}" for n in range(16)}


CUTTER = """#!{python}
import os, subprocess, sys, threading
git = subprocess.Popen(["git", "{program}", *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def copy(source, target, left):
    while data := os.read(source, 4096):
        os.write(target, data[:left])
        left -= len(data)
        if left <= 0:
            git.kill()
            os._exit(1)
    os.close(target)
into = threading.Thread(target=copy, args=(0, git.stdin.fileno(), {into}), daemon=True)
into.start()
copy(git.stdout.fileno(), 1, {out})
"""


def cutter(path: Path, program: str, side: str, count: int) -> str:
    """A program that is `git receive-pack` or `git upload-pack`, cut after so many bytes that come in or go out."""
    never = 1 << 30
    sides = {"into": count if side == "in" else never, "out": count if side == "out" else never}
    path.write_text(CUTTER.format(python=sys.executable, program=program, **sides))
    path.chmod(0o755)
    return str(path)


def test_a_push_that_is_cut_leaves_nothing_half_there_and_goes_on(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun, tmp_path: Path
) -> None:
    here = origin(make_repo(), url, git)
    (here / "data.bin").write_bytes(os.urandom(20_000))
    runs = {record(here, gitrun), record(here, gitrun)}
    for count in (1, 100, 400, 800, 5_000, 15_000, 22_000):
        git("config", "remote.origin.receivepack", cutter(tmp_path / "cut", "receive-pack", "in", count), cwd=here)
        gitrun("push", cwd=here)
        whole(url, git)
    git("config", "--unset", "remote.origin.receivepack", cwd=here)
    ok(gitrun("push", cwd=here))
    whole(url, git)
    assert {name.removeprefix("refs/gitrun/runs/") for name in refs(url, git, "refs/gitrun/runs")} == runs


def test_a_fetch_that_is_cut_leaves_nothing_half_there_and_goes_on(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun, tmp_path: Path
) -> None:
    here = origin(make_repo(), url, git)
    (here / "data.bin").write_bytes(os.urandom(20_000))
    run = record(here, gitrun)
    ok(gitrun("push", cwd=here))
    there = tmp_path / "there"
    git("clone", "-q", "--no-local", f"file://{url}", str(there))
    before = refs(there, git)
    for count in (1, 300, 700, 3_000, 10_000, 20_000):
        git("config", "remote.origin.uploadpack", cutter(tmp_path / "cut", "upload-pack", "out", count), cwd=there)
        done = gitrun("fetch", cwd=there)
        assert done.code == 1 and "Traceback" not in done.stderr and "next:" in done.stderr
        assert refs(there, git) == before
        git("fsck", cwd=there)
        assert not any((there / ".git/gitrun/tmp").glob("*"))
    git("config", "--unset", "remote.origin.uploadpack", cwd=there)
    assert ok(gitrun("fetch", "--json", cwd=there)).json()["runs"] == [run]


def test_what_is_said_of_runs_travels_both_ways(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun, tmp_path: Path
) -> None:
    here = origin(make_repo(), url, git)
    run = record(here, gitrun)
    ok(gitrun("tag", run, "mine", cwd=here))
    ok(gitrun("push", cwd=here))
    there = clone(url, tmp_path / "there", git)
    ok(gitrun("fetch", cwd=there))
    ok(gitrun("tag", run, "theirs", cwd=there))
    ok(gitrun("note", run, "seen there", cwd=there))
    ok(gitrun("push", cwd=there))
    ok(gitrun("tag", run, "later", cwd=here))
    ok(gitrun("push", cwd=here))
    got = ok(gitrun("fetch", "--json", cwd=here)).json()
    assert got["runs"] == [] and len(got["annotations"]) == 1
    ok(gitrun("fetch", cwd=there))
    for root in (here, there):
        shown = ok(gitrun("show", run, "--json", cwd=root)).json()
        assert set(shown["tags"]) == {"mine", "theirs", "later"} and shown["notes"] == ["seen there"]


def test_two_ends_of_one_chain_become_one(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun, tmp_path: Path
) -> None:
    """A copy of a clone with the writer it had, as a backup that was put back would be."""
    here = origin(make_repo(), url, git)
    run = record(here, gitrun)
    ok(gitrun("tag", run, "before", cwd=here))
    ok(gitrun("push", cwd=here))
    name = next(iter(refs(here, git, "refs/gitrun/annotations")))
    old = refs(here, git)[name]
    ok(gitrun("tag", run, "one", cwd=here))
    ok(gitrun("push", cwd=here))
    git("update-ref", name, old, cwd=here)
    ok(gitrun("tag", run, "two", cwd=here))
    ok(gitrun("push", cwd=here))
    assert refs(here, git)[name] == refs(url, git)[name]
    assert set(ok(gitrun("show", run, "--json", cwd=here)).json()["tags"]) == {"before", "one", "two"}
    git("update-ref", name, old, cwd=here)
    ok(gitrun("tag", run, "three", cwd=here))
    ok(gitrun("fetch", cwd=here))
    assert set(ok(gitrun("show", run, "--json", cwd=here)).json()["tags"]) == {"before", "one", "two", "three"}
    ok(gitrun("push", cwd=here))
    git("merge-base", "--is-ancestor", old, refs(url, git)[name], cwd=url)
    whole(url, git)
    ok(gitrun("gc", cwd=here))


def test_a_secret_is_kept_back_until_somebody_says_yes(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun
) -> None:
    here = origin(make_repo(), url, git)
    (here / "upload.py").write_text(f"TOKEN = '{TOKEN}'\n")
    run = record(here, gitrun)
    done = gitrun("push", cwd=here)
    assert done.code == 1 and "source/upload.py: github-token" in done.stderr and TOKEN not in done.stderr
    assert refs(url, git, "refs/gitrun") == {}
    planned = ok(gitrun("push", "--dry-run", "--json", cwd=here)).json()
    assert planned["secrets"] == [{"run": run, "where": "source/upload.py", "names": ["github-token"]}]
    assert refs(url, git, "refs/gitrun") == {}
    assert ok(gitrun("push", "--yes", "--json", cwd=here)).json()["runs"] == [run]


def test_a_note_with_a_secret_is_kept_back_too(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun
) -> None:
    here = origin(make_repo(), url, git)
    run = record(here, gitrun)
    known = "correct-horse-battery"
    ok(gitrun("note", run, f"see {known}", cwd=here))
    done = gitrun("push", cwd=here, env={"DB_PASSWORD": known})
    assert done.code == 1 and "DB_PASSWORD" in done.stderr and known not in done.stderr


def test_each_way_to_fail_is_one_clear_error(
    make_repo: Callable[..., Path], hub: Path, git: Git, gitrun: Gitrun, tmp_path: Path
) -> None:
    here = make_repo()
    record(here, gitrun)
    closed = f"http://127.0.0.1:{servers.free_port()}/r.git"
    empty = tmp_path / "empty"
    empty.mkdir()
    for words, said in (
        ((), "no remote"),
        ((str(empty),), "no repository at"),
        ((closed,), "cannot be reached"),
        (("ssh://127.0.0.1:1/r.git",), "cannot be reached"),
    ):
        for verb in ("push", "fetch"):
            done = gitrun(verb, *words, cwd=here)
            assert done.code == 1 and said in done.stderr, (verb, words, done.stderr)
            assert "next:" in done.stderr and "Traceback" not in done.stderr
    with servers.http(hub, password="dGVzdGVyOmh1bnRlcjI=") as address:
        plain = f"{address}/r.git"
        done = gitrun("push", plain, cwd=here)
        assert done.code == 1 and "does not let us in" in done.stderr
        done = gitrun("push", plain.replace("://", "://tester:hunter2@"), cwd=here)
        assert done.code == 0 and "hunter2" not in done.stderr


def test_the_hosts_own_rules_are_told(make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun) -> None:
    here = origin(make_repo(), url, git)
    hook = Path(url) / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'runs are not welcome here' >&2\nexit 1\n")
    hook.chmod(0o755)
    mine = here / ".git/hooks/pre-push"
    mine.write_text("#!/bin/sh\nexit 1\n")
    mine.chmod(0o755)
    record(here, gitrun)
    done = gitrun("push", cwd=here)
    assert done.code == 1 and "runs are not welcome here" in done.stderr and "pre-receive hook declined" in done.stderr
    hook.unlink()
    ok(gitrun("push", cwd=here))  # the user's own hook is about branches


def test_a_remote_whose_refspec_covers_runs_changes_none_of_ours(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun, tmp_path: Path
) -> None:
    here = origin(make_repo(), url, git)
    git("config", "remote.origin.fetch", "+refs/*:refs/*", cwd=here)
    git("config", "remote.origin.mirror", "true", cwd=here)
    git("commit", "-q", "--allow-empty", "-m", "only here", cwd=here)
    run = record(here, gitrun)
    before = refs(here, git)
    assert list(ok(gitrun("push", "--json", cwd=here)).json()["wrapped"]) == [run]
    ok(gitrun("fetch", cwd=here))
    assert refs(here, git) == before
    assert refs(url, git)["refs/heads/main"] != before["refs/heads/main"]


def test_fetch_takes_what_is_meant(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun, tmp_path: Path
) -> None:
    here = origin(make_repo(), url, git)
    runs = [record(here, gitrun, "-n", f"n{n}", "-t", "even" if n % 2 == 0 else "odd") for n in range(5)]
    ok(gitrun("push", cwd=here))

    def fresh(n: int) -> Path:
        place = tmp_path / f"f{n}"
        git("clone", "-q", "--no-local", f"file://{url}", str(place))
        return place

    there = fresh(0)
    assert ok(gitrun("fetch", "origin", runs[1][-6:], "--json", cwd=there)).json()["runs"] == [runs[1]]
    assert git("cat-file", "-e", refs(here, git)[f"refs/gitrun/runs/{runs[0]}"], cwd=there, check=False).code != 0
    got = ok(gitrun("fetch", "tag == even and name != n4", "--json", cwd=there)).json()
    assert (got["runs"], len(got["left"])) == (sorted((runs[0], runs[2])), 2)
    git("fsck", "--strict", cwd=there)
    assert git("cat-file", "-e", refs(here, git)[f"refs/gitrun/runs/{runs[4]}"], cwd=there, check=False).code != 0
    assert ok(gitrun("fetch", "origin", "n4", "--json", cwd=there)).json()["runs"] == [runs[4]]
    missing = gitrun("fetch", "origin", "nosuch", cwd=there)
    assert missing.code == 1 and "has no run" in missing.stderr
    assert ids(there, gitrun) == {*runs[:3], runs[4]}
    assert gitrun("fetch", "origin", "lr < ", cwd=there).code == 2


def test_what_was_removed_here_stays_away_until_it_is_named(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun
) -> None:
    here = origin(make_repo(), url, git)
    run = record(here, gitrun)
    ok(gitrun("push", cwd=here))
    ok(gitrun("rm", run, cwd=here))
    assert ok(gitrun("fetch", "--json", cwd=here)).json()["runs"] == []
    assert ok(gitrun("fetch", "origin", run, "--json", cwd=here)).json()["runs"] == [run]
    assert ids(here, gitrun) == {run}


def test_a_remote_is_listed_without_being_fetched(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun, tmp_path: Path
) -> None:
    here = origin(make_repo(), url, git)
    runs = [record(here, gitrun, "-n", f"n{n}") for n in range(3)]
    ok(gitrun("push", cwd=here))
    git("config", "uploadpack.allowFilter", "true", cwd=url)
    there = tmp_path / "there"
    git("clone", "-q", "--no-local", f"file://{url}", str(there))
    ok(gitrun("fetch", "origin", runs[0], cwd=there))
    before, config = refs(there, git), (there / ".git/config").read_text()
    objects = git("count-objects", "-v", cwd=there).stdout
    found = ok(gitrun("ls", "--remote", "origin", "--json", cwd=there)).json()
    assert sorted((each["name"], each["id"], each["here"]) for each in found) == [
        ("n0", runs[0], True),
        ("n1", runs[1], False),
        ("n2", runs[2], False),
    ]
    assert all(each["command"] == "echo hello" and each["status"] == "completed" for each in found)
    assert refs(there, git) == before and (there / ".git/config").read_text() == config
    assert git("count-objects", "-v", cwd=there).stdout == objects and not (there / ".git/shallow").exists()
    assert len(ok(gitrun("ls", "--remote", "origin", "--limit", "1", cwd=there)).stdout.splitlines()) == 1
    assert gitrun("ls", "--remote", "origin", "name == x", cwd=there).code == 2
    assert gitrun("ls", "--remote", "nosuch", cwd=there).code == 2


def test_status_says_what_is_only_here(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun, tmp_path: Path
) -> None:
    here = origin(make_repo(), url, git)

    def only_here(root: Path) -> Any:
        return json.loads(ok(gitrun("status", "--json", cwd=root)).stdout)["only_here"]

    first = record(here, gitrun)
    record(here, gitrun)
    assert only_here(here) == 2
    ok(gitrun("push", "origin", first, cwd=here))
    assert only_here(here) == 1
    ok(gitrun("push", cwd=here))
    assert only_here(here) == 0
    there = clone(url, tmp_path / "there", git)
    ok(gitrun("fetch", cwd=there))
    assert only_here(there) == 0
    shutil.rmtree(url)
    assert only_here(here) == 0  # nobody was asked


def test_runs_go_by_themselves(make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun) -> None:
    here = origin(make_repo(), url, git)
    git("config", "gitrun.push.auto", "origin", cwd=here)
    run = record(here, gitrun)
    end = time.monotonic() + 30
    while f"refs/gitrun/runs/{run}" not in refs(url, git, "refs/gitrun"):
        log = here / ".git/gitrun/log/push.txt"
        assert time.monotonic() < end, log.read_text() if log.exists() else "nothing was started"
        time.sleep(0.1)
    (here / "upload.py").write_text(f"TOKEN = '{TOKEN}'\n")
    kept = record(here, gitrun)
    log = here / ".git/gitrun/log/push.txt"
    while "nothing was sent" not in log.read_text():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    assert f"refs/gitrun/runs/{kept}" not in refs(url, git, "refs/gitrun")


def test_files_come_when_they_are_asked_for(
    make_repo: Callable[..., Path], url: str, git: Git, gitrun: Gitrun, tmp_path: Path
) -> None:
    here = origin(
        make_repo({"train.py": "open('out.bin', 'wb').write(bytes(range(256)) * 5000)\n", ".gitignore": "*.bin\n"}),
        url,
        git,
    )
    done = ok(gitrun("record", "-q", "--id-file", str(tmp_path / "id"), "--", sys.executable, "train.py", cwd=here))
    run = (tmp_path / "id").read_text().strip()
    sent = ok(gitrun("push", "--json", cwd=here)).json()
    assert sent["runs"] == [run] and sent["blobs_sent"] > 0, done
    there = clone(url, tmp_path / "there", git)
    assert ok(gitrun("fetch", "--json", cwd=there)).json()["runs"] == [run]
    assert ok(gitrun("fetch", "--artifacts", "--json", cwd=there)).json()["blobs_received"] > 0
    shutil.rmtree(url)
    ok(gitrun("get", run, "out.bin", "-o", str(tmp_path / "got"), cwd=there))
    assert (tmp_path / "got/out.bin").read_bytes() == bytes(range(256)) * 5000
