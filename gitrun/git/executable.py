"""Running the git executable without the price or the surprises of `subprocess`.

Problem: `record` asks Git a handful of questions before the user's command may start, and a
Ctrl-C meant for that command must not kill a git that is writing a ref.
Idea: `posix_spawn` into a process group of its own, pipes served by one `poll` loop.
Reason: importing subprocess costs more than the git processes themselves, and a child that is
served by poll can neither deadlock on a full pipe nor need a thread.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitrun.errors import DiskFull, GitFailed, GitrunError, NotWritable, UnsafeRepository, UnsupportedRepository
from gitrun.git.configfile import read_protected

Argument = str | bytes

_CHUNK = 1 << 16
# Variables that say which repository, index or paths a command is about: the caller's own, never inherited.
_LOCAL = frozenset(
    {
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE"),
        *("GIT_INDEX_FILE", "GIT_INDEX_VERSION", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_REPLACE_REF_BASE"),
        *("GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"),
        *("GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS", "GIT_REFLOG_ACTION"),
    }
)
# What gitrun asks of every git: no hooks, no index refresh behind the user's back, no reflog of its
# refs, no prompt, objects as they are (no replacements), and messages in the language of the source
# (LANGUAGE, because LC_ALL would also reach the user's filters).
_QUIET = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LANGUAGE": "en",
}
# Never passed to the verbs that report the configuration: they would report these as the user's.
_ASKS_CONFIG = ("config", "rev-parse")
_SWITCHES = ("-c", "core.hooksPath=/dev/null", "-c", "core.logAllRefUpdates=false")


class Finished(NamedTuple):
    """How a git process ended: `code` is its exit status, or minus the signal."""

    code: int
    out: bytes
    err: bytes


class Git:
    """A git executable that was found."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"Git({self.path!r})"

    def start(
        self,
        args: Sequence[Argument],
        *,
        cwd: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> Running:
        """Start git in `cwd` and return at once; `env` is its whole environment (default: ours, cleaned)."""
        return Running(self, args, cwd, stdin, clean_environment(os.environ) if env is None else env)

    def run(
        self,
        args: Sequence[Argument],
        *,
        cwd: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> bytes:
        """What git writes to stdout; raises GitFailed with git's own words unless `check` is false."""
        return self.start(args, cwd=cwd, stdin=stdin, env=env).result(check)


def find_git(environ: Mapping[str, str] | None = None) -> Git | None:
    """The git that `git.executable` names: a path, a name to search PATH for, "none" for no git; unset: `git`."""
    environ = os.environ if environ is None else environ
    name = _setting(environ) or "git"
    if name == "none":
        return None
    if os.sep in name:
        return Git(name) if _is_program(name) else None
    for directory in os.get_exec_path(dict(environ)):
        if _is_program(path := os.path.join(directory or os.curdir, name)):
            return Git(path)
    return None


def _setting(environ: Mapping[str, str]) -> str | None:
    """`git.executable` before a repository is known, whose configuration must not choose what is run here."""
    if (chosen := environ.get("GITRUN_GIT_EXECUTABLE")) is not None:
        return chosen
    try:
        pairs = read_protected(environ, os.devnull)  # no repository, for the conditions of includes
    except UnsupportedRepository:
        return None  # git refuses the same file in a moment, in words of its own
    return next((value for key, value in reversed(pairs) if key == "gitrun.git.executable"), None)


def _is_program(path: str) -> bool:
    return os.access(path, os.X_OK) and not os.path.isdir(path)


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without what would point git at another repository or index, plus what keeps it quiet."""
    kept = {name: value for name, value in environ.items() if name not in _LOCAL}
    kept.update(_QUIET)
    return kept


class Running:
    """A git process under way; `result()` or `finish()` collects it."""

    def __init__(self, git: Git, args: Sequence[Argument], cwd: str, stdin: bytes, env: Mapping[str, str]) -> None:
        self._args = args
        self._stdin = memoryview(stdin)
        self._finished: Finished | None = None
        self._pid, self._in, self._out, self._err = _spawn(git.path, _arguments(git, cwd, args), env)
        os.set_blocking(self._in, False)
        self._feed()  # git can begin while the caller does something else

    def result(self, check: bool = True) -> bytes:
        """What git wrote to stdout; raises GitFailed (UnsafeRepository for safe.directory) when it failed."""
        done = self.finish()
        if check and done.code != 0:
            raise failure(self._args, done)
        return done.out

    def finish(self) -> Finished:
        """Wait for the end, whatever it is."""
        if self._finished is None:
            out, err = self._converse()
            self._finished = Finished(_exit_code(self._pid, err), out, err)
        return self._finished

    def _converse(self) -> tuple[bytes, bytes]:
        texts: dict[int, list[bytes]] = {self._out: [], self._err: []}
        poller = select.poll()
        if self._in >= 0:
            poller.register(self._in, select.POLLOUT)
        for descriptor in texts:
            poller.register(descriptor, select.POLLIN)
        waiting = set(texts)
        while waiting:
            for descriptor, _ in poller.poll():
                if descriptor == self._in:
                    if not self._feed(poller):
                        continue
                elif data := os.read(descriptor, _CHUNK):
                    texts[descriptor].append(data)
                else:
                    poller.unregister(descriptor)
                    waiting.discard(descriptor)
                    os.close(descriptor)
        if self._in >= 0:
            os.close(self._in)
            self._in = -1
        return b"".join(texts[self._out]), b"".join(texts[self._err])

    def _feed(self, poller: select.poll | None = None) -> bool:
        """Write what the pipe takes; close it (False) once all is written or git has stopped reading."""
        try:
            if self._stdin:
                self._stdin = self._stdin[os.write(self._in, self._stdin) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            self._stdin = self._stdin[:0]
        if self._stdin:
            return True
        if poller is not None:
            poller.unregister(self._in)
        os.close(self._in)
        self._in = -1
        return False


def _arguments(git: Git, cwd: str, args: Sequence[Argument]) -> list[Argument]:
    # posix_spawn knows no working directory; `-C` does.
    return [git.path, "-C", cwd, *(() if args[0] in _ASKS_CONFIG else _SWITCHES), *args]


def _exit_code(pid: int, err: bytes) -> int:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        # Whoever started gitrun ignores SIGCHLD, so the status is lost; a git that failed has said so.
        return 128 if err else 0


def spawn_server(git: Git, args: Sequence[Argument], cwd: str, env: Mapping[str, str]) -> tuple[int, int, int]:
    """Start a git that answers questions: (pid, descriptor to write to, one to read from); stderr is dropped."""
    pid, to_git, from_git, errors = _spawn(git.path, _arguments(git, cwd, args), env, False)
    assert errors < 0
    return pid, to_git, from_git


def spawn_talker(git: Git, args: Sequence[Argument], cwd: str, env: Mapping[str, str]) -> tuple[int, int, int, int]:
    """Start a git that talks to a remote: (pid, descriptors to its stdin, of its stdout and stderr).

    It stays in the group of processes that has the terminal: a password or a host's key may be asked for there.
    """
    return _spawn(git.path, _arguments(git, cwd, args), env, own_group=False)


def exit_code_of(pid: int, err: bytes) -> int:
    """The exit status of a git that has closed its descriptors, or minus the signal that ended it."""
    return _exit_code(pid, err)


def _spawn(
    path: str,
    argv: Sequence[Argument],
    env: Mapping[str, str],
    with_stderr: bool = True,
    own_group: bool = True,
) -> tuple[int, int, int, int]:
    child_in, our_in = _pipe()
    our_out, child_out = _pipe()
    our_err, child_err = _pipe() if with_stderr else (-1, os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))
    ours = [descriptor for descriptor in (our_in, our_out, our_err) if descriptor >= 0]
    actions = [(os.POSIX_SPAWN_DUP2, fd, n) for n, fd in enumerate((child_in, child_out, child_err))]
    try:
        # A group of its own: Ctrl-C is for the user's command, never for a git that writes a ref.
        pid = os.posix_spawn(
            path,
            list(argv),
            dict(env),
            file_actions=actions,
            setpgroup=0 if own_group else os.getpgrp(),
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
        )
    except OSError as problem:
        for descriptor in ours:
            os.close(descriptor)
        raise GitFailed(f"{path} could not be started: {problem.strerror}") from problem
    finally:
        for descriptor in (child_in, child_out, child_err):
            os.close(descriptor)
    return pid, our_in, our_out, our_err


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are above 2, so that they survive being moved to 0, 1 and 2 in the child."""
    ends = os.pipe()
    if min(ends) > 2:
        return ends
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]


def failure(args: Sequence[Argument], done: Finished) -> GitrunError:
    """The error that a failed git stands for: GitFailed unless its words say something more definite."""
    words = done.err.decode("utf-8", "replace").strip()
    if "dubious ownership" in words or "unsafe repository" in words:
        return UnsafeRepository(words.splitlines()[0].removeprefix("fatal: "), next=_safe_directory_step(words))
    verb = next((os.fsdecode(a) for a in args if not os.fsdecode(a).startswith("-")), "")
    end = f"signal {-done.code}" if done.code < 0 else f"exit {done.code}"
    message = f"git {verb} failed ({end}): {words or 'it said nothing'}"
    if any(sign in words for sign in ("No space left on device", "Disk quota exceeded")):
        return DiskFull(message, next="free some space, then try again")
    if any(sign in words for sign in ("Permission denied", "Read-only file system")):
        return NotWritable(message)
    return GitFailed(message)


def _safe_directory_step(words: str) -> str:
    for line in words.splitlines():
        if line.strip().startswith("git config --global --add safe.directory"):
            return line.strip()
    return "git config --global --add safe.directory <directory>"
