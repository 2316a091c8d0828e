"""Own packs: what is written, what is visible when, what survives the user's gc."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitrun.errors import DamagedStore, DiskFull
from gitrun.git import packs
from gitrun.git.fold import fold_now
from gitrun.git.hashing import object_id
from gitrun.git.packindex import IndexEntry, PackIndex, encode_index
from gitrun.git.packs import OwnPacks, PackWriter, remove_leftovers, replace_by_superset
from gitrun.git.refs import LIVE, RUNS, create, delete
from tests.git_support import add_run, both_formats, both_ways, fsck, git, init, opened, run_id


def _objects(root: Path) -> str:
    return str(root / ".git/objects")


@both_formats
def test_git_reads_what_is_written(tmp_path: Path, fmt: str) -> None:
    root = init(tmp_path / "r", fmt)
    contents = [b"", b"x" * 15, b"y" * 16, os.urandom(3000), b"z" * 300_000]
    writer = PackWriter(_objects(root), fmt)
    oids = [writer.add("blob", data) for data in contents]
    assert oids == [writer.add("blob", data) for data in contents] and writer.count == len(contents)
    pack = writer.finish(sync=True)
    assert pack is not None and pack.size == os.stat(pack.path("pack")).st_size
    for oid, data in zip(oids, contents, strict=True):
        assert git("cat-file", "blob", oid, cwd=root) == data
    assert {stat.S_IMODE(os.stat(pack.path(s)).st_mode) for s in ("pack", "idx", "keep")} == {0o444}
    assert not [name for name in os.listdir(pack.directory) if name.startswith("tmp")]
    fsck(root)


@both_formats
def test_the_index_is_the_one_git_would_write(tmp_path: Path, fmt: str) -> None:
    root = init(tmp_path / "r", fmt)
    _, pack = add_run(opened(root), 1)
    assert pack is not None
    git("index-pack", "--index-version=2", "-o", str(tmp_path / "x.idx"), pack.path("pack"), cwd=root)
    assert (tmp_path / "x.idx").read_bytes() == Path(pack.path("idx")).read_bytes()


def test_spilling_makes_the_same_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for place in ("whole", "spilled"):
        writer = PackWriter(str(tmp_path / place), "sha1")
        for n in range(50):
            writer.add("blob", b"%d" % n * 100)
        pack = writer.finish(sync=False)
        assert pack is not None
        names.append((pack.name, pack.size))
        monkeypatch.setattr(packs, "_FLUSH_BYTES", 100)
    assert names[0] == names[1]


@both_formats
def test_offsets_beyond_two_gigabytes(tmp_path: Path, fmt: str) -> None:
    offsets = [12, (1 << 31) - 1, 1 << 31, 5 << 32]
    entries = [IndexEntry(bytes.fromhex(object_id("blob", b"%d" % n, fmt)), n, at) for n, at in enumerate(offsets)]
    path = tmp_path / "x.idx"
    path.write_bytes(encode_index(entries, b"c" * len(entries[0].oid), fmt))
    index = PackIndex(str(path), fmt)
    assert index.entries() == entries and all(index.contains(entry.oid) for entry in entries)
    assert not index.contains(b"\0" * len(entries[0].oid)) and not index.contains(b"\xff" * len(entries[0].oid))
    shown = git("show-index", f"--object-format={fmt}", cwd=tmp_path, input=path.read_bytes()).splitlines()
    assert sorted(int(line.split()[0]) for line in shown) == offsets


def test_damaged_indexes_are_refused(tmp_path: Path) -> None:
    good = encode_index([IndexEntry(b"a" * 20, 1, 12)], b"c" * 20, "sha1")
    damaged = [b"", good[:1000], good[:-1], b"x" + good[1:], good[:8] + struct.pack(">256I", *[9] * 256) + good[1032:]]
    for data in damaged:
        (tmp_path / "x.idx").write_bytes(data)
        with pytest.raises(DamagedStore):
            PackIndex(str(tmp_path / "x.idx"), "sha1")


def test_own_packs_are_searched_and_others_are_not(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    commit, pack = add_run(opened(root), 1)
    git("gc", "-q", cwd=root)
    head = git("rev-parse", "HEAD", cwd=root).decode().strip()
    own = OwnPacks(_objects(root), "sha1")
    assert own.contains(commit) and not own.contains(head)
    assert [p.name for p in own.packs()] == [pack.name if pack else ""]
    writer = PackWriter(_objects(root), "sha1", own=own)
    assert writer.contains(commit) and writer.finish(sync=True) is None
    Path(own.directory, f"{own.packs()[0].name}.idx").chmod(0o644)
    Path(own.directory, f"{own.packs()[0].name}.idx").write_bytes(b"broken")
    assert not OwnPacks(_objects(root), "sha1").contains(commit)  # nothing relies on a damaged pack


def test_what_is_relied_on_is_made_durable_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = opened(init(tmp_path / "r"))
    commit, old = add_run(repo, 1)
    writer = PackWriter(repo.objects_dir, "sha1", own=OwnPacks(repo.objects_dir, "sha1"))
    assert writer.contains(commit)
    writer.add("blob", b"new")
    pack = writer.finish(sync=False)
    synced: list[str] = []
    monkeypatch.setattr(packs, "fsync_path", synced.append)
    assert pack is not None and old is not None
    pack.sync()
    assert {old.path("pack"), old.path("idx"), pack.path("pack"), pack.path("idx"), pack.path("keep")} <= set(synced)


def test_the_mark_comes_first_and_the_index_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    rename = os.rename

    def watch(source: str, target: str) -> None:
        seen.append(target.rpartition(".")[2])
        rename(source, target)

    monkeypatch.setattr(packs.os, "rename", watch)
    add_run(opened(init(tmp_path / "r")), 1)
    assert seen == ["keep", "pack", "idx"]


def test_temporary_files_removed_by_gc_are_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = init(tmp_path / "r")
    rename = os.rename

    def prune_first(source: str, target: str) -> None:
        if target not in pruned:
            pruned.add(target)
            os.unlink(source)
        rename(source, target)

    pruned: set[str] = set()
    monkeypatch.setattr(packs.os, "rename", prune_first)
    add_run(opened(root), 1)
    assert len(pruned) == 3
    fsck(root)


def test_absorbing_copies_entries_and_checks_them(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    repo = opened(root)
    made = [add_run(repo, n) for n in range(3)]
    olds = [pack for _, pack in made if pack is not None]
    writer = PackWriter(repo.objects_dir, "sha1")
    assert all(writer.absorb(pack) for pack in olds)
    new = writer.finish(sync=True)
    assert new is not None
    replace_by_superset(repo.objects_dir, "sha1", olds, new)
    assert OwnPacks(repo.objects_dir, "sha1").packs() == [new]
    fsck(root)
    os.chmod(new.path("pack"), 0o644)
    with open(new.path("pack"), "r+b") as file:
        file.seek(30)
        file.write(b"\0\0\0")
    with pytest.raises(DamagedStore, match="is damaged at byte"):
        PackWriter(repo.objects_dir, "sha1").absorb(new)


def test_nothing_is_replaced_by_less(tmp_path: Path) -> None:
    repo = opened(init(tmp_path / "r"))
    (_, one), (_, two) = add_run(repo, 1), add_run(repo, 2)
    assert one is not None and two is not None
    with pytest.raises(DamagedStore, match="lacks"):
        replace_by_superset(repo.objects_dir, "sha1", [one], two)
    replace_by_superset(repo.objects_dir, "sha1", [two], two)
    assert len(OwnPacks(repo.objects_dir, "sha1").packs()) == 2


def test_leftovers_go_only_when_nobody_holds_them_and_they_are_old(tmp_path: Path) -> None:
    root = init(tmp_path / "r")
    repo = opened(root)
    _, pack = add_run(repo, 1)
    add_run(repo, 2)
    assert pack is not None
    os.unlink(pack.path("idx"))
    now = os.stat(pack.path("keep")).st_mtime
    assert remove_leftovers(repo.objects_dir, now + 60) == 0
    with open(pack.path("keep"), "rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert remove_leftovers(repo.objects_dir, now + 7200) == 0
    assert remove_leftovers(repo.objects_dir, now + 7200) == 1
    assert not os.path.exists(pack.path("pack")) and not os.path.exists(pack.path("keep"))
    assert len(OwnPacks(repo.objects_dir, "sha1").packs()) == 1


def test_shared_repository(tmp_path: Path) -> None:
    root = init(tmp_path / "r", "sha1", "--shared=group")
    _, pack = add_run(opened(root), 1)
    theirs = tmp_path / "r/.git/objects"
    assert pack is not None
    assert stat.S_IMODE(os.stat(pack.path("pack")).st_mode) == 0o440 | (0o004 if theirs.stat().st_mode & 4 else 0)


@both_formats
def test_gc_keeps_what_no_ref_names(tmp_path: Path, fmt: str) -> None:
    root = init(tmp_path / "r", fmt)
    commit, _ = add_run(opened(root), 1)
    for _ in range(2):
        git("gc", "-q", "--prune=now", cwd=root)
    assert git("cat-file", "-t", commit, cwd=root) == b"commit\n"
    fsck(root)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = init(tmp_path / "r")
    before = sorted(os.listdir(root / ".git/objects/pack"))
    write_all = packs.write_all
    for fails_at in range(2):
        calls = iter(range(9))

        def write(fd: int, data: bytes, calls: Iterator[int] = calls, fails_at: int = fails_at) -> None:
            if next(calls) == fails_at:
                raise OSError(errno.ENOSPC, "No space left on device")
            write_all(fd, data)

        monkeypatch.setattr(packs, "write_all", write)
        with pytest.raises(DiskFull):
            add_run(opened(root), 1)
        assert sorted(os.listdir(root / ".git/objects/pack")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write for somebody else")
@both_ways
def test_what_root_writes_belongs_to_the_owner(tmp_path: Path, way: str) -> None:
    root = init(tmp_path / "r")
    subprocess.run(["chown", "-R", "12345:12346", str(root)], check=True)
    git("config", "--global", "safe.directory", "*", cwd=tmp_path)
    repo = opened(root, way)
    for n in range(3):
        commit, _ = add_run(repo, n)
        assert create(repo, RUNS + run_id(n), commit) and create(repo, LIVE + run_id(n), commit)
        assert delete(repo, LIVE + run_id(n))
    made = [path for path in (root / ".git").rglob("*") if path.lstat().st_uid != 12345]
    assert not made
    fold_now(repo)
    made = [path for path in (root / ".git").rglob("*") if path.lstat().st_uid != 12345]
    assert not made
