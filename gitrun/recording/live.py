"""The live directory: all that is known of a run while it is recorded, on disk as soon as it is known.

A recorder may be killed at any line, and what it had accepted must be there for whoever comes next. So every
part is a file of its own from the moment it exists, and the sealed run is nothing but these files read again:
sealing and recovering are one code.

    live/<id>/run.json            the draft of the record, before the command is started
              parts/              finished parts, under their names in the record
              seal.lock           held by who seals
              members/<n>/        header.json, lock, heartbeat, keeper, exit, console (spec/live)

It comes into being whole: header and held lock are made under another name and renamed, so that a directory
with a run id for a name always says who is behind it.
"""

import os
from contextlib import suppress
from typing import Any

from gitrun.errors import GitrunError, from_os_error
from gitrun.files.locks import FileLock
from gitrun.files.permissions import inherit
from gitrun.files.write import fsync_dir, fsync_path, make_dirs, write_file
from gitrun.model.canonical import DecodeProblem, decode, encode
from gitrun.model.ids import is_run_id

GONE = "gone-"  # prefix of a directory that is being removed
DAMAGED = "damaged-"  # prefix of a directory that cannot be sealed, and that a person has put aside
UNBORN = "new-"  # prefix of a directory whose header and lock are being made
# Settings that the draft keeps for whoever seals it.
LIMITS = ("record.loaded_files", "record.loaded_bytes")
OUTPUTS = ("output_bytes", "output_floor", "output_time", "scan_time", "data", "keep", "no_keep")  # below `record.`
INPUTS = ("input_bytes", "input_time", "input_stored")
_MAX_DRAFT = 256 << 20


