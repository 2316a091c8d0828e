"""Directories outside the worktree become trees of their own, bounded and without touching anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture.root_trees import RootTrees, capture_roots
from gitrun.git.executable import find_git
from gitrun.git.repository import discover
from gitrun.settings import load
from tests.snapshots import content, files_of, git, is_complete, store_of


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    git(tmp_path, "init", "-q", "-b", "main", str(root))
    (root / "train.py").write_text("t\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return root


def project(path: Path, files: dict[str, str], init: bool = True) -> Path:
    path.mkdir(parents=True)
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    if init:
        git(path, "init", "-q", "-b", "dev")
        git(path, "add", "-A")
        git(path, "commit", "-qm", "first")
    return path


def capture(repo: Path, *paths: Path, roots: list[dict[str, Any]] | None = None, **flags: str) -> RootTrees:
    environ = dict(os.environ)
    archive = discover(str(repo), find_git(environ), environ)
    settings = load(archive.worktree, archive.config, environ, {"record." + key: text for key, text in flags.items()})
    found = capture_roots(
        map(os.fsencode, paths), archive=archive, worktree=os.fsencode(repo), roots=roots or [],
        store=lambda: store_of(repo), settings=settings, environ=environ,
    )  # fmt: skip
    found.shelf.commit()
    found.shelf.close()
    return found


def names(repo: Path, root: dict[str, Any]) -> list[str]:
    return sorted(os.fsdecode(path) for path in files_of(repo, root["tree"]))


def test_a_working_copy_elsewhere_with_its_edits(repo: Path, tmp_path: Path) -> None:
    other = project(tmp_path / "other", {"src/a.py": "a\n", "b.py": "b\n", ".gitignore": "*.so\n"})
    (other / "src/a.py").write_text("edited\n")
    (other / "new.py").write_text("n\n")
    (other / "x.so").write_text("built\n")
    index = (other / ".git/index").read_bytes()
    (root,) = capture(repo, other, roots=[{"n": 1, "path": "sub"}]).roots
    head = git(other, "rev-parse", "HEAD").decode().strip()
    tree = root.pop("tree")
    assert root == {
        "n": 2, "path": str(other), "commit": head, "branch": "refs/heads/dev", "dirty": True, "kind": "outside",
    }  # fmt: skip
    assert names(repo, {"tree": tree}) == [".gitignore", "b.py", "new.py", "src/a.py"]
    assert content(repo, tree, "src/a.py") == b"edited\n"
    assert is_complete(repo, tree), "every object is in the archive"
    assert (other / ".git/index").read_bytes() == index
    assert git(other, "for-each-ref", "refs/gitrun") == b""


def test_a_clean_one_is_clean(repo: Path, tmp_path: Path) -> None:
    (root,) = capture(repo, project(tmp_path / "other", {"a.py": "a\n", "d/b.py": "b\n"})).roots
    assert root["dirty"] is False and names(repo, root) == ["a.py", "d/b.py"]


def test_a_directory_of_a_larger_repository(repo: Path, tmp_path: Path) -> None:
    mono = project(
        tmp_path / "mono", {"packages/a/a.py": "a\n", "packages/b/b.py": "b\n", ".gitignore": "/packages/a/data/\n"}
    )
    (mono / "packages/a/data").mkdir()
    (mono / "packages/a/data/huge.bin").write_text("x" * 100)
    (mono / "packages/b/b.py").write_text("edited\n")
    (root,) = capture(repo, mono / "packages/a").roots
    assert names(repo, root) == ["a.py"] and root["dirty"] is False
    assert root["commit"] == git(mono, "rev-parse", "HEAD").decode().strip()
    (root,) = capture(repo, mono / "packages/b").roots
    assert names(repo, root) == ["b.py"] and root["dirty"] is True
    (root,) = capture(repo, mono / "packages/a/data").roots
    assert names(repo, root) == ["huge.bin"], "what was installed although it is ignored counts"


def test_a_directory_in_no_repository(repo: Path, tmp_path: Path) -> None:
    plain = project(
        tmp_path / "plain", {"a.py": "a\n", "__pycache__/a.pyc": "x", ".gitignore": "__pycache__/\n"}, init=False
    )
    (root,) = capture(repo, plain).roots
    assert names(repo, root) == [".gitignore", "a.py"] and root["commit"] is None and root["dirty"] is None


def test_what_is_covered_already_is_not_taken_twice(repo: Path, tmp_path: Path) -> None:
    other = project(tmp_path / "other", {"a.py": "a\n", "sub/b.py": "b\n"})
    (tmp_path / "link").symlink_to("other")
    (repo / "inner").mkdir()
    found = capture(repo, other / "sub", other, tmp_path / "link", repo / "inner", repo, other)
    assert [root["path"] for root in found.roots] == [str(other)] and found.problems == []
    assert capture(repo, other / "sub", roots=[{"n": 1, "path": str(other)}]).roots == []


def test_repositories_inside_are_roots_of_their_own(repo: Path, tmp_path: Path) -> None:
    other = project(tmp_path / "other", {"a.py": "a\n"})
    inner = project(other / "inner", {"c.py": "c\n"})
    found = capture(repo, other)
    assert [(r["n"], r["path"], r["kind"]) for r in found.roots] == [
        (1, str(other), "outside"), (2, str(inner), "embedded"),
    ]  # fmt: skip
    assert names(repo, found.roots[1]) == ["c.py"]


def test_large_files_lie_beside_the_tree_and_secrets_stay_out(repo: Path, tmp_path: Path) -> None:
    other = project(tmp_path / "other", {"a.py": "a\n"})
    (other / "weights.bin").write_text("w" * 3000)
    (other / ".env").write_text("KEY=1\n")
    found = capture(repo, other, large_file="2k")
    assert names(repo, found.roots[0]) == ["a.py"]
    assert [(line["path"], line["root"], line["reason"]) for line in found.extra] == [("weights.bin", 1, "large")]
    assert b"".join(store_of(repo).read(found.extra[0]["chunks"])) == b"w" * 3000
    assert [(e["path"], e["reason"]) for e in found.excluded] == [(str(other / ".env"), "secret")]


@pytest.mark.parametrize("flag", [{"root_bytes": "10"}, {"root_files": "1"}])
def test_one_that_is_too_large_is_no_root(repo: Path, tmp_path: Path, flag: dict[str, str]) -> None:
    other = project(tmp_path / "other", {"a.py": "a" * 20, "b.py": "b\n"})
    small = project(tmp_path / "small", {"c.py": "c\n"})
    found = capture(repo, other, small, **flag)
    assert [root["path"] for root in found.roots] == [str(small)] and [root["n"] for root in found.roots] == [1]
    assert len(found.problems) == 1 and str(other) in found.problems[0]


def test_untracked_files_are_bounded_as_well(repo: Path, tmp_path: Path) -> None:
    other = project(tmp_path / "other", {"a.py": "a\n"})
    for n in range(5):
        (other / f"{n}.txt").write_text("x")
    found = capture(repo, other, root_files="3")
    assert [e["reason"] for e in found.excluded] == ["max_files"]


def test_one_that_is_gone_or_another_users_is_a_sentence(repo: Path, tmp_path: Path) -> None:
    found = capture(repo, tmp_path / "gone")
    assert found.roots == [] and len(found.problems) == 1


def test_another_object_format(repo: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", "--object-format=sha256", str(other))
    (other / "a.py").write_text("a\n")
    git(other, "add", "-A")
    git(other, "commit", "-qm", "first")
    (root,) = capture(repo, other).roots
    assert names(repo, root) == ["a.py"] and len(root["tree"]) == 40 and len(root["commit"]) == 64
    assert root["dirty"] is None
