"""The index written by hand is the one C git reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.replay.index_file import IndexEntry, encode_index
from tests.conftest import Result

OID = {"sha1": "ce013625030ba8dba906f756967f9e9ca394464a", "sha256": "2cf8d83d9ee29543" * 4}


def repository(tmp_path: Path, git: Callable[..., Result], fmt: str) -> Path:
    git("init", "-q", f"--object-format={fmt}", str(tmp_path / fmt))
    return tmp_path / fmt


@pytest.mark.parametrize("fmt", ["sha1", "sha256"])
def test_git_reads_every_entry_back(tmp_path: Path, git: Callable[..., Result], fmt: str) -> None:
    root = repository(tmp_path, git, fmt)
    names = [b"a", b"a-b", b"a/b", b"a.b", b"b\xff", b"x" * 5000, *(b"n" * n for n in range(2, 20))]
    (root / ".git" / "index").write_bytes(encode_index([IndexEntry(n, 0o100644, OID[fmt]) for n in names], fmt))
    listed = git("ls-files", "-s", "-z", cwd=root).stdout_bytes.split(b"\0")[:-1]
    assert listed == [b"100644 %b 0\t%b" % (OID[fmt].encode(), name) for name in sorted(names)]


def test_flags_are_the_ones_git_shows(tmp_path: Path, git: Callable[..., Result]) -> None:
    root = repository(tmp_path, git, "sha1")
    entries = [
        IndexEntry(b"plain", 0o100644, OID["sha1"]),
        IndexEntry(b"sparse", 0o100755, OID["sha1"], skip_worktree=True),
        IndexEntry(b"assumed", 0o120000, OID["sha1"], assume_valid=True),
    ]
    (root / ".git" / "index").write_bytes(encode_index(entries, "sha1"))
    assert git("ls-files", "-v", cwd=root).stdout.splitlines() == ["h assumed", "H plain", "S sparse"]


def test_a_stat_makes_a_file_clean_whatever_is_in_it(tmp_path: Path, git: Callable[..., Result]) -> None:
    root = repository(tmp_path, git, "sha1")
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=root)
    (root / "f").write_text("not what the id says\n")
    os.utime(root / "f", ns=(10**18, 10**18))
    for stat, expected in ((os.lstat(root / "f"), ["A  f"]), (None, ["AM f"])):
        (root / ".git" / "index").write_bytes(encode_index([IndexEntry(b"f", 0o100644, OID["sha1"], stat)], "sha1"))
        assert git("status", "--porcelain", cwd=root).stdout.splitlines() == expected


def test_an_empty_index_is_an_index(tmp_path: Path, git: Callable[..., Result]) -> None:
    root = repository(tmp_path, git, "sha1")
    (root / ".git" / "index").write_bytes(encode_index([], "sha1"))
    assert git("status", "--porcelain", cwd=root).stdout == ""
