"""The keeper's side of capturing the console: the command's output goes in, and nothing here may hold it up.

As long as a command is quiet its output is looked through and written right here. When it becomes loud a scribe takes
over (see there). From then on this only hands on, and where there is no room says so: the command is not read from
until there is, as it would be with any slow reader.
"""

import os
import select
import signal
import time
from collections.abc import Callable

from gitrun.recording import spawn
from gitrun.recording.redaction import Output
from gitrun.recording.ring import Ring
from gitrun.recording.scribe import MESSAGE, RING_BYTES, Backlog, Scribe, run_scribe
from gitrun.recording.spool import sync_files

PUSH_S = 0.002  # how soon to try again where there was no room
_LOUD_BYTES = 1 << 18  # in a second
_KILLED = "the process that wrote it was killed"


class Captor:
    """Takes output (a relay's Sink) on its way to the spool; never raises.

    `keep_fds` are descriptors that a scribe shares: the run's lock. `total` counts the bytes that came.
    """

    def __init__(self, make_scribe: Callable[[], Scribe], member: str, limit: int, keep_fds: tuple[int, ...]) -> None:
        self._member = member
        self._limit = limit
        self._keep_fds = keep_fds
        self._scribe: Scribe | None = make_scribe()
        self._stopped: str | None = None
        self._since, self._recent = 0.0, 0
        self._pipe = self._outcome = -1
        self._left: list[Output] = []
        self._ring: Ring | None = None
        self._at = 0  # in the ring
        self._alone = False  # no scribe can be had
        self.scribe_pid: int | None = None
        self.total = 0

    @property
    def stopped(self) -> str | None:
        """Why capture stopped, None while it did not."""
        return self._scribe.spool.stopped if self._scribe is not None else self._stopped

    @property
    def blocked(self) -> bool:
        """Whether the scribe has yet to take what was read."""
        return bool(self._left)

    def write(self, stream: int, time_ns: int, data: bytes) -> None:
        """Takes one piece of output as it was read."""
        if self._scribe is not None and not self._alone and self._is_loud(len(data)):
            self._hand_over()
        if self._scribe is not None:
            self._scribe.write(stream, time_ns, data)
        elif self._pipe >= 0:
            self._left.append((stream, time_ns, data))
            self.push()
        self.total += len(data)

    def push(self) -> None:
        """Gives the scribe what there is room for."""
        while self._left and self._pipe >= 0 and self._send(*self._left[0]):
            del self._left[0]

    def _send(self, stream: int, time_ns: int, data: bytes) -> bool:
        assert self._ring is not None
        try:
            if self._ring.has_room(self._at, len(data)):
                self._ring.put(self._at, data)
                os.write(self._pipe, MESSAGE.pack(stream, time_ns, len(data), self._at))
                self._at += len(data)
                return True
            if select.select([self._outcome], [], [], 0)[0]:
                self._hear_outcome()  # it is dead, and will never make room
        except BlockingIOError:
            pass  # so many small outputs that it has not even heard of
        except OSError:
            self._hear_outcome()
        return False

    def sync(self) -> None:
        """Makes what was written survive a power cut."""
        sync_files(self._member)

    def close(self) -> None:
        """Returns when everything is written."""
        if self._scribe is not None:
            self._scribe.finish()
        elif self._pipe >= 0:
            while self._left and self._pipe >= 0:
                self.push()
                time.sleep(PUSH_S)
            self._hear_outcome()

    def _is_loud(self, length: int) -> bool:
        now = time.monotonic()
        if now - self._since > 1.0:
            self._since, self._recent = now, 0
        self._recent += length
        return self._recent > _LOUD_BYTES

    def _hand_over(self) -> None:
        """Makes a scribe; without a process or descriptors for one the work goes on here."""
        assert self._scribe is not None
        fds: list[int] = []
        try:
            fds += os.pipe()
            fds += os.pipe()
            inbox, pipe, outcome, told = fds
            spawn.widen(pipe)
            ring = Ring(RING_BYTES)
            pid = _fork()
        except (OSError, ValueError):
            for fd in fds:
                os.close(fd)
            self._alone = True
            return
        if pid == 0:
            try:
                spawn.close_all_but({0, 1, 2, inbox, told, *self._scribe.spool.fds, *self._keep_fds})
                run_scribe(self._scribe, Backlog(ring, self.total, self._limit), inbox, told)
            except BaseException as bug:
                from gitrun.recording.bugs import log_in_keeper  # only then

                log_in_keeper(self._member, bug, {})
            finally:
                os._exit(1)
        os.close(inbox)
        os.close(told)
        os.set_blocking(pipe, False)
        self.scribe_pid, self._pipe, self._outcome, self._ring = pid, pipe, outcome, ring
        self._scribe.spool.close()  # the scribe has it now, and the lock
        self._scribe = None

    def _hear_outcome(self) -> None:
        """Waits for the scribe's end."""
        if self._pipe < 0:
            return
        self._left.clear()
        os.close(self._pipe)
        self._pipe = -1
        said = b""
        while data := os.read(self._outcome, 4096):
            said += data
        os.close(self._outcome)
        self._stopped = (said[:-1].decode("utf-8", "replace") or None) if said.endswith(b"\n") else _KILLED


def _fork() -> int:
    """A fork of which the child gets no signals: they are for its keeper."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            return 0
    except OSError:
        pid = -1
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    if pid < 0:
        raise OSError("no more processes")
    return pid
