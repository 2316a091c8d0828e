"""Bytes of formats that spoiled cases are about, made by hand or by the library that writes them."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.unit.replay.compare.pairs import event, npy, tarred, zipped

__all__ = ["event", "npy", "tarred", "zipped"]
_REAL = Path(__file__).resolve().parents[2] / "tests/unit/replay/compare/files"


def real(name: str) -> bytes:
    """A file that a real library wrote (torch, safetensors, TensorBoard, matplotlib), kept with the tests."""
    return (_REAL / name).read_bytes()


def gz(data: bytes, mtime: int = 1, level: int = 9, name: str = "") -> bytes:
    """A gzip file."""
    out = io.BytesIO()
    with gzip.GzipFile(name, "wb", level, out, mtime) as file:
        file.write(data)
    return out.getvalue()


def npz(arrays: Mapping[str, bytes], year: int = 2026) -> bytes:
    """An `.npz` of these `.npy`."""
    return zipped({f"{name}.npy": data for name, data in arrays.items()}, year=year)


def npy_bits(*bits: int) -> bytes:
    """An array of float64 with these bits."""
    return npy([0.0] * len(bits))[: -8 * len(bits)] + struct.pack(f"<{len(bits)}Q", *bits)


def safetensors(names: Mapping[str, list[float]], metadata: Mapping[str, str] = {}) -> bytes:
    """float32 tensors, in the order of `names` in the header; their places are sorted by name."""
    places, at, data = {}, 0, b""
    for name in sorted(names):
        packed = struct.pack(f"<{len(names[name])}f", *names[name])
        places[name], at, data = [at, at + len(packed)], at + len(packed), data + packed
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    for name, values in names.items():
        header[name] = {"dtype": "F32", "shape": [len(values)], "data_offsets": places[name]}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + data


def png(text: bytes = b"", keyword: bytes = b"Software", pixel: int = 7, level: int = 9) -> bytes:
    """One grey pixel, and a text."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    told = chunk(b"tEXt", keyword + b"\0" + text) if text else b""
    packed = zlib.compress(bytes([0, pixel]), level)
    return b"\x89PNG\r\n\x1a\n" + head + told + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def notebook(count: int = 1, output: str = "0.5", source: str = "loss", identity: str = "aa") -> bytes:
    """A notebook with one cell."""
    made = {"data": {"text/plain": [output]}, "execution_count": count, "metadata": {}, "output_type": "execute_result"}
    cell = {
        "cell_type": "code", "execution_count": count, "id": identity, "metadata": {},
        "outputs": [made], "source": [source],
    }  # fmt: skip
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1).encode()


def parquet(columns: Mapping[str, list[Any]], words: Mapping[str, str] | None = None, **how: Any) -> bytes:
    """A table of Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(dict(columns))
    if words:
        table = table.replace_schema_metadata(dict(words))
    out = io.BytesIO()
    pq.write_table(table, out, **how)
    return out.getvalue()


def events(*scalars: tuple[float, int, bytes, float]) -> bytes:
    """A TensorBoard file of (time, step, tag, value)."""
    return b"".join(event(*each) for each in scalars)
