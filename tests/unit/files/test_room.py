"""Making room in a cache: the oldest files go, as many as it takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitrun.files.room import make_room


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    directory = tmp_path / "cache"
    directory.mkdir()
    for n in range(8):
        (directory / str(n)).write_bytes(bytes(10))
        os.utime(directory / str(n), (n, n))
    return directory


def left(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


def test_nothing_goes_while_there_is_room(cache: Path) -> None:
    make_room(str(cache), files=8, size=80)
    assert len(left(cache)) == 8


@pytest.mark.parametrize("room", [{"files": 7}, {"size": 79}])
def test_the_oldest_go_until_a_quarter_is_free(cache: Path, room: dict[str, int]) -> None:
    make_room(str(cache), **room)
    assert left(cache) == {"3", "4", "5", "6", "7"}


def test_a_file_that_is_no_entry_stays(cache: Path) -> None:
    make_room(str(cache), files=4, but=["0"])
    assert left(cache) == {"0", "5", "6", "7"}