class LiveDirectory:
    """The live directory at `path` as its member `n` has it; `home` is where that one's draft, state and parts lie.

    Member 0 made the run, and the run's own files are its own. What a further one finds out waits in its directory.
    """

    def __init__(self, path: str, n: int = 0) -> None:
        self.path = path
        self.n = n
        self.run_id = os.path.basename(path)
        self.member = os.path.join(path, "members", str(n))
        self.home = self.member if n else path
        self.parts = os.path.join(self.home, "parts")

    @classmethod
    def create(cls, gitrun_dir: str, run_id: str, header: dict[str, Any]) -> "tuple[LiveDirectory, FileLock]":
        """Makes the directory of a new run, with its member's lock held; raises DiskFull or NotWritable."""
        home = os.path.join(gitrun_dir, "live")
        unborn = cls(os.path.join(home, UNBORN + run_id))
        lock = FileLock(os.path.join(unborn.member, "lock"))
        try:
            make_dirs(home)
            for directory in (unborn.path, unborn.parts, os.path.dirname(unborn.member), unborn.member):
                _make_private(directory)
            write_file(os.path.join(unborn.member, "header.json"), encode(header), sync=False)
            lock.acquire(blocking=False)
            os.rename(unborn.path, os.path.join(home, run_id))
        except BaseException as problem:
            lock.release()
            unborn.remove_if_possible()
            if isinstance(problem, OSError):
                raise from_os_error(problem, "making the live directory") from problem
            raise
        return cls(os.path.join(home, run_id)), lock

    def join(self, header: dict[str, Any]) -> "tuple[LiveDirectory, FileLock]":
        """Adds a member, with its lock held; raises DiskFull or NotWritable. The caller holds the seal lock."""
        unborn = os.path.join(self.path, "members", f"{UNBORN}{os.getpid()}-{os.urandom(4).hex()}")
        lock = FileLock(os.path.join(unborn, "lock"))
        try:
            _make_private(unborn)
            _make_private(os.path.join(unborn, "parts"))
            write_file(os.path.join(unborn, "header.json"), encode(header), sync=False)
            lock.acquire(blocking=False)
            n = max(self.numbers(), default=0) + 1
            os.rename(unborn, os.path.join(self.path, "members", str(n)))
        except OSError as problem:
            lock.release()
            raise from_os_error(problem, "joining a run") from problem
        return LiveDirectory(self.path, n), lock

    def of(self, n: int) -> "LiveDirectory":
        """The same directory as another member has it."""
        return LiveDirectory(self.path, n)

    def write_draft(self, record: dict[str, Any]) -> None:
        """Replaces the draft of run.json."""
        write_file(os.path.join(self.home, "run.json"), encode(record), sync=False)

    def read_draft(self) -> dict[str, Any] | None:
        """The draft of run.json, None where the recorder was killed before it wrote one; raises DecodeProblem."""
        try:
            with open(os.path.join(self.home, "run.json"), "rb") as file:
                if os.fstat(file.fileno()).st_size > _MAX_DRAFT:
                    raise DecodeProblem("it is too large for a record")
                value = decode(file.read(), _MAX_DRAFT)  # a bounded read would set aside all that it may have
        except FileNotFoundError:
            return None
        if not isinstance(value, dict):
            raise DecodeProblem("it is no record")
        return value

    def write_part(self, name: str, data: bytes) -> None:
        """Adds or replaces a finished part."""
        write_file(os.path.join(self.parts, name), data, sync=False)

    def sync(self) -> None:
        """Makes all that is there survive a power cut; raises OSError."""
        for directory, _, files in os.walk(self.path):
            for name in files:
                try:
                    fsync_path(os.path.join(directory, name))
                except FileNotFoundError:
                    continue  # a temporary name that has become another one
            with suppress(FileNotFoundError):  # a member that was being made, and has its number now
                fsync_dir(directory)
        fsync_dir(os.path.dirname(self.path))

    def part_paths(self) -> dict[str, str]:
        """The finished parts by name."""
        try:
            names = sorted(os.listdir(self.parts))
        except FileNotFoundError:
            return {}
        return {name: os.path.join(self.parts, name) for name in names if not name.startswith("tmp-")}

    def numbers(self) -> list[int]:
        """The numbers of all members."""
        try:
            return sorted(int(name) for name in os.listdir(os.path.join(self.path, "members")) if name.isdecimal())
        except FileNotFoundError:
            return []

    def members(self) -> list[str]:
        """The directories of all members."""
        return [os.path.join(self.path, "members", str(n)) for n in self.numbers()]

    def seal_lock(self) -> FileLock:
        """The lock that whoever seals this run has to hold."""
        return FileLock(os.path.join(self.path, "seal.lock"))

    def exists(self) -> bool:
        """Whether the directory is still there."""
        return os.path.isdir(self.path)

    def remove(self) -> None:
        """Removes the directory; what others removed meanwhile is as good as removed.

        It loses its name first: killed half-way, it would be a run that nobody can say anything about.
        """
        gone = os.path.join(os.path.dirname(self.path), GONE + self.run_id)
        _gone(lambda path: os.rename(path, gone), self.path)
        for directory, names, files in os.walk(gone, topdown=False):
            for name in files:
                _gone(os.unlink, os.path.join(directory, name))
            for name in names:
                _gone(os.rmdir, os.path.join(directory, name))
        _gone(os.rmdir, gone)

    def withdraw(self) -> None:
        """Removes what this member had begun, after a problem that is the one to report; others keep the run."""
        if self.n == 0:
            self.remove_if_possible()
            return
        gone = os.path.join(self.path, "members", f"{GONE}{self.n}-{os.urandom(4).hex()}")
        with suppress(OSError):  # what stays there goes with the run
            os.rename(self.member, gone)

    def remove_if_possible(self) -> None:
        """Removes the directory after another problem, which is the one to report; `recover` removes what stays."""
        try:
            self.remove()
        except GitrunError:
            pass  # see above

    def set_aside(self) -> str:
        """Gives a damaged directory a name that nobody looks at any more, and returns its new path."""
        aside = os.path.join(os.path.dirname(self.path), DAMAGED + self.run_id)
        try:
            os.rename(self.path, aside)
        except OSError as problem:
            raise from_os_error(problem, "moving a damaged live directory aside") from problem
        return aside


def live_directories(gitrun_dir: str) -> list[LiveDirectory]:
    """The live directories of an archive, unborn ones included, oldest first; finishes removals that were cut off."""
    home = os.path.join(gitrun_dir, "live")
    try:
        names = sorted(os.listdir(home))
    except FileNotFoundError:
        return []
    for name in names:
        if name.startswith(GONE):
            LiveDirectory(os.path.join(home, name.removeprefix(GONE))).remove()
    return [LiveDirectory(os.path.join(home, name)) for name in names if is_run_id(name.removeprefix(UNBORN))]


def live_beside(gitrun_dir: str, run_id: str) -> list[str]:
    """The other runs that are being recorded now."""
    try:
        names = os.listdir(os.path.join(gitrun_dir, "live"))
    except FileNotFoundError:
        return []
    return [name for name in names if is_run_id(name) and name != run_id]


def _make_private(path: str) -> None:
    """A directory for its owner alone (the spool holds secrets until it is sealed), or for all who share its parent."""
    os.mkdir(path, 0o700)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        inherit(fd, os.stat(os.path.dirname(path)))
    finally:
        os.close(fd)


def _gone(action: Any, path: str) -> None:
    try:
        action(path)
    except FileNotFoundError:
        pass  # somebody else removed it
    except OSError as problem:
        raise from_os_error(problem, "removing a live directory") from problem
