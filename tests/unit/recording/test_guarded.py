"""Which entry of `source.excluded` a file belongs to, and the count of those that are kept all the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitrun.recording.guarded import LeftOut


@pytest.fixture
def excluded() -> list[dict[str, Any]]:
    return [
        {"path": "new/deep/", "bytes": 9, "reason": "max_files", "files": 3},
        {"path": "big.bin", "bytes": 9, "reason": "max_bytes"},
        {"path": "wandb/run-1/", "bytes": 9, "reason": "tracker"},
        {"path": "./", "bytes": 9, "reason": "loaded_bytes", "files": 7},  # says nothing of the files at the top
    ]


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        ("new/deep/a", "new/deep/"), ("new/deep/x/y", "new/deep/"), ("new/deep/a.log", None), ("new/other", None),
        ("big.bin", "big.bin"), ("wandb/run-1/f", "wandb/run-1/"), ("top", None), ("/absolute/big.bin", None),
    ],
)  # fmt: skip
def test_the_entry_of_a_file(
    make_repo: Callable[..., Path], excluded: list[dict[str, Any]], path: str, entry: str | None
) -> None:
    worktree = os.fsencode(make_repo({".gitignore": "*.log\n"}))
    found = LeftOut(excluded, worktree).find(path.encode())
    assert (found and found["path"]) == entry


def test_only_entries_of_guards_count_and_each_time_anew(
    make_repo: Callable[..., Path], excluded: list[dict[str, Any]]
) -> None:
    worktree = os.fsencode(make_repo())
    lines = [{"path": path} for path in ("new/deep/a", "new/deep/b", "big.bin", "wandb/run-1/f", "elsewhere")]
    for _ in range(2):
        left_out = LeftOut(excluded, worktree)
        left_out.forget_counts()
        left_out.count([*lines, {"path": "new/deep/c", "root": 1}])
    assert {entry["path"]: entry.get("loaded") for entry in excluded} == {
        "new/deep/": 2, "big.bin": 1, "wandb/run-1/": None, "./": None,
    }  # fmt: skip
