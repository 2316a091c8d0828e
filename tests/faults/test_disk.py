"""The model of a disk, and that the layer above it notices what careless code would lose."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.files.write import fsync_dir, write_file
from tests.faults.disk import MODES, Disk
from tests.faults.layer import Layer, apply, read_story
from tests.forking import in_child

SEEDS = range(40)


def disk_after(tmp_path: Path, action: Callable[[Path], object]) -> Disk:
    """The disk after an action in a directory that holds the file `old`."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "old").write_bytes(b"old")
    disk = Disk.load(str(place))
    layer = Layer(str(place), str(tmp_path / "story"))

    def act() -> None:
        layer.install()
        action(place)

    assert in_child(act) == 0
    for step in read_story(str(tmp_path / "story")):
        apply(disk, step)
    there = {str(path.relative_to(place)) for path in place.rglob("*")}
    assert disk.view("kill", 0).keys() == there
    assert all(
        disk.view("kill", 0)[name].content == (place / name).read_bytes() for name in there if (place / name).is_file()
    )
    return disk


def contents(disk: Disk, name: str) -> set[bytes | None]:
    """Everything that may be found under a name after a power cut."""
    views = [disk.view(mode, seed) for mode in MODES[1:] for seed in SEEDS]
    return {view[name].content if name in view else None for view in views}


def test_a_file_written_carefully_is_there(tmp_path: Path) -> None:
    disk = disk_after(tmp_path, lambda place: write_file(str(place / "old"), b"new"))
    assert contents(disk, "old") == {b"new"}


def test_a_name_without_a_sync_of_its_directory_may_be_lost(tmp_path: Path) -> None:
    def careless(place: Path) -> None:
        with open(place / "new", "wb") as file:
            file.write(b"new")
            file.flush()
            os.fsync(file.fileno())

    assert contents(disk_after(tmp_path, careless), "new") == {None, b"new"}


def test_a_name_before_its_bytes_may_be_zeros_or_a_part(tmp_path: Path) -> None:
    def careless(place: Path) -> None:
        (place / "temporary").write_bytes(b"new!")
        os.rename(place / "temporary", place / "old")
        fsync_dir(str(place))

    assert contents(disk_after(tmp_path, careless), "old") == {b"", b"new!", bytes(4), b"ne", b"ne\0\0"}


def test_a_removal_may_come_before_a_creation(tmp_path: Path) -> None:
    def careless(place: Path) -> None:
        os.mkdir(place / "below")
        fsync_dir(str(place))
        os.link(place / "old", place / "below" / "new")
        os.unlink(place / "old")

    disk = disk_after(tmp_path, careless)
    found = {tuple(sorted(disk.view("mixed", seed))) for seed in SEEDS}
    assert found == {("below",), ("below", "below/new"), ("below", "old"), ("below", "below/new", "old")}


def test_a_rename_between_directories_is_one_change(tmp_path: Path) -> None:
    def moves(place: Path) -> None:
        os.mkdir(place / "below")
        fsync_dir(str(place))
        os.rename(place / "old", place / "below" / "new")

    disk = disk_after(tmp_path, moves)
    views = [disk.view("mixed", seed) for seed in SEEDS]
    assert {tuple(sorted(view)) for view in views} == {("below", "old"), ("below", "below/new")}


def test_what_was_synced_and_written_on_has_at_least_its_old_content(tmp_path: Path) -> None:
    def appends(place: Path) -> None:
        fd = os.open(place / "old", os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"er")
        os.close(fd)

    assert contents(disk_after(tmp_path, appends), "old") >= {b"old", b"older"}


@pytest.mark.parametrize("mode", MODES)
def test_hard_links_stay_links(tmp_path: Path, mode: str) -> None:
    def links(place: Path) -> None:
        os.link(place / "old", place / "same")
        fsync_dir(str(place))

    view = disk_after(tmp_path, links).view(mode, 1)
    assert view["old"].node == view["same"].node
