import errno
import os
import stat
from pathlib import Path

import pytest

from gitrun.errors import DiskFull, GitrunError, NotWritable
from gitrun.files import permissions, write


def test_writes_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write.write_file(str(path), b"one")
    write.write_file(str(path), b"two", sync=False)
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == [".world", "a"] or sorted(os.listdir(tmp_path)) == [".world", "a"]


@pytest.mark.parametrize("failing", ["write", "fsync", "rename"])
def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    directory = tmp_path / "d"
    directory.mkdir()
    path = directory / "a"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(DiskFull, match=r"writing .*/a: No space left"):
        write.write_file(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(directory) == ["a"]


def test_a_missing_directory_is_an_expected_problem(tmp_path: Path) -> None:
    with pytest.raises(GitrunError, match="No such file"):
        write.write_file(str(tmp_path / "no" / "a"), b"")


def test_a_forbidden_place_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(NotWritable):
        write.write_file(str(tmp_path / "a"), b"")


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
    write.write_file(str(tmp_path / "a"), b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_make_dirs_takes_over_the_access_of_a_shared_directory(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2770)
    write.make_dirs(str(shared / "a" / "b"))
    write.write_file(str(shared / "a" / "b" / "c"), b"", sync=False)
    assert stat.S_IMODE((shared / "a" / "b").stat().st_mode) == 0o2770
    assert stat.S_IMODE((shared / "a" / "b" / "c").stat().st_mode) == 0o660
    elsewhere = tmp_path / "elsewhere"
    write.make_dirs(str(elsewhere), like=str(shared))
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o2770


def test_make_dirs_accepts_what_is_there_and_names_what_is_in_the_way(tmp_path: Path) -> None:
    write.make_dirs(str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(GitrunError, match="file"):
        write.make_dirs(str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("mode", "parent", "expected"),
    [
        (0o100644, 0o042775, 0o664),
        (0o100444, 0o042775, 0o444),
        (0o100755, 0o042775, 0o775),
        (0o100600, 0o042750, 0o640),
        (0o040755, 0o042770, 0o2770),
        (0o100644, 0o042777, 0o666),
    ],
)
def test_shared_modes_are_those_git_gives(mode: int, parent: int, expected: int) -> None:
    assert permissions.shared_mode(mode, parent) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_leaves_files_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 2345)
    write.make_dirs(str(tmp_path / "a"))
    write.write_file(str(tmp_path / "a" / "b"), b"")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)
