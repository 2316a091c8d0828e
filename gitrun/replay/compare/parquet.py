"""Parquet, read by Arrow in a process of its own.

Arrow ends the whole process for some damaged files (an exception that no caller can catch), and a replay must
not lose its verdict to one of its outputs. So the tables are compared in a further process, which says what it
found in one line; whatever else becomes of it, the files are compared as bytes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from gitrun.own_python import own_variables
from gitrun.replay.compare.context import Context, NotThis, Tolerance
from gitrun.replay.compare.window import Window
from gitrun.replay.levels import Finding, Level

_MODULE = "gitrun.replay.compare.parquet"
_LEAST_S, _BYTES_PER_S = 60, 5 << 20
_NO_TABLE = 9


def fits(path: bytes, head: bytes) -> bool:
    """Whether a content begins like this format."""
    return head.startswith(b"PAR1")


def compare_parquet(path: bytes, a: Window, b: Window, context: Context) -> Finding:
    """What two tables have in common."""
    import subprocess  # where the start of a process is known to be needed

    with ExitStack() as files:
        words, kept = [], []
        for window in (a, b):
            fd, start = files.enter_context(_described(window))
            words += [str(fd), str(start), str(window.size)]
            kept.append(fd)
        words += [repr(each) for each in context.tolerance]
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", _MODULE, *words],
                env=own_variables(os.environ),
                pass_fds=kept,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # what it says when Arrow ends it
                timeout=_LEAST_S + (a.size + b.size) / _BYTES_PER_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NotThis("reading it takes too long") from None
    if done.returncode != 0:
        raise NotThis("no table that can be read")
    level, detail, first = json.loads(done.stdout)
    return Finding(Level(level), detail, first)


@contextmanager
def _described(window: Window) -> Iterator[tuple[int, int]]:
    """A descriptor of the file that a window is part of, and where in it; a copy where there is none."""
    fd = window.descriptor()
    if fd is not None:
        yield fd, window.start
        return
    with tempfile.TemporaryFile() as copy:
        for piece in window.pieces():
            copy.write(piece)
        copy.flush()
        yield copy.fileno(), 0


class _AtPlaces:
    """A file read by descriptor and place, so that the position that its owner shares is left alone."""

    def __init__(self, fd: int) -> None:
        self._fd, self._at = fd, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset
        return offset

    def read(self, size: int) -> bytes:
        data = os.pread(self._fd, size, self._at)
        self._at += len(data)
        return data


def main(words: list[str]) -> int:
    """The further process: prints the finding, or ends in some other way."""
    import resource

    import pyarrow as pa

    from gitrun.replay.compare.parquet_tables import compare_tables

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    numbers = [int(word) for word in words[:6]]
    windows = [Window(_file(fd), start, size) for fd, start, size in (numbers[:3], numbers[3:])]
    try:
        found = compare_tables(windows[0], windows[1], Tolerance(*(float(word) for word in words[6:])))
    except (pa.ArrowException, ValueError, OSError):
        return _NO_TABLE
    sys.stdout.write(json.dumps([int(found.level), found.detail, found.first]))
    return 0


def _file(fd: int) -> BinaryIO:
    return _AtPlaces(fd)  # type: ignore[return-value]  # it has what a window uses: seek and read


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
