"""Recording from inside: a process that is there already records itself, for as long as it likes.

A notebook, a scheduler, an actor is no command that gitrun could start. So this process prepares a run as a recorder
would, is its command as well, and seals it when it says that the run is over. There is no keeper: what it prints goes
where it always went, and its signals are its own. Everything that a rescuer needs is on disk all the same, in the same
files. When it is killed, whoever comes by later finds a run whose end nobody saw, with every point that it logged.

The run's variables are set in this process as long as the run is on: so its own metrics, and the programs it starts,
find their way into it.
"""

import json
import os
import resource
import signal
import threading
import time
from collections.abc import Mapping
from typing import Any

from gitrun.capture.scout import stay_alone
from gitrun.capture.secrets import Redactor
from gitrun.child import artifact, metrics, told
from gitrun.errors import GitrunError
from gitrun.files.holder import identify
from gitrun.files.locks import FileLock
from gitrun.model.record import change_count
from gitrun.monitor import Monitor
from gitrun.recording.finish import finish
from gitrun.recording.injection import can_take_child, with_child, without_child
from gitrun.recording.member import EXIT_BYTES, reserve_exit, write_pids
from gitrun.recording.own_report import OwnReport
from gitrun.recording.prepare import Prepared, prepare, undo
from gitrun.recording.record import repositories, run_variables, while_it_runs
from gitrun.recording.request import Recorded, RecordRequest, Started
from gitrun.recording.spool import Spool, sync_files
from gitrun.settings import load

PROGRAM, SESSION = "program", "session"  # what this process is: a session cannot be started again by its command
_SYNC_S = 5.0
_STDERR = 2
_FROM_INSIDE = "the process recorded itself"
_PYTHONPATH = b"PYTHONPATH"


def begin(request: RecordRequest, kind: str, environ: Mapping[str, str], monitor: Monitor) -> "Inside":
    """Begins a run of this process, whose command is `request.command`; raises what keeps it from being recorded."""
    import concurrent.futures.thread  # noqa: F401  what Arrow may need when the process exits: too late to load it then

    stay_alone()
    environ = without_child(environ)
    repo, archive = repositories(request, environ)
    settings = load(repo.worktree, repo.config, environ, request.settings)
    prepared = prepare(request, repo, archive, settings, environ, monitor)
    try:
        return Inside(request, prepared, kind, monitor)
    except BaseException:
        undo(prepared.context, prepared.live, prepared.lock)
        raise


