"""Choosing entries by paths, directories and patterns."""

from __future__ import annotations

from typing import Any

import pytest

from gitrun.archive.entries import Entry, read_entries
from gitrun.archive.picking import distinct, expanded, pick
from gitrun.errors import BlobNotFound, GitrunError
from gitrun.model.canonical import encode_line, path_text
from gitrun.model.patterns import means

RUN = "20261124-061246-abc123"


def entries(*paths: bytes, kind: str = "output") -> list[Entry]:
    return read_entries({"path": path_text(path), "kind": kind, "stored": True} for path in paths)


@pytest.mark.parametrize(
    ("pattern", "path", "meant"),
    [
        ("a/b", b"a/b", True),
        ("./a//b", b"a/b", True),
        ("a", b"a/b", True),
        ("a/", b"a/b", True),
        ("a", b"ab", False),
        (".", b"a/b", True),
        ("*.pt", b"deep/down/x.pt", True),
        ("a/*", b"a/b/c", True),
        ("b", b"a/b", False),
        ("x[1]", b"x[1]", True),
        ("X", b"x", False),
        ("/tmp", b"/tmp/x", True),
        ("/", b"/tmp/x", True),
        ("\udcff", b"\xff", True),
    ],
)
def test_what_a_pattern_means(pattern: str, path: bytes, meant: bool) -> None:
    assert means(pattern, path_text(path)) is meant


def test_a_pattern_that_means_nothing_is_an_error() -> None:
    known = entries(b"a", b"b/c", b"b/d")
    assert [entry.path for entry in pick(known, ["b", "a", "b/c"], RUN)] == [b"a", b"b/c", b"b/d"]
    with pytest.raises(GitrunError, match="'z'"):
        pick(known, ["a", "z"], RUN)


def test_of_one_path_the_file_as_the_run_left_it() -> None:
    both = [*entries(b"m", kind="artifact"), *entries(b"m", kind="input"), *entries(b"m"), *entries(b"n", kind="input")]
    assert [(entry.path, entry.kind) for entry in distinct(both)] == [(b"m", "output"), (b"n", "input")]


def test_an_output_that_was_not_stored_hides_no_artifact_that_was_and_no_input_stands_for_it() -> None:
    left = [entry._replace(stored=False) for entry in entries(b"m", b"n")]
    others = [*entries(b"m", kind="artifact"), *entries(b"m", b"n", kind="input")]
    assert [(entry.path, entry.kind) for entry in distinct([*left, *others])] == [(b"m", "artifact"), (b"n", "output")]


def test_a_directory_is_opened_up_and_one_that_cannot_be_stands_for_itself() -> None:
    manifest = b"".join(encode_line({"path": f"data/{n}", "kind": "input"}) for n in range(3))
    one: dict[str, Any] = {"path": "data", "kind": "input", "type": "directory", "manifest": "c" * 64}
    other = {**one, "path": "more", "manifest": "d" * 64}

    def get(blob: str) -> bytes:
        if blob == "c" * 64:
            return manifest
        raise BlobNotFound(blob)

    found = expanded(read_entries([one, other]), get)
    assert [entry.path for entry in found] == [b"data/0", b"data/1", b"data/2", b"more"]
