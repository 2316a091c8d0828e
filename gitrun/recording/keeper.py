"""The keeper: a small process that owns the command, so that nothing else about gitrun can touch it.

A recorder that is killed would take the command's pipes along, and only a parent ever sees an exit status. So
the recorder forks a keeper before anything else happens: it starts the command, carries its output to the user
and to the spool, passes signals on, waits, and writes down the exit. It shares the recorder's process group and
terminal, and nothing more: when the recorder dies it goes on, and seals the run by starting `gitrun recover`.

    recorder P ── forks ──> keeper K ── forks ──> command C                       (pipes)
                            keeper K ── forks ──> leader L ── forks ──> command C (pseudo-terminal)

P tells K the signals it gets, one byte each, over a pipe whose end is P's death; K tells P that the command is about
to run, and how it ended, over a pipe whose end is K's death. Whatever fails before that first word means that nothing
ran; after it nothing that fails may end the keeper: neither files nor descriptors are opened then that it needs.
"""

import json
import os
import select
import signal
import time
from collections.abc import Callable
from typing import NoReturn

from gitrun.files.holder import exists, identify
from gitrun.own_python import own_variables
from gitrun.recording import spawn, streams
from gitrun.recording.captor import PUSH_S, Captor
from gitrun.recording.ending import Ending, harmless
from gitrun.recording.job import READY, REFUSED, Handle, Job
from gitrun.recording.member import write_pids
from gitrun.recording.processes import adopt_orphans, descendants, has_children
from gitrun.recording.relay import Channel, Keyboard
from gitrun.recording.sampling import Sampling
from gitrun.recording.scribe import scribe_for
from gitrun.recording.signals import FORWARDED, HEARD, Courier, Forwarding, nothing
from gitrun.recording.terminal import Terminal, copy_window_size, signals_typed, users_terminal

BEAT_S = 5.0
_LOOK_S = 0.2  # how often a terminal in the background is asked whether it came to the foreground
_CHECK_S = 0.05  # how often the descendants of an ended command are counted
_SPARE = 3  # descriptors that must be free while the command runs: to look at /proc, for the console's tail


def start_keeper(job: Job) -> Handle:
    """Forks the keeper and begins to pass signals on to it; this process may have no thread yet.

    Returns when the command is about to run. Raises GitrunError or OSError when it will not; then nothing ran.
    """
    (orders, wakeup), (report_read, report) = os.pipe(), os.pipe()
    terminal = Terminal(os.dup(0)) if users_terminal() else None
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            os.close(wakeup)
            os.close(report_read)
            _live(job, orders, report)
        os.close(report)
        forwarding = Forwarding(wakeup, orders)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    handle = Handle(pid, report_read, forwarding, terminal)
    try:
        handle.wait_for_start()
    except BaseException:
        handle.close()
        raise
    return handle


def _live(job: Job, orders: int, report: int) -> NoReturn:
    """The keeper's life; whatever happens, it never returns into the recorder's code."""
    code = 1
    try:
        run_keeper(job, orders, report)
        code = 0
    except BaseException as bug:
        from gitrun.recording.bugs import log_in_keeper  # only then

        log_in_keeper(job.member, bug, _variables(job))
    finally:
        os._exit(code)


def run_keeper(job: Job, orders: int, report: int) -> None:
    """Runs the job in this process; returns when the exit is written and somebody else seals, or execs recover."""
    try:
        spawn.close_all_but({0, 1, 2, orders, report, *job.keep_fds, *job.found.extra_fds})
        keeper = Keeper(job, orders, report)
        keeper.prepare()
    except Exception as problem:
        number, words = (problem.errno, problem.strerror) if isinstance(problem, OSError) else (None, None)
        os.write(report, REFUSED + json.dumps([number or 0, words or repr(problem)]).encode() + b"\n")
        return
    try:
        keeper.start()
        keeper.serve()
    finally:
        keeper.let_terminal_go()
    keeper.finish()


def _variables(job: Job) -> dict[str, str]:
    return {os.fsdecode(name): os.fsdecode(value) for name, value in job.environment.items()}


