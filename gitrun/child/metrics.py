"""Logs metrics from a training loop: `gitrun.log`.

The loop may call this millions of times, and may be killed after any of them; a point whose call has returned is to be
there. So a call is one `write` of one frame to a file of this process, and what surrounds it is as little as Python
can do: one lookup of the names gives the function that packs the values. All that is unusual raises there, and is seen
to slowly: new names, dicts in dicts, values that are no numbers, a disk that refuses, a descriptor that the program
has closed, the second in which to look whether the file is still there.

A training must not fail for its record. Nothing is raised but what is the program's own: an exception of a signal's
handler that ran within these lines. What could not be written is counted, and the count is written when that is
possible again. Like everything in the user's process this is the standard library alone, and runs on Python 3.8.
"""

from __future__ import annotations

import _thread
import atexit
import errno
import os
import time
import zlib

from gitrun.child import points
from gitrun.child.frames import frame, pack_value
from gitrun.child.journal import Journal, new_path
from gitrun.child.running import member, tell_once

TYPE_CHECKING = False  # as in typing, which takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

_PAUSE_S = 1.0  # between two new files, and two looks at one
_MOST_NAMES = 1000  # of which is counted how often they were left out

_write, _now, _crc32 = os.write, time.time_ns, zlib.crc32
_packers: dict[tuple[str, ...], tuple[int, bytes, points.Packer, bytes]] = {}  # those of the journal
_step = -1  # the last one
_look_ns = 0  # when to look at the file again

_lock = _thread.RLock()  # of all below; a signal's handler may log as well
_folder: str | None = None  # of the run, since the program may change its variables
_journal: Journal | None = None
_retired: Journal | None = None  # the one before: another thread may be about to write to it
_begun = ""  # the next file, where it was begun and could not be written to
_next_file = 0.0  # when one may be begun, by time.monotonic()
_trouble = ""  # why there is none
_missing: dict[str, int] = {}  # what could not be written since the last time that something could, by its reason
_left_out: dict[str, int] = {}  # how often a value was no number, by name


class _Unusual(Exception):
    """Something that the fast way does not see to."""


def log(values: Mapping[str, Any], step: int | None = None) -> None:
    """Adds a point: numbers by name, with the step they belong to (default: one more than the last, from 0).

    A call costs a few microseconds, and what it was given survives a kill of the process. A value may be whatever
    Python can make a float of: numpy, torch and jax scalars, bool, nan and inf; names of dicts in dicts are joined
    with `/`. What is no number is left out, with a line on stderr. Outside a recorded run this warns once and does
    nothing. It never raises.
    """
    global _step
    try:
        fd, length, pack, prefix = _packers[tuple(values)]
        if step is None:
            step = _step + 1
        elif type(step) is not int:
            raise _Unusual
        now = _now()
        if now > _look_ns:
            raise _Unusual
        payload = pack(prefix, step, now, *values.values())
        data = length + _crc32(payload).to_bytes(4, "little") + payload
        if _write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _step = step
    except Exception as problem:
        _log_slowly(values, step, problem)


def put(facts: dict[str, Any]) -> None:
    """Adds a frame that is no point to the file of this process; nothing where there is no run."""
    data = frame(pack_value(facts))
    with _lock:
        if _place() is not None:
            _in_file(lambda journal: journal.append(data))


def forget() -> None:
    """Begins anew: the next call looks for its run. For whoever begins or ends a run in this process."""
    global _folder, _step, _begun, _next_file
    with _lock:
        _last_words()
        _let_go()
        _folder, _step, _begun, _next_file = None, -1, "", 0.0
        _missing.clear()
        _left_out.clear()


def _place() -> str | None:
    global _folder
    if _folder is None:
        _folder = member()
    return _folder


def _log_slowly(values: Any, step: Any, problem: Exception) -> None:
    """The same, for all that is unusual; `problem` is what the fast way met."""
    if _place() is None:
        return
    try:
        found, odd = points.numbers(values)
        number = None if step is None else points.whole_step(step)
        if step is not None and number is None:
            odd.append(("step", "it is no integer of 64 bits, so the next one is taken"))
        if not odd and not points.is_ours(problem):
            raise problem  # none of the values did this: a signal's handler
        with _lock:
            _look(problem)
            for name, why in odd:
                _leave_out(name, why)
            if found:
                _add(found, number)
    except Exception as trouble:
        if not isinstance(trouble, RecursionError) and not points.is_ours(trouble):
            raise
        why = type(trouble).__name__
        _missing[why] = _missing.get(why, 0) + 1


