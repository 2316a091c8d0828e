"""Real processes, real terminals: what the tests of the keeper use to look like a user."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

KEEP = str(Path(__file__).with_name("keep.py"))


def keep_argv(member: Path, *command: str, **options: Any) -> list[str]:
    """The argv that runs `command` under a keeper whose files go to `member`."""
    member.mkdir(parents=True, exist_ok=True)
    return [sys.executable, KEEP, str(member), json.dumps(options), *command]


def wait_for(condition: Callable[[], Any], seconds: float = 15) -> Any:
    """The first true value of `condition`; fails the test when there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s in vain")


class Typist:
    """A program on a pseudo-terminal of its own, in a session of its own, as a terminal window starts it."""

    def __init__(self, argv: Sequence[str], env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            if cwd is not None:
                os.chdir(cwd)
            os.execvpe(argv[0], list(argv), {**os.environ, **(env or {})})
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def read(self, seconds: float) -> bool:
        """Reads what is there; False at the end of the terminal."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.seen += data
        return bool(data)

    def expect(self, pattern: str, seconds: float = 15) -> re.Match[bytes]:
        """Waits for a match in what was not yet expected, and takes everything up to it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if match := re.search(pattern.encode(), self.seen):
                self.seen = self.seen[match.end() :]
                return match
            if not self.read(0.1) and not re.search(pattern.encode(), self.seen):
                break
        raise AssertionError(f"no {pattern!r} in {self.seen!r}")

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.fd)

    def finish(self, seconds: float = 15) -> int:
        """Reads to the end; the exit code, or minus the signal."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            alive = self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self.read(0) and select.select([self.fd], [], [], 0)[0]:
                    pass
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
            if not alive:
                time.sleep(0.01)
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError(f"still running; it wrote {self.seen!r}")
