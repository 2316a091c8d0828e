"""Reads what the Python processes of a run reported about themselves (spec/journal, "The child's report").

Each process appends frames to a file of its own and may be killed between any two of them, and any program of the run
can write there as well. So a report is evidence from a stranger: every frame is judged by itself, one that is not what
it should be becomes a sentence in `problems`, and the others stand. Sizes and counts are bounded, because a report is
read while somebody waits for the run to be sealed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from gitrun.capture.places import AS_HERE, Places, read_places
from gitrun.child.frames import HEADER_BYTES, read_frames

MAX_FILES = 10_000
MAX_FILE_BYTES = 64 << 20
MAX_BYTES = 512 << 20  # of all files together
MAX_DEPTH = 32  # of a value inside a frame
MAX_PROBLEMS = 100
_NAME = re.compile(r"observed-([0-9]{1,10})-[0-9a-f]{8}")
_HUGE = 1 << 63


class Module(NamedTuple):
    """A module that has a file; size and time are of the moment it was imported where the process could see that."""

    name: str
    path: bytes
    size: int
    mtime_ns: int


class Opened(NamedTuple):
    """A file that Python opened; mode is `r` or `w`, and of one that was read and written later there are both."""

    path: bytes
    mode: str


class Process(NamedTuple):
    """One report: a Python process, or the part of its life between fork, exec and exit.

    `start` holds the fields of the `process` frame, `numerics` those of the `numerics` frame (threads, blas, isa);
    `complete` says that it reported its end, `opened_more` that it opened more files than it could list.
    """

    pid: int
    ppid: int
    start: dict[str, Any]
    configs: list[dict[str, Any]]
    modules: list[Module]
    mapped: list[bytes]
    opened: list[Opened]
    seeds: dict[str, Any]
    numerics: dict[str, Any]
    complete: bool
    opened_more: bool = False

    @property
    def is_introduced(self) -> bool:
        """Whether it has told all of its `process` frame: what its command line and its `sys.path` are."""
        return "argv" in self.start


class Observed(NamedTuple):
    """All reports of a run by the time they started; the first is the primary process.

    The paths of files in them are those that they have here; `places` does the same for other words of the run.
    """

    processes: list[Process]
    problems: list[str]
    places: Places = AS_HERE


def read_observed(member_dir: str, *, starts_only: bool = False) -> Observed:
    """The reports in a member's directory; never raises for what is in them.

    `starts_only`: of each report no more than who speaks, for a reader who comes by while they are written.
    """
    reader = _Reader(starts_only, read_places(member_dir))
    try:
        names = sorted(name for name in os.listdir(member_dir) if _NAME.fullmatch(name))
    except OSError as problem:
        return Observed([], [f"the reports could not be listed: {problem.strerror}"])
    if len(names) > MAX_FILES:
        reader.tell(f"{len(names)} reports, of which {MAX_FILES} were read")
    for name in names[:MAX_FILES]:
        reader.read(os.path.join(member_dir, name), name)
    order = sorted(reader.processes, key=lambda one: (one.start.get("started_ns", _HUGE), one.pid))
    for at, process in enumerate(order):
        process.start["primary"] = at == 0
        for config in process.configs:
            config["primary"] = at == 0
    return Observed(order, reader.problems, reader.places)


class _Reader:
    def __init__(self, starts_only: bool, places: Places) -> None:
        self._starts_only = starts_only
        self.places = places
        self.processes: list[Process] = []
        self.problems: list[str] = []
        self._bytes = 0
        self._modules: dict[Module, Module] = {}  # workers report the same ones: kept once

    def tell(self, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def read(self, path: str, name: str) -> None:
        data = self._data(path, name)
        if not data:
            return
        match = _NAME.fullmatch(name)
        pid = int(match[1]) if match else 0
        process = Process(pid, 0, {}, [], [], [], [], {}, {}, False)
        whole = 0
        for payload in read_frames(data):
            whole += HEADER_BYTES + len(payload)
            try:
                process = self._take(process, _unpack(payload))
            except _Wrong as problem:
                self.tell(f"{name}: {problem}")
            if self._starts_only and process.is_introduced:
                break
        if whole < len(data) and not self._starts_only:
            self.tell(f"{name}: the end is torn")
        if process.start.get("ppid") is not None:
            process = process._replace(ppid=process.start["ppid"])
        self.processes.append(process)

    def _data(self, path: str, name: str) -> bytes:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as problem:
            self.tell(f"{name}: could not be read: {problem.strerror}")
            return b""
        room = min(MAX_FILE_BYTES, MAX_BYTES - self._bytes)
        try:
            with os.fdopen(fd, "rb") as file:
                data = file.read(room + 1)
        except OSError as problem:
            self.tell(f"{name}: could not be read: {problem.strerror}")
            return b""
        if len(data) > room:
            self.tell(f"{name}: only the first {room} bytes were read")
            data = data[:room]
        self._bytes += len(data)
        return data

    def _take(self, process: Process, frame: dict[str, Any]) -> Process:
        kind = frame.get("kind")
        if kind == "process":
            process.start.update(self._located(_checked(frame, _PROCESS)))
        elif kind == "config":
            process.configs.append(self._located(_checked(frame, _CONFIG)))
        elif kind == "modules":
            for entry in _list(frame, "modules"):
                module = _module(entry)
                module = module._replace(path=self.places.real(module.path))
                process.modules.append(self._modules.setdefault(module, module))
        elif kind == "mapped":
            process.mapped.extend(map(self.places.real, _each(frame, "paths", _is_path)))
        elif kind == "opened":
            found = map(_opened, _list(frame, "files"))
            process.opened.extend(one._replace(path=self.places.real(one.path)) for one in found)
            return process._replace(opened_more=process.opened_more or frame.get("more") is True)
        elif kind == "seeds":
            process.seeds.update({key: value for key, value in frame.items() if key != "kind"})
        elif kind == "numerics":
            process.numerics.update({key: value for key, value in frame.items() if key != "kind"})
        elif kind == "problem":
            self.tell(f"process {process.pid} could not report all: {str(frame.get('text'))[:200]}")
        elif kind == "exit":
            return process._replace(complete=True)
        return process  # a kind of a later release is passed over

    def _located(self, frame: dict[str, Any]) -> dict[str, Any]:
        """A frame with the paths that its files have here."""
        for name in _LOCATED:
            value = frame.get(name)
            if isinstance(value, bytes):
                frame[name] = self.places.real(value)
            elif isinstance(value, list):
                frame[name] = list(map(self.places.real, value))
        return frame


class _Wrong(Exception):
    """A frame, or an entry of one, that is not what it should be."""


def _unpack(payload: bytes) -> dict[str, Any]:
    import msgpack  # third-party; a run without a report never needs it

    try:
        value = msgpack.unpackb(payload, unicode_errors="surrogateescape", strict_map_key=False, use_list=True)
    except Exception as problem:  # msgpack's errors have no common base
        raise _Wrong(f"a frame is no msgpack value ({type(problem).__name__})") from problem
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _Wrong("a frame is no map of names")
    if not _plain(value, MAX_DEPTH):
        raise _Wrong("a frame has values that no report has")
    return value


def _plain(value: Any, depth: int) -> bool:
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return True
    if depth == 0:
        return False
    if isinstance(value, list):
        return all(_plain(item, depth - 1) for item in value)
    return isinstance(value, dict) and all(
        isinstance(key, str) and _plain(item, depth - 1) for key, item in value.items()
    )


def _is_path(value: Any) -> bool:
    return isinstance(value, bytes) and 0 < len(value) <= 1 << 16 and b"\0" not in value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _HUGE


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, bytes) for word in value)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _is_indexes(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_count, value))


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)


def _is_flags(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, int) for item in value.values())


def _is_bytes(value: Any) -> bool:
    return isinstance(value, bytes)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


_PROCESS: dict[str, Callable[[Any], bool]] = {
    "pid": _is_count,
    "ppid": _is_count,
    "started_ns": _is_count,
    "executable": _is_bytes,
    "prefix": _is_bytes,
    "base_prefix": _is_bytes,
    "implementation": _is_text,
    "version": _is_text,
    "build": _is_text,
    "hexversion": _is_count,
    "flags": _is_flags,
    "xoptions": _is_map,
    "argv": _is_words,
    "orig_argv": _is_words,
    "path": _is_words,
    "cwd": _is_bytes,
    "rank": _is_text_or_none,
    "start_method": _is_text,
}
_LOCATED = ("executable", "prefix", "base_prefix", "path", "cwd", "files", "sweep")
_CONFIG: dict[str, Callable[[Any], bool]] = {
    "framework": _is_text,
    "program": _is_text_or_none,
    "values": _is_map,
    "defaults": _is_map,
    "sources": _is_map,
    "files": _is_words,
    "unserialisable": _is_names,
    "role": _is_text,
    "words": _is_flags,
    "rest": _is_indexes,
    "argv": _is_words,
    "notes": _is_names,
    "sweep": _is_path,
}


def _checked(frame: dict[str, Any], fields: dict[str, Callable[[Any], bool]]) -> dict[str, Any]:
    """A frame without its kind; raises _Wrong where a field that a reader knows has another type."""
    for name, is_right in fields.items():
        if name in frame and not is_right(frame[name]):
            raise _Wrong(f"a {frame['kind']} frame has a {name} of the wrong type")
    return {name: value for name, value in frame.items() if name != "kind"}


def _list(frame: dict[str, Any], name: str) -> list[Any]:
    value = frame.get(name)
    if not isinstance(value, list):
        raise _Wrong(f"a {frame['kind']} frame has no {name}")
    return value


def _each(frame: dict[str, Any], name: str, is_right: Callable[[Any], bool]) -> list[Any]:
    values = _list(frame, name)
    if not all(map(is_right, values)):
        raise _Wrong(f"a {frame['kind']} frame has {name} of the wrong type")
    return values


def _module(entry: Any) -> Module:
    if not isinstance(entry, list) or len(entry) != 4:
        raise _Wrong("a module is not four values")
    name, path, size, mtime_ns = entry
    right = isinstance(name, str) and _is_path(path) and _is_count(size) and isinstance(mtime_ns, int)
    if not right:
        raise _Wrong("a module has values of the wrong type")
    return Module(name, path, size, mtime_ns)


def _opened(entry: Any) -> Opened:
    if not isinstance(entry, list) or len(entry) != 2 or not _is_path(entry[0]) or entry[1] not in ("r", "w"):
        raise _Wrong("an opened file is not a path and r or w")
    return Opened(entry[0], entry[1])
