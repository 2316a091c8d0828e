"""Keeps a file for the run's record as it is at this moment: `gitrun.log_artifact`.

The program may write the file again a second later, and be killed before it ends. So when the call returns there is a
copy in the run's live directory (one that shares its blocks with the file where the file system can do that, and
costs nothing then), and after the copy a frame in a file of this process says what it is. Both survive a kill; whoever
seals the run brings them into the store.

A training must not fail for its record: whatever goes wrong with a disk is a line on stderr, and the call returns.
Like everything in the user's process this is the standard library alone, and runs on Python 3.8.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from typing import Any, Iterator

from gitrun.child.frames import ARTIFACTS, frame, pack_value
from gitrun.child.running import member, tell, tell_once

FOLDER = "artifacts"  # of the copies, in the member's directory
_FICLONE = 0x40049409
_PIECE = 1 << 20
_ATTEMPTS = 3
_LONGEST_NAME, _LONGEST_PATH, _GIT = 255, 4095, b".git"
_LIMIT = 2 << 30  # the setting record.output_bytes
_LEAST_FREE = 5 << 30

_copies: dict[bytes, tuple[str, int]] = {}  # what this process has kept: name -> copy, bytes of the disk it takes
_journal = (0, "")  # the process, and its file


def log_artifact(path: str | bytes | os.PathLike[str] | os.PathLike[bytes], name: str | None = None) -> None:
    """Keeps a file, or all files of a directory, as they are now; the program may change them when this returns.

    The run's record has it under its place, or as `name`, a relative path; of two with one name the last is kept.
    Outside a recorded run this warns once and does nothing. A disk that refuses is a line on stderr, never an error.
    Raises ValueError for a name that leads out of the record.
    """
    place = os.path.abspath(os.fsencode(path))
    label = None if name is None else _label(name)
    if label is None and not _may_be_written(place.lstrip(b"/")):
        tell(f"log_artifact: {os.fsdecode(place)} is not kept: Git's own directory, or too long a path")
        return
    folder = member()
    if folder is None:
        return
    if not os.path.isdir(folder):
        tell_once("this run is over, or out of reach: log_artifact does nothing")
        return
    try:
        if not os.path.isdir(place):
            _keep(folder, place, label)
            return
        for file, below in _files(place):
            _keep(folder, file, None if label is None else label + b"/" + below)
    except OSError as problem:
        tell(f"log_artifact: {os.fsdecode(place)} is not kept: {problem.strerror}")


def forget() -> None:
    """Begins anew, for whoever begins or ends a run in this process."""
    global _journal
    _copies.clear()
    _journal = 0, ""


def _label(name: str) -> bytes:
    """The path that the record has for it; raises ValueError for one that leads out of it."""
    label = os.fsencode(name)
    if b"\0" in label or any(part in (b"", b".", b"..") for part in label.split(b"/")):
        raise ValueError(f"the name of an artifact is a relative path without '.' and '..', not {name!r}")
    if not _may_be_written(label):
        raise ValueError(f"the name of an artifact is too long, or Git's own directory: {name[:60]!r}")
    return label


def _may_be_written(path: bytes) -> bool:
    """Whether whoever seals will take this path; a rarer spelling of `.git` is named there."""
    parts = path.split(b"/")
    return len(path) <= _LONGEST_PATH and not any(len(one) > _LONGEST_NAME or one.lower() == _GIT for one in parts)


def _files(top: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The files below a directory, each with its path there; not those behind links to directories, nor in a `.git`."""
    for directory, names, files in os.walk(top):
        names[:] = sorted(name for name in names if name.lower() != _GIT)
        for name in sorted(files):
            file = os.path.join(directory, name)
            yield file, file[len(top) :].lstrip(b"/")


def _keep(member: str, path: bytes, label: bytes | None) -> None:
    """Copies one file, then says so; raises OSError where the file is none, or nothing can be said."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        facts: dict[str, Any] = {
            "kind": "artifact",
            "path": path,
            "name": label or b"",
            "at_ns": time.time_ns(),
            "bytes": found.st_size,
            "mode": found.st_mode & 0o777,
        }
        old = _copies.get(label or path)
        copy, taken = "", 0
        try:
            copy, taken, whole = _copied(member, fd, old[1] if old else 0)
            facts.update(copy=os.path.basename(copy), whole=whole)
        except OSError as problem:
            facts["reason"] = {errno.ENOSPC: "space", errno.EDQUOT: "limit"}.get(problem.errno or 0, "unreadable")
            tell(f"log_artifact: {os.fsdecode(path)} is not kept: {problem.strerror}")
    finally:
        os.close(fd)
    _append(member, facts)
    if copy:
        _copies[label or path] = copy, taken
        if old:
            _remove(old[0])


def _copied(member: str, fd: int, freed: int) -> tuple[str, int, bool]:
    """The copy, the bytes it takes on the disk, and whether the file stood still; raises OSError."""
    folder = os.path.join(member, FOLDER)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass  # the second artifact
    copy = os.path.join(folder, f"{os.getpid()}-{os.urandom(8).hex()}")
    out = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.ioctl(out, _FICLONE, fd)
            return copy, 0, True
        except OSError:
            pass  # no file system that can share blocks, or two of them
        for _ in range(_ATTEMPTS):
            size = os.fstat(fd).st_size
            if size + sum(taken for _, taken in _copies.values()) - freed > _setting("BYTES", _LIMIT):
                raise OSError(errno.EDQUOT, "more than record.output_bytes")
            disk = os.fstatvfs(out)
            floor = _setting("FLOOR", 0) or max(disk.f_blocks * disk.f_frsize // 20, _LEAST_FREE)
            if disk.f_bavail * disk.f_frsize - size < floor:
                raise OSError(errno.ENOSPC, "the disk is nearly full (record.output_floor)")
            before = os.fstat(fd)
            written = _copy(fd, out)
            after = os.fstat(fd)
            whole = written == after.st_size and _moment(before) == _moment(after)
            if whole:
                break
        return copy, written, whole
    except BaseException:
        _remove(copy)
        raise
    finally:
        os.close(out)


def _copy(fd: int, out: int) -> int:
    """Writes all that `fd` has over what `out` has; the number of bytes."""
    os.ftruncate(out, 0)
    at = 0
    while True:
        piece = memoryview(os.pread(fd, _PIECE, at))
        if not piece:
            return at
        while piece:
            written = os.pwrite(out, piece, at)
            at, piece = at + written, piece[written:]


def _moment(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _setting(name: str, default: int) -> int:
    """A setting that the recorder has handed down as a number where it is not the default."""
    text = os.environ.get("GITRUN_RECORD_OUTPUT_" + name, "")
    return int(text) if text.isdigit() else default


def _append(member: str, facts: dict[str, Any]) -> None:
    """Adds a frame to this process's file; one that is torn takes nothing else with it."""
    global _journal
    if _journal[0] != os.getpid() or not _journal[1].startswith(member):
        _journal = os.getpid(), os.path.join(member, f"{ARTIFACTS}{os.getpid()}-{os.urandom(4).hex()}")
    fd = os.open(_journal[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        data = frame(pack_value(facts))
        if os.write(fd, data) < len(data):
            _journal = 0, ""
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(fd)


def _remove(copy: str) -> None:
    try:
        os.unlink(copy)
    except OSError:
        pass  # another process has logged the same since, or the run is over
