"""The system series: once a second the keeper writes down what the run takes of the machine (spec/system).

The keeper does it because it lives as long as the command does. It may not cost the command anything that could be
felt: a look takes a few tenths of a millisecond, and where looks take more (many processes) they come later, so that no
more than a thousandth of a core is spent, but for the first one. Runs of several days are looked at less often.

Nothing that fails here may end the keeper: a disk that is full loses points, a bug ends the series.
"""

import errno
import os
import time
from typing import TYPE_CHECKING, Any

from gitrun.child.frames import SYSTEM, frame, pack_value

if TYPE_CHECKING:
    from gitrun.capture.gpu_load import GpuLoad
    from gitrun.capture.load import ProcessTree, Usage

EVERY_S = 1.0
_SHARE = 1000  # how many times what all looks took has to have passed
_DAY_S = 86_400  # from then on one look in each part of the run's age, of which there are so many
_RETRY_S = 10.0


class Sampling:
    """Looks at the processes below this one and appends a point to a file of `member` for each look; never raises.

    `due` is when (time.monotonic) it wants to look again.
    """

    def __init__(self, member: str) -> None:
        self._member = member
        self._started = time.monotonic()
        self.due = self._started + EVERY_S
        self._spent = 0.0
        self._tree: ProcessTree | None = None
        self._gpus: GpuLoad | None = None
        self._before: tuple[float, Usage] | None = None
        self._fd = -1
        self._size = 0
        self._schemas: dict[tuple[str, ...], int] = {}

    @property
    def pids(self) -> set[int]:
        """The processes that it has started."""
        return set() if self._gpus is None else {self._gpus.pid}

    def begin(self) -> None:
        """The command starts now."""
        self._started = time.monotonic()
        self.due = self._started + EVERY_S

    def look(self, now: float, uncounted: set[int]) -> None:
        """Adds a point; `uncounted` processes are gitrun's own."""
        is_first = self._tree is None
        began = time.thread_time()
        try:
            self._look(now, uncounted | self.pids)
        except OSError:
            self.due = now + _RETRY_S  # a full disk, no descriptor left: the gap in the series says it
            return
        except Exception as bug:
            from gitrun.recording.bugs import log_in_keeper  # only then

            log_in_keeper(self._member, bug, {})
            self.due = float("inf")
            return
        self._spent += 0.0 if is_first else time.thread_time() - began
        age = now - self._started
        self.due = now + max(EVERY_S, self._spent * _SHARE - age, age / _DAY_S)

    def close(self) -> None:
        """Ends the series."""
        self.due = float("inf")
        if self._gpus is not None:
            self._gpus.close()
            self._gpus = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _look(self, now: float, uncounted: set[int]) -> None:
        from gitrun.capture.load import ProcessTree, Usage, available_bytes  # a short command never pays for it

        if self._tree is None:
            self._tree = ProcessTree(os.getpid())
            self._start_gpus()
        then, before = self._before or (self._started, Usage())
        usage = self._tree.look(uncounted)
        passed = max(now - then, 1e-3)
        values = {
            "cpu_cores": _grown(usage.cpu_s, before.cpu_s) / passed,
            "memory_bytes": usage.memory_bytes,
            "processes": usage.processes,
            "read_bytes_s": _grown(usage.read_bytes, before.read_bytes) / passed,
            "written_bytes_s": _grown(usage.written_bytes, before.written_bytes) / passed,
            "machine/available_bytes": available_bytes(),
            **(self._gpus.latest() if self._gpus is not None else {}),
        }
        # a process that ended while we looked is counted in the next look, and nothing twice
        self._before = (
            now,
            usage._replace(
                cpu_s=max(usage.cpu_s, before.cpu_s),
                read_bytes=max(usage.read_bytes, before.read_bytes),
                written_bytes=max(usage.written_bytes, before.written_bytes),
            ),
        )
        known = {name: float(value) for name, value in values.items() if value is not None}
        self._append(round(now - self._started), known)

    def _start_gpus(self) -> None:
        from gitrun.capture.gpu import has_devices

        if has_devices() and os.environ.get("CUDA_VISIBLE_DEVICES") != "":
            from gitrun.capture.gpu_load import start

            self._gpus = start()

    # -- the file

    def _append(self, step: int, values: dict[str, float]) -> None:
        import struct  # nothing else in a keeper needs it so early

        names = tuple(values)
        data = b""
        if self._fd < 0:
            name = f"{SYSTEM}{os.getpid()}-{os.urandom(4).hex()}"
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(os.path.join(self._member, name), flags, 0o666)
            self._schemas.clear()
            self._size = 0
        if self._size == 0:
            data += frame(pack_value(_head()))
        number = self._schemas.get(names)
        if number is None:
            number = len(self._schemas) + 1
            data += frame(pack_value([0, number, list(names)]))
        point = struct.pack(f"<qq{len(names)}d", step, time.time_ns(), *values.values())
        self._write(data + frame(pack_value([number, point])))
        self._schemas[names] = number

    def _write(self, data: bytes) -> None:
        """Appends all of it or nothing; raises OSError."""
        try:
            written = os.write(self._fd, data)
        except OSError:
            written = 0
        if written < len(data):
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += len(data)


def _head() -> dict[str, Any]:
    pid, now_ns = os.getpid(), time.time_ns()
    return {"kind": "system", "format": 1, "requires": [], "pid": pid, "started_ns": now_ns, "rank": None}


def _grown(now: float, before: float) -> float:
    return max(0.0, now - before)
