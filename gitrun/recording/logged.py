"""The files that a run's programs handed over while it ran (`gitrun.log_artifact`), brought into its record.

Each process has left copies in the member's directory, and after each copy a frame that says what it is. Any program
of the run could have written there, so a frame is a stranger's word: it is judged by itself, and a copy is what lies
in that folder under a plain name, nothing a link leads to. Of several with one name the last is meant.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.facts import place, text_path
from gitrun.capture.imports import worktree_of
from gitrun.capture.keeping import DEFERRED, Output
from gitrun.capture.places import Places, read_places
from gitrun.capture.secret_files import is_secret_file
from gitrun.capture.watch import look
from gitrun.child.artifact import FOLDER
from gitrun.child.frames import ARTIFACTS, read_frames
from gitrun.errors import HostilePath
from gitrun.files.names import check_path
from gitrun.model.canonical import path_bytes
from gitrun.recording.artifacts import Line
from gitrun.recording.storing_outputs import store_entries

if TYPE_CHECKING:
    from gitrun.recording.observing import Subject

MAX_FILES = 10_000
MAX_BYTES = 64 << 20  # of all journals together
_MOST_PROBLEMS = 20
_JOURNAL = re.compile(re.escape(ARTIFACTS) + "[0-9]{1,10}-[0-9a-f]{8}")
_COPY = re.compile("[0-9]{1,10}-[0-9a-f]{16}")
_REASONS = ("space", "limit", "unreadable")


class Logged(NamedTuple):
    """A file as a program handed it over: its path in the record, where it lay, its copy or the reason for none."""

    name: bytes
    path: bytes
    copy: bytes | None
    reason: str | None
    size: int
    mode: int
    at_ns: int
    whole: bool

    @property
    def is_secret(self) -> bool:
        """Whether the guard of secrets knows it, by either of its names."""
        return is_secret_file(self.name) or is_secret_file(self.path)


class Read(NamedTuple):
    """What was handed over, by name, and what is wrong with it, in sentences."""

    found: dict[bytes, Logged]
    problems: list[str]


def read_logged(member: str, worktree: bytes | None) -> Read:
    """What the processes of a member have handed over; never raises for what is in its directory."""
    read, places = Read({}, []), read_places(member)
    room = MAX_BYTES
    for journal in sorted(name for name in os.listdir(member) if _JOURNAL.fullmatch(name)):
        fd = os.open(os.path.join(member, journal), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            data = file.read(room)
            if file.read(1):
                read.problems.append(f"{journal}: more than {MAX_BYTES >> 20} MiB of frames; the rest is not read")
        room -= len(data)
        for payload in read_frames(data):
            one = _logged(payload, os.path.join(member, FOLDER), worktree, places)
            if one is None:
                read.problems.append(f"{journal}: a frame is not what log_artifact writes")
            elif isinstance(one, HostilePath):
                read.problems.append(f"not kept: {one}")
            elif one.name not in read.found or read.found[one.name].at_ns <= one.at_ns:
                read.found[one.name] = one
    if len(read.found) > MAX_FILES:
        read.problems.insert(0, f"{len(read.found):,} files were handed over, of which {MAX_FILES:,} were kept")
    while len(read.found) > MAX_FILES:
        read.found.popitem()
    return read._replace(problems=read.problems[:_MOST_PROBLEMS])


def gather_logged(subject: Subject) -> Any:
    """Adds what the programs handed over to the run's entries; what is missing, in sentences.

    Raises DiskFull or NotWritable. A copy goes with the live directory.
    """
    found, problems = read_logged(subject.live.member, worktree_of(subject.draft))
    if not found and not problems:
        return None
    outputs = {}
    for one in found.values():
        copy = None if one.copy is None or one.is_secret else look(one.copy)
        if one.copy is not None and copy is not None and stat.S_ISREG(copy.st_mode):
            outputs[one.name] = Output(one.name, one.copy, copy, "api")

    def told(stored: list[Line]) -> list[Line]:
        lines = {line["path"]: line for line in stored}
        return [_line(one, lines.get(text_path(one.name)), subject) for one in found.values()]

    not_stored = store_entries(subject, list(outputs.values()), "artifact", told)
    torn = [f"{text_path(one.name)}: it changed while it was copied" for one in found.values() if not one.whole]
    return [*problems, *torn, *not_stored] or "complete"


def _line(one: Logged, line: Line | None, subject: Subject) -> Line:
    """The line of one file: as it was stored, or why it was not; its mode is that of the file, not of the copy."""
    told = line or {
        "path": text_path(one.name), "kind": "artifact", "type": "file", "bytes": one.size, "sha256": None,
        "level": None, "evidence": "api", "stored": False, "produced_by": None,
        "reason": "secret" if one.is_secret else one.reason or "missing",
    }  # fmt: skip
    told = {**told, "mode": f"{one.mode:04o}"}
    if told["reason"] == DEFERRED and one.copy is not None:
        told["copy"] = os.path.basename(os.fsdecode(one.copy))
    where = place(one.path, worktree_of(subject.draft))
    return told if where == told["path"] else {**told, "from": subject.redactor.text(where)}


def _logged(payload: bytes, folder: str, worktree: bytes | None, places: Places) -> Logged | HostilePath | None:
    """A frame as a file that was handed over, or why its path is not one; None for anything else."""
    import msgpack  # third-party; a run that logs nothing never needs it

    try:
        facts = msgpack.unpackb(payload, unicode_errors="surrogateescape", strict_map_key=False)
        path, label, copy, reason = places.real(facts["path"]), facts["name"], facts.get("copy"), facts.get("reason")
        size, mode, at_ns = facts["bytes"], facts["mode"], facts["at_ns"]
        name = label or path_bytes(place(path, worktree))
        check_path(name.lstrip(b"/"))
    except HostilePath as problem:
        return problem
    except Exception:  # msgpack's errors have no common base, and a stranger's map may hold anything
        return None
    if not all(type(number) is int and number >= 0 for number in (size, mode, at_ns)):
        return None
    if type(path) is not bytes or not path.startswith(b"/") or type(label) is not bytes or label.startswith(b"/"):
        return None
    if copy is not None and (type(copy) is not str or not _COPY.fullmatch(copy)):
        return None
    where = None if copy is None else os.fsencode(os.path.join(folder, copy))
    why = reason if reason in _REASONS else None
    return Logged(name, path, where, why, size, mode & 0o777, at_ns, facts.get("whole") is not False)
