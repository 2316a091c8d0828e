"""The management library of NVIDIA's driver, asked in a process of its own, which may hang or crash as it likes."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
import time
from typing import Any

from gitrun.own_python import own_variables

TIMEOUT_S = 5.0
MAX_ANSWER = 1 << 20


class Question:
    """The management library, asked in a process of its own; `answer()` collects what it says."""

    def __init__(self, pid: int, pipe: int) -> None:
        self._pid = pid
        self._pipe = pipe
        self._deadline = time.monotonic() + TIMEOUT_S

    def answer(self) -> dict[str, Any]:
        """The answer of `gitrun.capture.nvml`, or `{"error": why}`."""
        data = bytearray()
        try:
            done = self._read(data)
        finally:
            os.close(self._pipe)
            self._end()
        if not done:
            return {"error": f"no answer within {TIMEOUT_S:g} s"}
        try:
            said = json.loads(data)
        except ValueError:
            return {"error": "it ended without an answer"}
        return said if isinstance(said, dict) else {"error": "its answer cannot be understood"}

    def _read(self, data: bytearray) -> bool:
        """Everything up to the end of the pipe; False when time or room is up."""
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        while len(data) <= MAX_ANSWER:
            if not poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000):
                return False
            chunk = os.read(self._pipe, 1 << 16)
            if not chunk:
                return True
            data += chunk
        return False

    def _end(self) -> None:
        """It has ended or hangs; one that hangs in the driver cannot even be killed, and is not waited for."""
        try:
            os.kill(self._pid, signal.SIGKILL)
            for _ in range(20):
                if os.waitpid(self._pid, os.WNOHANG)[0]:
                    return
                time.sleep(0.005)
        except (ProcessLookupError, ChildProcessError):
            pass  # whoever started gitrun ignores SIGCHLD, so the kernel has collected it


def start() -> Question | None:
    """Starts to ask; None where no process is to be had."""
    started = start_process()
    return None if started is None else Question(*started)


def start_process(*words: str) -> tuple[int, int] | None:
    """Starts the process that asks, with these words: its pid, and the pipe that it writes to."""
    if not sys.executable:
        return None
    ours, theirs = map(_high, os.pipe())
    null = _high(os.open(os.devnull, os.O_RDWR))
    script = os.path.join(os.path.dirname(__file__), "nvml.py")
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", script, *words],  # -P: nothing is imported from where it or the user happens to be
            _environment(),
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((null, theirs, null))],
            setpgroup=0,  # Ctrl-C is for the user's command
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
        )
    except OSError:
        os.close(ours)
        return None
    finally:
        os.close(theirs)
        os.close(null)
    return pid, ours


def _high(fd: int) -> int:
    """The same file above 2, where becoming 0, 1 or 2 of another process cannot overwrite it."""
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


def _environment() -> dict[str, str]:
    """Ours; inside another recorded command, without what would make this process report as one of that command's."""
    kept = own_variables(os.environ)
    return {name: value for name, value in kept.items() if name not in ("GITRUN_RUN_DIR", "GITRUN_RUN_ID")}
