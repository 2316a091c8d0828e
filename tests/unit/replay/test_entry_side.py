"""The bytes of a run's files: from the store, else from the disk if they still are what was recorded."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path
from typing import Any

import pytest

from gitrun.model.canonical import encode_line
from gitrun.replay import entry_side
from gitrun.replay.entry_side import Side, side_of_replay, side_of_run
from tests.entries import RUNS, line, seal

DATA = random.Random(1).randbytes(6 << 20)


@pytest.fixture
def sealed(hand: Any) -> Side:
    seal(hand, RUNS[0], {"big.bin": DATA, "small.txt": b"small"}, [line("gone.bin", bytes=3, sha256="0" * 64)])
    archive = hand.open()
    return side_of_run(archive, archive.run(RUNS[0]))


def entry(side: Side, path: bytes) -> Any:
    return next(each for each in side.entries if each.path == path)


def test_a_stored_file_is_read_and_sought_in(sealed: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    for most in (entry_side._IN_MEMORY, 0):
        monkeypatch.setattr(entry_side, "_IN_MEMORY", most)
        with sealed.open(entry(sealed, b"big.bin")) as file:  # type: ignore[union-attr]
            assert file.read() == DATA
            assert file.read(1) == b""
            for at in (0, 1, 2 << 20, (2 << 20) - 3, 5 << 20, len(DATA) - 1, len(DATA)):
                file.seek(at)
                assert file.tell() == at
                assert file.read(70_000) == DATA[at : at + 70_000]
            assert file.seek(-5, os.SEEK_END) == len(DATA) - 5
            assert file.read() == DATA[-5:]
    with sealed.open(entry(sealed, b"small.txt")) as file:  # type: ignore[union-attr]
        assert file.read() == b"small"


def test_what_nobody_has_is_none(sealed: Side) -> None:
    assert sealed.open(entry(sealed, b"gone.bin")) is None


def test_a_damaged_store_costs_a_closer_look_alone(hand: Any, sealed: Side) -> None:
    for pack in Path(hand.gitrun_dir, "store").rglob("*.gpk"):
        pack.unlink()
    archive = hand.open()
    side = side_of_run(archive, archive.run(RUNS[0]))
    assert side.open(entry(side, b"big.bin")) is None


def test_a_file_that_was_not_stored_counts_where_it_still_is_what_it_was(hand: Any, tmp_path: Path) -> None:
    top = tmp_path / "checkout"
    top.mkdir()
    digest = hashlib.sha256(b"kept").hexdigest()
    lines = [line("a.bin", bytes=4, sha256=digest), line("b.bin", bytes=4, sha256=digest)]
    data = b"".join(map(encode_line, lines))
    side = side_of_replay(hand.open(), {"worktree": "/nowhere"}, data, str(top), {})
    (top / "a.bin").write_bytes(b"kept")
    (top / "b.bin").write_bytes(b"edit")
    with side.open(entry(side, b"a.bin")) as file:  # type: ignore[union-attr]
        assert file.read() == b"kept"
    assert side.open(entry(side, b"b.bin")) is None
    (top / "b.bin").unlink()
    (top / "b.bin").symlink_to("a.bin")
    assert side.open(entry(side, b"b.bin")) is None


def test_what_a_replay_wrote_to_its_copies_is_at_the_place_they_stand_for(hand: Any) -> None:
    paths = ["/c/w.roots/2/out.txt", "/c/w.loaded/usr/share/x", "/c/w.rootsy/z", "plain"]
    lines = b"".join(encode_line(line(path)) for path in paths)
    original = {"source": {"roots": [{"n": 2, "path": "/libs/mine"}, {"n": 1, "path": "vendored"}]}}
    side = side_of_replay(hand.open(), {}, lines, "/c/w", original)
    assert [each.path for each in side.entries] == [b"/libs/mine/out.txt", b"/usr/share/x", b"/c/w.rootsy/z", b"plain"]