def _look(problem: Exception) -> None:
    """Gives the file up where a write has failed, or where it is gone: the run may be over."""
    global _look_ns
    is_closed = (
        isinstance(problem, OSError) and problem.errno == errno.EBADF
    )  # perhaps an older one of another thread's
    if isinstance(problem, OSError) and not is_closed:
        _failed(problem)
    elif _journal is not None and (is_closed or _now() > _look_ns):
        if _journal.is_there():
            _look_ns = _now() + int(_PAUSE_S * 1e9)
        else:
            _failed(OSError(errno.EBADF, os.strerror(errno.EBADF)))


def _add(values: dict[str, float], step: int | None) -> None:
    global _step
    number = _step + 1 if step is None else step
    names, numbers, now = tuple(values), tuple(values.values()), _now()
    for at in range(0, len(names), points.MAX_VALUES):
        some = slice(at, at + points.MAX_VALUES)
        _in_file(lambda journal, some=some: journal.add(names[some], number, now, numbers[some]))  # type: ignore[misc]
    _step = number


def _leave_out(name: str, why: str) -> None:
    """Says so, and in the file when it has happened once, twice, four times, ...: it may happen in each step."""
    name = name if name in _left_out or len(_left_out) < _MOST_NAMES else "other names"
    count = _left_out[name] = _left_out.get(name, 0) + 1
    if count & (count - 1) == 0:
        tell_once(f"{name}: {why}")
        put({"kind": "missing", "points": count - count // 2, "why": f"{name}: {why}"})


def _in_file(write: Callable[[Journal], None]) -> None:
    """Writes to the file, or to a new one where that fails; else it is counted as missing."""
    for _ in range(2):
        journal = _journal or _begin()
        if journal is None:
            break
        try:
            write(journal)
            return
        except OSError as problem:
            _failed(problem)
    _missing[_trouble] = _missing.get(_trouble, 0) + 1
    tell_once(f"metrics are not kept now: {_trouble}")


def _begin() -> Journal | None:
    """A new file, at most once a second; None where there can be none now."""
    global _journal, _packers, _look_ns, _begun, _next_file
    folder = _place()
    if folder is None or time.monotonic() < _next_file:
        return None
    _next_file = time.monotonic() + _PAUSE_S
    _begun = _begun or new_path(folder)
    try:
        _journal = Journal(_begun, _missing)
    except OSError as problem:
        _failed(problem)
        return None
    _begun = ""
    _missing.clear()
    _packers = _journal.packers
    _look_ns = _now() + int(_PAUSE_S * 1e9)
    return _journal


def _failed(problem: OSError) -> None:
    """Gives the file up."""
    global _trouble, _next_file
    if problem.errno is None:
        raise problem  # a signal's handler raised it: TimeoutError, say
    if problem.errno == errno.EBADF:
        _next_file = 0.0  # the program has closed it, and the disk has nothing to do with it
    elif problem.errno == errno.ENOENT:
        _trouble = "the run is over, or out of reach"
    else:
        _trouble = problem.strerror or str(problem)
    _let_go()


def _let_go() -> None:
    global _journal, _retired, _packers
    if _journal is not None:
        if _retired is not None:
            _retired.close()
        _journal, _retired, _packers = None, _journal, {}


def _last_words() -> None:
    """Says what is missing, where nothing that was written since has said so."""
    global _next_file
    if _missing:
        _next_file = 0.0
        lost = b"".join(points.missing(count, why) for why, count in _missing.items())
        if _journal is None:
            _begin()
        else:
            _in_file(lambda journal: journal.append(lost))


def _after_fork() -> None:
    """In a child: the file, the steps and what is missing are its parent's."""
    global _lock, _step, _begun, _next_file
    _lock = _thread.RLock()
    for journal in (_journal, _retired):
        if journal is not None:
            journal.close()
    _let_go()
    _step, _begun, _next_file = -1, "", 0.0
    _missing.clear()
    _left_out.clear()


atexit.register(_last_words)
os.register_at_fork(after_in_child=_after_fork)
