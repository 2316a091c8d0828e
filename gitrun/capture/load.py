"""What the processes of a run take of the machine, looked at again and again for next to nothing.

A machine has thousands of processes and a run has ten. So a look lists /proc only where the kernel has given a pid away
since the last one, reads of the processes that are new who their parent is, and of those of the run two small files.
Nothing is asked that would make the kernel walk through a process's memory, or wait for it.

What a process has taken goes to its parent when that has waited for it, and to us where its parent had ended: so the
sums hold also what began and ended between two looks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from gitrun.capture.facts import read_start

TICKS_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_FORGET = 60  # looks, after which every process is asked again whose it is


class Usage(NamedTuple):
    """What a run's processes have taken so far (seconds, bytes); `processes` and `memory_bytes` are those of now."""

    processes: int = 0
    memory_bytes: int = 0
    cpu_s: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0


class _Stat(NamedTuple):
    parent: int
    own_ticks: int
    children_ticks: int
    memory_bytes: int


class ProcessTree:
    """The processes below `root`, which is this process or one of its parents' children; `root` is not counted."""

    def __init__(self, root: int, proc: str = "/proc") -> None:
        self._root = root
        self._proc = proc
        self._known: dict[int, tuple[int, int]] = {}  # the run's, and the bytes they had read and written
        self._strangers: set[int] = set()
        self._last_pid = 0
        self._looks = 0

    def look(self, uncounted: Iterable[int] = ()) -> Usage:
        """The run's usage now; processes that are `uncounted` belong to it, and only those below them count."""
        stats = self._find()
        root = self._stat(self._root)
        read, written = self._waited_for()
        ticks = root.children_ticks if root else 0
        memory = 0
        known: dict[int, tuple[int, int]] = {}
        uncounted = set(uncounted)
        for pid, stat in stats.items():
            known[pid] = (0, 0)
            if pid in uncounted:
                continue
            known[pid] = self._bytes(f"{pid}/io") or self._known.get(pid, (0, 0))
            read += known[pid][0]
            written += known[pid][1]
            ticks += stat.own_ticks + stat.children_ticks
            memory += stat.memory_bytes
        self._known = known
        return Usage(len(known.keys() - uncounted), memory, ticks / TICKS_S, read, written)

    def _find(self) -> dict[int, _Stat]:
        """The processes below the root."""
        candidates = [*self._known, *self._new()]
        stats = {pid: stat for pid in candidates if (stat := self._stat(pid)) is not None}
        found: dict[int, _Stat] = {}
        frontier = {self._root}
        while frontier:
            level = {pid: stat for pid, stat in stats.items() if stat.parent in frontier and pid not in found}
            found.update(level)
            frontier = set(level)
        self._strangers.update(stats.keys() - found.keys())
        return found

    def _new(self) -> set[int]:
        """Processes of which nobody knows yet whose they are."""
        self._looks += 1
        if self._looks % _FORGET == 0:
            self._strangers.clear()  # a pid is given away anew after a while
            self._last_pid = 0
        words = (read_start(f"{self._proc}/loadavg") or b"").split()
        last = int(words[4]) if len(words) == 5 else 0
        if last and last == self._last_pid:
            return set()
        self._last_pid = last
        listed = {int(name) for name in os.listdir(self._proc) if name.isdigit()}
        self._strangers &= listed
        return listed - self._strangers - self._known.keys() - {self._root}

    def _stat(self, pid: int) -> _Stat | None:
        """Fields 4, 14 to 17 and 24 of /proc/<pid>/stat, behind the name that may hold anything."""
        data = read_start(f"{self._proc}/{pid}/stat", 4096)
        if data is None:
            return None
        fields = data[data.rfind(b")") + 2 :].split()
        if len(fields) < 22:
            return None
        own, children = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
        return _Stat(int(fields[1]), own, children, max(0, int(fields[21])) * _PAGE_BYTES)

    def _waited_for(self) -> tuple[int, int]:
        """Bytes read and written by processes that the root has waited for: all of the root's but its own."""
        whole, own = self._bytes(f"{self._root}/io"), self._bytes(f"{self._root}/task/{self._root}/io")
        if whole is None or own is None:
            return 0, 0
        return max(0, whole[0] - own[0]), max(0, whole[1] - own[1])

    def _bytes(self, name: str) -> tuple[int, int] | None:
        """Bytes read from and written to storage; None where a process does not let us look, or nobody counts."""
        data = read_start(f"{self._proc}/{name}", 4096) or b""
        read, found, rest = data.partition(b"\nread_bytes: ")[2].partition(b"\nwrite_bytes: ")
        return (int(read), int(rest.partition(b"\n")[0])) if found else None


def available_bytes(proc: str = "/proc") -> int | None:
    """The memory that programs on this machine can still get, by the kernel's estimate."""
    for line in (read_start(f"{proc}/meminfo", 4096) or b"").splitlines():
        if line.startswith(b"MemAvailable:"):
            return int(line.split()[1]) << 10
    return None
