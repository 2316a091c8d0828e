"""The command's streams as the keeper holds them: how it is started, and what carries its output and input.

With pipes each stream of the user's gets a channel of its own, one for both where stdout and stderr are the same
file, so that their order is kept. Behind a pseudo-terminal there is one channel, and the keyboard.
"""

import os
from typing import NamedTuple, NoReturn

from gitrun.recording import spawn
from gitrun.recording.job import Job
from gitrun.recording.relay import Channel, Keyboard, Output, carry_on
from gitrun.recording.terminal import Terminal, open_pty, users_terminal


class Streams(NamedTuple):
    """A command that waits for its go, and what connects it with the user."""

    command: spawn.Command
    channels: list[Channel]
    keyboard: Keyboard | None = None
    terminal: Terminal | None = None


def start(job: Job, mode: str) -> Streams:
    """Starts the job's command behind a pseudo-terminal, or with pipes where it asks for those or none can be had."""
    program = spawn.Program(job.command, job.environment, job.found, job.directory, job.enter)
    if mode == "pty":
        terminal = Terminal(os.dup(0)) if users_terminal() else None
        try:
            pair = open_pty(terminal, job.window)
        except OSError:
            return _piped(program)  # a container without /dev/pts
        return _in_session(program, terminal, *pair)
    return _piped(program)


def _piped(program: spawn.Program) -> Streams:
    streams: dict[int, int] = {}
    channels = []
    for fd in (1, 2):
        if fd in program.found.closed_fds:
            continue
        if fd == 2 and 1 in streams and _same_file(1, 2):
            streams[2] = streams[1]
            continue
        source, streams[fd] = os.pipe()
        spawn.widen(source)
        channels.append(Channel(fd, source, Output(fd)))
    command = spawn.start_piped(program, streams)
    for end in set(streams.values()):
        os.close(end)
    return Streams(command, channels)


def _in_session(program: spawn.Program, terminal: Terminal | None, master: int, slave: int) -> Streams:
    channel = Channel(1, master, Output(1))
    keyboard = Keyboard(terminal.fd if terminal else os.dup(0), master)
    command = spawn.start_in_session(program, slave)
    os.close(slave)
    return Streams(command, [channel], keyboard, terminal)


def let_go_of_users_fds(extra_fds: tuple[int, ...]) -> None:
    """The user's pipes are held by the command and our outputs alone, so that their ends see the end."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    for fd in extra_fds:
        os.close(fd)


def relay_on(channels: list[Channel], leash: int | None) -> NoReturn:
    """A daemon that keeps our pipes is never cut off: its output goes on to the user, uncaptured."""
    try:
        keep = {channel.source for channel in channels}
        keep |= {channel.target.fd for channel in channels if channel.target is not None}
        spawn.close_all_but(keep | {leash or 0, 0, 1, 2})
        carry_on(channels)
    finally:
        os._exit(0)


def need_descriptors(number: int) -> None:
    """Raises OSError where so many more cannot be opened."""
    spare: list[int] = []
    try:
        for _ in range(number):
            spare.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for fd in spare:
            os.close(fd)


def _same_file(first: int, second: int) -> bool:
    one, two = os.fstat(first), os.fstat(second)
    return (one.st_dev, one.st_ino, one.st_rdev) == (two.st_dev, two.st_ino, two.st_rdev)
