"""A reader answers to full ids of its repository's format, and to nothing else that git would take for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitrun.errors import GitFailed
from gitrun.git.objects import open_reader
from tests.git_support import both_formats, both_ways, git, init, opened


@both_formats
@both_ways
def test_what_is_no_id_names_nothing(tmp_path: Path, fmt: str, way: str) -> None:
    root = init(tmp_path / "r", fmt)
    oid = git("rev-parse", "HEAD", cwd=root).decode().strip()
    other = "ab" * (32 if fmt == "sha1" else 20)
    with open_reader(opened(root, way)) as reader:
        for text in (
            "HEAD",
            "main",
            oid[:8],
            oid.upper(),
            f"{oid}\n{oid}",
            f"{oid}\n",
            f"{oid}^{{tree}}",
            "",
            "é",
            other,
        ):
            assert not reader.has(text)
            for ask in (reader.read, reader.size):
                with pytest.raises(KeyError):
                    ask(text)
            answers = reader.many([oid, text, oid])
            assert next(answers)[0] == oid
            with pytest.raises(KeyError) as problem:
                next(answers)
            assert problem.value.args == (text,)
        assert reader.read(oid)[0] == "commit" and reader.has(oid)


@both_formats
@both_ways
def test_alternates_of_alternates_in_both_formats(tmp_path: Path, fmt: str, way: str) -> None:
    root = init(tmp_path / "r", fmt)
    git("clone", "-q", "--shared", str(root), str(tmp_path / "b"), cwd=tmp_path)
    git("clone", "-q", "--shared", str(tmp_path / "b"), str(tmp_path / "c"), cwd=tmp_path)
    oid = git("rev-parse", "HEAD:a.txt", cwd=root).decode().strip()
    git("repack", "-adq", cwd=root)
    with open_reader(opened(tmp_path / "c", way)) as reader:
        assert reader.read(oid) == ("blob", b"a\n")


@both_ways
def test_no_more_is_read_than_the_reader_asks_for(tmp_path: Path, way: str) -> None:
    root = init(tmp_path / "r")
    (root / "big").write_bytes(b"0123456789")
    big = git("hash-object", "-w", "big", cwd=root).decode().strip()
    small = git("rev-parse", "HEAD:a.txt", cwd=root).decode().strip()
    with open_reader(opened(root, way)) as reader:
        for _ in range(2):
            assert reader.read(big, 10)[1] == b"0123456789" == reader.read(big)[1]
            with pytest.raises(GitFailed, match="has 10 bytes"):
                reader.read(big, 9)
            assert reader.read(small, 9)[1] == b"a\n"  # the reader lives on
        answers = reader.many([small, big, small], 9)
        assert next(answers)[0] == small
        with pytest.raises(GitFailed, match="has 10 bytes"):
            next(answers)
        assert len(list(reader.many([small, big, small], 10))) == 3
