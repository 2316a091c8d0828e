"""Which pack holds a blob, for thousands of packs, without opening them.

A pack is its own index, but asking two thousand packs means reading two thousand files. So whoever finds that
he had to ask many one by one writes down what they hold, as one sorted table in `store/index/`; the table is
mapped and bisected where it lies, and nothing of it is parsed but the list of its packs. It is derived: a
table that is gone, old or damaged costs time and never a blob.

    header   32 bytes   magic "GITRUNIX", u16 version, u16 zero, u32 packs, u64 entries, u32 crc, u32 zero
    packs               for each pack: its name, u64 bytes
    entries             for each blob of each: blob id, u32 number of the pack, u32 crc of these; sorted by blob id

The crc of the header covers the packs as well. Of the entries those are checked where a bisection ends.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import NamedTuple

from gitrun.errors import DamagedStore, GitrunError
from gitrun.files.write import create, make_dirs, remove_quietly, temporary_path, write_all

SUFFIX = ".gpi"
MANY_PACKS = 64
MANY_TABLES = 8
_MOST_ROWS = 200_000  # sorted at once
_ROWS_AT_ONCE = 16_384
_VERSION = 1
_MAGIC = b"GITRUNIX"
_HEADER = struct.Struct("<8sHHIQI4x")
_PACK = struct.Struct("<32sQ")
_ENTRY = struct.Struct("<32sII")
_NUMBERED = _ENTRY.size - 4


class Indexed(NamedTuple):
    """A pack that a table covers: its name (hex) and how long it was."""

    name: str
    bytes: int


class Table:
    """One file of `store/index/`; raises DamagedStore when it is none or, later, where it is damaged."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._map = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
            finally:
                os.close(fd)
        except (OSError, ValueError) as problem:
            raise DamagedStore(f"E023 index {path}: {problem}") from problem
        self.packs, self._at, self.count = _read_head(self._map, path)

    def find(self, blob: bytes) -> list[Indexed]:
        """The packs that hold a blob."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            at = self._at + middle * _ENTRY.size
            if self._map[at : at + 32] < blob:
                low = middle + 1
            else:
                high = middle
        if low:
            self._entry(low - 1)  # where a damaged id leads a bisection astray, it ends beside that entry
        found = []
        while low < self.count and (entry := self._entry(low))[0] == blob:
            found.append(self.packs[entry[1]])
            low += 1
        return found

    def entries(self) -> Iterator[tuple[bytes, int]]:
        """Every blob id with the number of its pack."""
        return (self._entry(n) for n in range(self.count))

    def _entry(self, n: int) -> tuple[bytes, int]:
        at = self._at + n * _ENTRY.size
        blob, pack, crc = _ENTRY.unpack_from(self._map, at)
        if zlib.crc32(self._map[at : at + _NUMBERED]) != crc or pack >= len(self.packs):
            raise DamagedStore(f"E023 index {self.path}: entry {n} is damaged")
        return blob, pack


class Index:
    """All tables of a store, as they were when they were first needed; safe to ask from several threads."""

    def __init__(self, store_dir: str) -> None:
        self._directory = os.path.join(store_dir, "index")
        self._tables: list[Table] | None = None
        self._covered: frozenset[str] = frozenset()

    def find(self, blob: bytes) -> list[Indexed]:
        """The packs that hold a blob, as far as tables tell; such a pack may have gone since."""
        found: list[Indexed] = []
        for table in self.tables():
            try:
                found += table.find(blob)
            except DamagedStore:
                self._set([other for other in self.tables() if other is not table])  # its packs are asked themselves
        return found

    def covers(self, pack: str) -> bool:
        """Whether a table tells what this pack holds."""
        self.tables()
        return pack in self._covered

    def tables(self) -> list[Table]:
        """The tables that can be read."""
        if self._tables is None:
            self._set(list(_open_all(self._directory)))
        return self._tables or []

    def add(self, packs: Iterable[tuple[Indexed, Iterable[bytes]]]) -> None:
        """Write down what these packs hold; where that fails, they are asked themselves as before."""
        taken: list[Indexed] = []
        rows: list[bytes] = []
        for pack, blobs in packs:
            rows += [_row(blob, len(taken)) for blob in blobs]
            taken.append(pack)
            if len(rows) >= _MOST_ROWS:
                self._save(taken, sorted(rows))
                taken, rows = [], []
        if taken:
            self._save(taken, sorted(rows))
        if len(self.tables()) > MANY_TABLES:
            self.compact(lambda _: True)

    def compact(self, is_there: Callable[[str], bool]) -> None:
        """Make one table of all, without the packs that are not there any more."""
        old = list(self.tables())
        packs = sorted({pack for table in old for pack in table.packs if is_there(pack.name)})
        numbers = {pack: number for number, pack in enumerate(packs)}
        if packs and not self._save(packs, merge(*(_renumbered(table, numbers) for table in old))):
            return
        for table in old:
            remove_quietly(table.path)
        self._set([table for table in self.tables() if table not in old])

    def _save(self, packs: list[Indexed], rows: Iterable[bytes]) -> bool:
        path = os.path.join(self._directory, os.urandom(8).hex() + SUFFIX)
        try:
            tables = self.tables()  # looked for before this one is there
            make_dirs(self._directory)
            _write(path, packs, rows)
            self._set([*tables, Table(path)])
        except (OSError, GitrunError):
            return False  # a full disk, a store that may only be read, a damaged table: it is only an index
        return True

    def _set(self, tables: list[Table]) -> None:
        self._covered = frozenset(pack.name for table in tables for pack in table.packs)
        self._tables = tables


def _open_all(directory: str) -> Iterator[Table]:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return  # none was needed yet
    for name in names:
        if name.endswith(SUFFIX):
            try:
                yield Table(os.path.join(directory, name))
            except DamagedStore:
                continue  # the packs it covered are asked themselves, and written down again


def _read_head(data: mmap.mmap, path: str) -> tuple[list[Indexed], int, int]:
    """The packs of a table, where its entries begin, and how many there are."""
    if len(data) < _HEADER.size or data[:8] != _MAGIC:
        raise DamagedStore(f"E023 index {path}: it does not begin like one")
    _magic, version, _zero, packs, count, crc = _HEADER.unpack_from(data)
    at = _HEADER.size + packs * _PACK.size
    if version != _VERSION or at + count * _ENTRY.size != len(data):
        raise DamagedStore(f"E023 index {path}: it is of another version, or cut off")
    if zlib.crc32(data[_HEADER.size : at], zlib.crc32(_header(packs, count, 0))) != crc:
        raise DamagedStore(f"E023 index {path}: its list of packs is damaged")
    rows = _PACK.iter_unpack(data[_HEADER.size : at])
    return [Indexed(name.hex(), size) for name, size in rows], at, count


def _write(path: str, packs: list[Indexed], rows: Iterable[bytes]) -> None:
    """Write a table under a temporary name and rename it; not synced, since a torn one is found out."""
    temporary = temporary_path(os.path.dirname(path))
    fd = create(temporary, 0o444)
    try:
        listed = b"".join([_PACK.pack(bytes.fromhex(pack.name), pack.bytes) for pack in packs])
        write_all(fd, bytes(_HEADER.size) + listed)
        count, rows = 0, iter(rows)
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            write_all(fd, b"".join(some))
            count += len(some)
        crc = zlib.crc32(listed, zlib.crc32(_header(len(packs), count, 0)))
        os.pwrite(fd, _header(len(packs), count, crc), 0)
        os.rename(temporary, path)
    except BaseException:
        remove_quietly(temporary)
        raise
    finally:
        os.close(fd)


def _header(packs: int, count: int, crc: int) -> bytes:
    return _HEADER.pack(_MAGIC, _VERSION, 0, packs, count, crc)


def _row(blob: bytes, pack: int) -> bytes:
    row = blob + pack.to_bytes(4, "little")
    return row + zlib.crc32(row).to_bytes(4, "little")


def _renumbered(table: Table, numbers: dict[Indexed, int]) -> Iterator[bytes]:
    for blob, pack in table.entries():
        number = numbers.get(table.packs[pack])
        if number is not None:
            yield _row(blob, number)
