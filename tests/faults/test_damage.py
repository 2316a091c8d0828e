"""Every structure of gitrun's with a flipped bit, cut off, or made of anything: one clear problem, or the truth.

Packs and tables have more of this in tests/damage/store and tests/unit/store; here are all bits of all headers, the
files that those do not cover, what `fsck` says of a flipped bit on disk, and how much memory a lie about a length
can cost.
"""

from __future__ import annotations

import hashlib
import random
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from gitrun.errors import GitrunError
from gitrun.git.packindex import IndexEntry, PackIndex, encode_index
from gitrun.model.canonical import DecodeProblem
from gitrun.recording.live import LiveDirectory
from gitrun.recording.liveness import read_header
from gitrun.recording.member import read_exit
from gitrun.store.blobs import BlobStore
from gitrun.store.check import check_packs, repair
from gitrun.store.config import load_or_create
from gitrun.store.index import Index, Indexed, Table
from gitrun.store.pack import PackReader, ScannedPack
from gitrun.store.sessions import decode_session, encode_header, encode_promises
from tests.forking import in_child

CONTENTS = [b"one " * 60, b"two " * 90, bytes(range(256))]
HEADER = 32  # so many bytes of each structure have every bit flipped
ROOM_BYTES = 48 << 20
EXPECTED = (GitrunError, DecodeProblem, FileNotFoundError)


def make_store(directory: Path) -> tuple[BlobStore, Path]:
    """A store of one pack, and the pack."""
    store = BlobStore(str(directory))
    with store.session() as session:
        for content in CONTENTS:
            session.put(content)
        session.commit()
    (path,) = Path(store.directory, "packs").rglob("*.gpk")
    path.chmod(0o644)
    return BlobStore(str(directory)), path


def read_pack(path: Path) -> object:
    data = path.read_bytes()
    for reader in (PackReader(data, "pack"), ScannedPack(data, "pack")):
        for entry in list(reader.entries()):
            content = reader.read(entry)
            assert hashlib.sha256(content).digest() == entry.blob and content in CONTENTS
    return None


def read_table(path: Path) -> object:
    table = Table(str(path))
    for content in CONTENTS:
        for found in table.find(hashlib.sha256(content).digest()):
            assert found in table.packs
    return list(table.entries())


def read_pack_index(path: Path) -> object:
    index = PackIndex(str(path), "sha1")
    assert sum(1 for _ in index.ids()) == index.count == len(index.entries())
    return [index.contains(bytes([n]) * 20) for n in range(256)]


def read_session(path: Path) -> object:
    return decode_session(path.read_bytes(), str(path))


def read_config(path: Path) -> object:
    return load_or_create(str(path.parent))


def read_live_header(path: Path) -> object:
    return read_header(str(path.parent))


def read_live_exit(path: Path) -> object:
    return read_exit(str(path.parent))


def read_draft(path: Path) -> object:
    return LiveDirectory(str(path.parent)).read_draft()


def make_pack(place: Path) -> Path:
    return make_store(place)[1]


def make_table(place: Path) -> Path:
    store, path = make_store(place)
    blobs = [hashlib.sha256(content).digest() for content in CONTENTS]
    Index(store.directory).add([(Indexed(path.stem, path.stat().st_size), blobs)])
    (table,) = Path(store.directory, "index").iterdir()
    table.chmod(0o644)
    return table


def make_pack_index(place: Path) -> Path:
    entries = [IndexEntry(bytes([n]) * 20, n, 12 + n * 50) for n in range(0, 250, 10)]
    return written(place / "pack.idx", encode_index(entries, b"p" * 20, "sha1"))


def make_session(place: Path) -> Path:
    head = encode_header({"session": "0" * 16, "host_id": "h", "process": {"pid": 1, "start": 2}})
    return written(
        place / "session", head + encode_promises("blob", ["ab" * 32]) + encode_promises("pack", ["cd" * 32])
    )


def make_config(place: Path) -> Path:
    load_or_create(str(place))
    return place / "config.json"


