#!/usr/bin/env python3
"""Read a run, or the packs of a store, from the format alone: git, zstandard and msgpack, and no gitrun.

    read_without_gitrun.py run REPOSITORY RUN      run.json, every part and every stored file verified, the console
    read_without_gitrun.py packs DIRECTORY         every blob of every pack below DIRECTORY, verified

It follows the pages under spec/ and nothing else, so it shows that they suffice. It is slow and simple on
purpose: it reads whole packs, by their records, and compares those with the index. Exit 1 where something
is not as the spec says.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import zstandard

MAX_BLOB_BYTES = 16 << 20


class SpecError(Exception):
    """Something is not as the spec says."""


def main(words: list[str]) -> int:
    try:
        if len(words) == 3 and words[0] == "run":
            read_run(Path(words[1]), words[2])
        elif len(words) == 2 and words[0] == "packs":
            for path in sorted(Path(words[1]).rglob("*.gpk")):
                blobs = read_pack(path)
                print(f"{path.name}: {len(blobs)} blobs, {sum(map(len, blobs.values()))} bytes, verified")
        else:
            print(__doc__, file=sys.stderr)
            return 2
    except SpecError as problem:
        print(f"damaged: {problem}", file=sys.stderr)
        return 1
    return 0


# ------------------------------------------------------------------------------ runs: spec/run-record.md


def read_run(repository: Path, run: str) -> None:
    """Print run.json, then one line for each part, then the console."""
    ref = run if run.startswith("refs/") else f"refs/gitrun/runs/{run}"
    run_json = git(repository, "cat-file", "blob", f"{ref}:run.json")
    sys.stdout.write(run_json.decode())
    record = json.loads(run_json)
    store = Store(gitrun_dir(repository))
    console = b""
    for name, place in sorted(record["parts"].items()):
        if place["in"] == "store":
            data = b"".join(store.blob(blob, length) for blob, length in place["chunks"])
        else:
            data = git(repository, "cat-file", "blob", f"{ref}:{name}")
        if len(data) != place["bytes"] or hashlib.sha256(data).hexdigest() != place["sha256"]:
            raise SpecError(f"part {name} does not have the digest that run.json states")
        print(f"part {name}: {len(data)} bytes in the {place['in']}, verified")
        if name == "extra.jsonl":
            read_extra(data, store)
        if name == "artifacts.jsonl":
            read_artifacts(data, events(repository, record["id"]), store)
        if name == "console.zst":
            console = data
    for line in git(repository, "ls-tree", "-r", "--name-only", ref).splitlines():
        print(f"file {line.decode('utf-8', 'backslashreplace')}")
    if console:
        read_console(console)


def read_extra(data: bytes, store: Store) -> None:
    """Verify the content of every file beside the tree."""
    for line in data.splitlines():
        extra = json.loads(line)
        content = b"".join(store.blob(blob, length) for blob, length in extra["chunks"])
        if hashlib.sha256(content).hexdigest() != extra["sha256"]:
            raise SpecError(f"extra {extra['path']} does not have its digest")
        print(f"extra {extra['path']}: {len(content)} bytes, {extra['reason']}, verified")


# ------------------------------------------------------------------------------ spec/artifacts.md, annotations.md


def read_artifacts(data: bytes, said: list[dict[str, Any]], store: Store) -> None:
    """Verify what is stored of the files that the run read and wrote, as they stand after the events."""
    for line in data.splitlines():
        entry = json.loads(line)
        for event in said:
            entry = changed(entry, event["kind"], event["body"])
        read_entry(entry, store)
        if entry.get("manifest"):
            for below in store.blob(entry["manifest"]).splitlines():
                read_entry(json.loads(below), store)


def changed(entry: dict[str, Any], kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """An entry after one event."""
    is_it = entry["path"] == body.get("path") and entry["kind"] == body.get("kind")
    if kind == "stored" and is_it and not entry["stored"]:
        return {**entry, **body, "stored": True, "reason": None}
    if kind == "drop" and entry["path"] in body["paths"] and entry["stored"] and entry["type"] != "link":
        return {**entry, "stored": False, "reason": "dropped"}
    return entry


def read_entry(entry: dict[str, Any], store: Store) -> None:
    """Verify one file or link; what is not stored is named."""
    name = f"{entry['kind']} {plain_bytes(entry['path']).decode('utf-8', 'backslashreplace')}"
    if not entry["stored"]:
        print(f"{name}: {entry['type']}, not stored, {entry['reason']}")
        return
    content = plain_bytes(entry["target"]) if entry["type"] == "link" else content_of(entry, store)
    if len(content) != entry["bytes"] or hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise SpecError(f"{name} does not have its size and digest")
    print(f"{name}: {entry['type']}, {len(content)} bytes, verified")


def content_of(entry: dict[str, Any], store: Store) -> bytes:
    """A stored file; many chunks are listed in a blob of their own."""
    chunks = entry.get("chunks")
    if entry.get("chunk_list"):
        listed = store.blob(entry["chunk_list"])
        if len(listed) % 36:
            raise SpecError(f"the list of chunks {entry['chunk_list']} is cut off")
        chunks = [(blob.hex(), length) for blob, length in struct.iter_unpack("<32sI", listed)]
    return b"".join(store.blob(blob, length) for blob, length in chunks)


def events(repository: Path, run: str) -> list[dict[str, Any]]:
    """What all writers said of a run after it was sealed, in its order."""
    found = []
    for ref in git(repository, "for-each-ref", "--format=%(refname)", "refs/gitrun/annotations/").decode().split():
        path = f"runs/{run[:6]}/{run}.jsonl"
        if git(repository, "ls-tree", "--name-only", ref, path):
            found += [json.loads(line) for line in git(repository, "cat-file", "blob", f"{ref}:{path}").splitlines()]
    found = [event for event in found if event["format"] == 1]
    return sorted(found, key=lambda event: (event["lamport"], event["writer"], event["seq"]))


def plain_bytes(text: str | dict[str, str]) -> bytes:
    """A path as it is on the disk; one that is not UTF-8 is an object."""
    return base64.b64decode(text["$bytes"]) if isinstance(text, dict) else text.encode()


# ------------------------------------------------------------------------------ the console: spec/journal.md


def read_console(data: bytes) -> None:
    """Write the console to standard output, as the command wrote it."""
    print("console:")
    sys.stdout.flush()
    with zstandard.ZstdDecompressor().stream_reader(data) as stream:
        for frame in frames(stream.read()):
            if isinstance(frame, list):
                _stream, _time_ns, text = frame
                sys.stdout.buffer.write(text)
            elif "gap" in frame:
                sys.stdout.buffer.write(b"\n[%d bytes were not kept]\n" % frame["gap"])
    sys.stdout.buffer.flush()


def frames(data: bytes) -> Iterator[Any]:
    """The values of a journal or console: u32 length, u32 crc32, a msgpack value; little-endian."""
    at = 0
    while at < len(data):
        length, crc = struct.unpack("<II", data[at : at + 8])
        payload = data[at + 8 : at + 8 + length]
        if len(payload) != length or zlib.crc32(payload) != crc:
            raise SpecError(f"a damaged frame at {at}")
        yield msgpack.unpackb(payload, raw=False)
        at += 8 + length


def git(repository: Path, *words: str) -> bytes:
    done = subprocess.run(["git", "-C", str(repository), *words], capture_output=True, check=False)
    if done.returncode:
        raise SpecError(done.stderr.decode("utf-8", "replace").strip())
    return done.stdout


def gitrun_dir(repository: Path) -> Path:
    """Where the archive's part outside Git lies."""
    common = git(repository, "rev-parse", "--git-common-dir").decode().rstrip("\n")
    return repository / common / "gitrun"


