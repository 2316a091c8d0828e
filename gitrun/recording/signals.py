"""Signals: the command gets each one once, as if gitrun were not there.

A signal can be meant for the process the user started (`kill PID`) or for its whole group (Ctrl-C, `kill %1`,
a scheduler). The user's process is the recorder; the command is another process. So the recorder only passes
on what it got, and the keeper, which sits in the recorder's group and is nobody's target, decides: a signal that
reached the keeper as well was sent to the group, anything else to the recorder alone. With pipes the command
sits in that group and already has what was sent to it; behind a pseudo-terminal it does not, and its own group
is told. Nothing here blocks or needs a thread: `signal.set_wakeup_fd` writes each signal's number to a pipe from
the C handler, even while Python is busy.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

HEARD = 0  # no signal: the recorder has heard how the command ended, and seals the run
FORWARDED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTERM,
    signal.SIGCONT,
    signal.SIGTSTP,
)
_GROUP_WINDOW_S = 0.05  # how long the keeper waits for its own copy of a signal sent to the group
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "busybox", "fish", "make", "gmake"}


class Inherited(NamedTuple):
    """What the command would have got from gitrun's parent: ignored and blocked signals, descriptors."""

    ignored: frozenset[int]
    blocked: frozenset[int]
    closed_fds: tuple[int, ...]
    extra_fds: tuple[int, ...]


def inherited() -> Inherited:
    """Looks at the process as it was started; standard descriptors that are closed are filled with /dev/null."""
    ignored = {s for s in signal.valid_signals() if signal.getsignal(s) is signal.SIG_IGN}
    ignored -= set(_IGNORED_BY_PYTHON) - _ignored_by_shell()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    closed = tuple(fd for fd in (0, 1, 2) if not _is_open(fd))
    for _ in closed:  # open() takes the lowest free number: no file of ours may become the command's stdout
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    return Inherited(frozenset(map(int, ignored)), frozenset(map(int, blocked)), closed, _extra_fds())


def hear_of_children(found: Inherited) -> None:
    """Undoes an inherited "ignore" of SIGCHLD, with which the kernel keeps no exit status for anybody to ask for.

    The command still gets what was inherited.
    """
    if signal.SIGCHLD in found.ignored:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _ignored_by_shell() -> set[signal.Signals]:
    """SIGPIPE and SIGXFSZ where gitrun's parent is a shell that ignores them.

    Python ignores both for itself and forgets what it found. POSIX shells hand ignored signals on to what they
    start, so a shell's own state is the answer; other parents (Python, Node) ignore them for themselves alone.
    """
    parent = os.getppid()
    try:
        if os.path.basename(os.readlink(f"/proc/{parent}/exe")) not in _SHELLS:
            return set()
        with open(f"/proc/{parent}/status", "rb") as status:
            line = next(line for line in status if line.startswith(b"SigIgn:"))
    except (OSError, StopIteration):
        return set()  # the parent is gone or another user's: the default is the likely answer
    mask = int(line.split()[1], 16)
    return {s for s in _IGNORED_BY_PYTHON if mask >> (s - 1) & 1}


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _extra_fds() -> tuple[int, ...]:
    """Descriptors beyond stderr that gitrun was started with (a jobserver, a process substitution)."""
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return ()
    return tuple(sorted(fd for fd in numbers if fd > 2 and _is_open(fd) and os.get_inheritable(fd)))


def nothing(*_: Any) -> None:
    """A handler that only makes the signal arrive: its number goes through the wakeup descriptor."""


class Forwarding:
    """From its making to `stop`, the signals this process gets go to `fd` as bytes, and do nothing else here.

    After `stop` they still do nothing, so that a second Ctrl-C does not cut the sealing short, until `end` gives
    every signal its old meaning. `heard` says when each came (time.monotonic). `reader` is the other end: kept
    open here as well, it lets a signal that comes when the keeper has already ended fall into the pipe without a
    word, where Python would tell of a broken pipe.
    """

    def __init__(self, fd: int, reader: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._reader = reader
        self._old_fd = signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
        self._old: dict[int, Any] = {}
        self.heard: dict[int, list[float]] = {}
        for number in FORWARDED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._old[number] = signal.signal(number, self._hear)

    def _hear(self, number: int, _: object) -> None:
        self.heard.setdefault(number, []).append(time.monotonic())

    def send(self, number: int) -> None:
        """Passes a signal on as if it had come; nothing where nothing is passed on any more, or nobody listens."""
        with suppress(OSError):
            os.write(self._fd, bytes((number,)))

    def stop(self) -> None:
        """Passes nothing on any more, and closes `fd`; signals still do nothing here."""
        signal.set_wakeup_fd(self._old_fd)
        os.close(self._fd)
        os.close(self._reader)
        self._fd = -1

    def end(self) -> None:
        """Gives every signal its old meaning."""
        for number, handler in self._old.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class Courier:
    """Decides for each signal whether it was sent to the recorder alone or to its group, and delivers it once.

    `to_process(number)` and `to_group(number)` do the delivering. `seen` holds what was passed on.
    """

    def __init__(self, to_process: Callable[[int], None], to_group: Callable[[int], None]) -> None:
        self._to_process = to_process
        self._to_group = to_group
        self._got: dict[int, float] = {}
        self._waiting: dict[int, float] = {}
        self.recorder_alive = True
        self.seen: set[int] = set()

    def keeper_got(self, numbers: Iterable[int]) -> None:
        """Signals that reached the keeper itself."""
        for number in numbers:
            if number not in FORWARDED:
                continue
            if self._waiting.pop(number, None) is not None or not self.recorder_alive:
                self._deliver(number, self._to_group)
            else:
                self._got[number] = time.monotonic()

    def recorder_got(self, numbers: Iterable[int]) -> None:
        """Signals that the recorder passed on."""
        for number in numbers:
            if time.monotonic() - self._got.pop(number, -1.0) < 10 * _GROUP_WINDOW_S:
                self._deliver(number, self._to_group)
            else:
                self._waiting.setdefault(number, time.monotonic() + _GROUP_WINDOW_S)

    def due_in(self) -> float | None:
        """Seconds until `tick` has something to do, None when nothing waits."""
        return max(0.0, min(self._waiting.values()) - time.monotonic()) if self._waiting else None

    def tick(self) -> None:
        """Delivers what waited long enough for a second copy."""
        now = time.monotonic()
        for number in [n for n, deadline in self._waiting.items() if deadline <= now]:
            del self._waiting[number]
            self._deliver(number, self._to_process)

    def ended_by(self, number: int) -> None:
        """The command was ended by this signal: it counts as passed on where it also came to us or the recorder.

        A signal for the whole group may end the command before the recorder has told of its own copy.
        """
        if number in self._got or number in self._waiting:
            self.seen.add(number)

    def _deliver(self, number: int, way: Callable[[int], None]) -> None:
        self.seen.add(number)
        try:
            way(number)
        except ProcessLookupError:
            pass  # the command ended meanwhile: nobody left to tell
