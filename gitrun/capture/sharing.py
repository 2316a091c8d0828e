"""A walk in two processes: half of the directories each, where there is enough to walk and a second core.

Threads do not help, since a stat is mostly Python's own work under its lock. A forked child has the
parsed index already and sends back what it found, which is as long as the change. Whatever goes wrong
with it, the parent does its half as well.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from typing import Any, Protocol

from gitrun.git.index import Index

_ENOUGH = 20_000  # files; below that a fork costs more than it saves


class Work(Protocol):
    """A walk under way: directories still to be looked at, and lists of what was found so far."""

    todo: list[bytes]

    @property
    def found(self) -> Iterable[list[Any]]: ...
    def finish(self) -> None: ...


def is_worth_sharing(index: Index) -> bool:
    """Whether a worktree is large enough for two, and there are two cores."""
    return sum(map(len, index.files.values())) >= _ENOUGH and len(os.sched_getaffinity(0)) > 1


def share(work: Work, index: Index) -> None:
    """Finish the walk, half of it in a child."""
    mine, theirs = _halves(work.todo, index)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_the_child(work, theirs, writing)
    os.close(writing)
    try:
        work.todo[:] = mine
        work.finish()
        answer = _read(reading)
    finally:
        os.close(reading)
        _, status = os.waitpid(pid, 0)
    if status == 0:
        import pickle  # only a shared walk needs it, and what it reads comes from our own fork

        for ours, more in zip(work.found, pickle.loads(answer), strict=True):
            ours.extend(more)
    else:
        work.todo[:] = theirs
        work.finish()


def _be_the_child(work: Work, todo: list[bytes], writing: int) -> None:
    status = 1
    try:
        import pickle

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        work.todo[:] = todo
        for found in work.found:
            found.clear()  # the parent has these
        work.finish()
        with open(writing, "wb") as pipe:
            pipe.write(pickle.dumps([list(found) for found in work.found], pickle.HIGHEST_PROTOCOL))
        status = 0
    finally:
        os._exit(status)  # no handler, buffer or lock of the parent's is ours to run


def _read(fd: int) -> bytes:
    pieces = []
    while piece := os.read(fd, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def _halves(todo: list[bytes], index: Index) -> tuple[list[bytes], list[bytes]]:
    """The directories in two lists with about as many tracked files below each."""
    weights = dict.fromkeys(todo, 1)
    for directory, files in index.files.items():
        above = directory
        while above and above not in weights:
            above = above[: above.rfind(b"/", 0, -1) + 1]
        if above:
            weights[above] += len(files)
    halves: tuple[list[bytes], list[bytes]] = ([], [])
    sums = [0, 0]
    for directory in sorted(weights, key=lambda name: (-weights[name], name)):
        lighter = sums.index(min(sums))
        halves[lighter].append(directory)
        sums[lighter] += weights[directory]
    return halves
