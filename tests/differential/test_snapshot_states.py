"""The tree of a snapshot is C git's, for every prepared state, with git and without, up to the defined delta."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from gitrun.capture.snapshot import Snapshot, take_snapshot
from gitrun.git.executable import find_git
from gitrun.git.repository import discover
from gitrun.monitor import SILENT
from gitrun.settings import load
from gitrun.store.blobs import BlobStore
from tests.differential.snapshot_states import STATES, Delta, git

# What cannot be done without git, and says so.
NEEDS_GIT = {"split_index", "sparse_index"}
CONVERTED = {"line_ends", "line_ends_kept_in_the_index", "filters", "attributes_that_are_ignored"}


def snapshot(root: Path, without_git: bool = False, **more: Any) -> Snapshot:
    environ = dict(os.environ)
    if without_git:
        environ["GITRUN_GIT"] = "none"
    repo = discover(str(root), find_git("", environ), environ)
    settings = load(repo.worktree, repo.config, environ, more.pop("flags", None))
    return take_snapshot(
        repo,
        more.pop("archive", repo),
        lambda: BlobStore(repo.gitrun_dir(environ)),
        settings,
        SILENT,
        environ=environ,
    )


def gits_tree(root: Path) -> str:
    """What `git add -A` and `git write-tree` say, on a private copy of the index."""
    private = root.parent / "private-index"
    env = {"GIT_INDEX_FILE": str(private)}
    if (root / ".git/index").exists():
        shutil.copy2(root / ".git/index", private)
    git(root, "add", "-A", env=env, check=False)  # it complains about paths outside a sparse cone, and goes on
    tree = git(root, "write-tree", env=env).decode().strip()
    private.unlink(missing_ok=True)
    return tree


def files_of(root: Path, tree: str) -> dict[bytes, bytes]:
    lines = git(root, "ls-tree", "-r", "-z", tree).split(b"\0")
    return {line.partition(b"\t")[2]: line.partition(b"\t")[0] for line in lines if line}


def expected_tree(root: Path, delta: Delta) -> str:
    tree = gits_tree(root)
    if not delta:
        return tree
    env = {"GIT_INDEX_FILE": str(root.parent / "expected-index")}
    git(root, "read-tree", tree, env=env)
    for path, content in delta.items():
        if content is None:
            git(root, "update-index", "--force-remove", path, env=env)
        else:
            (root.parent / "content").write_bytes(content)
            oid = git(root, "hash-object", "-w", str(root.parent / "content")).strip()
            git(root, "update-index", "--add", "--cacheinfo", b"100644," + oid + b"," + path, env=env)
    return git(root, "write-tree", env=env).decode().strip()


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("without_git", [False, True], ids=["git", "no-git"])
def test_the_tree_is_gits(name: str, without_git: bool, tmp_path: Path) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    delta = STATES[name](root) or {}
    if without_git and name in NEEDS_GIT | CONVERTED:
        pytest.skip("needs a git executable")
    taken = snapshot(root, without_git)
    expected = expected_tree(root, delta)
    assert files_of(root, taken.tree) == files_of(root, expected)
    assert taken.tree == expected
    missing = git(root, "rev-list", "--objects", "--missing=print", taken.commit)
    assert b"?" not in missing
