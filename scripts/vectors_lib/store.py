"""Vectors of the store: a pack, a table over two packs, where a long file is cut, a session, a config.

The zstd frame in the pack is part of the vector and is not made here: compressors change their output from
version to version, and no reader may mind.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tempfile
from typing import Any

from gitrun.model import canonical
from gitrun.monitor import SILENT
from gitrun.store.chunking import Chunking, cut
from gitrun.store.codecs import RAW, ZSTD
from gitrun.store.config import FORMAT as CONFIG_FORMAT
from gitrun.store.index import Index, Indexed
from gitrun.store.pack import PackReader, PackWriter
from gitrun.store.sessions import encode_header, encode_promises

TEXT = b"".join(b"step %d loss %d.%02d\n" % (n, 9 - n // 40, n % 100) for n in range(400))
TEXT_FRAME = base64.b64decode(
    "KLUv/WBCHH0VACY5aROglzQHQBCl/3+ytLSJTGTZXzxXcwBrAFYAZRbKLJRZKLNQZqHMQpmFsqqqqqqqqqqqqioiIiIiIiIiIiKi"
    "mZmZmZmZmZmZGQkmEkwkmEgwkWAiwUSCiQQTCSYSTNq2bdu2bdv2/////58kSZIkSZLknVkV0YxI+2RAgcCBAUBEuAADA4KBgAgo"
    "EDgwCFVVVVVFYYjCEIUhCkMUhigMURiiMERhiMLQzMzMzMzMzMzMjIiIiIiIiIiIiEjbtm3btm3bHugDfaAP9IE+0Af6QB/oA02S"
    "JEmSJEmSEYxgBCMYwQhGMIIRjODd3d3d3d3d3d2dhTILZRYC//////fee++9995777333nvvvffee++99957773LsizLsizLsizL"
    "sizLsizLsizLsizLsizLsizLsizx3d3d3d3d3d3dnZmZmZmZmZmZmVlVVVVVVQUAdyEajUaj0Wg0Go1Go9FoNBqNRqPRaDQajUaj"
    "0Wg0Go1Go9FolGVZlmVZlmVZlmVZlmVZlmVZlmVZlmVZlmVZlmVZ9t5777333nvvvffee////////4MdqCK47/p3so9KLQcSUHB5"
    "/aQKnYZLw9fAy9Bp6DJ6FTwNpwYvk5fB09Bq8Gp4GlwNngavhadB1+Bp8Da4GngNngpvg65B1+DJ8DXwGnQVngxfA6/BleHJ8DXw"
    "Gm9rv1nwk1R4OlwNviZvhqfRVpmZPT17+uzp2VdD6vBr6DJ4Db0NZ5aRISFDQoYUGRKKwdfwcTLIcwTij7+3R1+PsYc38twad3lH"
    "nf6Ye2vEpS/7pF+aD1VmUc42SUbJsUI/GLDMl37pL33SJ/nSLvukdFzlieW0mSTKHBX2wwBLfembfsmXdhLe9G1vqeWl6c/ekuUd"
    "04e9ZXt9uQoWFl5YWFi4sLBypYWjFQ=="
)
LONG_BYTES = 5 << 20


def vectors() -> dict[str, bytes]:
    """Each vector's path below spec/vectors/store, and its bytes."""
    pack, about = small_pack()
    return {
        "small.gpk": pack,
        "small.json": canonical.encode(about),
        "two-packs.gpi": table(),
        "chunking.json": canonical.encode(chunking()),
        "session": session(),
        "config.json": config(),
    }


def noise(size: int) -> bytes:
    """Bytes anybody can make: sha256 of 0, 1, 2, … as 8 little-endian bytes, one after the other."""
    blocks = b"".join(hashlib.sha256(n.to_bytes(8, "little")).digest() for n in range(-(-size // 32)))
    return blocks[:size]


def small_pack() -> tuple[bytes, dict[str, Any]]:
    """A pack of four blobs: none of a byte, short, compressed, incompressible."""
    blobs = [(RAW, b"", b""), (RAW, b"short\n", b"short\n"), (ZSTD, TEXT, TEXT_FRAME), (RAW, noise(1000), noise(1000))]
    out = io.BytesIO()
    writer = PackWriter(out.write)
    for codec, plain, stored in blobs:
        writer.add(hashlib.sha256(plain).digest(), codec, len(plain), stored)
    name = writer.finish()
    reader = PackReader(out.getvalue(), name)
    entries = [{**entry._asdict(), "blob": entry.blob.hex()} for entry in reader.entries()]
    return out.getvalue(), {"name": name, "entries": entries}


def table() -> bytes:
    """A table over the small pack, and another that holds two of its blobs and one of its own."""
    pack, about = small_pack()
    blobs = [bytes.fromhex(entry["blob"]) for entry in about["entries"]]
    other = Indexed(hashlib.sha256(b"another pack").hexdigest(), 4242)
    packs = [(Indexed(about["name"], len(pack)), blobs), (other, [*blobs[:2], hashlib.sha256(b"own").digest()])]
    with tempfile.TemporaryDirectory() as directory:
        Index(directory).add(packs)
        (name,) = os.listdir(os.path.join(directory, "index"))
        with open(os.path.join(directory, "index", name), "rb") as file:
            return file.read()


def chunking() -> dict[str, Any]:
    """Where the frozen parameters cut 5 MiB of noise, and the same with a byte before it."""
    cuts = {}
    for name, data in (("noise", noise(LONG_BYTES)), ("a byte, then noise", b"\0" + noise(LONG_BYTES))):
        cuts[name] = [[hashlib.sha256(piece).hexdigest(), len(piece)] for piece in pieces(data)]
    return {"parameters": Chunking().to_json(), "bytes": LONG_BYTES, "cuts": cuts}


def pieces(data: bytes) -> list[bytes]:
    """What the default parameters cut `data` into."""
    return [bytes(piece) for piece in cut(b"", io.BytesIO(data), Chunking(), SILENT)]


def session() -> bytes:
    """A session that relies on one stored blob and is about to publish one pack."""
    header = {
        "session": "00112233445566ff",
        "started_at": "2026-11-24T06:12:46.123456Z",
        "host": "host",
        "host_id": "5f1c3a0de8b94c2f9f8f6f0a4c1b2d3e",
        "boot_id": "d0f6ee44-0b9c-4c4f-8a0e-6b5a1d0c6f3b",
        "pid_namespace": "pid:[4026531836]",
        "process": {"pid": 4242, "start": 123456},
    }
    blob, pack = hashlib.sha256(b"short\n").hexdigest(), small_pack()[1]["name"]
    return encode_header(header) + encode_promises("blob", [blob]) + encode_promises("pack", [pack])


def config() -> bytes:
    """A store's config, with a field of a later version that must survive."""
    bound = {"path": "/srv/project/.git/gitrun", "device": 65024, "inode": 2334993}
    fields = {"format": CONFIG_FORMAT, "requires": [], "chunking": Chunking().to_json(), "writer": "7z3k0gqa"}
    return canonical.encode({**fields, "bound": bound, "later": {"kept": True}})