class Inside:
    """A run that this process records of itself. It is a `job.Watch`; `finish` it once."""

    def __init__(self, request: RecordRequest, prepared: Prepared, kind: str, monitor: Monitor) -> None:
        self._request, self._prepared, self._monitor = request, prepared, monitor
        self.run_id = prepared.live.run_id
        self.end: dict[str, Any] | None = None
        self._lock_id = _identity(prepared.lock)
        self._redactor = Redactor(prepared.context.environ)
        self._variables = _Variables(request, prepared)
        self._report = OwnReport(prepared.live.member)
        os.close(reserve_exit(prepared.live.member))  # opened again by its name: the program may close what is open
        self._report.begin()
        _tell_what_is_missing(prepared.draft, kind)
        write_pids(prepared.live.member, {"command": identify(os.getpid())})
        self._over = threading.Event()
        self._pulse = threading.Thread(target=self._beat, name="gitrun-pulse", daemon=True)
        self._variables.set()
        try:
            while_it_runs(prepared, self, monitor)
            self._pulse.start()
        except BaseException:  # a user who has interrupted it
            self._variables.put_back()
            raise
        self._began, self._usage = (time.time_ns(), time.monotonic_ns()), resource.getrusage(resource.RUSAGE_SELF)

    @property
    def started(self) -> Started:
        """What there is to say when it has begun."""
        return Started(self.run_id, change_count(self._prepared.draft["source"]), self._prepared.live.n)

    def add_part(self, name: str, data: bytes) -> None:
        """Adds or replaces a part of the record; a disk that refuses is a word to the monitor."""
        try:
            self._prepared.live.write_part(name, data)
        except GitrunError as problem:
            self._monitor.warn("W025", f"a part is missing: {name}: {problem}")

    def redact(self, text: str) -> str:
        """The same without the secrets that this process knows."""
        redacted: str = self._redactor.text(text)
        return redacted

    def finish(self, code: int | None, number: int | None = None, words: str = "") -> Recorded:
        """Seals the run: it ended with this exit code or by this signal, and said `words` on its way; never raises."""
        self._over.set()
        self._pulse.join()
        self._variables.put_back()
        try:
            self._report.finish()
            if words:
                self._say(words)
        except Exception as problem:  # a bug as well: what it has logged is worth more than this
            self._monitor.warn("W025", f"a part is missing: {type(problem).__name__}: {problem}")
        self._write_exit(code, number)
        try:
            return finish(self._request, self._prepared, self, True, self._monitor)
        finally:
            self._release()

    def wait(self, timeout_s: float) -> None:
        """It has not ended: it is the one who asks."""

    def stop_by(self) -> None:
        """There is time."""

    def is_enough(self) -> bool:
        """Nobody waits for a process to be gone that goes on."""
        return False

    def _say(self, words: str) -> None:
        spool = Spool(self._prepared.live.member, 1 << 20, 0)
        spool.write(_STDERR, time.time_ns(), self.redact(words).encode("utf-8", "backslashreplace"))
        spool.close()

    def _write_exit(self, code: int | None, number: int | None) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.end = {
            "format": 1,
            "mode": None,
            "merged": None,
            "started_ns": self._began[0],
            "ended_ns": time.time_ns(),
            "duration_ns": time.monotonic_ns() - self._began[1],
            "code": code,
            "signal": number,
            "forwarded": [signal.SIGINT] if number == signal.SIGINT else [],
            "left_behind": [],
            "user_s": usage.ru_utime - self._usage.ru_utime,
            "system_s": usage.ru_stime - self._usage.ru_stime,
            "max_rss_bytes": usage.ru_maxrss << 10,
        }
        try:
            with open(os.path.join(self._prepared.live.member, "exit"), "r+b", buffering=0) as file:
                file.write((json.dumps(self.end).encode() + b"\n").ljust(EXIT_BYTES, b"\0"))
        except OSError:
            pass  # sealing writes what is not there

    def _release(self) -> None:
        """Lets the lock go, unless the program has closed it: its number may be that of another file by now."""
        if _identity(self._prepared.lock) == self._lock_id:
            self._prepared.lock.release()

    def _beat(self) -> None:
        """Says every few seconds that the run lives, and makes durable what it has logged."""
        member = self._prepared.live.member
        heartbeat = os.path.join(member, "heartbeat")
        try:
            os.close(os.open(heartbeat, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
            while not self._over.wait(_SYNC_S):
                os.utime(heartbeat)
                sync_files(member)
                self._prepared.facts.while_it_runs_on()
        except OSError:
            pass  # the directory is gone, which sealing tells of


def _identity(lock: FileLock) -> tuple[int, int] | None:
    """Which file lies under the lock's descriptor."""
    try:
        found = os.fstat(-1 if lock.fd is None else lock.fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class _Variables:
    """The variables of this process that lead to the run."""

    def __init__(self, request: RecordRequest, prepared: Prepared) -> None:
        self._values: dict[bytes, bytes] = run_variables(prepared)
        if can_take_child(request.command):
            before = prepared.context.environ.get("PYTHONPATH")
            path = with_child({} if before is None else {_PYTHONPATH: os.fsencode(before)})
            self._values.update(path)
        self._before: dict[bytes, bytes | None] = {}

    def set(self) -> None:
        """From now on metrics and programs belong to the run."""
        self._before = {name: os.environb.get(name) for name in self._values}
        os.environb.update(self._values)
        _begin_anew()

    def put_back(self) -> None:
        """From now on they do not; what the program has set meanwhile stays."""
        for name, value in self._before.items():
            if os.environb.get(name) != self._values.get(name):
                continue
            if value is None:
                os.environb.pop(name, None)
            else:
                os.environb[name] = value
        _begin_anew()


def _begin_anew() -> None:
    """Has the functions that log look for their run again."""
    for module in (metrics, told, artifact):
        module.forget()


def _tell_what_is_missing(draft: dict[str, Any], kind: str) -> None:
    draft["process"]["inside"] = kind
    coverage = draft["coverage"]
    named = coverage.get("inputs")
    coverage["inputs"] = [
        *(named if isinstance(named, list) else []),
        f"{_FROM_INSIDE}: files that it opened are not known",
    ]
    coverage["console"] = [f"{_FROM_INSIDE}: what it printed is not kept"]
