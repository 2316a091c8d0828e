"""A disk that is full, to the last kilobyte, and one that may only be read: real ones, made of memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Result
from tests.git_support import fsck

DISK_BYTES = 6 << 20
STOP = {"GITRUN_RECORD_ON_PROBLEM": "stop"}
ROOM_KIB = (0, 8, 24, 64, 160, 320)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own; needs the right to mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    try:
        done = subprocess.run(words, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"a small disk cannot be made here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def repo(disk: Path, make_repo: Callable[..., Path], gitrun: Callable[..., Result], tmp_path: Path) -> Path:
    """A repository on it, with a run whose console is in the store."""
    made = make_repo(name="disk/repository")
    noise = "import os, sys; sys.stdout.buffer.write(os.urandom(600_000))"
    assert gitrun("record", "-q", "--", sys.executable, "-c", noise, cwd=made).code == 0
    return made


def fill(disk: Path, room_kib: int) -> Path:
    """A file that leaves this much room."""
    filler = disk / "filler"
    facts = os.statvfs(disk)
    filler.write_bytes(bytes(max(0, facts.f_bavail * facts.f_bsize - room_kib * 1024)))
    return filler


@pytest.mark.slow
def test_a_full_disk(repo: Path, gitrun: Callable[..., Result]) -> None:
    """The command runs whole or not at all, what was recorded stays, and room is all that is needed to go on."""
    codes = []
    for room_kib in ROOM_KIB:
        (repo.parent.parent / "ran").unlink(missing_ok=True)
        filler = fill(repo.parent, room_kib)
        done = gitrun("record", "--", "sh", "-c", "echo x >>../../ran; exit 3", cwd=repo, env=STOP)
        ran = (repo.parent.parent / "ran").exists()
        assert done.code == (3 if ran else 125), done
        assert "Traceback" not in done.stderr
        assert ran or "No space left" in done.stderr or "full" in done.stderr, done.stderr
        assert gitrun("ls", cwd=repo).code == 0
        filler.unlink()
        assert gitrun("recover", cwd=repo).code == 0
        assert gitrun("fsck", "--data", cwd=repo).code == 0
        fsck(repo)
        statuses = [run["status"] for run in gitrun("ls", "--json", cwd=repo).json()]
        codes.append(done.code)
        assert statuses.count("failed") == codes.count(3), statuses
    assert {3, 125} == set(codes)


@pytest.mark.slow
def test_gc_and_annotations_on_a_full_disk(repo: Path, gitrun: Callable[..., Result]) -> None:
    (run_id,) = [run["id"] for run in gitrun("ls", "--json", cwd=repo).json()]
    for room_kib in ROOM_KIB[:4]:
        filler = fill(repo.parent, room_kib)
        for words in (["gc"], ["rm", run_id], ["undelete", run_id], ["fsck", "--repair"]):
            done = gitrun(*words, cwd=repo, env={"GITRUN_GC_GRACE": "0"} if words == ["gc"] else {})
            assert "Traceback" not in done.stderr, done.stderr
        filler.unlink()
        gitrun("undelete", run_id, cwd=repo)
        assert [run["id"] for run in gitrun("ls", "--json", cwd=repo).json()] == [run_id]
        assert gitrun("fsck", "--data", cwd=repo).code == 0
        fsck(repo)


@pytest.mark.slow
def test_an_archive_that_may_only_be_read(repo: Path, gitrun: Callable[..., Result], tmp_path: Path) -> None:
    (run_id,) = [run["id"] for run in gitrun("ls", "--json", cwd=repo).json()]
    subprocess.run(["mount", "-o", "remount,ro", str(repo.parent)], check=True)
    reading = [["ls"], ["show", "@"], ["logs", "@"], ["status"], ["fsck"], ["fsck", "--data"]]
    for words in [*reading, ["checkout", "@", str(tmp_path / "out")]]:
        done = gitrun(*words, cwd=repo)
        assert done.code == 0, (words, done.stderr)
    assert (tmp_path / "out" / "train.py").exists()
    for words in (["rm", run_id], ["gc"], ["snapshot"]):
        done = gitrun(*words, cwd=repo)
        assert done.code == 1 and "Read-only file system" in done.stderr, (words, done)
        assert "Traceback" not in done.stderr
    done = gitrun("record", "--", "true", cwd=repo, env=STOP)
    assert done.code == 125 and "Read-only file system" in done.stderr, done
