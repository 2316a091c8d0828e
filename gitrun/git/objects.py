"""Reading Git objects: through one `git cat-file --batch`, or dulwich where there is no git.

The deltas, alternates, partial clones and damage of somebody's repository are Git's to understand;
gitrun has no reader of its own. One process answers all questions, and a batch of questions is
sent ahead of the answers so that the two sides work at the same time.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from gitrun.errors import GitFailed
from gitrun.git.executable import spawn_server
from gitrun.git.hashing import is_object_id, object_id

if TYPE_CHECKING:
    from dulwich.object_store import DiskObjectStore

    from gitrun.git.repository import Repository

# Unanswered questions must fit the smallest pipe there is (one page), or both sides could block.
_AHEAD_BYTES = 4096
_CHUNK = 1 << 18
_SMALL = 1 << 14
KINDS = ("commit", "tree", "blob", "tag")


class ObjectReader(Protocol):
    """Objects by id. An id that names nothing is a KeyError, also from the iterators.

    So is a text that is no full id of the repository's format: git would take `HEAD` or eight digits for a name,
    and a newline for the end of a question, and ids come out of records that somebody else may have written.
    So does the size of what they name: whoever expects a record, a tree or a commit says how many bytes that may
    have, and only the user's own files are read whatever their size.
    """

    def read(self, oid: str, limit: int | None = None) -> tuple[str, bytes]:
        """The kind ("blob", "tree", "commit", "tag") and the content; GitFailed beyond `limit` bytes."""

    def has(self, oid: str) -> bool:
        """Whether the object is here."""

    def size(self, oid: str) -> int:
        """The size of the content in bytes."""

    def many(self, oids: Iterable[str], limit: int | None = None) -> Iterator[tuple[str, str, bytes]]:
        """(oid, kind, content) of each, in the order asked; GitFailed at the first beyond `limit` bytes."""

    def close(self) -> None:
        """Let go of processes and files."""

    def __enter__(self) -> ObjectReader: ...

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_reader(repo: Repository, *, lazy_fetch: bool = False) -> ObjectReader:
    """A reader of this repository's objects; in a partial clone it goes to the network only when `lazy_fetch`."""
    if repo.git is not None:
        return _GitReader(repo, lazy_fetch)
    return _DulwichReader(repo)


@contextmanager
def reader_on_demand(repo: Repository) -> Iterator[Callable[[], ObjectReader]]:
    """A reader that is opened by the first question: often there is none."""
    opened: list[ObjectReader] = []

    def reader() -> ObjectReader:
        if not opened:
            opened.append(open_reader(repo))
        return opened[0]

    try:
        yield reader
    finally:
        for one in opened:
            one.close()


def read_loose(repo: Repository, oid: str) -> tuple[str, bytes] | None:
    """A small loose object, without a process; None when it is not loose, not small or not whole."""
    try:
        with open(os.path.join(repo.objects_dir, oid[:2], oid[2:]), "rb") as file:
            stored = zlib.decompressobj().decompress(file.read(_SMALL), _SMALL)
    except (OSError, zlib.error):
        return None  # whoever asks the reader next gets the reason
    header, _, content = stored.partition(b"\0")
    kind, _, size = header.decode("ascii", "replace").partition(" ")
    if kind not in KINDS or size != str(len(content)) or object_id(kind, content, repo.object_format) != oid:
        return None
    return kind, content


class _Closing:
    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> ObjectReader:
        return self  # type: ignore[return-value]  # both subclasses are readers

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server:
    """One cat-file process: a line with an id in, a header and perhaps content out."""

    def __init__(self, repo: Repository, mode: str, lazy_fetch: bool) -> None:
        assert repo.git is not None
        env = repo.environment() if lazy_fetch else repo.environment(GIT_NO_LAZY_FETCH="1")
        args = ["cat-file", mode]
        self._pid, self._to, self._from = spawn_server(repo.git, args, repo.git_dir, env)
        self._format = repo.object_format
        self._buffer = bytearray()

    def ask(self, oid: str) -> None:
        if not is_object_id(oid, self._format):
            raise KeyError(oid)
        try:
            os.write(self._to, oid.encode() + b"\n")
        except BrokenPipeError:
            raise GitFailed("git cat-file ended before it was asked", next="git fsck") from None

    def header(self, oid: str) -> tuple[str, int]:
        """The kind and size of the answer to the oldest question; KeyError when there is no such object."""
        while (end := self._buffer.find(b"\n")) < 0:
            self._fill(_CHUNK)
        words = bytes(self._buffer[:end]).decode("utf-8", "replace").split(" ")
        del self._buffer[: end + 1]
        if len(words) != 3 or not words[2].isdigit():
            raise KeyError(oid)
        return words[1], int(words[2])

    def answer(self, oid: str, limit: int | None) -> tuple[str, bytes]:
        """The kind and the content that answer the oldest question; GitFailed beyond `limit`, and then no more."""
        kind, size = self.header(oid)
        _check_size(oid, size, limit)
        while len(self._buffer) <= size:
            self._fill(max(_CHUNK, size + 1 - len(self._buffer)))
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[: size + 1]
        return kind, data

    def _fill(self, wanted: int) -> None:
        if not (data := os.read(self._from, wanted)):
            raise GitFailed("git cat-file ended in the middle of an answer", next="git fsck")
        self._buffer += data

    def close(self) -> None:
        os.close(self._to)
        os.close(self._from)
        with suppress(ChildProcessError):  # SIGCHLD is ignored here, so nothing waits to be collected
            os.waitpid(self._pid, 0)


