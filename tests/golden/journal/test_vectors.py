"""The bytes under spec/vectors/journal are made again, and read by msgpack and struct alone."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
import zstandard

from gitrun.child.frames import MAX_PAYLOAD, frame, good_length, pack_value, read_frames
from gitrun.recording.console import _stored, read_stream
from tests.metrics_journal import read_journals

ROOT = Path(__file__).resolve().parents[3]
VECTORS = ROOT / "spec" / "vectors" / "journal"


def independent(data: bytes) -> Iterator[object]:
    at = 0
    while len(data) - at >= 8:
        length, crc = struct.unpack_from("<II", data, at)
        payload = data[at + 8 : at + 8 + length]
        if len(payload) < length or zlib.crc32(payload) != crc:
            return
        yield msgpack.unpackb(payload)
        at += 8 + length


def test_the_code_makes_the_golden_bytes() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_vectors.py", "--check"], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert [line for line in done.stdout.splitlines() if "vectors/journal/" in line] == []


def test_msgpack_reads_what_struct_wrote() -> None:
    for case in json.loads((VECTORS / "frames.json").read_text()):
        (value,) = independent(bytes.fromhex(case["frame_hex"]))
        if "bytes_hex" in case:
            assert value == bytes.fromhex(case["bytes_hex"])
        else:
            assert value == case["value"] and type(value) is type(case["value"])


def test_a_torn_file_ends_at_its_last_good_frame() -> None:
    data = (VECTORS / "torn").read_bytes()
    assert list(independent(data)) == [[1, "one"], [2, "two"]] == [msgpack.unpackb(p) for p in read_frames(data)]
    assert good_length(data) == 2 * len(frame(pack_value([1, "one"])))


def test_the_console_stream() -> None:
    data = (VECTORS / "console").read_bytes()
    assert [(stream, text) for stream, _, text in read_stream(data)] == [
        (1, b"step 1\n"),
        (2, b"warning \xff\n"),
        (0, b"[12345 bytes not kept]"),
    ]
    assert next(independent(data)) == {"format": 1, "kind": "console", "requires": [], "redacted": True}


@pytest.mark.parametrize("cut", range(1, 30))
def test_damage_never_raises(cut: int) -> None:
    data = frame(pack_value([1, "one"])) + frame(pack_value({"a": b"b"}))
    assert len(list(read_frames(data[:-cut]))) <= 1
    flipped = bytearray(data)
    flipped[cut % len(data)] ^= 0x40
    assert len(list(read_frames(bytes(flipped)))) < 2
    assert list(read_frames(struct.pack("<II", MAX_PAYLOAD + 1, 0) + bytes(100))) == []


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65535])
def test_a_short_console_is_a_valid_zstd_frame(size: int) -> None:
    data = bytes(range(256)) * 256
    assert zstandard.ZstdDecompressor().decompress(_stored(data[:size])) == data[:size]


def test_the_metrics_journal(tmp_path: Path) -> None:
    folder = tmp_path / "members" / "0"
    folder.mkdir(parents=True)
    (folder / "metrics-4711-0000000a").write_bytes((VECTORS / "metrics").read_bytes())
    found = read_journals(tmp_path)
    assert [(point.step, point.time_ns - 1_795_502_400_000_000_000) for point in found.points] == [
        (0, 0),
        (1, 1),
        (-7, 3),
        (None, 4),
    ]
    assert [list(point.values) for point in found.points] == [["loss", "val/acc"], ["loss", "val/acc"], ["ä"], ["loss"]]
    assert str(found.points[1].values) == "{'loss': nan, 'val/acc': -inf}"
    kinds = ["metrics", "missing", "config", "summary", "of a later gitrun", "seed"]
    assert [frame["kind"] for _, frame in found.maps] == kinds and found.missing == 3
