"""Locking the environment of a run beside its command: in a thread that the end of the run waits two seconds for.

An index may be slow or not there at all, and nobody's shell waits for it. So every state of the lockfile is on disk
as soon as it is known, as a whole: parts first, then `lock.json`, which says what they are. Whoever seals, the
recorder or a rescuer, takes what that file says; without it there is no lockfile, and the record says why.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.errors import GitrunError
from gitrun.files.write import write_file
from gitrun.model.canonical import MAX_BYTES, encode, encode_line
from gitrun.recording.live import LiveDirectory

if TYPE_CHECKING:
    from gitrun.archive.seal import Part
    from gitrun.capture.lock.making import Made

PYLOCK, VENDORED = "pylock.toml", "vendored.jsonl"
STATE = "lock.json"
WAIT_S = 2.0
_STOP_S = 0.2  # of the two seconds, for a resolver that is told to stop
UNFINISHED: dict[str, Any] = {
    "state": "none",
    "reason": "not made when the run had ended",
    "source": None,
    "missing": [],
    "vendored": [],
}


class Locked(NamedTuple):
    """What is locked, and with which settings: the run's environment, its digest, and where it lies.

    `python` and `prefix` are paths of its interpreter, None where it has none.
    """

    environment: Mapping[str, Any]
    digest: str
    python: str | None
    prefix: str | None
    environ: Mapping[str, str]
    cwd: bytes
    worktree: bytes | None
    gitrun_dir: str
    setting: Callable[[str], Any]


class Locker:
    """Makes the lockfile of one live run; `start` it once, `settle` it before the run is sealed."""

    def __init__(self, live: LiveDirectory, what: Locked) -> None:
        self._live = live
        self._what = what
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="gitrun-lock", daemon=True)

    def start(self) -> None:
        """Begins; returns at once."""
        self._thread.start()

    def settle(self, wait_s: float = WAIT_S) -> None:
        """Waits for the end, at most so long; nothing is written any more afterwards."""
        deadline = time.monotonic() + wait_s
        self._thread.join(max(0.0, wait_s - _STOP_S))
        with self._writing:
            self._stop.set()
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        from gitrun.capture.lock.running import GivenUp

        try:
            self._make()
        except GivenUp:
            pass  # what was published before stands
        except Exception as problem:  # a bug as well: a lockfile is worth having, and never worth a run
            self._fail(problem)

    def _make(self) -> None:
        from gitrun.capture.lock.answers import Answers
        from gitrun.capture.lock.making import Options, Subject, make_lock
        from gitrun.capture.lock.sources import find_sources

        what = self._what
        cache = os.path.join(what.gitrun_dir, "cache")
        options = Options(*(what.setting(f"lock.{name}") for name in Options._fields))
        subject = Subject(
            what.environment, what.digest, what.python, what.prefix, what.environ, what.cwd,
            find_sources(what.cwd, what.worktree), self._live.home,
        )  # fmt: skip
        with ExitStack() as promises:

            def session() -> Any:
                from gitrun.store.blobs import BlobStore  # most environments are on an index

                return promises.enter_context(BlobStore(what.gitrun_dir, path=what.setting("store.path")).session())

            made = make_lock(subject, options, Answers(cache), session, self._stop.is_set, self._publish)
            self._publish(made)  # while the session still promises the blobs that it names

    def _publish(self, made: "Made") -> None:
        from gitrun.capture.lock.running import GivenUp

        with self._writing:
            if self._stop.is_set() or not self._live.exists():
                raise GivenUp
            if made.vendored:
                self._live.write_part(VENDORED, b"".join(map(encode_line, made.vendored)))
            if made.pylock is not None:
                self._live.write_part(PYLOCK, made.pylock)
            write_file(os.path.join(self._live.home, STATE), _state(made), sync=False)

    def _fail(self, problem: Exception) -> None:
        from gitrun.capture.lock.making import no_lock
        from gitrun.capture.lock.running import GivenUp
        from gitrun.capture.secrets import Redactor

        expected = isinstance(problem, GitrunError)
        said = str(problem) if expected else f"{type(problem).__name__}: {problem}"
        try:
            if not os.path.exists(os.path.join(self._live.home, STATE)):
                self._publish(no_lock(Redactor(self._what.environ).text(said)))
        except (GivenUp, GitrunError, OSError):
            pass  # the draft says that none was made


def _state(made: "Made") -> bytes:
    parts = {VENDORED: bool(made.vendored), PYLOCK: made.pylock is not None}
    return encode({"lock": made.lock, "problems": made.problems, "parts": [name for name in parts if parts[name]]})


def add_lock(live: LiveDirectory, record: dict[str, Any], parts: "dict[str, Part]") -> None:
    """Brings what was locked into a record that is about to be sealed, and drops parts that nothing vouches for."""
    try:
        with open(os.path.join(live.home, STATE), "rb") as file:
            state = json.loads(file.read(MAX_BYTES))
        lock, problems, named = dict(state["lock"]), list(state["problems"]), set(state["parts"])
    except FileNotFoundError:
        lock, problems, named = dict(record.get("lock") or UNFINISHED), [], set()
    except (OSError, ValueError, KeyError, TypeError) as problem:
        lock, problems, named = {**UNFINISHED, "reason": f"{STATE} cannot be read: {problem}"}, [], set()
    record["lock"] = lock
    if named:
        record["coverage"]["lock"] = problems or "complete"
    for name in (VENDORED, PYLOCK):
        if name not in named:
            parts.pop(name, None)
