"""The user's terminal: raw while the command has it, its own modes again on every way out.

Behind a pseudo-terminal the command's line discipline does what the user's did (echo, Ctrl-C, Ctrl-Z), so the
user's terminal has to hand every byte through untouched. Two rules keep it safe. Modes are changed, and input is
read, only while the terminal's foreground is our group: a shell that has taken it back owns both. And the modes
found at the start are put back whenever the command stops, ends, or the keeper fails.
"""

import fcntl
import os
import signal
import struct
import termios
from typing import Any

_WINDOW_BYTES = 8  # struct winsize: rows, columns, and two pixel counts, 16 bits each


def users_terminal() -> bool:
    """Whether stdin, stdout and stderr are one terminal."""
    try:
        return all(map(os.isatty, (0, 1, 2))) and len({os.fstat(fd).st_rdev for fd in (0, 1, 2)}) == 1
    except OSError:
        return False


class Terminal:
    """The terminal behind `fd`, with the modes it had when this was made."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.modes: list[Any] = termios.tcgetattr(fd)
        self.is_raw = False

    def foreground(self) -> bool:
        """Whether our group may read it now; True where job control does not apply."""
        try:
            return os.tcgetpgrp(self.fd) == os.getpgrp()
        except OSError:
            return True  # not our controlling terminal: nobody arbitrates, as for any other program

    def make_raw(self) -> bool:
        """Hands every byte through, if our group is in the foreground; whether it is raw now."""
        if not self.is_raw and self.foreground():
            try:
                termios.tcsetattr(self.fd, termios.TCSANOW, raw(self.modes))
                self.is_raw = True
            except termios.error:
                pass  # hung up: reading it will say so
        return self.is_raw

    def restore(self) -> None:
        """Puts the modes back that were there at the start."""
        if self.is_raw and self.foreground():
            try:
                termios.tcsetattr(self.fd, termios.TCSANOW, self.modes)
            except termios.error:
                pass  # hung up: no modes left to restore
        self.is_raw = False


def raw(modes: list[Any]) -> list[Any]:
    """The modes with every input and output processing switched off (cfmakeraw)."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, cc = modes
    iflag &= ~(termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR)
    iflag &= ~(termios.IGNCR | termios.ICRNL | termios.IXON)
    oflag &= ~termios.OPOST
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cc = list(cc)
    cc[termios.VMIN], cc[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, cc]


def copy_window_size(source: int, target: int) -> None:
    """Gives `target` the size of `source`; its programs are told by the kernel."""
    try:
        size = fcntl.ioctl(source, termios.TIOCGWINSZ, b"\0" * _WINDOW_BYTES)
        fcntl.ioctl(target, termios.TIOCSWINSZ, size)
    except OSError:
        pass  # one of the two is gone; a size is nothing to fail for


def open_pty(user: Terminal | None, window: tuple[int, int] | None = None) -> tuple[int, int]:
    """A pseudo-terminal (master, slave) like the user's, or 24 x 80 without one; `window` is (rows, columns)."""
    master, slave = os.openpty()
    if user is not None:
        termios.tcsetattr(slave, termios.TCSANOW, user.modes)
        copy_window_size(user.fd, slave)
    if window is not None or user is None:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *(window or (24, 80)), 0, 0))
    return master, slave


def signals_typed(master: int, data: bytes) -> list[int]:
    """The signals that the pseudo-terminal makes of what the user typed."""
    if len(data) > 64:
        return []  # pasted text, not a key
    try:
        modes = termios.tcgetattr(master)
    except termios.error:
        return []
    if not modes[3] & termios.ISIG:
        return []
    keys = ((termios.VINTR, signal.SIGINT), (termios.VQUIT, signal.SIGQUIT))
    return [int(number) for key, number in keys if modes[6][key] != b"\0" and modes[6][key] in data]
