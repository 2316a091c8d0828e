import os
import signal
import threading
import time
from pathlib import Path

import pytest

from gitrun.errors import GitrunError
from gitrun.files.locks import FileLock, held_by_other


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    assert not held_by_other(path)
    with FileLock(path):
        assert held_by_other(path)
        assert not FileLock(path).acquire(blocking=False)
        started = time.monotonic()
        assert not FileLock(path).acquire(timeout=0.05)
        assert 0.05 <= time.monotonic() - started < 5
    assert not held_by_other(path)
    second = FileLock(path)
    assert second.acquire(timeout=1)
    second.release()
    second.release()


def test_taking_it_twice_is_a_mistake(tmp_path: Path) -> None:
    with FileLock(str(tmp_path / "lock")) as lock, pytest.raises(GitrunError, match="twice"):
        lock.acquire()


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        FileLock(path).acquire()
        os.write(tell, b"x")
        signal.pause()
    os.read(ready, 1)
    assert held_by_other(path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not held_by_other(path)


def test_a_fork_keeps_what_its_parent_releases(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    lock = FileLock(path)
    lock.acquire()
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(ready, 1)
        os._exit(0)
    lock.release()
    assert held_by_other(path)
    os.write(tell, b"x")
    os.waitpid(child, 0)
    assert not held_by_other(path)


def test_who_waited_for_a_removed_file_starts_over(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = FileLock(str(path)), FileLock(str(path))
    first.acquire()
    waiter = threading.Thread(target=second.acquire)
    waiter.start()
    time.sleep(0.05)
    path.unlink()
    first.release()
    waiter.join(10)
    assert second.fd is not None
    assert os.fstat(second.fd).st_ino == path.stat().st_ino
    second.release()


def test_a_lock_in_no_directory_is_an_expected_problem(tmp_path: Path) -> None:
    with pytest.raises(GitrunError, match="making the lock"):
        FileLock(str(tmp_path / "no" / "lock")).acquire()
