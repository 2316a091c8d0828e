"""The promise that lets a collector run beside a recorder: what I rely on stays.

A recorder finds that a blob is stored already and does not store it again; a collector that began
earlier is about to delete the pack that holds it. So whoever puts blobs first says which ones, in a
small file in `sessions/`, durably, and only then asks whether they are there. A collector marks
from these files too, moves dead packs aside, and marks again before it deletes: either it sees the
promise, or the one who promised sees that the pack is gone and stores the blob again.

    {"format": 1, "requires": [], "session": …, who, when}      one line of JSON
    blob <64 hex>                                                a stored blob that is relied on
    pack <64 hex>                                                every blob of a pack that is about to appear

The file is locked by its process, made at the first promise, and removed when the session ends. A
last line without its newline was never relied on.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from gitrun.errors import DamagedStore, NewerFormat
from gitrun.files.holder import LOCAL, Here, Process, filesystem_of, here, identify, is_alive
from gitrun.files.locks import held_by_other
from gitrun.files.write import create, fsync_dir, make_dirs, remove_quietly, write_all
from gitrun.model import canonical
from gitrun.model.times import iso

FORMAT = 1
_NAME = re.compile("[0-9a-f]{16}")
_LINE = re.compile(rb"(blob|pack) ([0-9a-f]{64})\n")


class SessionFile:
    """One process's published promises; touches the disk at the first one."""

    def __init__(self, store_dir: str) -> None:
        self.name = os.urandom(8).hex()
        self._directory = os.path.join(store_dir, "sessions")
        self.path = os.path.join(self._directory, self.name)
        self._fd: int | None = None

    def publish(self, kind: str, names: Iterable[str]) -> None:
        """Promise, durably, to rely on these blobs or packs (`kind` is "blob" or "pack")."""
        lines = encode_promises(kind, names)
        if self._fd is None:
            self._create(lines)
        else:
            write_all(self._fd, lines)
            os.fsync(self._fd)

    def end(self) -> None:
        """Take every promise back: by now the run's own files name the blobs."""
        if self._fd is not None:
            remove_quietly(self.path)
            os.close(self._fd)
            self._fd = None

    def _create(self, lines: bytes) -> None:
        import fcntl  # cheap, but only here

        make_dirs(self._directory)
        self._fd = create(self.path)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        write_all(self._fd, encode_header(_facts(self.name, self._directory)) + lines)
        os.fsync(self._fd)
        fsync_dir(self._directory)


def encode_header(facts: dict[str, Any]) -> bytes:
    """The first line of a session file."""
    return canonical.encode_line({"format": FORMAT, "requires": [], **facts})


def encode_promises(kind: str, names: Iterable[str]) -> bytes:
    """One line for each blob or pack that is relied on."""
    return "".join(f"{kind} {name}\n" for name in names).encode("ascii")


class Promises(NamedTuple):
    """What one session file says: who, and the blobs and packs it relies on (hex)."""

    header: dict[str, Any]
    blobs: list[str]
    packs: list[str]


def session_paths(store_dir: str) -> list[str]:
    """The files of all sessions that have not ended, or whose process was killed."""
    directory = os.path.join(store_dir, "sessions")
    try:
        return [os.path.join(directory, name) for name in sorted(os.listdir(directory)) if _NAME.fullmatch(name)]
    except FileNotFoundError:
        return []


def is_over(path: str, place: Here) -> bool:
    """Whether a session has ended, or its process is proved gone.

    Proof is what it is for a live directory: this host, boot and namespace and no such process; or this host after a
    reboot, on a local file system.
    """
    try:
        header = read_session(path).header
    except FileNotFoundError:
        return True
    if not header:
        return not held_by_other(path)  # killed before its first promise
    known = (header.get("host_id"), header.get("boot_id"), header.get("pid_namespace"))
    if not all(known) or known[0] != place.host or held_by_other(path):
        return False
    if known[1] != place.boot_id:  # its host was started again; what another host may still use proves nothing
        return {str(header.get("filesystem")), filesystem_of(path)} <= LOCAL
    if known[2] != place.pid_namespace:
        return False
    process = header.get("process")
    return isinstance(process, dict) and not is_alive(Process(int(process["pid"]), int(process["start"])))


def read_session(path: str) -> Promises:
    """Parse a session file; raises DamagedStore or NewerFormat, either of which stops a collector."""
    with open(path, "rb") as file:
        return decode_session(file.read(), path)


def decode_session(data: bytes, path: str) -> Promises:
    """The same from the file's bytes."""
    first, newline, rest = data.partition(b"\n")
    if not newline:
        return Promises({}, [], [])  # cut off before the first promise was durable
    try:
        header = canonical.decode(first)
    except canonical.DecodeProblem as problem:
        raise DamagedStore(f"E030 session {path}: {problem}") from problem
    if type(header) is not dict or type(header.get("format")) is not int:
        raise DamagedStore(f"E030 session {path} does not state its format")
    if header["format"] > FORMAT or header.get("requires"):
        raise NewerFormat(f"E021 session {path} is of a later gitrun", next="update gitrun")
    named: dict[bytes, list[str]] = {b"blob": [], b"pack": []}
    for line in rest.splitlines(keepends=True):
        match = _LINE.fullmatch(line)
        if match:
            named[match[1]].append(match[2].decode("ascii"))
        elif line.endswith(b"\n"):
            raise DamagedStore(f"E030 session {path}: a line that is no promise: {line[:80]!r}")
    return Promises(header, named[b"blob"], named[b"pack"])


def _facts(name: str, directory: str) -> dict[str, Any]:
    """Enough for another process to prove this one dead, or to see that it cannot (as a live header says it)."""
    place = here()
    return {
        "session": name,
        "started_at": iso(time.time_ns()),
        "host": os.uname().nodename,
        "host_id": place.host,
        "boot_id": place.boot_id,
        "pid_namespace": place.pid_namespace,
        "process": identify(os.getpid())._asdict(),
        "filesystem": filesystem_of(directory),
    }