class _GitReader(_Closing):
    def __init__(self, repo: Repository, lazy_fetch: bool) -> None:
        self._repo = repo
        self._lazy_fetch = lazy_fetch
        self._servers: dict[str, _Server] = {}

    def _server(self, mode: str) -> _Server:
        if mode not in self._servers:
            self._servers[mode] = _Server(self._repo, mode, self._lazy_fetch)
        return self._servers[mode]

    def read(self, oid: str, limit: int | None = None) -> tuple[str, bytes]:
        server = self._server("--batch")
        server.ask(oid)
        try:
            return server.answer(oid, limit)
        except GitFailed:
            del self._servers["--batch"]  # dead, or about to say what nobody wants to hear
            server.close()
            raise

    def has(self, oid: str) -> bool:
        try:
            self.size(oid)
        except KeyError:
            return False
        return True

    def size(self, oid: str) -> int:
        server = self._server("--batch-check")
        server.ask(oid)
        return server.header(oid)[1]

    def many(self, oids: Iterable[str], limit: int | None = None) -> Iterator[tuple[str, str, bytes]]:
        # A server of its own: an iterator that is dropped half-way leaves its answers unread.
        server = _Server(self._repo, "--batch", self._lazy_fetch)
        try:
            asked: deque[str] = deque()
            ahead = max(1, _AHEAD_BYTES // (self._repo.hash_len * 2 + 1))
            for oid in oids:
                try:
                    server.ask(oid)
                except KeyError:
                    yield from ((before, *server.answer(before, limit)) for before in asked)
                    raise
                asked.append(oid)
                if len(asked) >= ahead:
                    oid = asked.popleft()
                    yield oid, *server.answer(oid, limit)
            while asked:
                oid = asked.popleft()
                yield oid, *server.answer(oid, limit)
        finally:
            server.close()

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
        self._servers.clear()


def _check_size(oid: str, size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise GitFailed(f"object {oid} has {size:,} bytes, and no more than {limit:,} are read here")


_DULWICH_KINDS = dict(enumerate(KINDS, 1))


class _DulwichReader(_Closing):
    def __init__(self, repo: Repository) -> None:
        self._store = dulwich_store(repo)
        self._format = repo.object_format

    def read(self, oid: str, limit: int | None = None) -> tuple[str, bytes]:
        kind, data = self._raw(oid)
        _check_size(oid, len(data), limit)  # late: dulwich knows no size without the content
        return _DULWICH_KINDS[kind], data

    def has(self, oid: str) -> bool:
        from dulwich.objects import ObjectID

        return is_object_id(oid, self._format) and ObjectID(oid.encode()) in self._store

    def size(self, oid: str) -> int:
        return len(self._raw(oid)[1])

    def many(self, oids: Iterable[str], limit: int | None = None) -> Iterator[tuple[str, str, bytes]]:
        for oid in oids:
            yield oid, *self.read(oid, limit)

    def close(self) -> None:
        self._store.close()

    def _raw(self, oid: str) -> tuple[int, bytes]:
        from dulwich.errors import ApplyDeltaError, ChecksumMismatch, FileFormatException
        from dulwich.objects import ObjectID

        if not is_object_id(oid, self._format):
            raise KeyError(oid)
        try:
            return self._store.get_raw(ObjectID(oid.encode()))
        except KeyError:
            raise KeyError(oid) from None
        except (ApplyDeltaError, ChecksumMismatch, FileFormatException, zlib.error, ValueError) as problem:
            raise GitFailed(f"object {oid} is damaged: {problem}", next="git fsck") from problem


def dulwich_store(repo: Repository) -> DiskObjectStore:
    """The objects of `repo` through dulwich, alternates included."""
    # dulwich takes 50 ms to import; only a reader without git pays for it.
    from dulwich.object_format import get_object_format
    from dulwich.object_store import BaseObjectStore, DiskObjectStore

    fmt = get_object_format(repo.object_format)

    class Store(DiskObjectStore):
        """A store whose alternates have its own format; dulwich takes every alternate for one of SHA-1."""

        @property
        def alternates(self) -> list[BaseObjectStore]:
            if self._alternates is None:
                places = [*self._read_alternate_paths(), *self._extra_alternate_paths]
                self._alternates = [Store(place, object_format=fmt) for place in places]
            return self._alternates

    alternates = [p for p in repo.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES", "").split(os.pathsep) if p]
    return Store(repo.objects_dir, object_format=fmt, alternates=alternates)
