"""The keeper: a small process that owns the command, so that nothing else about gitrun can touch it.

A recorder that is killed would take the command's pipes along, and only a parent ever sees an exit status. So
the recorder forks a keeper before anything else happens: it starts the command, carries its output to the user
and to the spool, passes signals on, waits, and writes down the exit. It shares the recorder's process group and
terminal, and nothing more: when the recorder dies it goes on, and seals the run by starting `gitrun recover`.

    recorder P ── forks ──> keeper K ── forks ──> command C                       (pipes)
                            keeper K ── forks ──> leader L ── forks ──> command C (pseudo-terminal)

P tells K the signals it gets, one byte each, over a pipe whose end is P's death; K tells P `D` when the exit is
written, over a pipe whose end is K's death.
"""

import json
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any, NoReturn

from gitrun.recording import spawn
from gitrun.recording.console import Spool
from gitrun.recording.job import DONE, Handle, Job
from gitrun.recording.member import EXIT_BYTES, reserve_exit
from gitrun.recording.processes import adopt_orphans, descendants, identify, is_alive
from gitrun.recording.relay import Channel, Keyboard, Output, carry_on
from gitrun.recording.signals import FORWARDED, Courier, Forwarding, nothing
from gitrun.recording.terminal import Terminal, copy_window_size, open_pty, signals_typed, users_terminal

BEAT_S = 5.0
_LOOK_S = 0.2  # how often a terminal in the background is asked whether it came to the foreground
_CHECK_S = 0.05  # how often the descendants of an ended command are counted
_NAMED = 20  # descendants that are named, so that the exit fits its file


def start_keeper(job: Job) -> Handle:
    """Forks the keeper and begins to pass signals on to it; this process may have no thread yet. Returns at once."""
    (orders, wakeup), (report_read, report) = os.pipe(), os.pipe()
    terminal = Terminal(os.dup(0)) if users_terminal() else None
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if pid == 0:
        os.close(wakeup)
        os.close(report_read)
        _live(job, orders, report)
    os.close(orders)
    os.close(report)
    forwarding = Forwarding(wakeup)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return Handle(pid, report_read, forwarding, terminal)


def _live(job: Job, orders: int, report: int) -> NoReturn:
    """The keeper's life; whatever happens, it never returns into the recorder's code."""
    code = 1
    try:
        run_keeper(job, orders, report)
        code = 0
    except BaseException:
        import traceback  # only for a bug, whose traceback belongs in a log

        with open(os.path.join(job.member, "keeper.log"), "a") as log:
            traceback.print_exc(file=log)
    finally:
        os._exit(code)


def run_keeper(job: Job, orders: int, report: int) -> None:
    """Runs the job in this process; returns when the exit is written and somebody else seals, or execs recover."""
    spawn.close_all_but({0, 1, 2, orders, report, *job.keep_fds, *job.found.extra_fds})
    keeper = Keeper(job, orders)
    try:
        keeper.start()
        keeper.serve()
    finally:
        keeper.let_terminal_go()
    keeper.finish(report)


