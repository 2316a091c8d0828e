"""Cuts at the edges of tensors and of members: found in real files, harmless in false ones, and worth it."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from gitrun.monitor import SILENT
from gitrun.store.blobs import BlobStore
from gitrun.store.chunking import Chunking, cut
from gitrun.store.layout import find_edges

KIB = 1 << 10
Tensors = dict[str, bytes]


def tensors(**sizes: int) -> Tensors:
    chance = random.Random(7)
    return {name: chance.randbytes(size) for name, size in sizes.items()}


def safetensors(parts: Tensors, **metadata: str) -> bytes:
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    at = 0
    for name, data in parts.items():
        header[name] = {"dtype": "F32", "shape": [len(data) // 4], "data_offsets": [at, at + len(data)]}
        at += len(data)
    listed = json.dumps(header).encode()
    return len(listed).to_bytes(8, "little") + listed + b"".join(parts.values())


def archive(parts: Tensors, stem: str = "model", *, wide: bool = False) -> bytes:
    """As torch writes it: nothing compressed, and the file's own name before each tensor."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as made:
        for name, data in parts.items():
            with made.open(zipfile.ZipInfo(f"{stem}/data/{name}"), "w", force_zip64=wide) as member:
                member.write(data)
    return out.getvalue()


def edges(tmp_path: Path, data: bytes, least: int = 64 * KIB) -> list[int]:
    (tmp_path / "file").write_bytes(data)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        return find_edges(fd, len(data), least)
    finally:
        os.close(fd)


@pytest.mark.parametrize("form", ["safetensors", "zip", "wide zip"])
def test_both_ends_of_every_large_part_are_edges(tmp_path: Path, form: str) -> None:
    parts = tensors(a=100 * KIB, bias=512, b=70 * KIB, c=64 * KIB, d=64 * KIB - 1)
    data = safetensors(parts) if form == "safetensors" else archive(parts, wide=form == "wide zip")
    expected = set()
    for name in "abc":
        at = data.index(parts[name])
        expected |= {at, at + len(parts[name])}
    assert edges(tmp_path, data) == sorted(expected)


def test_a_file_written_by_numpy_and_one_over_4_gib(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as made, made.open("hole.npy", "w", force_zip64=True) as member:
        member.write(b"x" * 100 * KIB)
    data = bytearray(file.read_bytes())
    # the list of members as a writer of huge files makes it: sizes and places in 64 bits
    start = data.index(b"PK\x01\x02")
    entry, name = data[start : start + 46], b"hole.npy"
    (packed,) = struct.unpack_from("<I", entry, 20)
    extra = struct.pack("<HHQQQ", 1, 24, packed, packed, 0)
    entry[20:28], entry[30:32], entry[42:46] = b"\xff" * 8, struct.pack("<H", len(extra)), b"\xff" * 4
    listed = bytes(entry) + name + extra
    wide = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(listed), start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, start + len(listed), 1)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    huge = bytes(data[:start]) + listed + wide + locator + end
    assert zipfile.ZipFile(io.BytesIO(huge)).read("hole.npy") == b"x" * 100 * KIB
    at = huge.index(b"x" * KIB)
    assert edges(tmp_path, huge) == [at, at + 100 * KIB]


GOOD = safetensors(tensors(a=100 * KIB))
ZIP = archive(tensors(a=100 * KIB))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"PK\x03\x04", ZIP[:-30], ZIP + b"comment", GOOD[:60], b"\xff" * 8 + b"{}", b"\x02" + bytes(7) + b"{x",
        b"\x10" + bytes(7) + b'{"a": {"b": [1]}}', (1 << 20).to_bytes(8, "little") + b"{" * (1 << 20),
        b"\x23" + bytes(7) + b'{"a": {"data_offsets": ["x", null]}}', b"\x02" + bytes(7) + b"{}",
        safetensors({}) + b"x" * 100, b"\x02" + bytes(7) + b"[]",
    ],
)  # fmt: skip
def test_what_is_not_what_it_seems_has_no_edges(tmp_path: Path, data: bytes) -> None:
    assert edges(tmp_path, data) == []


def test_edges_outside_the_file_are_none(tmp_path: Path) -> None:
    header = json.dumps({"a": {"data_offsets": [-(10**6), 10**9]}, "b": {"data_offsets": [70_000, 200_000]}}).encode()
    data = len(header).to_bytes(8, "little") + header + bytes(100_000)
    assert edges(tmp_path, data) == [8 + len(header) + 70_000]


def test_damaged_lists_never_raise_and_never_take_much_memory(tmp_path: Path) -> None:
    chance = random.Random(3)
    for whole in (ZIP, GOOD):
        for _ in range(200):
            data = bytearray(whole)
            for _ in range(3):
                near = chance.choice([chance.randrange(200), len(data) - 1 - chance.randrange(150)])
                data[near] = chance.randrange(256)
            found = edges(tmp_path, bytes(data))
            assert found == sorted(set(found)) and all(0 < edge < len(data) for edge in found)
    tracemalloc.start()
    assert edges(tmp_path, ZIP[:-10] + struct.pack("<II", 1 << 30, 0) + b"\0\0") == []
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("at", [[], [1], [100], [70_000, 70_001, 3_000_000], [2_999_999], [3_500_000]])
def test_the_pieces_are_the_file_wherever_it_is_cut(at: list[int]) -> None:
    data = random.Random(1).randbytes(3_500_000)
    chunking = Chunking()
    pieces = [bytes(piece) for piece in cut(data[:100_000], io.BytesIO(data[100_000:]), chunking, SILENT, at)]
    assert b"".join(pieces) == data and all(0 < len(piece) <= chunking.max_bytes for piece in pieces)
    ends = {sum(map(len, pieces[: n + 1])) for n in range(len(pieces))}
    assert set(at) <= ends


@pytest.mark.parametrize("form", ["safetensors", "zip"])
def test_a_trained_bias_costs_no_frozen_layer(tmp_path: Path, form: str) -> None:
    layers = tensors(**{f"{kind}{n}": size for n in range(6) for kind, size in (("w", 600 * KIB), ("b", KIB))})
    trained = {name: random.Random(9).randbytes(KIB) if name[0] == "b" else data for name, data in layers.items()}
    store, stored = BlobStore(str(tmp_path / "g")), []
    for number, parts in enumerate((layers, trained)):
        file = tmp_path / f"epoch{number}"
        file.write_bytes(safetensors(parts) if form == "safetensors" else archive(parts, file.name))
        with store.session() as session:
            content = session.put_file(str(file))
            session.commit()
        assert b"".join(store.read(content.chunks)) == file.read_bytes()
        stored.append(sum(path.stat().st_size for path in (tmp_path / "g/store/packs").rglob("*.gpk")))
    assert stored[1] - stored[0] < stored[0] // 100
