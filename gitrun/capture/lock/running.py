"""Running a resolver beside the user's command: quietly, gently, in a group of its own, and never past a stop.

The process gets nothing on its standard input but what it is asked, its output is bounded, and whoever waits for it
can give it up within a tenth of a second.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

_POLL_S = 0.05
_NICE = 10


class Given(NamedTuple):
    """How a resolver ended: its exit status, output and messages."""

    code: int
    out: bytes
    err: str


class GivenUp(Exception):
    """Somebody asked to stop, or the time is over."""


def run(
    argv: Sequence[str],
    stdin: bytes,
    *,
    cwd: str,
    environ: Mapping[str, str],
    stop: Callable[[], bool],
    limit_s: float,
) -> Given:
    """Runs a program to its end; raises GivenUp, with the program killed, and OSError where it cannot be started."""
    import subprocess  # imported by nobody who waits

    deadline = time.monotonic() + limit_s
    if stop():
        raise GivenUp
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, env=dict(environ),
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
            data: bytes | None = stdin
            while True:
                try:
                    out, err = process.communicate(data, timeout=_POLL_S)
                    return Given(process.returncode, out, err.decode("utf-8", "replace"))
                except subprocess.TimeoutExpired:
                    data = None  # it is being written: `communicate` goes on where it was
                if stop() or time.monotonic() > deadline:
                    raise GivenUp
        except BaseException:
            _kill(process.pid)
            process.communicate()
            raise


def _kill(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass  # it ended by itself meanwhile
