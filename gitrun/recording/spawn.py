"""Starting the command: as the user's shell would have, with or without a pseudo-terminal.

With pipes the command is a child in our own process group, so that job control works as if gitrun were not there.
Behind a pseudo-terminal it needs a session of its own, and a session needs a leader that outlives the command:
when a leader exits the kernel hangs up everyone who is left, and a group without a parent in its session cannot
be stopped by Ctrl-Z. So a small leader process (sudo calls it the monitor) stands between keeper and command
and reports what it waits for.

No command runs whose pid is not on record: the child waits for a byte before it becomes the command. A failed
exec comes back over the same pair of pipes as an errno.
"""

import errno
import fcntl
import os
import resource
import signal
import struct
import termios
from collections.abc import Callable, Mapping
from typing import NamedTuple, NoReturn

from gitrun.recording.signals import Inherited

EVENT = struct.Struct("<iddQ")  # wait status, user and system seconds, peak bytes
_PIPE_BYTES = 1 << 20
NOT_FOUND, NOT_EXECUTABLE = 127, 126


class Program(NamedTuple):
    """What the child becomes: a command, its environment, what it inherits, and its directory when not ours.

    `enter` is called in the child first: it may give that process, and nobody else, another view of the file system.
    """

    argv: list[bytes]
    environment: Mapping[bytes, bytes]
    found: Inherited
    directory: str | None = None
    enter: Callable[[], None] | None = None


class Command(NamedTuple):
    """A started process: the command's pid, how to let it go on, and where its leader (if any) reports."""

    pid: int
    go: int
    failure: int
    leader: int | None
    events: int | None
    leash: int | None  # the leader ends when the last copy of this is closed


def exec_command(argv: list[bytes], env: Mapping[bytes, bytes]) -> NoReturn:
    """Becomes the command as execvp would, scripts without `#!` included; raises OSError."""
    name = argv[0]
    if b"/" in name:
        candidates = [name]
    else:
        path = env.get(b"PATH", os.fsencode(os.defpath))
        candidates = [os.path.join(part or b".", name) for part in path.split(b":")] if name else []
    problem = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for candidate in candidates:
        try:
            _exec_one(candidate, argv, env)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                if os.path.lexists(candidate) and os.path.exists(candidate):
                    problem = OSError(errno.ENOENT, "its interpreter does not exist")
            elif error.errno == errno.EACCES:
                problem = error
            else:
                raise
    raise problem


def _exec_one(path: bytes, argv: list[bytes], env: Mapping[bytes, bytes]) -> NoReturn:
    try:
        os.execve(path, argv, env)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        os.execve(b"/bin/sh", [b"/bin/sh", path, *argv[1:]], env)


def exit_code_for(number: int) -> int:
    """What a shell exits with when exec fails with this errno."""
    return NOT_FOUND if number == errno.ENOENT else NOT_EXECUTABLE


def become(argv: list[bytes], env: Mapping[bytes, bytes], found: Inherited) -> NoReturn:
    """Becomes the command with the signals and descriptors that gitrun was started with; raises OSError."""
    for number in signal.valid_signals():
        if number in (signal.SIGKILL, signal.SIGSTOP):
            continue
        try:
            signal.signal(number, signal.SIG_IGN if number in found.ignored else signal.SIG_DFL)
        except OSError:
            continue  # the C library keeps it for itself
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, found.blocked)
    for fd in found.closed_fds:
        os.close(fd)
    exec_command(argv, env)


def start_piped(program: Program, streams: dict[int, int]) -> Command:
    """Starts the command in our group; `streams` maps its descriptors to the pipe ends they become."""
    go_read, go, failure, failure_write = *os.pipe(), *os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(program, streams, go_read, failure_write)
    os.close(go_read)
    os.close(failure_write)
    return Command(pid, go, failure, None, None, None)


def start_in_session(program: Program, slave: int) -> Command:
    """Starts the command in a session of its own on the pseudo-terminal `slave`."""
    pipes = [os.pipe() for _ in range(5)]
    (go_read, go), (failure, failure_write), (pid_read, pid_write), (events, events_write), (leash_end, leash) = pipes
    leader = os.fork()
    if leader == 0:
        for fd in (go, failure, pid_read, events, leash):
            os.close(fd)
        _lead(program, slave, (go_read, failure_write, pid_write, events_write, leash_end))
    for fd in (go_read, failure_write, pid_write, events_write, leash_end):
        os.close(fd)
    report = os.read(pid_read, 4)
    os.close(pid_read)
    if len(report) < 4:
        raise OSError(errno.EAGAIN, "the session leader could not start the command")
    return Command(int.from_bytes(report, "little"), go, failure, leader, events, leash)


def _lead(program: Program, slave: int, ends: tuple[int, int, int, int, int]) -> NoReturn:
    """The session leader: starts the command in the foreground, reports its waits, stays for those it leaves."""
    go_read, failure_write, pid_write, events_write, leash_end = ends
    try:
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            _child(program, {0: slave, 1: slave, 2: slave}, go_read, failure_write)
        os.setpgid(pid, pid)
        os.tcsetpgrp(slave, pid)
        os.write(pid_write, pid.to_bytes(4, "little"))
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        close_all_but({0, 1, 2, events_write, leash_end})
        _watch(pid, events_write)
        os.close(events_write)
        os.read(leash_end, 1)
    finally:
        os._exit(0)


def _watch(pid: int, events: int) -> None:
    """Reports the command's waits until it has ended; all signals are blocked.

    Where the keeper dies the kernel tells us with SIGHUP that the terminal is gone. A stopped command would then stay
    stopped for ever, for nobody is left who could continue it: it gets what the kernel gives an orphaned group.
    """
    stopped = False
    while True:
        waited, status, usage = os.wait4(pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if waited == 0:
            if signal.sigwait({signal.SIGCHLD, signal.SIGHUP}) == signal.SIGHUP and stopped:
                os.killpg(pid, signal.SIGHUP)
                os.killpg(pid, signal.SIGCONT)
            continue
        stopped = os.WIFSTOPPED(status)
        if not os.WIFCONTINUED(status):
            os.write(events, pack_event(status, usage))
            if not stopped:
                return


def pack_event(status: int, usage: resource.struct_rusage) -> bytes:
    """One wait result as the leader reports it."""
    return EVENT.pack(status, usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024)


def _child(program: Program, streams: dict[int, int], go: int, failure: int) -> NoReturn:
    """Waits for the go, then becomes the command, or reports the errno and exits as a shell would."""
    code = NOT_EXECUTABLE
    try:
        if not os.read(go, 1):
            os._exit(code)  # the keeper died before it could write our pid down
        for fd, source in streams.items():
            os.dup2(source, fd)
        if program.enter is not None:
            program.enter()
        if program.directory is not None:
            os.chdir(program.directory)
        become(program.argv, program.environment, program.found)
    except OSError as error:
        code = exit_code_for(error.errno or errno.ENOEXEC)
        os.write(failure, f"{error.errno or 0} {error.strerror}".encode())
    finally:
        os._exit(code)


def widen(pipe: int) -> None:
    """Makes a pipe hold 1 MiB where the system allows it: fewer wake-ups for a command that prints a lot."""
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:
        pass  # the user's pipe quota is spent: 64 KiB do as well


def close_all_but(keep: set[int]) -> None:
    """Closes what a forked process would hold open for nothing (a git process's pipes, the user's)."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in keep:
            try:
                os.close(fd)
            except OSError:
                continue  # the descriptor of the listing itself