def make_live_header(place: Path) -> Path:
    return written(
        place / "header.json", b'{"format": 1, "requires": [], "host": "h", "recorder": {"pid": 4, "start": 9}}\n'
    )


def make_live_exit(place: Path) -> Path:
    end = b'{"code": 0, "signal": null, "started_ns": 1, "ended_ns": 2, "duration_ns": 1}\n'
    return written(place / "exit", end.ljust(4096, b"\0"))


def make_draft(place: Path) -> Path:
    return written(place / "run.json", b'{"format": 1, "id": "20261124-061246-aaaaa1", "status": "running"}\n')


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


STRUCTURES: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    "pack": (make_pack, read_pack),
    "table": (make_table, read_table),
    "git index": (make_pack_index, read_pack_index),
    "session": (make_session, read_session),
    "config": (make_config, read_config),
    "live header": (make_live_header, read_live_header),
    "live exit": (make_live_exit, read_live_exit),
    "draft": (make_draft, read_draft),
}
each = pytest.mark.parametrize(("make", "read"), STRUCTURES.values(), ids=STRUCTURES.keys())


def told(read: Callable[[Path], object], path: Path) -> str:
    """What reading gives; anything but an expected problem fails the test."""
    try:
        return repr(read(path))
    except EXPECTED as problem:
        return type(problem).__name__


@each
def test_a_flipped_bit(tmp_path: Path, make: Callable[[Path], Path], read: Callable[[Path], object]) -> None:
    path = make(tmp_path)
    data = path.read_bytes()
    assert told(read, path) not in {kind.__name__ for kind in EXPECTED}
    for at in range(len(data)):
        for bit in range(8) if at < HEADER or at >= len(data) - HEADER else (at % 8,):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            path.write_bytes(changed)
            told(read, path)


@each
def test_cut_off_anywhere(tmp_path: Path, make: Callable[[Path], Path], read: Callable[[Path], object]) -> None:
    path = make(tmp_path)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        told(read, path)


@each
def test_anything_at_all_costs_no_memory(
    tmp_path: Path, make: Callable[[Path], Path], read: Callable[[Path], object]
) -> None:
    """Bytes changed, numbers made huge, pieces doubled, in a process that may not grow by more than 48 MiB."""
    path = make(tmp_path)
    data = path.read_bytes()

    def fuzz() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + ROOM_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for seed in range(400):
            path.write_bytes(mangled(data, random.Random(seed)))
            told(read, path)

    assert in_child(fuzz) == 0


def mangled(data: bytes, chance: random.Random) -> bytes:
    """The bytes with a few things wrong."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed))
        what = chance.randrange(5)
        if what == 0:
            changed[at : at + 4] = chance.choice([b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f"])
        elif what == 1:
            changed[at : at + 8] = chance.choice([b"\xff" * 8, (1 << chance.randrange(64)).to_bytes(8, "little")])
        elif what == 2:
            changed[at:at] = changed[at : at + chance.randrange(1, 200)]
        elif what == 3:
            del changed[at : at + chance.randrange(1, 60)]
        else:
            changed[at] = chance.randrange(256)
        changed = changed or bytearray(b"\0")
    return bytes(changed)


def test_fsck_names_every_flipped_bit_and_storing_again_heals(tmp_path: Path) -> None:
    store, path = make_store(tmp_path / "g")
    whole = path.read_bytes()
    for at in (*range(60), *range(60, len(whole) - 60, 7), *range(len(whole) - 60, len(whole))):
        changed = bytearray(whole)
        changed[at] ^= 1 << (at % 8)
        path.write_bytes(changed)
        fresh = BlobStore(store.gitrun_dir)
        found = list(check_packs(fresh, data=True))
        assert {damage.pack for damage in found} == {path.stem}, at
    repair(BlobStore(store.gitrun_dir), path.stem)
    healed, _ = make_store(tmp_path / "g")
    assert [healed.get(hashlib.sha256(content).hexdigest()) for content in CONTENTS] == CONTENTS
    assert list(check_packs(healed, data=True)) == []
