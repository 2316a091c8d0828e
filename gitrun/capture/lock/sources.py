"""The project's own lockfiles: found beside and above the command, read, and asked about what is installed.

Nothing is resolved and nothing is fetched: an entry counts where its name and version are those of an installed
distribution. A lockfile that is out of date in one place is still right in the others.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.facts import unwaiting
from gitrun.capture.lock.pins import Pin

if TYPE_CHECKING:
    from gitrun.capture.lock.locked import Locked

MAX_BYTES = 32 << 20
MAX_FILES = 40
# In the order in which they are asked: those that say where a file is come first.
_PATTERNS = (
    "uv.lock",
    "pylock.toml",
    "pylock.*.toml",
    "poetry.lock",
    "conda-lock.yml",
    "*.conda-lock.yml",
    "requirements*.txt",
    "requirements/*.txt",
)

_ENDINGS = (".lock", ".toml", ".yml", ".txt")


class Source(NamedTuple):
    """A lockfile of the project: its path as the record names it, and its content."""

    path: str
    data: bytes


class Answer(NamedTuple):
    """What the files say: packages by name, names that a file pins and PEP 751 cannot, paths of files that helped."""

    packages: dict[str, dict[str, Any]]
    elsewhere: set[str]
    used: list[str]
    problems: list[str]


def is_source(path: str) -> bool:
    """Whether a path relative to a directory of the project names a lockfile."""
    return _pattern(path) is not None


def find_sources(cwd: bytes, worktree: bytes | None) -> list[Source]:
    """The lockfiles in `cwd` and the directories above it, up to the top of the worktree; the nearest first."""
    top = worktree if worktree is not None and (cwd + b"/").startswith(worktree.rstrip(b"/") + b"/") else cwd
    found: list[Source] = []
    directory = cwd
    while len(found) < MAX_FILES:
        for name in sorted(_names(directory), key=rank):
            data = _read(os.path.join(directory, os.fsencode(name)))
            if data is not None:
                path = os.path.relpath(os.path.join(directory, os.fsencode(name)), top)
                found.append(Source(path.decode("utf-8", "backslashreplace"), data))
        if directory == top or directory == os.path.dirname(directory):
            break
        directory = os.path.dirname(directory)
    return found[:MAX_FILES]


def ask_sources(sources: Iterable[Source], pins: Iterable[Pin]) -> Answer:
    """What these files say about these pins; the first that knows one counts."""
    from gitrun.capture.lock.locked import Unreadable  # an earlier outcome needs no reader

    answer = Answer({}, set(), [], [])
    open_pins = {pin.name: pin for pin in pins}
    for source in sources:
        pattern = _pattern(os.path.basename(source.path)) or _pattern("/".join(source.path.split("/")[-2:]))
        if pattern is None or not open_pins:
            continue
        try:
            locked = _reader(pattern)(source.data)
        except Unreadable as problem:
            answer.problems.append(f"{source.path}: {problem}")
            continue
        before = len(open_pins)
        for pin in list(open_pins.values()):
            if package := _package(locked, pin):
                answer.packages[pin.name] = package
            elif (pin.name, pin.version) in locked.elsewhere:
                answer.elsewhere.add(pin.name)
            else:
                continue
            del open_pins[pin.name]
        if len(open_pins) < before:
            answer.used.append(source.path)
    return answer


def _package(locked: Locked, pin: Pin) -> dict[str, Any] | None:
    from gitrun.capture.lock.pylock import valid_package
    from gitrun.capture.lock.requirements import package_of_hashes

    key = pin.name, pin.version
    package: dict[str, Any] | None = locked.packages.get(key)
    if package is None and key in locked.hashes:
        package = package_of_hashes(pin, locked.hashes[key])
    return None if package is None else valid_package(package, pin)


def _names(directory: bytes) -> Iterator[str]:
    for prefix in ("", "requirements/"):
        try:
            names = os.listdir(os.path.join(directory, os.fsencode(prefix)))
        except OSError:
            continue  # most projects have no such directory
        for name in names:
            text = prefix + os.fsdecode(name)
            if is_source(text):
                yield text


def rank(name: str) -> tuple[int, str]:
    """The order in which the lockfiles of one directory are asked."""
    return _PATTERNS.index(_pattern(name) or ""), name


def _pattern(name: str) -> str | None:
    """The pattern that a name fits, the first one."""
    if not name.endswith(_ENDINGS):  # nearly every name in nearly every directory
        return None
    fits = (pattern for pattern in _PATTERNS if pattern.count("/") == name.count("/"))
    return next((pattern for pattern in fits if fnmatch.fnmatchcase(name, pattern)), None)


def _reader(pattern: str) -> Callable[[bytes], Locked]:
    from gitrun.capture.lock import locked, requirements

    readers = {"uv.lock": locked.read_uv, "poetry.lock": locked.read_poetry}
    if pattern.startswith("pylock."):
        return locked.read_pylock
    if pattern.endswith(".yml"):
        return requirements.read_conda
    return readers.get(pattern, requirements.read_requirements)


def _read(path: bytes) -> bytes | None:
    """A regular file of bounded size; a pipe in its place must not hold anything up."""
    try:
        fd = unwaiting(path, os.O_RDONLY)
    except OSError:
        return None  # removed meanwhile
    with open(fd, "rb") as file:
        facts = os.fstat(fd)
        return file.read(MAX_BYTES) if stat.S_ISREG(facts.st_mode) and facts.st_size <= MAX_BYTES else None
