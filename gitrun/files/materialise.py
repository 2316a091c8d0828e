"""The one writer of everything that leaves an archive.

A tree from an archive is hostile until proved: a name may climb out, a link may point at a
directory that a later file is then written through, two names may be one file here. So nothing is
ever opened by a path. Each component is opened relative to its directory's descriptor, without
following links, and made by us or not at all; links are made when every file is there; and the
root starts empty, so whatever already exists under a name is a collision inside the tree itself.

Few system calls per file make it fast: create, write, set the time, close. The descriptors of the
directories in use stay open, up to a bound.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import NamedTuple, Self

from gitrun.errors import DestinationExists, GitrunError, HostilePath, from_os_error
from gitrun.files.names import check_component, check_path, show
from gitrun.files.write import write_all


class Clone(NamedTuple):
    """The content of the file at `place` as it is now, by sharing its blocks where they can be; else `pieces`.

    Nobody has read what was cloned: whoever cares compares the clone.
    """

    place: bytes
    pieces: Iterable[bytes]


Content = bytes | Iterable[bytes | memoryview] | Clone
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIRECTORIES = 100
_FICLONE = 0x40049409
_GIT_MODES = {0o100644: 0o666, 0o100755: 0o777}
MAX_TARGET_BYTES = 4095


class Materialiser:
    """Writes one tree into the new or empty directory `root`; leaving its `with` by an error takes it back.

    Every file, link and directory gets the modification time `mtime_ns`. `umask` is the recorded
    one (this process's own when None). `finish()` completes the tree.
    """

    _alone = True  # nothing else may be in the root

    def __init__(self, root: str, mtime_ns: int, umask: int | None = None) -> None:
        self.root = root
        self._times = (mtime_ns, mtime_ns)
        self._process_umask = _read_umask()
        self._umask = self._process_umask if umask is None else umask & 0o777
        self._links: list[tuple[bytes, bytes]] = []
        self._files: list[bytes] = []
        self._made: dict[bytes, None] = {}  # in the order of making, parents first
        self._made_root, self._root_fd = _open_root(root, self._alone)
        self._open: dict[bytes, int] = {}
        self._last_parent, self._last_fd = b"", self._root_fd

    def file(self, path: bytes, mode: int, content: Content) -> None:
        """Write one file; `mode` is Git's (100644, 100755: under the umask) or exact permission bits."""
        parent, slash, name = path.rpartition(b"/")
        check_component(name)
        if slash and not parent:
            check_path(path)  # refuses it: the path is absolute
        at = self._last_fd if parent == self._last_parent else self._directory(parent)
        wanted = _GIT_MODES.get(mode)
        wanted = mode & 0o777 if wanted is None else wanted & ~self._umask
        try:
            self._create(path, at, name, wanted, content)
        except OSError as problem:
            raise self._explain(problem, path) from problem

    def symlink(self, path: bytes, target: bytes) -> None:
        """Remember a link, made by `finish()` with the recorded target as it is, wherever it points."""
        check_path(path)
        if not target or b"\0" in target or len(target) > MAX_TARGET_BYTES:
            raise HostilePath(f"a link that no system could have held: {show(path)}")
        self._directory(path.rpartition(b"/")[0])
        self._links.append((path, target))

    def directory(self, path: bytes) -> None:
        """Make a directory, empty or not; making it twice is no mistake."""
        self._directory(path)

    def finish(self) -> None:
        """Make the links, then set the times of links and directories."""
        for path, target in self._links:
            parent, _, name = path.rpartition(b"/")
            at = self._directory(parent)
            try:
                os.symlink(target, name, dir_fd=at)
                self._files.append(path)
                os.utime(name, ns=self._times, dir_fd=at, follow_symlinks=False)
            except OSError as problem:
                raise self._explain(problem, path) from problem
        self._links = []
        for path in self._made:
            os.utime(self._directory(path), ns=self._times)
        if self._alone or self._made_root:
            os.utime(self._root_fd, ns=self._times)
        self.close()

    def take_back(self) -> None:
        """Remove what was written here, and nothing else."""
        for path in self._files:
            self._remove(os.unlink, path)
        for path in reversed(self._made):
            self._remove(os.rmdir, path)
        if self._made_root:
            try:
                os.rmdir(self.root)
            except OSError:
                pass  # somebody else put a file in it: theirs to remove

    def close(self) -> None:
        """Close every descriptor."""
        self._close_directories()
        if self._root_fd >= 0:
            os.close(self._root_fd)
            self._last_fd = self._root_fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._root_fd >= 0:
            if problem is not None:
                self.take_back()
            self.close()

    def _create(self, path: bytes, at: int, name: bytes, mode: int, content: Content) -> None:
        """Make a file of its content in the directory behind `at`."""
        fd = os.open(name, NEW_FILE, mode, dir_fd=at)
        self._files.append(path)
        self._fill(fd, mode, content)

    def _fill(self, fd: int, mode: int, content: Content) -> None:
        """Write a new file, give it its mode and time, close it."""
        try:
            if isinstance(content, Clone):
                content = b"" if _clone(content.place, fd) else content.pieces
            if isinstance(content, bytes):
                if content:
                    write_all(fd, content)
            else:
                for piece in content:
                    write_all(fd, piece)
            if mode & self._process_umask:
                os.fchmod(fd, mode)
            os.utime(fd, ns=self._times)
        finally:
            os.close(fd)

    def _mkdir(self, path: bytes, at: int, name: bytes, mode: int) -> bool:
        """Make a directory; whether it is ours."""
        os.mkdir(name, mode, dir_fd=at)
        self._made[path] = None
        return True

    def _explain(self, problem: OSError, path: bytes) -> GitrunError:
        if problem.errno == errno.EEXIST:
            return HostilePath(f"two names of this tree are one file here; the second: {show(path)}")
        return from_os_error(problem, f"writing {show(path)}")

    def _directory(self, path: bytes) -> int:
        """The descriptor of a directory of the tree, made where it is missing."""
        whole, missing = path, []
        fd = self._root_fd
        if path.startswith(b"/"):
            check_path(path)  # refuses it, as above
        while path:
            known = self._open.pop(path, None)
            if known is not None:
                self._open[path] = fd = known  # again the newest, the last to be closed
                break
            path, _, name = path.rpartition(b"/")
            missing.append(name)
        for name in reversed(missing):
            path = path + b"/" + name if path else name
            fd = self._step(fd, name, path)
        self._last_parent, self._last_fd = whole, fd
        return fd

    def _step(self, parent: int, name: bytes, path: bytes) -> int:
        """Open one directory below an open one, after making it if it is new."""
        try:
            new = path not in self._made
            wanted = (0o777 & ~self._umask) | 0o700
            if new:
                check_path(path)
                new = self._mkdir(path, parent, name, wanted)
            fd = os.open(name, _DIRECTORY, dir_fd=parent)
            if new and wanted & self._process_umask:
                os.fchmod(fd, wanted)
        except OSError as problem:
            raise self._explain(problem, path) from problem
        self._open[path] = fd
        if len(self._open) > _OPEN_DIRECTORIES:
            oldest = next(iter(self._open))
            os.close(self._open.pop(oldest))
            if oldest == self._last_parent:
                self._last_parent, self._last_fd = b"", self._root_fd
        return fd

    def _close_directories(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        self._last_parent, self._last_fd = b"", self._root_fd

    def _remove(self, remove: Callable[..., None], path: bytes) -> None:
        parent, _, name = path.rpartition(b"/")
        try:
            remove(name, dir_fd=self._directory(parent))
        except (OSError, GitrunError):
            pass  # already another problem's clean-up; what cannot be removed is left


def _clone(place: bytes, fd: int) -> bool:
    """Make an empty file share all blocks of another one; whether that was possible."""
    try:
        source = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # who reads it will say so
    try:
        fcntl.ioctl(fd, _FICLONE, source)
    except OSError:
        return False  # no file system that can share blocks, or two of them
    finally:
        os.close(source)
    return True


def _open_root(root: str, alone: bool) -> tuple[bool, int]:
    """Whether `root` is new, and its descriptor; raises DestinationExists where it has to be `alone` and is not."""
    try:
        os.makedirs(os.path.dirname(root) or ".", exist_ok=True)
        try:
            os.mkdir(root)
            made = True
        except FileExistsError:
            made = False
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError:
        raise DestinationExists(f"{root} is not a directory", next="name a new directory") from None
    except OSError as problem:
        raise from_os_error(problem, f"making {root}") from problem
    if alone and os.listdir(fd):
        os.close(fd)
        raise DestinationExists(f"{root} is not empty", next="name a new directory")
    return made, fd


def _read_umask() -> int:
    # There is no way to read it but to set it; for that moment the strict one is the safe one.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
