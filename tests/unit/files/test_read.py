"""Reading what anything may lie in the place of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitrun.files.read import pieces, read_plain


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


def test_a_file_that_grows_as_fast_as_it_is_read_has_an_end(tmp_path: Path) -> None:
    path = tmp_path / "grows"
    path.write_bytes(bytes(3 << 20))
    fd = os.open(path, os.O_RDONLY)
    try:
        size = 0
        with open(path, "ab") as more:
            for piece in pieces(fd, 3 << 20):
                size += len(piece)
                more.write(bytes(4 << 20))
                more.flush()
    finally:
        os.close(fd)
    assert size == 3 << 20
