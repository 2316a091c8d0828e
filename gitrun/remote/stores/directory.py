"""A directory as the store of a remote: a disk that several machines mount, a USB disk, a synchronised folder.

    gitrun-store.json
    packs/<ab>/<sha256>.gpk    as in a store of one's own
    tails/<sha256>
    tmp/

A pack is hashed while it is copied, so that one that is not what its name says never gets that name. Several are under
way: while the disk makes one durable, another is copied. Many machines may put at once: a name is given by `rename`,
and both have the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence

from gitrun.errors import BlobNotFound, GitrunError, RemoteFailed, from_os_error
from gitrun.files.write import create, fsync_dir, make_dirs, remove_quietly, temporary_path, write_all, write_file
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
    wrong_bytes,
)
from gitrun.store.blobs import PACK_SUFFIX

_AT_ONCE = 3
_ROOM_BYTES = 256 << 10


class DirectoryStore:
    """The packs below one directory; it is made at the first pack, its parent is not."""

    has_ranges = True
    limits: Limits | None = None

    def __init__(self, directory: str) -> None:
        self.where = f"file://{directory}"
        self._directory = directory
        self._is_known = False

    def names(self) -> set[str]:
        """The packs that are there, whole."""
        if not self._look():
            return set()
        try:
            return {name for name in os.listdir(self._tails()) if is_pack_name(name)}
        except FileNotFoundError:
            return set()
        except OSError as problem:
            raise self._failed(problem, "looking for packs") from problem

    def tails(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """The tails of packs that are there; one that is gone by now is left out."""
        for name in names:
            try:
                with open(os.path.join(self._tails(), name), "rb") as file:
                    yield name, file.read(MOST_TAIL_BYTES)
            except FileNotFoundError:
                continue  # removed since it was listed
            except OSError as problem:
                raise self._failed(problem, "reading the index of a pack") from problem

    def put(self, packs: Iterable[LocalPack], monitor: Monitor = SILENT) -> None:
        """Keep these packs, durably; each is checked against its name, and one that is there already is not sent."""
        from concurrent.futures import Future, ThreadPoolExecutor  # while one waits for the disk, another is copied

        with ThreadPoolExecutor(_AT_ONCE, "gitrun-send") as pool:
            waiting: deque[Future[None]] = deque()
            for pack in packs:
                try:
                    self._prepare()
                    if os.path.exists(os.path.join(self._tails(), pack.name)):
                        continue
                    source = open(pack.path, "rb", buffering=0)  # noqa: SIM115  its name may go, its bytes stay
                except OSError as problem:
                    raise self._failed(problem, "sending a pack") from problem
                waiting.append(pool.submit(self._put, pack, source))
                if len(waiting) >= _AT_ONCE:
                    waiting.popleft().result()
            while waiting:
                waiting.popleft().result()

    def get(self, name: str, offset: int, length: int) -> bytes:
        """So many bytes of a pack from there on, fewer at its end; raises BlobNotFound where it is gone."""
        try:
            fd = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.pread(fd, length, offset)
            finally:
                os.close(fd)
        except FileNotFoundError as problem:
            raise BlobNotFound(f"E051 {self.where} has no pack {name} any more") from problem
        except OSError as problem:
            raise self._failed(problem, "reading a pack") from problem

    def expect(self, names: Sequence[str]) -> None:
        """Each piece is read when it is asked for."""

    def remove(self, names: Collection[str]) -> None:
        """No longer hold these packs; the tail goes first."""
        for name in names:
            for path in (os.path.join(self._tails(), name), self._path(name)):
                try:
                    os.unlink(path)
                except FileNotFoundError:
                    continue  # somebody else has removed it
                except OSError as problem:
                    raise self._failed(problem, "removing a pack") from problem

    def close(self) -> None:
        """Nothing is held."""

    def _tails(self) -> str:
        return os.path.join(self._directory, "tails")

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, "packs", name[:2], name + PACK_SUFFIX)

    def _look(self) -> bool:
        """Whether there is a store; raises RemoteFailed where the disk it lies on is not there."""
        if not self._is_known:
            if not os.path.isdir(os.path.dirname(self._directory)):
                raise RemoteFailed(
                    f"{self.where} is not there", kept="everything here", next="mount its disk, then try again"
                )
            try:
                with open(os.path.join(self._directory, MARK), "rb") as file:
                    check_mark(file.read(MOST_MARK_BYTES), self.where)
            except FileNotFoundError:
                return False
            except OSError as problem:
                raise self._failed(problem, "opening it") from problem
            self._is_known = True
        return True

    def _prepare(self) -> None:
        if not self._look():
            make_dirs(self._directory)
            write_file(os.path.join(self._directory, MARK), new_mark())
        for place in (self._tails(), os.path.join(self._directory, "tmp")):
            make_dirs(place)

    def _put(self, pack: LocalPack, source: io.FileIO) -> None:
        try:
            with source:
                self._put_bytes(pack, source)
        except OSError as problem:
            raise self._failed(problem, "sending a pack") from problem

    def _put_bytes(self, pack: LocalPack, source: io.FileIO) -> None:
        path = self._path(pack.name)
        make_dirs(os.path.dirname(path))
        temporary = temporary_path(os.path.join(self._directory, "tmp"))
        fd = create(temporary, 0o444)
        try:
            _copy(pack, source, fd)
            os.fsync(fd)
            os.rename(temporary, path)
        except BaseException:
            remove_quietly(temporary)
            raise
        finally:
            os.close(fd)
        fsync_dir(os.path.dirname(path))
        write_file(os.path.join(self._tails(), pack.name), pack.tail, mode=0o444)

    def _failed(self, problem: OSError, doing: str) -> GitrunError:
        return from_os_error(
            problem, f"{self.where}: {doing}", kept="everything here", next="try again: what has arrived stays"
        )


def _copy(pack: LocalPack, source: io.FileIO, to: int) -> None:
    """Copy a pack's file, and raise DamagedStore at the end of it where it has not the digest of its name."""
    digest = hashlib.sha256()
    room = memoryview(bytearray(_ROOM_BYTES))  # small enough to stay in the processor's cache
    while length := source.readinto(room):
        digest.update(room[:length])
        write_all(to, room[:length])
    if digest.hexdigest() != pack.name:
        raise wrong_bytes(pack)
