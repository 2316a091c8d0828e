"""Looking through a tree for what was touched."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gitrun.capture.outputs import is_cache, scan
from tests.conftest import write_files


def now_ns(directory: Path) -> int:
    """The time by the clock of a file system, later than everything written so far."""
    time.sleep(0.02)
    mark = directory.parent / "mark"
    mark.write_text("")
    return os.stat(mark).st_mtime_ns


def names(top: Path, since_ns: int, **more: object) -> list[str]:
    found = scan(os.fsencode(top) + b"/", since_ns, **more)  # type: ignore[arg-type]
    return [os.fsdecode(one.path) for one in found.touched]


def test_what_was_touched_since_is_found_and_nothing_else(tmp_path: Path) -> None:
    top = tmp_path / "top"
    write_files(top, {"old.txt": "a", "deep/er/old.txt": "a", "changed.txt": "a", "moved.txt": "a"})
    since = now_ns(top)
    write_files(top, {"changed.txt": "b", "deep/er/new.txt": "b"})
    os.utime(top / "deep/er/new.txt", ns=(1, 1))  # an archiver that resets times
    os.rename(top / "moved.txt", top / "deep/moved.txt")
    os.symlink("old.txt", top / "link")
    os.mkfifo(top / "pipe")
    assert names(top, since) == ["changed.txt", "deep/er/new.txt", "deep/moved.txt", "link"]


def test_caches_environments_and_skipped_directories_are_not_entered(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "data/raw").mkdir(parents=True)
    since = now_ns(top)
    write_files(
        top,
        {
            "__pycache__/m.pyc": "x", "pkg/__pycache__/m.pyc": "x", "node_modules/a/b.js": "x", ".git/index": "x",
            "myenv/pyvenv.cfg": "x", "myenv/lib/a.py": "x", "conda/conda-meta/history": "x", "conda/bin/python": "x",
            "data/raw/a": "x", "data/out": "x", ".hidden/kept": "x",
        },
    )  # fmt: skip
    assert names(top, since, skip={os.fsencode(top / "data/raw")}) == [".hidden/kept", "data/out"]


def test_links_to_directories_elsewhere_are_named(tmp_path: Path) -> None:
    top = tmp_path / "top"
    write_files(tmp_path / "elsewhere", {"a": "x"})
    write_files(top, {"in/a": "x"})
    for name, target in (("out", "../elsewhere"), ("in2", "in"), ("file", "in/a"), ("loop", "."), ("gone", "nowhere")):
        os.symlink(target, top / name)
    found = scan(os.fsencode(top) + b"/", now_ns(top))
    assert found.links == [b"out"] and found.touched == []


def test_changed_files_elsewhere_that_links_lead_to_are_named(tmp_path: Path) -> None:
    top = tmp_path / "top"
    write_files(tmp_path / "elsewhere", {"old": "x", "new": "x", "same": "x"})
    write_files(top, {"in/a": "x"})
    for name, target in (("a", "../elsewhere/new"), ("b", "a"), ("c", "in/a"), ("d", "../elsewhere/nothing")):
        os.symlink(target, top / name)
    found = scan(os.fsencode(top) + b"/", now_ns(top))
    assert found.beyond == [os.fsencode(os.path.realpath(tmp_path / "elsewhere/new"))] and found.links == []
    assert scan(os.fsencode(top) + b"/", now_ns(top) + 3_000_000_000).beyond == []


def test_a_directory_that_cannot_be_read_is_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tmp_path / "top"
    write_files(top, {"open/a": "x", "shut/b": "x"})
    true_open = os.open

    def refusing(path: bytes, *args: int, **more: int) -> int:
        if path.endswith(b"shut/"):  # as for a user who is not root
            raise PermissionError(13, "Permission denied", path)
        return true_open(path, *args, **more)

    monkeypatch.setattr(os, "open", refusing)
    found = scan(os.fsencode(top) + b"/", 0)
    assert [one.path for one in found.touched] == [b"open/a"] and found.gaps == ["shut/: Permission denied"]


def test_a_directory_that_may_be_listed_only_is_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tmp_path / "top"
    since = now_ns(tmp_path)
    write_files(top, {"listed/a": "x", "listed/b": "x", "open/a": "x"})
    look, refused = os.stat, os.stat(top / "listed").st_ino

    def stat(path: object, *, dir_fd: int | None = None, **more: object) -> os.stat_result:
        if dir_fd is not None and os.fstat(dir_fd).st_ino == refused:
            raise PermissionError(13, "Permission denied")  # as for a user who may read and not search it
        return look(path, dir_fd=dir_fd, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", stat)
    found = scan(os.fsencode(top) + b"/", since)
    assert [one.path for one in found.touched] == [b"open/a"]
    assert found.gaps == ["listed/: Permission denied"]


def test_a_scan_that_takes_too_long_says_so(tmp_path: Path) -> None:
    top = tmp_path / "top"
    write_files(top, {f"{n // 100}/{n}": "x" for n in range(3000)})
    found = scan(os.fsencode(top) + b"/", 0, limit_s=0.0)
    assert 0 < len(found.touched) < 3000 and found.gaps[0].startswith("the scan was ended after 0 s")


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / os.fsdecode(b"\xff\n")).write_text("x")
    assert [one.path for one in scan(os.fsencode(top) + b"/", 0).touched] == [b"\xff\n"]


def test_a_path_through_a_cache() -> None:
    assert is_cache(b"/home/me/.cache/x/y") and is_cache(b"__pycache__/m.pyc")
    assert not is_cache(b"/home/me/cache/x") and not is_cache(b"out/.cache")
