"""Trees, commits, ids and identities as bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitrun.errors import DamagedRecord
from gitrun.git.hashing import hasher, is_object_id, object_id, zero_id
from gitrun.git.identity import FALLBACK, Identity, identity
from gitrun.git.trees import DIRECTORY, FILE, TreeEntry, encode_commit, encode_tree, parse_commit, parse_tree
from tests.git_support import both_formats, git, init, opened

_DIGITS = {"sha1": 40, "sha256": 64}


def test_known_ids() -> None:
    assert object_id("blob", b"", "sha1") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert object_id("tree", b"", "sha256") == "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"
    pieces = hasher("blob", 6, "sha1")
    pieces.update(b"foo")
    pieces.update(b"bar")
    assert pieces.hexdigest() == object_id("blob", b"foobar", "sha1") == hashlib.sha1(b"blob 6\0foobar").hexdigest()
    assert zero_id("sha256") == "0" * 64
    assert is_object_id("a" * 40, "sha1") and not is_object_id("A" * 40, "sha1") and not is_object_id("a", "sha1")


@both_formats
def test_directories_sort_with_a_slash(fmt: str) -> None:
    oid = "1" * _DIGITS[fmt]
    entries = [TreeEntry(b"a", DIRECTORY, oid), TreeEntry(b"a.b", FILE, oid), TreeEntry(b"a0", FILE, oid)]
    names = [entry.name for entry in parse_tree(encode_tree(reversed(entries)), _DIGITS[fmt] // 2)]
    assert names == [b"a.b", b"a", b"a0"]


@given(
    st.dictionaries(
        st.binary(min_size=1).filter(lambda name: not set(name) & {0, 47}),
        st.sampled_from([FILE, 0o100755, 0o120000, DIRECTORY, 0o160000]),
    )
)
def test_trees_survive_a_round_trip(modes: dict[bytes, int]) -> None:
    entries = {TreeEntry(name, mode, object_id("blob", name, "sha1")) for name, mode in modes.items()}
    assert set(parse_tree(encode_tree(entries), 20)) == entries


@given(st.binary())
def test_anything_else_is_refused_or_read(data: bytes) -> None:
    try:
        entries = parse_tree(data, 20)
    except DamagedRecord:
        return
    assert all(entry.name and len(entry.oid) == 40 for entry in entries)


def test_commits() -> None:
    data = encode_commit(
        "1" * 40, ["2" * 40, "3" * 40], Identity("A B", "a@b"), 1700000000, "+0130", b"subject\n\nbody\n"
    )
    commit = parse_commit(data)
    assert commit.tree == "1" * 40 and commit.parents == ("2" * 40, "3" * 40)
    assert commit.author == b"A B <a@b> 1700000000 +0130" and commit.message == b"subject\n\nbody\n"
    assert parse_commit(encode_commit("1" * 64, [], FALLBACK, 0, "+0000", b"x\0y")).message == b"xy\n"
    with pytest.raises(DamagedRecord):
        parse_commit(b"tree zz\n\n")


def test_identity(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    assert identity(opened(root), {}) == FALLBACK
    assert identity(opened(root), {"EMAIL": "me@here"}) == Identity("gitrun", "me@here")
    git("config", "user.name", " <A>\tB. ", cwd=root)
    git("config", "user.email", "<a@b>", cwd=root)
    assert identity(opened(root), {}) == Identity("A\tB", "a@b")
    assert identity(opened(root), {"GIT_AUTHOR_NAME": "C", "GIT_AUTHOR_EMAIL": "c@d"}) == Identity("C", "c@d")
