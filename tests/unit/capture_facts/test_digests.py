"""The digests of a user's files: believed only as long as the file cannot have changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gitrun.capture import digests as module
from gitrun.capture.digests import WORTH_BYTES, Digests, user_cache

LONG_AGO = 10**18


def a_file(path: Path, content: bytes) -> tuple[bytes, os.stat_result, str]:
    path.write_bytes(content)
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return os.fsencode(path), os.stat(path), hashlib.sha256(content).hexdigest()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a minute had gone by since every file of the test was written."""
    real = module.clock

    def clock(directory: str) -> os.stat_result | None:
        found = real(directory)
        assert found is not None
        times = {"st_mtime_ns": found.st_mtime_ns + 60 * 10**9}
        return os.stat_result(tuple(found), {**{k: getattr(found, k) for k in dir(found) if k[:3] == "st_"}, **times})

    monkeypatch.setattr(module, "clock", clock)


@pytest.mark.usefixtures("later")
def test_a_digest_is_there_for_whoever_comes_next(tmp_path: Path) -> None:
    path, found, digest = a_file(tmp_path / "f", os.urandom(WORTH_BYTES))
    first = Digests(str(tmp_path / "cache" / "digests"))
    assert first.get(path, found) is None
    first.put(path, found, digest)
    first.save()
    assert Digests(str(tmp_path / "cache" / "digests")).get(path, found) == digest


@pytest.mark.usefixtures("later")
def test_any_change_of_the_file_ends_it(tmp_path: Path) -> None:
    path, found, digest = a_file(tmp_path / "f", os.urandom(WORTH_BYTES))
    known = Digests(str(tmp_path / "cache"))
    known.get(path, found)
    known.put(path, found, digest)
    assert known.get(path, found) == digest
    os.utime(path, ns=(LONG_AGO, LONG_AGO + 1))
    assert known.get(path, os.stat(path)) is None
    os.utime(path, ns=(LONG_AGO, LONG_AGO))  # the time of modification is back, the time of the change is not
    assert known.get(path, os.stat(path)) is None
    os.unlink(path)
    other = a_file(tmp_path / "f", os.urandom(WORTH_BYTES))
    assert known.get(path, other[1]) is None


def test_a_file_that_was_written_just_now_is_not_remembered(tmp_path: Path) -> None:
    known = Digests(str(tmp_path / "cache"))
    path = tmp_path / "f"
    known.get(os.fsencode(path), a_file(path, bytes(WORTH_BYTES))[1])  # the clock is read here
    path.write_bytes(bytes(WORTH_BYTES))
    known.put(os.fsencode(path), os.stat(path), "ab" * 32)
    assert known.get(os.fsencode(path), os.stat(path)) is None


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("at", [0, 9, 20, -1])
def test_a_damaged_file_is_no_file(tmp_path: Path, at: int) -> None:
    path, found, digest = a_file(tmp_path / "f", os.urandom(WORTH_BYTES))
    known = Digests(str(tmp_path / "cache"))
    known.get(path, found)
    known.put(path, found, digest)
    known.save()
    (kept,) = (tmp_path / "cache").iterdir()
    data = bytearray(kept.read_bytes())
    data[at] ^= 1
    kept.write_bytes(data)
    assert Digests(str(tmp_path / "cache")).get(path, found) is None


@pytest.mark.usefixtures("later")
def test_the_oldest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 300)
    known = Digests(str(tmp_path / "cache"))
    for number in range(8):
        (tmp_path / str(number)).mkdir()
        path, found, digest = a_file(tmp_path / str(number) / "f", os.urandom(WORTH_BYTES))
        known.get(path, found)
        known.put(path, found, digest)
        known.save()
    sizes = [kept.stat().st_size for kept in (tmp_path / "cache").iterdir()]
    assert sizes and sum(sizes) <= 300


def test_a_directory_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    path, found, digest = a_file(tmp_path / "f", os.urandom(WORTH_BYTES))
    known = Digests(str(tmp_path / "cache" / "digests"))
    assert known.get(path, found) is None
    known.put(path, found, digest)
    known.save()


def test_where_a_users_digests_lie(tmp_path: Path) -> None:
    top = os.path.realpath(tmp_path)
    worktree = os.fsencode(tmp_path / "repo")
    assert user_cache({"XDG_CACHE_HOME": f"{top}/c", "HOME": "/h"}, worktree) == f"{top}/c/gitrun/digests"
    assert user_cache({"XDG_CACHE_HOME": "relative", "HOME": f"{top}/h"}, worktree) == f"{top}/h/.cache/gitrun/digests"
    assert user_cache({}, worktree) is None
    assert user_cache({"XDG_CACHE_HOME": f"{top}/repo/.cache"}, worktree) is None  # the tree stays as it is
