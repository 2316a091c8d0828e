"""A snapshot leaves no trace outside gitrun's own packs, whenever it is stopped, and many may run at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.differential.snapshot_states import base, write
from tests.snapshots import files_of, git, gits_tree, is_complete, snapshot

TAKE = """
import sys
from pathlib import Path
from tests.snapshots import snapshot
print(snapshot(Path(sys.argv[1])).tree)
"""
PROJECT = Path(__file__).parents[3]


def everything(root: Path) -> dict[str, tuple[bytes, int, int]]:
    """Bytes, mtime and mode of every file but objects: index, HEAD, refs, reflogs, stash, hooks, worktree."""
    seen = {}
    for directory, below, names in os.walk(root):
        below[:] = [name for name in below if (Path(directory) / name).relative_to(root).parts[:2] not in OURS]
        for name in names:
            path = Path(directory) / name
            facts = path.lstat()
            data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            seen[str(path.relative_to(root))] = (data, facts.st_mtime_ns, facts.st_mode)
    return seen


OURS = {(".git", "objects"), (".git", "gitrun")}


@pytest.fixture
def busy(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    base(root)
    write(root, "a.py", "stashed\n")
    git(root, "stash")
    write(root, "a.py", "changed\n")
    write(root, "z", "staged\n")
    git(root, "add", "z")
    write(root, "new/file", "new\n")
    write(root, ".gitattributes", "*.crlf text\n")
    write(root, "dos.crlf", "1\r\n")
    write(root, "large.bin", b"x" * 3_000_000)
    git(root, "config", "gitrun.record.largefile", "1M")
    os.utime(root / "b.txt")  # git would refresh the index for this one
    return root


def test_nothing_of_the_users_changes(busy: Path) -> None:
    before = everything(busy)
    taken = snapshot(busy)
    assert everything(busy) == before
    assert "dos.crlf" in {line["path"] for line in taken.extra}


def test_objects_survive_prune_without_a_ref(busy: Path) -> None:
    taken = snapshot(busy)
    git(busy, "reflog", "expire", "--expire=now", "--all")
    git(busy, "gc", "-q", "--prune=now")
    assert is_complete(busy, taken.commit)


def test_an_object_that_merely_exists_is_written(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    base(root)
    write(root, "a.py", "staged, then reset\n")
    git(root, "add", "a.py")
    git(root, "reset", "-q")
    taken = snapshot(root)
    git(root, "gc", "-q", "--prune=now")
    assert is_complete(root, taken.commit)


def test_killed_half_way_leaves_everything_as_it_was(busy: Path) -> None:
    for n in range(400):
        write(busy, f"many/{n}", f"{n}\n" * 50)
    before = everything(busy)
    for delay_ms in (60, 90, 120, 150, 180):
        child = subprocess.Popen([sys.executable, "-c", TAKE, busy], cwd=PROJECT, stdout=subprocess.DEVNULL)
        time.sleep(delay_ms / 1000)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert everything(busy) == before
    assert git(busy, "fsck", "--full", "--strict") is not None
    assert snapshot(busy).tree


def test_sixteen_at_once_agree(busy: Path) -> None:
    (busy / "large.bin").unlink()
    (busy / "dos.crlf").unlink()
    before = everything(busy)
    children = [
        subprocess.Popen([sys.executable, "-c", TAKE, busy], cwd=PROJECT, stdout=subprocess.PIPE) for _ in range(16)
    ]
    trees = {child.communicate()[0].decode().strip() for child in children}
    assert [child.returncode for child in children] == [0] * 16
    assert trees == {gits_tree(busy)}
    assert everything(busy) == before
    assert files_of(busy, trees.pop())
