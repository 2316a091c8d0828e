"""Packs with anything wrong in them: never another content, never more memory, one clear error."""

import hashlib
import io
import struct
import zlib
from pathlib import Path

import pytest
import zstandard

from gitrun.errors import BlobNotFound, DamagedStore, GitrunError, NewerFormat
from gitrun.monitor import Monitor
from gitrun.store.blobs import BlobStore
from gitrun.store.codecs import ZSTD
from gitrun.store.pack import Entry, PackReader, PackWriter, ScannedPack, read_blob, scan

CONTENTS = [b"", b"short", b"text " * 40, bytes(range(256))]
IDS = {hashlib.sha256(content).digest(): content for content in CONTENTS}


def make_pack() -> bytes:
    out = io.BytesIO()
    writer = PackWriter(out.write)
    for content in CONTENTS:
        packed = zstandard.ZstdCompressor(level=1).compress(content)
        small = len(packed) < len(content)
        writer.add(hashlib.sha256(content).digest(), int(small), len(content), packed if small else content)
    writer.finish()
    return out.getvalue()


def read_all(data: bytes) -> dict[bytes, bytes]:
    """What can still be read of a pack, by index or by records."""
    found = {}
    for kind in (PackReader, ScannedPack):
        try:
            reader = kind(data, "pack")
        except GitrunError:
            continue  # the other way of reading is still to be tried
        for blob in IDS:
            entry = reader.find(blob)
            try:
                if entry is not None:
                    found[blob] = reader.read(entry)
            except (DamagedStore, NewerFormat):
                continue  # the other blobs are still to be tried
        list(reader.entries())
    return found


def test_no_changed_bit_ever_changes_a_content() -> None:
    data = make_pack()
    for at in range(len(data)):
        for bit in (0x01, 0x80):
            changed = bytearray(data)
            changed[at] ^= bit
            for blob, content in read_all(bytes(changed)).items():
                assert IDS[blob] == content


def test_a_pack_cut_anywhere_gives_what_is_whole() -> None:
    data = make_pack()
    ends = [entry.offset + 52 + entry.stored_bytes for entry in scan(data, "pack")]
    for size in range(len(data)):
        whole = sum(end <= size for end in ends)
        assert len(read_all(data[:size])) == whole


def test_lengths_out_of_a_pack_are_never_believed() -> None:
    data = make_pack()
    blob = hashlib.sha256(b"short").digest()
    for offset in (0, 15, len(data), 1 << 40, (1 << 64) - 1):
        for stored_bytes in (0, 5, 1 << 24, (1 << 32) - 1):
            for plain_bytes in (0, 5, 1 << 24, (1 << 32) - 1):
                with pytest.raises(DamagedStore, match="E024"):
                    read_blob(data, Entry(blob, offset, stored_bytes, plain_bytes, 0), len(data), "pack")


def test_a_trailer_that_claims_more_than_there_is() -> None:
    data = make_pack()
    for index_at, count in ((0, 4), (16, 1 << 31), (len(data), 0), ((1 << 64) - 1, 1), (len(data) - 24, 1)):
        trailer = struct.pack("<QII", index_at, count, 0)
        forged = data[:-24] + trailer + struct.pack("<I4s", zlib.crc32(trailer), b"GPKE")
        with pytest.raises(DamagedStore, match="E023"):
            PackReader(forged, "pack")


def one_blob(stored: bytes, plain_bytes: int, codec: int = ZSTD) -> bytes:
    """The reader's answer for a pack with one record of this form."""
    out = io.BytesIO()
    writer = PackWriter(out.write)
    blob = hashlib.sha256(b"x").digest()
    writer.add(blob, codec, plain_bytes, stored)
    writer.finish()
    reader = PackReader(out.getvalue(), "pack")
    entry = reader.find(blob)
    assert entry is not None
    return reader.read(entry)


