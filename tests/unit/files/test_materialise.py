import errno
import os
import stat
from pathlib import Path

import pytest

from gitrun.errors import DestinationExists, DiskFull, GitrunError, HostilePath
from gitrun.files import materialise
from gitrun.files.materialise import Materialiser

NS = 1_500_000_000_123_456_789


def tree(root: Path) -> dict[str, tuple[str, int, bytes]]:
    """Everything below `root`: kind, permission bits, content or target."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in folders + files:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                what = ("link", 0, os.readlink(path))
            elif stat.S_ISDIR(mode):
                what = ("directory", stat.S_IMODE(mode), b"")
            else:
                with open(path, "rb") as file:
                    what = ("file", stat.S_IMODE(mode), file.read())
            found[os.path.relpath(path, os.fsencode(root)).decode("utf-8", "backslashreplace")] = what
    return found


def test_a_tree_comes_out_as_recorded(tmp_path: Path) -> None:
    root = tmp_path / "new" / "out"
    with Materialiser(str(root), NS, umask=0o027) as out:
        out.symlink(b"link", b"a/b")
        out.symlink(b"dangling", b"/no/such/\xff")
        out.symlink(b"a/up", b"../..")
        out.file(b"a/b", 0o100644, b"content")
        out.file(b"a/run", 0o100755, iter([b"#!", b"", memoryview(b"/bin/sh")]))
        out.file(b"exact", 0o604, b"")
        out.file(b"readonly", 0o444, b"x")
        out.file(b"\xff\xfe/deep/er", 0o100644, b"")
        out.directory(b"empty/inside")
        out.directory(b"empty")
        out.finish()
    assert tree(root) == {
        "link": ("link", 0, b"a/b"),
        "dangling": ("link", 0, b"/no/such/\xff"),
        "a": ("directory", 0o750, b""),
        "a/up": ("link", 0, b"../.."),
        "a/b": ("file", 0o640, b"content"),
        "a/run": ("file", 0o750, b"#!/bin/sh"),
        "exact": ("file", 0o604, b""),
        "readonly": ("file", 0o444, b"x"),
        "\\xff\\xfe": ("directory", 0o750, b""),
        "\\xff\\xfe/deep": ("directory", 0o750, b""),
        "\\xff\\xfe/deep/er": ("file", 0o640, b""),
        "empty": ("directory", 0o750, b""),
        "empty/inside": ("directory", 0o750, b""),
    }
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in [b"", *folders, *files]:
            assert os.lstat(os.path.join(folder, name)).st_mtime_ns == NS


def test_special_bits_out_of_an_archive_are_dropped(tmp_path: Path) -> None:
    with Materialiser(str(tmp_path / "out"), NS) as out:
        out.file(b"a", 0o104755, b"")
        out.finish()
    assert stat.S_IMODE((tmp_path / "out" / "a").stat().st_mode) == 0o755


def test_the_umask_of_this_process_does_not_show(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with Materialiser(str(tmp_path / "out"), NS, umask=0o002) as out:
            out.file(b"d/a", 0o100755, b"")
            out.finish()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out" / "d" / "a").stat().st_mode) == 0o775
    assert stat.S_IMODE((tmp_path / "out" / "d").stat().st_mode) == 0o775


def test_an_empty_directory_will_do_and_anything_else_will_not(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with Materialiser(str(empty), NS) as out:
        out.file(b"a", 0o100644, b"")
        out.finish()
    with pytest.raises(DestinationExists):
        Materialiser(str(empty), NS)
    with pytest.raises(DestinationExists):
        Materialiser(str(empty / "a"), NS)
    assert os.listdir(empty) == ["a"]


@pytest.mark.parametrize("path", [b"../x", b"/x", b"a/../../x", b".git/config", b"a/GIT~1/x", b"", b"a//b", b"a/."])
def test_nothing_is_written_under_a_hostile_name(tmp_path: Path, path: bytes) -> None:
    for write in ("file", "link", "directory"):
        with pytest.raises(HostilePath), Materialiser(str(tmp_path / "out"), NS) as out:
            if write == "file":
                out.file(path, 0o100644, b"x")
            elif write == "link":
                out.symlink(path, b"x")
            elif path:
                out.directory(path)
            else:
                raise HostilePath("the root is no mistake")
        assert not (tmp_path / "out").exists() and not (tmp_path / "x").exists()


@pytest.mark.parametrize("target", [b"", b"a\0b", b"x" * 4096])
def test_link_targets_no_system_could_have_held(tmp_path: Path, target: bytes) -> None:
    with pytest.raises(HostilePath), Materialiser(str(tmp_path / "out"), NS) as out:
        out.symlink(b"a", target)


def test_two_names_for_one_file_are_refused(tmp_path: Path) -> None:
    def twice(out: Materialiser) -> None:
        out.file(b"a", 0o100644, b"1")
        out.file(b"a", 0o100644, b"2")

    def file_as_directory(out: Materialiser) -> None:
        out.file(b"a", 0o100644, b"1")
        out.file(b"a/b", 0o100644, b"2")

    def directory_as_file(out: Materialiser) -> None:
        out.file(b"a/b", 0o100644, b"1")
        out.file(b"a", 0o100644, b"2")

    def link_over_file(out: Materialiser) -> None:
        out.file(b"a", 0o100644, b"1")
        out.symlink(b"a", b"x")
        out.finish()

    def link_over_directory(out: Materialiser) -> None:
        out.symlink(b"a", str(tmp_path).encode())
        out.file(b"a/escaped", 0o100644, b"2")
        out.finish()

    for collide in (twice, file_as_directory, directory_as_file, link_over_file, link_over_directory):
        with pytest.raises(HostilePath, match="one file"), Materialiser(str(tmp_path / "out"), NS) as out:
            collide(out)
        assert not (tmp_path / "out").exists()
    assert not (tmp_path / "escaped").exists()


def test_a_directory_swapped_for_a_link_meanwhile_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(materialise, "_OPEN_DIRECTORIES", 1)
    outside = tmp_path / "outside"
    outside.mkdir()
    with pytest.raises(GitrunError), Materialiser(str(tmp_path / "out"), NS) as out:
        out.file(b"a/one", 0o100644, b"")
        out.file(b"b/one", 0o100644, b"")  # closes the descriptor of `a`
        (tmp_path / "out" / "a" / "one").unlink()
        (tmp_path / "out" / "a").rmdir()
        (tmp_path / "out" / "a").symlink_to(outside)
        out.file(b"a/two", 0o100644, b"")
    assert os.listdir(outside) == []


def test_few_descriptors_suffice_for_deep_and_wide_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materialise, "_OPEN_DIRECTORIES", 3)
    deep = b"/".join([b"d"] * 300)
    before = len(os.listdir("/proc/self/fd"))
    with Materialiser(str(tmp_path / "out"), NS) as out:
        for n in range(200):
            out.file(b"%d/%d/f" % (n % 10, n % 7), 0o100644, b"") if n < 70 else out.directory(b"w%d" % n)
        out.file(deep + b"/leaf", 0o100644, b"leaf")
        assert len(os.listdir("/proc/self/fd")) <= before + 5
        out.finish()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_failure_takes_back_what_was_written_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "out"
    root.mkdir()

    def full(fd: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DiskFull), Materialiser(str(root), NS) as out:
        out.file(b"a/b/c", 0o100644, b"1")
        out.symlink(b"l", b"x")
        (root / "a" / "theirs").write_text("kept")
        monkeypatch.setattr(materialise, "write_all", full)
        out.file(b"d/e", 0o100644, b"2")
    assert tree(root) == {"a": ("directory", 0o755, b""), "a/theirs": ("file", 0o644, b"kept")}


def test_a_failing_source_takes_everything_back(tmp_path: Path) -> None:
    def broken() -> object:
        yield b"some"
        raise GitrunError("the blob is damaged")

    with pytest.raises(GitrunError, match="damaged"), Materialiser(str(tmp_path / "out"), NS) as out:
        out.file(b"a/b", 0o100644, broken())  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
