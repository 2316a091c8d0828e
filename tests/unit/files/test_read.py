"""Reading what anything may lie in the place of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitrun.files.read import read_plain


def test_the_beginning_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert read_plain(str(tmp_path / "a"), 2) == b"ab" and read_plain(str(tmp_path / "a"), 9) == b"abc"


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    os.symlink("a", tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", ".", "nothing"):
        with pytest.raises(OSError):
            read_plain(str(tmp_path / name), 9)
