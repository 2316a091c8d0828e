"""What the graphics processors do while a run lasts, told once a second by the process that asks the driver.

A driver may hang, so the question is put elsewhere (nvml, `watch`) and this only reads what has come. The other process
ends by itself when nobody reads any more, also when we are killed.
"""

from __future__ import annotations

import json
import os
import signal

from gitrun.capture.gpu_question import start_process

_ROOM = 1 << 16


class GpuLoad:
    """The process that asks; `latest()` is what it said last."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self._pipe = pipe
        os.set_blocking(pipe, False)

    def latest(self) -> dict[str, float]:
        """The values that came since the last look, by name; empty where none did."""
        try:
            lines = os.read(self._pipe, _ROOM).splitlines(keepends=True)
            whole = next((line for line in reversed(lines) if line.endswith(b"\n")), b"{}")
            return {str(name): float(value) for name, value in json.loads(whole).items()}
        except (BlockingIOError, ValueError, TypeError, AttributeError):
            return {}  # nothing came, or half a line

    def close(self) -> None:
        """Ends the process; one that hangs in the driver is not waited for."""
        os.close(self._pipe)
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it had nothing to say, and has ended


def start() -> GpuLoad | None:
    """Starts to ask; None where no process is to be had."""
    started = start_process("watch")
    return None if started is None else GpuLoad(*started)
