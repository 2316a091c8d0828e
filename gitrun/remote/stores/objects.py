"""An object store as the store of a remote: S3 and what speaks like it, through pyarrow's file systems.

    gitrun-store.json
    packs/<ab>/<sha256>.gpk
    tails/<sha256>

An object appears whole or not at all, but nothing can be renamed, and closing a stream that has failed may still make
an object. So a pack is read into memory (at most 64 MiB), checked, and sent in one piece, and its length asked for
afterwards; only then its tail is put, and without its tail it is not there.

Keys and regions are taken from where every tool takes them: AWS_* variables, ~/.aws, the role of the machine. A
server of one's own is named in the URL: `s3://bucket/runs?endpoint_override=127.0.0.1:9000&scheme=http`.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from gitrun.errors import BlobNotFound, GitrunError, RemoteFailed, from_os_error
from gitrun.monitor import SILENT, Monitor
from gitrun.remote.stores.protocol import (
    MARK,
    MOST_MARK_BYTES,
    MOST_TAIL_BYTES,
    Limits,
    LocalPack,
    check_mark,
    is_pack_name,
    new_mark,
    shown,
    wrong_bytes,
)
from gitrun.store.blobs import PACK_SUFFIX

_AT_ONCE = 8  # small objects asked for side by side
_SENDING = 2  # packs under way, each in memory
Answer = TypeVar("Answer")
# What the AWS library says, and what it means for the user.
_LOCKED_OUT = ("ACCESS_DENIED", "AccessDenied", "InvalidAccessKey", "INVALID_ACCESS_KEY", "SignatureDoesNotMatch")
_NO_BUCKET = ("NoSuchBucket", "NO_SUCH_BUCKET", "Bucket does not exist")
_NETWORK = ("NETWORK_CONNECTION", "curlCode", "not connect", "resolve host")


class ObjectStore:
    """The packs below one prefix of a bucket, which is there already."""

    has_ranges = True
    limits: Limits | None = None

    def __init__(self, url: str) -> None:
        self.where = shown(url)
        self._url = url
        self._opened: tuple[Any, str] | None = None
        self._is_marked = False

    def names(self) -> set[str]:
        """The packs that are there, whole."""
        if not self._look():
            return set()
        from pyarrow.fs import FileSelector

        fs, root = self._open()
        selector = FileSelector(f"{root}/tails", allow_not_found=True)
        found = self._ask("looking for packs", lambda: fs.get_file_info(selector))
        return {info.base_name for info in found if is_pack_name(info.base_name)}

    def tails(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """The tails of packs that are there; one that is gone by now is left out."""
        from concurrent.futures import Future, ThreadPoolExecutor

        with ThreadPoolExecutor(_AT_ONCE, "gitrun-tails") as pool:
            waiting: deque[tuple[str, Future[bytes | None]]] = deque()
            for name in names:
                waiting.append((name, pool.submit(self._read, f"tails/{name}", MOST_TAIL_BYTES)))
                if len(waiting) >= 2 * _AT_ONCE:
                    yield from _arrived(*waiting.popleft())
            while waiting:
                yield from _arrived(*waiting.popleft())

    def put(self, packs: Iterable[LocalPack], monitor: Monitor = SILENT) -> None:
        """Keep these packs, durably; each is checked against its name, and one that is there already is not sent."""
        from concurrent.futures import Future, ThreadPoolExecutor

        with ThreadPoolExecutor(_SENDING, "gitrun-send") as pool:
            waiting: deque[Future[None]] = deque()
            for pack in packs:
                self._mark()
                while len(waiting) >= _SENDING:
                    waiting.popleft().result()
                waiting.append(pool.submit(self._put, pack, _read_whole(pack)))
            while waiting:
                waiting.popleft().result()

    def get(self, name: str, offset: int, length: int) -> bytes:
        """So many bytes of a pack from there on, fewer at its end; raises BlobNotFound where it is gone."""
        fs, root = self._open()

        def read() -> bytes:
            with fs.open_input_file(f"{root}/{_key(name)}") as file:
                size: int = file.size()
                data: bytes = file.read_at(max(0, min(length, size - offset)), min(offset, size))
                return data

        try:
            return self._ask("reading a pack", read)
        except FileNotFoundError as problem:
            raise BlobNotFound(f"E051 {self.where} has no pack {name} any more") from problem

    def expect(self, names: Sequence[str]) -> None:
        """Each piece is read when it is asked for."""

    def remove(self, names: Collection[str]) -> None:
        """No longer hold these packs; the tail goes first."""
        fs, root = self._open()
        for name in names:
            for key in (f"tails/{name}", _key(name)):
                try:
                    self._ask("removing a pack", lambda key=key: fs.delete_file(f"{root}/{key}"))  # type: ignore[misc]
                except FileNotFoundError:
                    continue  # somebody else has removed it

    def close(self) -> None:
        """Let go of the connection."""
        self._opened = None

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            from pyarrow.fs import FileSystem

            try:
                fs, root = FileSystem.from_uri(self._url)
            except (OSError, ValueError) as problem:
                raise self._failed(problem, "opening it") from problem
            self._opened = fs, root.rstrip("/")
        return self._opened

    def _look(self) -> bool:
        """Whether there is a store."""
        if not self._is_marked:
            data = self._read(MARK, MOST_MARK_BYTES)
            if data is None:
                return False
            check_mark(data, self.where)
            self._is_marked = True
        return True

    def _mark(self) -> None:
        if not self._look():
            self._write(MARK, new_mark())
            self._is_marked = True

    def _put(self, pack: LocalPack, data: bytes) -> None:
        tail = f"tails/{pack.name}"
        if self._size(tail) == len(pack.tail):
            return
        self._write(_key(pack.name), data)
        if self._size(_key(pack.name)) != pack.size_bytes:
            raise RemoteFailed(
                f"{self.where} took a pack and does not have all of it", kept="everything here", next="try again"
            )
        self._write(tail, pack.tail)

    def _read(self, key: str, most: int) -> bytes | None:
        fs, root = self._open()

        def read() -> bytes:
            with fs.open_input_stream(f"{root}/{key}") as file:
                data: bytes = file.read(most)
                return data

        try:
            return self._ask("reading it", read)
        except FileNotFoundError:
            return None

    def _write(self, key: str, data: bytes) -> None:
        fs, root = self._open()

        def write() -> None:
            with fs.open_output_stream(f"{root}/{key}") as file:
                file.write(data)

        try:
            self._ask("sending a pack", write)
        except FileNotFoundError as problem:
            raise self._failed(problem, "sending a pack") from problem

    def _size(self, key: str) -> int | None:
        fs, root = self._open()
        size: int | None = self._ask("looking for a pack", lambda: fs.get_file_info(f"{root}/{key}")).size
        return size

    def _ask(self, doing: str, question: Callable[[], Answer]) -> Answer:
        """The answer; what is not there stays FileNotFoundError, all else becomes one clear error."""
        try:
            return question()
        except FileNotFoundError:
            raise
        except OSError as problem:
            raise self._failed(problem, doing) from problem

    def _failed(self, problem: Exception, doing: str) -> GitrunError:
        words = " ".join(str(problem).split())
        kept = "everything here, and what has arrived there"
        if any(sign in words for sign in _LOCKED_OUT):
            step = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            return RemoteFailed(f"{self.where} does not let us in ({doing}): {words}", kept=kept, next=step)
        if any(sign in words for sign in _NO_BUCKET):
            return RemoteFailed(f"{self.where}: there is no such bucket", kept=kept, next="make the bucket")
        if any(sign in words for sign in _NETWORK):
            return RemoteFailed(f"{self.where} cannot be reached ({doing}): {words}", kept=kept, next="try again")
        if isinstance(problem, OSError) and problem.errno:
            return from_os_error(problem, f"{self.where}: {doing}", kept=kept, next="try again")
        return RemoteFailed(f"{self.where}: {doing}: {words}", kept=kept, next="try again")


def _key(name: str) -> str:
    return f"packs/{name[:2]}/{name}{PACK_SUFFIX}"


def _arrived(name: str, answer: Any) -> Iterator[tuple[str, bytes]]:
    data = answer.result()
    if data is not None:
        yield name, data


def _read_whole(pack: LocalPack) -> bytes:
    with open(pack.path, "rb") as file:
        data = file.read()
    if hashlib.sha256(data).hexdigest() != pack.name:
        raise wrong_bytes(pack)
    return data
