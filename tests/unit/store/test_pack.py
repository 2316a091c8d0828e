import hashlib
import io
import random

import pytest

from gitrun.errors import DamagedStore, NewerFormat
from gitrun.store import pack
from gitrun.store.codecs import RAW, ZSTD, Encoder
from gitrun.store.pack import PackReader, PackWriter, ScannedPack, scan


def make_pack(contents: list[bytes]) -> tuple[bytes, str]:
    out = io.BytesIO()
    writer, encoder = PackWriter(out.write), Encoder()
    for content in contents:
        codec, stored = encoder.encode(content)
        writer.add(hashlib.sha256(content).digest(), codec, len(content), stored)
    assert writer.count == len(contents)
    name = writer.finish()
    assert writer.size == len(out.getvalue())
    return out.getvalue(), name


CONTENTS = [b"", b"a", b"text " * 1000, random.Random(1).randbytes(3000), bytes(100_000)]


def test_every_blob_comes_back_and_the_name_is_the_hash() -> None:
    data, name = make_pack(CONTENTS)
    assert name == hashlib.sha256(data).hexdigest()
    reader = PackReader(data, name)
    for content in CONTENTS:
        entry = reader.find(hashlib.sha256(content).digest())
        assert entry is not None
        assert entry.codec == (ZSTD if len(content) in (5000, 100_000) else RAW)
        assert reader.read(entry) == content
    for missing in (bytes(32), b"\xff" * 32, hashlib.sha256(b"other").digest()):
        assert reader.find(missing) is None


def test_the_records_alone_rebuild_the_index() -> None:
    data, name = make_pack(CONTENTS)
    reader = PackReader(data, name)
    scanned = list(scan(data, name))
    assert sorted(scanned) == list(reader.entries()) == list(ScannedPack(data, name).entries())
    assert pack.encode_index(scanned) == data[-24 - 52 * len(CONTENTS) : -24]


def test_a_cut_pack_gives_its_whole_records() -> None:
    data, name = make_pack(CONTENTS)
    third = list(scan(data, name))[2]
    cut = data[: third.offset + 52 + third.stored_bytes - 1]
    with pytest.raises(DamagedStore, match="E023"):
        PackReader(cut, name)
    scanned = ScannedPack(cut, name)
    assert [scanned.read(entry) for entry in sorted(scanned.entries(), key=lambda e: e.offset)] == CONTENTS[:2]


def test_later_versions_and_codecs_are_refused_by_name() -> None:
    data, name = make_pack([b"x" * 100])
    with pytest.raises(NewerFormat, match="E021"):
        PackReader(data[:8] + b"\x02" + data[9:], name)
    out = io.BytesIO()
    writer = PackWriter(out.write)
    digest = hashlib.sha256(b"x" * 100).digest()
    writer.add(digest, 7, 100, b"encoded")
    name = writer.finish()
    reader = PackReader(out.getvalue(), name)
    entry = reader.find(digest)
    assert entry is not None
    with pytest.raises(NewerFormat, match="E022"):
        reader.read(entry)


def test_the_writer_refuses_what_no_reader_would_take() -> None:
    writer = PackWriter(lambda _: None)
    with pytest.raises(AssertionError):
        writer.add(bytes(32), RAW, pack.MAX_BLOB_BYTES + 1, b"")
    with pytest.raises(AssertionError):
        writer.add(bytes(32), RAW, 3, b"1234")