class Keeper:
    """One command from its start to its written exit."""

    def __init__(self, job: Job, orders: int) -> None:
        self.job = job
        self.orders = orders
        self.recorder = os.getppid()
        self.exit_fd = reserve_exit(job.member)
        self.beat_fd = os.open(os.path.join(job.member, "heartbeat"), os.O_WRONLY | os.O_CREAT, 0o666)
        self.spool = Spool(job.member, job.console_max, job.free_space_floor)
        self.mode = job.mode or ("pty" if users_terminal() else "pipes")
        self.channels: list[Channel] = []
        self.keyboard: Keyboard | None = None
        self.terminal: Terminal | None = None
        self.suspended = False
        self.ended = False
        self.deadline = 0.0  # the end of the grace, once the command has ended
        self.next_beat = 0.0
        self.exit: dict[str, Any] = {"code": None, "signal": None}
        self.courier = Courier(self._to_process, self._to_group)
        self.wake, self.wake_write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(self.wake_write, False)

    # -- start

    def start(self) -> None:
        """Starts the command, and writes its pid down before it runs."""
        adopt_orphans()
        self.started_ns, self.started = time.time_ns(), time.monotonic()
        self.command = self._start_in_session() if self.mode == "pty" else self._start_piped()
        self._write_pids()
        self._take_signals()
        if self.terminal is not None:
            self.terminal.make_raw()
        os.write(self.command.go, b"!")
        os.close(self.command.go)
        self._let_go_of_users_fds()
        refusal = os.read(self.command.failure, 512)  # blocks until the exec has succeeded or failed
        os.close(self.command.failure)
        if refusal:
            number, _, message = refusal.decode("utf-8", "replace").partition(" ")
            self.exit["start_error"] = {"errno": int(number), "message": message}

    def _program(self) -> spawn.Program:
        return spawn.Program(self.job.command, self.job.environment, self.job.found, self.job.directory)

    def _start_piped(self) -> spawn.Command:
        streams: dict[int, int] = {}
        for fd in (1, 2):
            if fd in self.job.found.closed_fds:
                continue
            if fd == 2 and 1 in streams and _same_file(1, 2):
                streams[2] = streams[1]
                continue
            source, streams[fd] = os.pipe()
            spawn.widen(source)
            self.channels.append(Channel(fd, source, Output(fd)))
        command = spawn.start_piped(self._program(), streams)
        for end in set(streams.values()):
            os.close(end)
        return command

    def _start_in_session(self) -> spawn.Command:
        if users_terminal():
            self.terminal = Terminal(os.dup(0))
        master, slave = open_pty(self.terminal)
        self.channels.append(Channel(1, master, Output(1)))
        self.keyboard = Keyboard(self.terminal.fd if self.terminal else os.dup(0), master)
        command = spawn.start_in_session(self._program(), slave)
        os.close(slave)
        return command

    def _write_pids(self) -> None:
        self.pids = {"keeper": identify(os.getpid()), "command": identify(self.command.pid)}
        if self.command.leader is not None:
            self.pids["leader"] = identify(self.command.leader)
        fd = os.open(os.path.join(self.job.member, "keeper"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            os.write(fd, json.dumps(self.pids).encode())
        except OSError:
            pass  # a full disk: the lock we hold still says that the run is alive
        os.close(fd)

    def _take_signals(self) -> None:
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        for number in (*FORWARDED, signal.SIGCHLD, signal.SIGWINCH):
            signal.signal(number, nothing)
        for number in (signal.SIGTTIN, signal.SIGTTOU, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _let_go_of_users_fds(self) -> None:
        """The user's pipes are held by the command and our outputs alone, so that their ends see the end."""
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.close(null)
        for fd in self.job.found.extra_fds:
            os.close(fd)

    # -- serve

    def serve(self) -> None:
        """Carries output, input and signals until the command and what it left have ended, or the grace is over."""
        self._reap()
        while not self._is_over():
            interests = self._interests()
            masks: dict[int, int] = {}
            for fd, event, _ in interests:
                masks[fd] = masks.get(fd, 0) | event
            poll = select.poll()
            for fd, mask in masks.items():
                poll.register(fd, mask)
            ready = dict(poll.poll(self._timeout_s() * 1000))
            for fd, event, act in interests:
                if ready.get(fd, 0) & (event | select.POLLHUP | select.POLLERR | select.POLLNVAL):
                    act()
            self._tick()

    def _interests(self) -> list[tuple[int, int, Callable[[], None]]]:
        interests: list[tuple[int, int, Callable[[], None]]] = [(self.wake, select.POLLIN, self._woken)]
        if self.courier.recorder_alive:
            interests.append((self.orders, select.POLLIN, self._ordered))
        if self.command.events is not None:
            interests.append((self.command.events, select.POLLIN, self._leader_says))
        for channel in self.channels:
            if channel.open:
                interests.append((*channel.wants(), lambda channel=channel: channel.step(self.spool)))  # type: ignore[misc]
        if self._may_type() and self.keyboard is not None and (wants := self.keyboard.wants()):
            interests.append((*wants, self._typed))
        return interests

    def _may_type(self) -> bool:
        """Input is ours while the recorder lives and the terminal, where there is one, is raw."""
        alive = self.courier.recorder_alive and not self.ended and any(channel.open for channel in self.channels)
        return alive and (self.terminal is None or self.terminal.is_raw)

    def _timeout_s(self) -> float:
        now = time.monotonic()
        waits = [self.next_beat - now]
        if (due := self.courier.due_in()) is not None:
            waits.append(due)
        if self.terminal is not None and not self.terminal.is_raw and self.courier.recorder_alive:
            waits.append(_LOOK_S)
        if self.ended or self._lost_the_leader():
            waits.append(_CHECK_S)
        return max(0.0, min(waits))

    def _tick(self) -> None:
        self.courier.tick()
        now = time.monotonic()
        if now >= self.next_beat:
            self.next_beat = now + BEAT_S
            os.utime(self.beat_fd)
            if not self.courier.recorder_alive:
                self.spool.sync()
        if self.terminal is not None and not self.suspended and not self.ended and self.courier.recorder_alive:
            self.terminal.make_raw()
        if self._lost_the_leader() and not self.ended and not is_alive(self.pids["command"]):
            self._end({})  # its leader was killed, and it ended before it became our child: nobody saw the exit

    def _lost_the_leader(self) -> bool:
        return self.mode == "pty" and self.command.events is None

    def _is_over(self) -> bool:
        if not self.ended:
            return False
        now = time.monotonic()
        if any(channel.blocked for channel in self.channels):
            self.deadline = now + self.job.grace_s  # the user's side is slow: this is not a descendant's doing
        if now >= self.deadline:
            return True
        return not any(channel.open for channel in self.channels) and not self._left_behind()

    def _left_behind(self) -> dict[int, str]:
        if self.command.leader is None:
            try:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return {}  # no child at all: nothing was left behind, and /proc need not be read
        left = descendants(os.getpid())
        left.pop(self.command.leader or 0, None)
        return left

    # -- events

    def _woken(self) -> None:
        numbers = os.read(self.wake, 256)
        if signal.SIGCHLD in numbers:
            self._reap()
        if signal.SIGWINCH in numbers and self.terminal is not None and self.channels[0].source >= 0:
            copy_window_size(self.terminal.fd, self.channels[0].source)
        self._resume_if_told(numbers)
        self.courier.keeper_got(numbers)

    def _ordered(self) -> None:
        numbers = os.read(self.orders, 256)
        if not numbers:
            self.courier.recorder_alive = False
            self.let_terminal_go()
            return
        self._resume_if_told(numbers)
        self.courier.recorder_got(numbers)

    def _resume_if_told(self, numbers: bytes) -> None:
        if signal.SIGCONT in numbers and self.suspended:
            self.suspended = False
            if self.terminal is not None:
                self.terminal.make_raw()

    def _typed(self) -> None:
        assert self.keyboard is not None
        typed = self.keyboard.step()
        if typed:
            self.courier.seen.update(signals_typed(self.keyboard.master, typed))

    def _leader_says(self) -> None:
        assert self.command.events is not None
        report = os.read(self.command.events, spawn.EVENT.size)
        if len(report) < spawn.EVENT.size:
            os.close(self.command.events)
            self.command = self.command._replace(events=None)
            return
        status, user_s, system_s, peak = spawn.EVENT.unpack(report)
        self._waited(status, user_s, system_s, peak)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.command.pid:
                self._waited(*spawn.EVENT.unpack(spawn.pack_event(status, usage)))

    def _waited(self, status: int, user_s: float, system_s: float, peak: int) -> None:
        if os.WIFSTOPPED(status):
            self._stop_with_command()
            return
        died = os.WIFSIGNALED(status)
        self._end(
            {
                "code": None if died else os.WEXITSTATUS(status),
                "signal": os.WTERMSIG(status) if died else None,
                "user_s": user_s,
                "system_s": system_s,
                "max_rss_bytes": peak,
            }
        )

    def _stop_with_command(self) -> None:
        """The command was stopped (Ctrl-Z): the shell has to see its own child, the recorder, stop too."""
        self.suspended = True
        self.let_terminal_go()
        if self.courier.recorder_alive:
            os.kill(self.recorder, signal.SIGSTOP)

    def _end(self, facts: dict[str, Any]) -> None:
        self.ended = True
        self.deadline = time.monotonic() + self.job.grace_s
        self.exit.update(facts)
        self.exit["ended_ns"] = time.time_ns()
        self.exit["duration_ns"] = int((time.monotonic() - self.started) * 1e9)
        self._write_exit()

    def _to_process(self, number: int) -> None:
        os.kill(self.command.pid, number)

    def _to_group(self, number: int) -> None:
        if self.mode == "pty":
            os.killpg(self.command.pid, number)  # with pipes the command is in our group and has it already

    # -- end

    def let_terminal_go(self) -> None:
        """Gives the user's terminal its own modes back."""
        if self.terminal is not None:
            self.terminal.restore()

    def finish(self, report: int) -> None:
        """Writes the exit, leaves a relay for those who still write, and hands the run on to be sealed."""
        left = self._left_behind()
        self.exit["left_behind"] = [{"pid": pid, "name": left[pid]} for pid in sorted(left)[:_NAMED]]
        self._write_exit()
        self.spool.sync() if not self.courier.recorder_alive else None
        self.spool.close()
        if any(channel.open for channel in self.channels) and os.fork() == 0:
            self._relay_on()
        if self.courier.recorder_alive:
            try:
                os.write(report, DONE)
                return
            except BrokenPipeError:
                pass  # the recorder died this very moment
        os.fsync(self.exit_fd)
        if self.job.recover:
            os.chdir(self.job.recover_directory)
            os.execv(self.job.recover[0], self.job.recover)

    def _write_exit(self) -> None:
        record = {
            "format": 1,
            "mode": self.mode,
            "merged": len(self.channels) == 1,
            "started_ns": self.started_ns,
            "forwarded": sorted(self.courier.seen),
            "left_behind": [],
            "console": {"bytes": self.spool.total, "stopped": self.spool.stopped},
            "output_problem": next((c.problem for c in self.channels if c.problem), None),
            **self.exit,
        }
        line = json.dumps(record).encode() + b"\n"
        os.pwrite(self.exit_fd, line.ljust(EXIT_BYTES, b"\0")[:EXIT_BYTES], 0)

    def _relay_on(self) -> NoReturn:
        """A daemon that keeps our pipes is never cut off: its output goes on to the user, uncaptured."""
        try:
            signal.set_wakeup_fd(-1)
            keep = {channel.source for channel in self.channels}
            keep |= {channel.target.fd for channel in self.channels if channel.target is not None}
            spawn.close_all_but(keep | {self.command.leash or 0, 0, 1, 2})
            carry_on(self.channels)
        finally:
            os._exit(0)


def _same_file(first: int, second: int) -> bool:
    one, two = os.fstat(first), os.fstat(second)
    return (one.st_dev, one.st_ino, one.st_rdev) == (two.st_dev, two.st_ino, two.st_rdev)
