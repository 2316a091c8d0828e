"""A layer between gitrun and the file system, in this process and all that fork from it.

It stands in for those functions of `os` that change something below one directory. It writes down what happens, so
that a disk can be made from any beginning of that story; or it has one call fail. Reading is not its business.
Nothing is really synced: whether it would have been is what the story tells.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import mmap
import os
import pickle
import signal
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.faults.disk import Disk

NAMES = (
    "open", "write", "pwrite", "fsync", "fdatasync", "ftruncate", "posix_fallocate",
    "rename", "replace", "link", "symlink", "mkdir", "unlink", "remove", "rmdir",
)  # fmt: skip
REAL: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in NAMES}
NEEDS_ROOM = frozenset({"open", "write", "pwrite", "posix_fallocate", "mkdir", "link", "symlink"})
_LENGTH = struct.Struct("<I")


class Fault(NamedTuple):
    """What happens instead of call number `at` (from 1 on), whichever process makes it.

    "eio" and "enospc": it fails; "full": so does every one from there on that needs room; "short": half of it is
    written; "kill": its process is killed before it, "kill all": its group; "stop": its process is stopped before it.
    """

    at: int
    kind: str


class Layer:
    """Once `install`ed, everything done below `place` is written to `story`, and call `fault.at` goes wrong."""

    def __init__(self, place: str, story: str, fault: Fault | None = None) -> None:
        self._place = place
        self._fault = fault
        self._counter = mmap.mmap(-1, 8)  # shared with the processes that fork from this one
        self._story = story
        self._here = threading.local()
        if os.path.exists(story):
            REAL["unlink"](story)
        self.tell("nothing")

    def install(self) -> None:
        """Take the place of the functions, for good: meant for a process that ends soon."""
        for name in NAMES:
            setattr(os, name, getattr(self, "_" + name))
        real = builtins.open

        def opened(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
            if set(mode) <= set("rbt") or isinstance(file, int) or self._name(file) is None:
                return real(file, mode, *args, **more)
            return _open_for_writing(file, mode, more.get("encoding"))

        builtins.open = io.open = opened  # type: ignore[assignment]

    def tell(self, *said: Any) -> None:
        """Write down what the program has promised by now."""
        with self._telling():
            self._log("told", said)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """One story for all threads and processes: opened each time, since a keeper closes what it does not know."""
        fd = REAL["open"](self._story, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            self._here.fd = fd
            yield
        finally:
            self._here.fd = -1
            os.close(fd)

    # -- one call

    def _do(self, name: str, work: Callable[[], Any]) -> Any:
        """A call that counts: it happens and is told, or it fails."""
        with self._telling():
            count = int.from_bytes(self._counter[:], "little") + 1
            self._counter[:] = count.to_bytes(8, "little")
            self._here.count = count
            if self._fault is not None:
                self._fail(self._fault, count, name)
            self._log("call", name)
            return work()

    def _fail(self, fault: Fault, count: int, name: str) -> None:
        if fault.kind == "full" and count >= fault.at and name in NEEDS_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if count != fault.at:
            return
        if fault.kind in ("eio", "enospc"):
            number = errno.EIO if fault.kind == "eio" else errno.ENOSPC
            raise OSError(number, os.strerror(number))
        if fault.kind in ("kill", "kill all"):
            os.kill(os.getpid() if fault.kind == "kill" else 0, signal.SIGKILL)
        if fault.kind == "stop":
            fcntl.flock(self._here.fd, fcntl.LOCK_UN)  # the story goes on without it
            os.kill(os.getpid(), signal.SIGSTOP)
            fcntl.flock(self._here.fd, fcntl.LOCK_EX)

    def _log(self, *said: Any) -> None:
        data = pickle.dumps(said)
        REAL["write"](self._here.fd, _LENGTH.pack(len(data)) + data)

    def _name(self, path: Any, dir_fd: int | None = None) -> str | None:
        """The path below our directory; None for one that lies elsewhere."""
        if isinstance(path, int):
            return self._name_of(path)
        text = os.fsdecode(path)
        if dir_fd is not None:
            text = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), text)
        text = os.path.abspath(text)
        above = os.path.realpath(os.path.dirname(text))  # a store that lies elsewhere is reached through a link
        text = os.path.join(above, os.path.basename(text))
        return os.path.relpath(text, self._place) if text.startswith(self._place + "/") else None

    def _name_of(self, fd: int) -> str | None:
        try:
            path = os.readlink(f"/proc/self/fd/{fd}").removesuffix(" (deleted)")
        except OSError:
            return None
        return os.path.relpath(path, self._place) if path.startswith(self._place + "/") else None

    # -- the functions

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        name = self._name(path, dir_fd) if flags & (os.O_CREAT | os.O_TRUNC) else None
        if name is None:
            return int(REAL["open"](path, flags, mode, dir_fd=dir_fd))

        def work() -> int:
            there = os.path.lexists(os.path.join(self._place, name))
            fd: int = REAL["open"](path, flags, mode, dir_fd=dir_fd)
            if not there or flags & os.O_TRUNC:
                self._log("make", name, "file", os.fstat(fd).st_ino)
            return fd

        return int(self._do("open", work))

    def _write(self, fd: int, data: Any) -> int:
        return self._put("write", fd, data, None)

    def _pwrite(self, fd: int, data: Any, offset: int) -> int:
        return self._put("pwrite", fd, data, offset)

    def _put(self, call: str, fd: int, data: Any, offset: int | None) -> int:
        if self._name_of(fd) is None:
            return int(REAL[call](fd, data) if offset is None else REAL[call](fd, data, offset))

        def work() -> int:
            view = memoryview(data)
            if self._fault == Fault(self._here.count, "short"):
                view = view[: len(view) // 2]
            done: int = REAL[call](fd, view) if offset is None else REAL[call](fd, view, offset)
            start = os.lseek(fd, 0, os.SEEK_CUR) - done if offset is None else offset
            self._log("write", os.fstat(fd).st_ino, start, bytes(view[:done]))
            return done

        return int(self._do(call, work))

    def _fsync(self, fd: int) -> None:
        name = self._name_of(fd)
        if name is None and os.readlink(f"/proc/self/fd/{fd}") == self._place:
            name = ""
        if name is None:
            return

        def work() -> None:
            facts = os.fstat(fd)
            if stat.S_ISREG(facts.st_mode):
                self._log("adopt", name, facts.st_ino, os.pread(fd, facts.st_size, 0))
            self._log("sync", facts.st_ino, name)

        self._do("fsync", work)

    _fdatasync = _fsync

    def _ftruncate(self, fd: int, size: int) -> None:
        self._sized("ftruncate", fd, size, (fd, size))

    def _posix_fallocate(self, fd: int, offset: int, size: int) -> None:
        self._sized("posix_fallocate", fd, max(offset + size, os.fstat(fd).st_size), (fd, offset, size))

    def _sized(self, call: str, fd: int, size: int, args: tuple[int, ...]) -> None:
        def work() -> None:
            REAL[call](*args)
            self._log("resize", os.fstat(fd).st_ino, size)

        REAL[call](*args) if self._name_of(fd) is None else self._do(call, work)

    def _rename(self, old: Any, new: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        self._moved("rename", old, new, src_dir_fd, dst_dir_fd)

    _replace = _rename

    def _link(self, old: Any, new: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        self._moved("link", old, new, src_dir_fd, dst_dir_fd)

    def _moved(self, call: str, old: Any, new: Any, old_fd: int | None, new_fd: int | None) -> None:
        source, target = self._name(old, old_fd), self._name(new, new_fd)

        def work() -> None:
            facts = os.stat(old, dir_fd=old_fd, follow_symlinks=False)
            data = b""
            if stat.S_ISREG(facts.st_mode):  # git may have made it
                fd = REAL["open"](old, os.O_RDONLY, dir_fd=old_fd)
                data = os.pread(fd, facts.st_size, 0)
                os.close(fd)
            REAL[call](old, new, src_dir_fd=old_fd, dst_dir_fd=new_fd)
            self._log("adopt", source, facts.st_ino, data)
            self._log(call, source, target)

        if source is None or target is None:
            REAL[call](old, new, src_dir_fd=old_fd, dst_dir_fd=new_fd)
        else:
            self._do(call, work)

    def _symlink(self, target: Any, path: Any, target_is_directory: bool = False, *, dir_fd: int | None = None) -> None:
        name = self._name(path, dir_fd)

        def work() -> None:
            REAL["symlink"](target, path, dir_fd=dir_fd)
            inode = os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_ino
            self._log("make", name, "link", inode, os.fsdecode(target))

        REAL["symlink"](target, path, dir_fd=dir_fd) if name is None else self._do("symlink", work)

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        name = self._name(path, dir_fd)

        def work() -> None:
            REAL["mkdir"](path, mode, dir_fd=dir_fd)
            self._log("make", name, "directory", os.stat(path, dir_fd=dir_fd).st_ino)

        REAL["mkdir"](path, mode, dir_fd=dir_fd) if name is None else self._do("mkdir", work)

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._removed("unlink", path, dir_fd)

    _remove = _unlink

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._removed("rmdir", path, dir_fd)

    def _removed(self, call: str, path: Any, dir_fd: int | None) -> None:
        name = self._name(path, dir_fd)

        def work() -> None:
            REAL[call](path, dir_fd=dir_fd)
            self._log("remove", name)

        REAL[call](path, dir_fd=dir_fd) if name is None else self._do(call, work)


class _Raw(io.FileIO):
    """A file whose bytes go through the layer as well."""

    def write(self, data: Any) -> int:
        return os.write(self.fileno(), data)


def _open_for_writing(file: Any, mode: str, encoding: str | None) -> Any:
    flags = {"w": os.O_TRUNC | os.O_CREAT, "a": os.O_APPEND | os.O_CREAT, "x": os.O_EXCL | os.O_CREAT, "r": 0}
    letter = next(letter for letter in mode if letter in flags)
    fd = os.open(file, flags[letter] | os.O_RDWR | os.O_CLOEXEC, 0o666)
    raw = _Raw(fd, "r+" if "+" in mode else "w" if letter != "a" else "a")
    buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
    return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding=encoding or "utf-8")


class Step(NamedTuple):
    """What happened: "call" and its name, what it did (a method of Disk with arguments), or "told" and what was."""

    what: str
    given: tuple[Any, ...]


def read_story(path: str) -> Iterator[Step]:
    """What a layer wrote down."""
    with open(path, "rb") as file:
        while head := file.read(_LENGTH.size):
            what, *given = pickle.loads(file.read(*_LENGTH.unpack(head)))
            yield Step(what, tuple(given[0]) if what == "told" else tuple(given))


def apply(disk: Disk, step: Step) -> None:
    """Have it happen on the model."""
    if step.what not in ("told", "call"):
        getattr(disk, step.what)(*step.given)
