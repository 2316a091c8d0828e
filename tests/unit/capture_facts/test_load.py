"""What a run takes of the machine: on a made-up /proc, where every case can be had, and on the real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitrun.capture.load import TICKS_S, ProcessTree, Usage, available_bytes
from tests.unit.recording.helpers import wait_for

PAGE = os.sysconf("SC_PAGE_SIZE")
ROOT = 10


class Proc:
    """A /proc of our own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last_pid = 100
        path.mkdir()
        self.add(1, 0)
        self.add(ROOT, 1)
        self.io(f"{ROOT}/task/{ROOT}", 0, 0)
        self.io(str(ROOT), 0, 0)

    def add(self, pid: int, parent: int, *, own: int = 0, waited: int = 0, pages: int = 1, read: int = 0) -> None:
        """A process, or one that changed: its parent, ticks, memory, and bytes."""
        (self.path / f"{pid}").mkdir(exist_ok=True)
        fields = ["S", parent, *[0] * 9, own, 0, waited, 0, *[0] * 6, pages, *[0] * 20]
        (self.path / f"{pid}/stat").write_text(f"{pid} (a) (b c) {' '.join(map(str, fields))}\n")
        self.io(str(pid), read, 2 * read)
        self.last_pid += 1
        (self.path / "loadavg").write_text(f"0.0 0.0 0.0 1/1 {self.last_pid}\n")

    def io(self, place: str, read: int, written: int) -> None:
        (self.path / place).mkdir(parents=True, exist_ok=True)
        text = f"rchar: 9\nread_bytes: {read}\nwrite_bytes: {written}\ncancelled_write_bytes: 0\n"
        (self.path / place / "io").write_text(text)

    def remove(self, pid: int) -> None:
        for name in ("stat", "io"):
            (self.path / f"{pid}/{name}").unlink(missing_ok=True)
        (self.path / f"{pid}").rmdir()

    def tree(self) -> ProcessTree:
        return ProcessTree(ROOT, str(self.path))


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path / "proc")


def test_only_what_descends_from_the_root_counts(proc: Proc) -> None:
    proc.add(20, ROOT, own=TICKS_S, pages=3, read=100)
    proc.add(21, 20, own=TICKS_S, waited=TICKS_S, pages=4, read=10)
    proc.add(30, 1, own=900, pages=900, read=900)  # a stranger
    proc.add(31, 30, own=900, pages=900, read=900)
    assert proc.tree().look() == Usage(2, 7 * PAGE, 3.0, 110, 220)


def test_our_own_processes_are_not_counted_and_those_below_them_are(proc: Proc) -> None:
    proc.add(20, ROOT, own=TICKS_S, pages=3, read=100)  # the leader of a terminal
    proc.add(21, 20, own=TICKS_S, pages=4, read=10)
    assert proc.tree().look({20}) == Usage(1, 4 * PAGE, 1.0, 10, 20)


def test_processes_that_come_later_are_found_and_strangers_stay_strangers(proc: Proc) -> None:
    tree = proc.tree()
    proc.add(20, ROOT)
    proc.add(30, 1)
    assert tree.look().processes == 1
    proc.add(31, 30)
    proc.add(21, 20)
    proc.add(22, 21)
    assert tree.look().processes == 3


def test_nothing_is_listed_while_no_pid_was_given_away(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = proc.tree()
    proc.add(20, ROOT)
    tree.look()
    listed: list[object] = []
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [listed.append(path), *real(path)][1:])
    assert tree.look().processes == 1 and listed == []
    proc.add(21, 20)
    assert tree.look().processes == 2 and len(listed) == 1


def test_an_orphan_belongs_to_the_root_that_adopts_it(proc: Proc) -> None:
    tree = proc.tree()
    proc.add(20, ROOT)
    proc.add(21, 20)
    tree.look()
    proc.remove(20)
    proc.add(21, ROOT)
    assert tree.look().processes == 1


def test_what_ended_between_two_looks_still_counts(proc: Proc) -> None:
    """Its parent has its ticks and its bytes, and the root has those of its own children."""
    proc.add(20, ROOT, own=2 * TICKS_S, read=100)
    tree = proc.tree()
    assert tree.look().cpu_s == 2
    proc.remove(20)
    proc.add(ROOT, 1, own=500, waited=3 * TICKS_S)
    proc.io(f"{ROOT}/task/{ROOT}", 1000, 0)
    proc.io(str(ROOT), 1140, 300)
    assert tree.look() == Usage(0, 0, 3.0, 140, 300)


def test_a_process_that_does_not_let_us_look_keeps_what_it_had(proc: Proc) -> None:
    proc.add(20, ROOT, read=100)
    tree = proc.tree()
    assert tree.look().read_bytes == 100
    (proc.path / "20/io").unlink()
    assert tree.look().read_bytes == 100


def test_a_pid_that_a_stranger_got_is_a_strangers(proc: Proc) -> None:
    proc.add(20, ROOT)
    tree = proc.tree()
    assert tree.look().processes == 1
    proc.add(20, 1)
    assert tree.look().processes == 0


def test_after_a_while_every_process_is_asked_again(proc: Proc) -> None:
    tree = proc.tree()
    proc.add(30, 1)
    assert tree.look().processes == 0
    proc.add(30, ROOT)  # the same pid, and the listing has never been without it
    assert any(tree.look().processes for _ in range(70))


def test_a_machine_that_tells_nothing_has_no_usage(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert ProcessTree(ROOT, str(tmp_path / "empty")).look() == Usage()
    assert available_bytes(str(tmp_path / "empty")) is None


def test_on_the_real_machine() -> None:
    """A child that works and a grandchild that is over at once are seen by their work."""
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(10**7))']); sys.stdin.read()"
    tree = ProcessTree(os.getpid())
    before = tree.look()
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as child:
        assert wait_for(lambda: tree.look().cpu_s - before.cpu_s > 0.1)
        wait_for(lambda: tree.look().processes == before.processes + 1)
        assert tree.look().memory_bytes > before.memory_bytes + (1 << 20)
        child.communicate()
    assert available_bytes() > 1 << 20  # type: ignore[operator]
