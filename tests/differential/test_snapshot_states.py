"""The tree of a snapshot is C git's, for every prepared state, with git and without, up to the defined delta."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitrun.capture import scout
from tests.differential.snapshot_states import STATES, Delta
from tests.snapshots import files_of, git, gits_tree, is_complete, snapshot

# What cannot be done without git, and says so.
NEEDS_GIT = {"split_index", "sparse_index"}
CONVERTED = {"line_ends", "line_ends_kept_in_the_index", "filters", "attributes_that_are_ignored"}


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
@pytest.mark.parametrize("how", ["git", "no-git", "scout", "failing-scout"])
def test_the_tree_is_gits(name: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_git = how == "no-git"
    if "scout" in how:  # a second process at work, which a repository of this size would not be given
        monkeypatch.setattr(scout, "_ENOUGH", 1)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    if how == "failing-scout":
        monkeypatch.setattr(scout, "_unproved", lambda *args: 1 // 0)
    root = tmp_path / "repo"
    root.mkdir()
    delta = STATES[name](root) or {}
    if without_git and name in NEEDS_GIT | CONVERTED:
        pytest.skip("needs a git executable")
    taken = snapshot(root, without_git=without_git)
    expected = expected_tree(root, delta)
    assert files_of(root, taken.tree) == files_of(root, expected)
    assert taken.tree == expected
    assert is_complete(root, taken.commit, *(nested.tree for nested in taken.roots))