class Keeper:
    """One command from its start to its written exit."""

    def __init__(self, job: Job, orders: int, report: int) -> None:
        self.job = job
        self.orders = orders
        self.report = report
        self.recorder = os.getppid()
        self.ending = Ending(job.member)
        self.beat_fd = os.open(os.path.join(job.member, "heartbeat"), os.O_WRONLY | os.O_CREAT, 0o666)
        self.console = Captor(lambda: scribe_for(job, _variables(job)), job.member, job.console_max, job.keep_fds)
        self.sampling = Sampling(job.member)
        self.mode = job.mode or ("pty" if users_terminal() else "pipes")
        self.channels: list[Channel] = []
        self.keyboard: Keyboard | None = None
        self.terminal: Terminal | None = None
        self.suspended = False
        self.ended = False
        self.deadline = 0.0  # the end of the grace, once the command has ended
        self.next_beat = 0.0
        self.courier = Courier(self._to_process, self._to_group)
        self.wake, self.wake_write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(self.wake_write, False)

    # -- start

    def prepare(self) -> None:
        """Makes the process that will become the command, and writes its pid down."""
        adopt_orphans()
        self.ending.begin()
        self.sampling.begin()
        self.command, self.channels, self.keyboard, self.terminal = streams.start(self.job, self.mode)
        self.mode = "pipes" if self.keyboard is None else "pty"
        self._write_pids()
        streams.need_descriptors(_SPARE)

    def start(self) -> None:
        """Lets the command run."""
        self._take_signals()
        if self.terminal is not None:
            self.terminal.make_raw()
        self._tell(READY + json.dumps(self.pids).encode() + b"\n")
        try:
            os.write(self.command.go, b"!")
        except BrokenPipeError:
            pass  # it was killed just now, which the wait will tell
        os.close(self.command.go)
        streams.let_go_of_users_fds(self.job.found.extra_fds)
        refusal = os.read(self.command.failure, 512)  # blocks until the exec has succeeded or failed
        os.close(self.command.failure)
        if refusal:
            number, _, message = refusal.decode("utf-8", "replace").partition(" ")
            self.ending.facts["start_error"] = {"errno": int(number), "message": message}

    def _write_pids(self) -> None:
        self.pids = {"keeper": identify(os.getpid()), "command": identify(self.command.pid)}
        if self.command.leader is not None:
            self.pids["leader"] = identify(self.command.leader)
        write_pids(self.job.member, self.pids)

    def _tell(self, line: bytes) -> None:
        try:
            os.write(self.report, line)
        except BrokenPipeError:
            self.courier.recorder_alive = False  # it died this very moment

    def _take_signals(self) -> None:
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        for number in (*FORWARDED, signal.SIGCHLD, signal.SIGWINCH):
            signal.signal(number, nothing)
        for number in (signal.SIGTTIN, signal.SIGTTOU, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

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
            if channel.open and (channel.blocked or not self.console.blocked):
                interests.append((*channel.wants(), lambda channel=channel: channel.step(self.console)))  # type: ignore[misc]
        if self._may_type() and self.keyboard is not None and (wants := self.keyboard.wants()):
            interests.append((*wants, self._typed))
        return interests

    def _may_type(self) -> bool:
        """Input is ours while the recorder lives and the terminal, where there is one, is raw."""
        alive = self.courier.recorder_alive and not self.ended and any(channel.open for channel in self.channels)
        return alive and (self.terminal is None or self.terminal.is_raw)

    def _timeout_s(self) -> float:
        now = time.monotonic()
        waits = [self.next_beat - now, self.sampling.due - now]
        if (due := self.courier.due_in()) is not None:
            waits.append(due)
        if self.terminal is not None and not self.terminal.is_raw and self.courier.recorder_alive:
            waits.append(_LOOK_S)
        if self.ended or self._lost_the_leader():
            waits.append(_CHECK_S)
        if self.console.blocked:
            waits.append(PUSH_S)
        return max(0.0, min(waits))

    def _tick(self) -> None:
        self.courier.tick()
        self.console.push()
        now = time.monotonic()
        if now >= self.sampling.due:
            self.sampling.look(now, self._own())
        if now >= self.next_beat:
            self.next_beat = now + BEAT_S
            harmless(os.utime, self.beat_fd)
            if not self.courier.recorder_alive:
                self.console.sync()
        if self.terminal is not None and not self.suspended and not self.ended and self.courier.recorder_alive:
            self.terminal.make_raw()
        if self._lost_the_leader() and not self.ended and not exists(self.pids["command"]):
            self._end()  # its leader was killed, and it was gone before it became our child: nobody saw the exit

    def _lost_the_leader(self) -> bool:
        return self.mode == "pty" and self.command.events is None

    def _is_over(self) -> bool:
        if not self.ended:
            return False
        now = time.monotonic()
        if self.console.blocked or any(channel.blocked for channel in self.channels):
            self.deadline = now + self.job.grace_s  # the user's side or ours is slow: not a descendant's doing
        if now >= self.deadline:
            return True
        return not any(channel.open for channel in self.channels) and not self._left_behind()

    def _left_behind(self) -> dict[int, str]:
        if self.command.leader is None and not has_children():
            return {}  # nothing was left behind, and /proc need not be read
        left = descendants(os.getpid())
        return {pid: name for pid, name in left.items() if pid not in self._own()}

    def _own(self) -> set[int]:
        """The processes below us that are gitrun's."""
        return {self.command.leader or 0, self.console.scribe_pid or 0, *self.sampling.pids}

    # -- events

    def _woken(self) -> None:
        numbers = os.read(self.wake, 256)
        if signal.SIGCHLD in numbers:
            self._reap()
        if signal.SIGWINCH in numbers and self.terminal and not self.job.window and self.channels[0].source >= 0:
            copy_window_size(self.terminal.fd, self.channels[0].source)
        self._resume_if_told(numbers)
        self.courier.keeper_got(numbers)

    def _ordered(self) -> None:
        numbers = os.read(self.orders, 256)
        if not numbers:
            self.courier.recorder_alive = False
            self.let_terminal_go()
            if self.suspended and self.mode == "pty":  # with pipes the kernel does it: our group is an orphan
                self.courier.keeper_got((signal.SIGHUP, signal.SIGCONT))
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
        self.ending.waited(status, user_s, system_s, peak)
        self._end()

    def _stop_with_command(self) -> None:
        """The command was stopped (Ctrl-Z): the shell has to see its own child, the recorder, stop too."""
        self.suspended = True
        self.let_terminal_go()
        if self.courier.recorder_alive:
            os.kill(self.recorder, signal.SIGSTOP)

    def _end(self) -> None:
        self.ended = True
        self.deadline = time.monotonic() + self.job.grace_s
        self.ending.now()
        self.ending.write(self._exit_line())

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

    def finish(self) -> None:
        """Writes the exit, leaves a relay for those who still write, and hands the run on to be sealed."""
        self._hear_last_signals()
        self.ending.leaves(self._left_behind())
        self.sampling.close()
        self.ending.write(self._exit_line())
        if any(channel.open for channel in self.channels) and os.fork() == 0:
            signal.set_wakeup_fd(-1)
            streams.relay_on(self.channels, self.command.leash)
        self.console.close()
        self.ending.write(self._exit_line())
        self.console.sync() if not self.courier.recorder_alive else None
        if self.courier.recorder_alive:
            self._tell(self._exit_line())
        if self.courier.recorder_alive and self._is_heard():
            return
        self.ending.sync()
        if self.job.recover:
            os.chdir(self.job.recover_directory)
            os.execve(self.job.recover[0], self.job.recover, own_variables(os.environ))

    def _is_heard(self) -> bool:
        """Whether the recorder takes over; what was told may lie in the pipe of one that is being killed."""
        while numbers := os.read(self.orders, 256):
            if HEARD in numbers:
                return True
        return False

    def _hear_last_signals(self) -> None:
        """A signal for our whole group may have ended the command before we listened to our own copy of it."""
        poll = select.poll()
        poll.register(self.wake, select.POLLIN)
        if self.courier.recorder_alive:
            poll.register(self.orders, select.POLLIN)
        for fd, _ in poll.poll(0):
            self._woken() if fd == self.wake else self._ordered()
        if (number := self.ending.facts["signal"]) is not None:
            self.courier.ended_by(number)

    def _exit_line(self) -> bytes:
        return self.ending.line(self.mode, self.courier.seen, self.channels, self.console)