# ------------------------------------------------------------------------------ packs: spec/store.md


class Store:
    """All blobs of all packs, read when the first one is asked for."""

    def __init__(self, directory: Path) -> None:
        self._packs = directory / "store" / "packs"
        self._blobs: dict[str, bytes] | None = None

    def blob(self, blob: str, length: int | None = None) -> bytes:
        """A blob by its id, of the length that is told, where one is."""
        if self._blobs is None:
            self._blobs = {}
            for path in sorted(self._packs.rglob("*.gpk")):
                self._blobs.update(read_pack(path))
        if blob not in self._blobs or length not in (None, len(self._blobs[blob])):
            raise SpecError(f"no pack holds the blob {blob}" + ("" if length is None else f" of {length} bytes"))
        return self._blobs[blob]


def read_pack(path: Path) -> dict[str, bytes]:
    """Every blob of a pack by its id, after checking all that the spec says about a pack."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != path.stem:
        raise SpecError(f"{path.name}: its name is not the sha256 of its bytes")
    if len(data) < 16 + 24 or data[:16] != struct.pack("<8sHHI", b"GITRUNPK", 1, 0, 0):
        raise SpecError(f"{path.name}: not a pack of version 1")
    index_at, count, index_crc, crc, magic = struct.unpack("<QIII4s", data[-24:])
    if magic != b"GPKE" or zlib.crc32(data[-24:-8]) != crc or index_at + 52 * count + 24 != len(data):
        raise SpecError(f"{path.name}: damaged trailer")
    index = data[index_at:-24]
    if zlib.crc32(index) != index_crc:
        raise SpecError(f"{path.name}: damaged index")
    blobs, entries = {}, []
    for entry, plain in records(data, index_at, path.name):
        blobs[entry[0].hex()] = plain
        entries.append(entry)
    if index != b"".join(struct.pack("<32sQIIB3x", *entry) for entry in sorted(entries)):
        raise SpecError(f"{path.name}: the index is not that of the records")
    return blobs


def records(data: bytes, end: int, name: str) -> Iterator[tuple[tuple[Any, ...], bytes]]:
    """Each record: its index entry and its plain bytes."""
    at = 16
    while at < end:
        magic, codec, stored_bytes, plain_bytes, blob, crc = struct.unpack("<4sB3xII32sI", data[at : at + 52])
        stored = data[at + 52 : at + 52 + stored_bytes]
        if magic != b"BLOB" or at + 52 + stored_bytes > end or plain_bytes > MAX_BLOB_BYTES:
            raise SpecError(f"{name}: a damaged record at {at}")
        if zlib.crc32(data[at : at + 48] + stored) != crc:
            raise SpecError(f"{name}: the record at {at} does not have its checksum")
        plain = decode(codec, stored, plain_bytes)
        if len(plain) != plain_bytes or hashlib.sha256(plain).digest() != blob:
            raise SpecError(f"{name}: the record at {at} does not hold the blob {blob.hex()}")
        yield (blob, at, stored_bytes, plain_bytes, codec), plain
        at += 52 + stored_bytes


def decode(codec: int, stored: bytes, plain_bytes: int) -> bytes:
    if codec == 0:
        return stored
    if codec == 1 and zstandard.frame_content_size(stored) == plain_bytes:
        return zstandard.ZstdDecompressor().decompress(stored)
    raise SpecError(f"a blob in the encoding {codec}, or of another size than stated")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