def test_a_bomb_is_not_decoded() -> None:
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(512 << 20))
    with pytest.raises(DamagedStore, match="E027"):
        one_blob(bomb, 16 << 20)
    nameless = zstandard.ZstdCompressor(level=1, write_content_size=False).compress(bytes(64 << 20))
    with pytest.raises(DamagedStore, match="E027"):
        one_blob(nameless, 16 << 20)


@pytest.mark.parametrize("stored", [b"", b"garbage", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18\x04\0\0\0aaaa"])
def test_what_is_no_frame_is_refused(stored: bytes) -> None:
    with pytest.raises(DamagedStore, match="E027"):
        one_blob(stored, 1000)


def test_bytes_after_the_frame_are_refused() -> None:
    with pytest.raises(DamagedStore, match="E027"):
        one_blob(zstandard.ZstdCompressor().compress(bytes(1000)) + b"more", 1000)


def test_another_content_under_the_id_is_refused() -> None:
    with pytest.raises(DamagedStore, match="E026"):
        one_blob(zstandard.ZstdCompressor().compress(bytes(1000)), 1000)


class Listener(Monitor):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, code: str, message: str) -> None:
        self.warnings.append(code)


def stored(tmp_path: Path) -> tuple[BlobStore, Path, Listener]:
    """A store with one pack of two blobs, opened anew."""
    store = BlobStore(str(tmp_path / "g"))
    with store.session() as session:
        session.put(b"one" * 100)
        session.put(b"two" * 100)
        session.commit()
    (path,) = Path(store.directory, "packs").rglob("*.gpk")
    path.chmod(0o644)
    listener = Listener()
    return BlobStore(store.gitrun_dir, listener), path, listener


ONE, TWO = (hashlib.sha256(word * 100).hexdigest() for word in (b"one", b"two"))


def test_a_store_reads_on_where_an_index_is_damaged(tmp_path: Path) -> None:
    store, path, listener = stored(tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    assert store.get(ONE) == b"one" * 100 and store.get(TWO) == b"two" * 100
    assert listener.warnings == ["W021"]


def test_a_store_ignores_what_is_no_pack(tmp_path: Path) -> None:
    store, path, listener = stored(tmp_path)
    (path.parent / "junk").write_text("junk")
    (path.parent / f"{'0' * 64}.gpk").write_text("in the wrong directory")
    (path.parent.parent / "file").write_text("where a directory belongs")
    empty = path.parent / f"{path.parent.name}{'0' * 62}.gpk"
    empty.write_bytes(b"")
    assert store.get(ONE) == b"one" * 100
    assert listener.warnings == ["W021"]


def test_a_pack_of_a_later_gitrun_is_named_and_skipped(tmp_path: Path) -> None:
    store, path, listener = stored(tmp_path)
    data = bytearray(path.read_bytes())
    data[8] = 2
    path.write_bytes(data)
    with pytest.raises(BlobNotFound):
        store.get(ONE)
    assert "W022" in listener.warnings


def test_a_good_copy_answers_for_a_damaged_one(tmp_path: Path) -> None:
    store, path, _ = stored(tmp_path)
    data = bytearray(path.read_bytes())
    data[16 + 60] ^= 1
    path.unlink()
    other = BlobStore(str(tmp_path / "g"))
    with other.session() as session:
        session.put(b"one" * 100)
        session.commit()
    for name in ("0" * 64, "f" * 64):  # before and after the good one, whatever its name
        place = path.parent.parent / name[:2]
        place.mkdir(exist_ok=True)
        (place / f"{name}.gpk").write_bytes(data)
    assert store.get(ONE) == b"one" * 100
    assert store.get(TWO) == b"two" * 100
    (path.parent.parent / next(p for p in other._packs)[:2] / f"{next(p for p in other._packs)}.gpk").unlink()
    with pytest.raises(DamagedStore, match="E025"):
        BlobStore(str(tmp_path / "g")).get(ONE)
