"""Channels: what the command writes goes to the user first, then to the spool, in the order it was read.

One poll loop carries everything, so no single descriptor may block it: a pager that waits must not keep a signal
from the command. The user's descriptors are shared with other programs and may not be made non-blocking, so a
pipe or terminal is opened a second time for that; where this is not allowed, writes are as small as a ready pipe
takes for sure. A channel is read only when what was read before has been written: the command feels the same
back-pressure as without gitrun, and nothing piles up here. When the user's side is gone the command's end is
closed too, and it gets SIGPIPE as it would have. So it does when the user's file or device refuses a write (a full
disk): the command cannot be given that error any more, its own write has long succeeded, and going on as if nothing
had happened would lose the output without a word.
"""

import errno
import os
import select
import stat
import time
from typing import Protocol

CHUNK = 1 << 18
_SURE_BYTES = 4096  # PIPE_BUF: what a pipe that polls as writable takes without blocking


class Sink(Protocol):
    """Where a copy of the output goes (the console's spool)."""

    def write(self, stream: int, time_ns: int, data: bytes) -> None:
        """Takes one piece of output as it was read."""


class Output:
    """A writable descriptor of the user's, written without ever blocking."""

    def __init__(self, fd: int) -> None:
        mode = os.fstat(fd).st_mode
        self.is_terminal = os.isatty(fd)
        self.piece = CHUNK if stat.S_ISREG(mode) else _SURE_BYTES
        self.fd = -1
        if stat.S_ISFIFO(mode) or self.is_terminal:
            try:
                self.fd = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
                self.piece = CHUNK
            except OSError:
                pass  # no /proc, or another user's pipe: small writes on the descriptor itself
        if self.fd < 0:
            self.fd = os.dup(fd)

    def write(self, data: memoryview) -> int:
        """How many bytes were taken, 0 when there is no room; raises OSError when the other side is gone."""
        try:
            return os.write(self.fd, data[: self.piece])
        except BlockingIOError:
            return 0


class Channel:
    """One stream from the command (`source`) to the user (`target`), copied to a sink."""

    def __init__(self, stream: int, source: int, target: Output) -> None:
        self.stream = stream
        self.source = source
        self.target: Output | None = target
        self.problem: str | None = None
        self._left = memoryview(b"")
        os.set_blocking(source, False)

    @property
    def open(self) -> bool:
        """Whether output may still come or is still to be written."""
        return self.source >= 0 or bool(self._left)

    @property
    def blocked(self) -> bool:
        """Whether the user's side has yet to take what was read."""
        return bool(self._left)

    def wants(self) -> tuple[int, int]:
        """The descriptor to poll and the event to wait for."""
        if self._left and self.target is not None:
            return self.target.fd, select.POLLOUT
        return self.source, select.POLLIN

    def step(self, sink: Sink | None) -> None:
        """Moves what can be moved now."""
        if not self._left:
            self._read(sink)
        if self._left:
            self._write()

    def _read(self, sink: Sink | None) -> None:
        try:
            data = os.read(self.source, CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: the last program on the pseudo-terminal has closed it
                self.problem = error.strerror
            data = b""
        if not data:
            self.hang_up()
            return
        now_ns = time.time_ns()
        if self.target is not None:
            self._left = memoryview(data)
            self._write()
        if sink is not None:
            sink.write(self.stream, now_ns, data)

    def _write(self) -> None:
        assert self.target is not None
        try:
            self._left = self._left[self.target.write(self._left) :]
        except OSError as error:
            self._lost_target(error)

    def _lost_target(self, error: OSError) -> None:
        """The user's side is gone or full: the command's end is closed too; a closed terminal is only forgotten."""
        assert self.target is not None
        self._left = memoryview(b"")
        if error.errno == errno.EIO and self.target.is_terminal:
            self.target = None
            return
        if error.errno != errno.EPIPE:
            self.problem = error.strerror
        self.hang_up()

    def hang_up(self) -> None:
        """Reads no more."""
        if self.source >= 0:
            os.close(self.source)
            self.source = -1


def carry_on(channels: list[Channel]) -> None:
    """Moves output to the user until every channel has ended."""
    while any(channel.open for channel in channels):
        poll = select.poll()
        for channel in channels:
            if channel.open:
                poll.register(*channel.wants())
        ready = dict(poll.poll())
        for channel in channels:
            if channel.open and channel.wants()[0] in ready:
                channel.step(None)


class Keyboard:
    """What the user types, on its way to the pseudo-terminal."""

    def __init__(self, source: int, master: int) -> None:
        self.source = source
        self.master = master
        self.ended = False
        self._left = b""

    def wants(self) -> tuple[int, int] | None:
        """The descriptor to poll and the event to wait for, None after the end of input."""
        if self._left:
            return self.master, select.POLLOUT
        return None if self.ended else (self.source, select.POLLIN)

    def step(self) -> bytes:
        """Moves what can be moved now; what was newly typed."""
        typed = b""
        if not self._left:
            try:
                typed = os.read(self.source, 4096)
            except OSError:
                pass  # hung up, or not ours any more: both end the input
            self.ended = not typed
            self._left = typed
        if self._left:
            try:
                self._left = self._left[os.write(self.master, self._left) :]
            except BlockingIOError:
                pass  # the program reads nothing: the next poll says when there is room
            except OSError:
                self._left, self.ended = b"", True
        return typed
