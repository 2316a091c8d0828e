"""`gitrun checkout` of real recordings: what was on disk comes back, and Git gives the same answers."""

from __future__ import annotations

import datetime
import os
import stat
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Result, write_files

Call = Callable[..., Result]


def record(gitrun: Call, repo: Path, *words: str, env: dict[str, str] | None = None) -> str:
    """Record a command and return the run's id."""
    id_file = repo.parent / f"id-{os.urandom(4).hex()}"
    gitrun("record", "--id-file", id_file, "--quiet", "--", *words, cwd=repo, env=env)
    return id_file.read_text().strip()


def tree_of(root: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a directory but .git: kind and permissions, and bytes or target."""
    found = {}
    for parent, directories, files in os.walk(os.fsencode(root)):
        directories[:] = [name for name in directories if name != b".git"]
        for name in [*directories, *(name for name in files if name != b".git")]:
            path = os.path.join(parent, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                content = os.readlink(path)
            else:
                content = b"" if stat.S_ISDIR(mode) else Path(os.fsdecode(path)).read_bytes()
            found[os.fsdecode(os.path.relpath(path, os.fsencode(root)))] = (mode, content)
    return found


def edited(make_repo: Callable[..., Path], git: Call) -> Path:
    """A repository with every kind of uncommitted change."""
    moved = "a content that is long enough to be found again\n"
    repo = make_repo({"kept": "k", "edited": "1\n", "deleted": "d", "moved": moved, "bin": b"\0\1", "l": Path("kept")})
    git("tag", "v1", cwd=repo)
    (repo / "edited").write_text("2\n")
    (repo / "deleted").unlink()
    git("mv", "moved", "moved-to", cwd=repo)
    write_files(repo, {"new/file": "n", "tool": "#!/bin/sh\n", b"l\xe4tin": "x"})
    (repo / "tool").chmod(0o755)
    git("add", "tool", cwd=repo)
    (repo / "empty").mkdir()
    return repo


def test_the_files_of_a_run_come_back_after_later_edits(
    make_repo: Callable[..., Path], git: Call, gitrun: Call, tmp_path: Path, with_and_without_git: dict[str, str]
) -> None:
    repo = edited(make_repo, git)
    before, questions = tree_of(repo), (["status", "--porcelain"], ["diff", "HEAD"], ["describe", "--tags", "--dirty"])
    answers = [git(*question, cwd=repo).stdout for question in questions]
    run = record(gitrun, repo, "true", env=with_and_without_git)
    git("add", "-A", cwd=repo)
    git("commit", "-qm", "later", cwd=repo)
    (repo / "edited").write_text("3\n")
    done = gitrun("checkout", run, tmp_path / "out", cwd=repo, env=with_and_without_git)
    assert done.code == 0, done.stderr
    assert done.stdout == f"{tmp_path}/out\n"
    assert tree_of(tmp_path / "out") == before
    assert [git(*question, cwd=tmp_path / "out").stdout for question in questions] == answers


def test_the_default_directory_is_beside_the_worktree_and_never_overwritten(
    make_repo: Callable[..., Path], gitrun: Call, tmp_path: Path
) -> None:
    repo = make_repo()
    run = record(gitrun, repo, "true")
    first = gitrun("checkout", "@", cwd=repo)
    assert (first.code, first.stdout) == (0, f"{tmp_path}/repo-{run[-6:]}\n")
    second = gitrun("checkout", "@", cwd=repo)
    assert (second.code, second.stdout) == (1, "")
    assert "there already" in second.stderr
    assert "next:" in second.stderr


def test_every_mtime_is_the_start_of_the_run(make_repo: Callable[..., Path], gitrun: Call, tmp_path: Path) -> None:
    repo = make_repo({"d/f": "x", "l": Path("d/f")})
    run = record(gitrun, repo, "true")
    gitrun("checkout", run, tmp_path / "out", cwd=repo)
    times = {os.lstat(tmp_path / "out" / name).st_mtime_ns for name in tree_of(tmp_path / "out")}
    assert len(times) == 1
    started = gitrun("show", run, "--json", cwd=repo).json()["started_at"]
    assert abs(datetime.datetime.fromisoformat(started).timestamp() - times.pop() / 1e9) < 1e-5


def test_line_ends_come_back_as_they_were(
    make_repo: Callable[..., Path], git: Call, gitrun: Call, tmp_path: Path
) -> None:
    repo = make_repo({".gitattributes": "* text=auto\n", "unix": "a\n"})
    (repo / "dos").write_bytes(b"a\r\nb\r\n")
    git("add", "dos", cwd=repo)
    git("commit", "-qm", "dos", cwd=repo)
    (repo / "dos2").write_bytes(b"x\r\n")
    before, status = tree_of(repo), git("status", "--porcelain", cwd=repo).stdout
    run = record(gitrun, repo, "true")
    assert gitrun("checkout", run, tmp_path / "out", cwd=repo).code == 0
    assert tree_of(tmp_path / "out") == before
    assert git("status", "--porcelain", cwd=tmp_path / "out").stdout == status


def test_a_large_file_comes_back(make_repo: Callable[..., Path], gitrun: Call, tmp_path: Path) -> None:
    repo = make_repo()
    content = os.urandom(1 << 20) * 3
    (repo / "weights.bin").write_bytes(content)
    run = record(gitrun, repo, "true", env={"GITRUN_RECORD_LARGE_FILE": "1M"})
    assert gitrun("checkout", run, tmp_path / "out", cwd=repo).code == 0
    assert (tmp_path / "out" / "weights.bin").read_bytes() == content


def test_a_submodule_comes_back_with_its_edits(
    make_repo: Callable[..., Path], git: Call, gitrun: Call, tmp_path: Path
) -> None:
    inner = make_repo({"lib.py": "one\n"}, name="inner")
    repo = make_repo()
    git("submodule", "--quiet", "add", str(inner), "sub", cwd=repo)
    git("commit", "-qm", "sub", cwd=repo)
    (repo / "sub" / "lib.py").write_text("two\n")
    (repo / "sub" / "fresh").write_text("untracked inside\n")
    before = tree_of(repo)
    status = [git("status", "--porcelain", cwd=place).stdout for place in (repo, repo / "sub")]
    run = record(gitrun, repo, "true")
    done = gitrun("checkout", run, tmp_path / "out", cwd=repo)
    assert done.code == 0, done.stderr
    assert tree_of(tmp_path / "out") == before
    out = tmp_path / "out"
    assert [git("status", "--porcelain", cwd=place).stdout for place in (out, out / "sub")] == status


def test_an_embedded_repository_comes_back(make_repo: Callable[..., Path], gitrun: Call, tmp_path: Path) -> None:
    repo = make_repo()
    make_repo({"lib.py": "embedded\n"}, name="repo/vendor/lib")
    before = tree_of(repo)
    run = record(gitrun, repo, "true")
    assert gitrun("checkout", run, tmp_path / "out", cwd=repo).code == 0
    assert tree_of(tmp_path / "out") == before


def test_a_sparse_checkout_comes_back_sparse(
    make_repo: Callable[..., Path], git: Call, gitrun: Call, tmp_path: Path
) -> None:
    repo = make_repo({"in/f": "1", "out/f": "2", "top": "3"})
    git("sparse-checkout", "set", "in", cwd=repo)
    (repo / "in" / "f").write_text("edited")
    before, status = tree_of(repo), git("status", "--porcelain", cwd=repo).stdout
    run = record(gitrun, repo, "true")
    assert gitrun("checkout", run, tmp_path / "out", cwd=repo).code == 0
    assert tree_of(tmp_path / "out") == before
    assert git("status", "--porcelain", cwd=tmp_path / "out").stdout == status


def test_no_commit_yet(make_repo: Callable[..., Path], git: Call, gitrun: Call, tmp_path: Path) -> None:
    repo = make_repo({"a": "b", "c/d": "e"}, commit=False)
    run = record(gitrun, repo, "true")
    assert gitrun("checkout", run, tmp_path / "out", cwd=repo).code == 0
    assert tree_of(tmp_path / "out") == tree_of(repo)
    assert git("status", "--porcelain", cwd=tmp_path / "out").stdout == git("status", "--porcelain", cwd=repo).stdout


def test_a_shallow_clone(make_repo: Callable[..., Path], git: Call, gitrun: Call, tmp_path: Path) -> None:
    origin = make_repo(name="origin")
    git("commit", "-q", "--allow-empty", "-m", "second", cwd=origin)
    git("clone", "-q", "--depth", "1", f"file://{origin}", str(tmp_path / "shallow"))
    run = record(gitrun, tmp_path / "shallow", "true")
    assert gitrun("checkout", run, tmp_path / "out", cwd=tmp_path / "shallow").code == 0
    assert len(git("log", "--oneline", cwd=tmp_path / "out").stdout.splitlines()) == 1
    assert git("remote", "get-url", "origin", cwd=tmp_path / "out").stdout.strip() == f"file://{origin}"


def test_what_is_done_in_a_checkout_does_not_reach_the_archive(
    make_repo: Callable[..., Path], git: Call, gitrun: Call, tmp_path: Path
) -> None:
    repo = make_repo()
    run = record(gitrun, repo, "true")
    gitrun("checkout", run, tmp_path / "out", cwd=repo)
    refs = git("for-each-ref", cwd=repo).stdout
    (tmp_path / "out" / "new").write_text("x")
    git("add", "-A", cwd=tmp_path / "out")
    git("commit", "-qm", "inside", cwd=tmp_path / "out")
    git("gc", "-q", "--prune=now", cwd=tmp_path / "out")
    assert git("for-each-ref", cwd=repo).stdout == refs
    assert git("fsck", cwd=repo).code == 0


def test_an_unknown_run_and_a_missing_object_end_in_one_clear_line(
    make_repo: Callable[..., Path], git: Call, gitrun: Call, tmp_path: Path
) -> None:
    repo = make_repo({"gone": "the only copy of this"})
    assert gitrun("checkout", "nosuch", tmp_path / "out", cwd=repo).code == 1
    run = record(gitrun, repo, "true")
    oid = git("rev-parse", "HEAD:gone", cwd=repo).stdout.strip()
    (repo / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    done = gitrun("checkout", run, tmp_path / "out", cwd=repo)
    assert done.code == 5
    assert "gone" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
