"""Files put beside others: nothing is touched, and nothing half-written has a name."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitrun.errors import DamagedStore, DestinationExists, GitrunError, HostilePath
from gitrun.files.beside import Beside


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def listed(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_files_come_into_directories_that_are_there(place: Path) -> None:
    (place / "out").mkdir(mode=0o750)
    (place / "out/mine").write_text("mine")
    before = (place / "out").stat()
    with Beside(str(place), 10**18) as out:
        out.file(b"out/theirs", 0o640, iter([b"a", b"b"]))
        out.file(b"new/deep/file", 0o755, b"x")
        out.symlink(b"new/link", b"../out/mine")
        out.finish()
    assert listed(place) == ["new", "new/deep", "new/deep/file", "new/link", "out", "out/mine", "out/theirs"]
    assert (place / "out/theirs").read_bytes() == b"ab"
    assert (place / "out/theirs").stat().st_mode & 0o777 == 0o640
    assert (place / "out/theirs").stat().st_mtime_ns == 10**18
    assert (place / "out/theirs").stat().st_nlink == 1
    assert (place / "out").stat().st_mode == before.st_mode and (place / "out/mine").read_text() == "mine"


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_a_name_that_is_taken_is_never_touched(place: Path, kind: str) -> None:
    taken = place / "taken"
    {"file": taken.touch, "directory": taken.mkdir, "link": lambda: taken.symlink_to("nowhere")}[kind]()
    for write in ("file", "link"):
        with pytest.raises(DestinationExists), Beside(str(place), 0) as out:
            out.file(b"first", 0o644, b"x")
            if write == "file":
                out.file(b"taken", 0o644, b"x")
            else:
                out.symlink(b"taken", b"x")
            out.finish()
        assert listed(place) == ["taken"], "what was written before is taken back, and nothing else"
    assert os.path.islink(taken) == (kind == "link")


@pytest.mark.parametrize("above", ["link", "file"])
def test_nothing_goes_through_a_link_or_a_file(place: Path, above: str) -> None:
    (place / "elsewhere").mkdir()
    if above == "link":
        (place / "out").symlink_to("elsewhere")
    else:
        (place / "out").touch()
    with pytest.raises(DestinationExists, match="out"), Beside(str(place), 0) as out:
        out.file(b"out/x", 0o644, b"x")
    assert listed(place) == ["elsewhere", "out"]


def test_content_that_ends_in_a_problem_leaves_nothing_and_costs_no_other(place: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        assert len(os.listdir(place)) == 2 and not (place / "bad").exists(), "no name before it is whole"
        raise DamagedStore("no")

    with Beside(str(place), 0) as out:
        out.file(b"good", 0o644, b"x")
        with pytest.raises(DamagedStore):
            out.file(b"bad", 0o644, broken())
        out.finish()
    assert listed(place) == ["good"]


def test_a_file_system_without_hard_links(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    (place / "taken").write_text("mine")
    with pytest.raises(DestinationExists), Beside(str(place), 0) as out:
        out.file(b"taken", 0o644, b"x")
    with Beside(str(place), 0) as out:
        out.file(b"free", 0o644, b"x")
        out.finish()
    assert listed(place) == ["free", "taken"] and (place / "taken").read_text() == "mine"


@pytest.mark.parametrize("path", [b"../x", b"/x", b"a/../x", b".git/config", b"a/.GIT/x"])
def test_a_hostile_path_is_refused(place: Path, path: bytes) -> None:
    with pytest.raises(HostilePath), Beside(str(place / "in"), 0) as out:
        out.file(path, 0o644, b"x")
    assert listed(place) == []


def test_a_full_disk_is_said_as_such(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(GitrunError, match="No space left"), Beside(str(place), 0) as out:
        out.file(b"x", 0o644, b"x")
    assert listed(place) == []
