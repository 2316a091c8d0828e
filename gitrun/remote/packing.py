"""Which packs carry the blobs that a remote lacks.

A pack of one's own store goes as it is where every blob in it is to go: it is copied and hashed, no more. One that
holds anything else stays here, for that may be of a run that nobody wanted to share; what is to go is copied out of it,
verified, into new packs of about 32 MiB. These lie on the disk one at a time, and are made in the same order each
time, so that a second try makes the same packs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gitrun.errors import GitrunError
from gitrun.remote.stores.protocol import LocalPack
from gitrun.store.blobs import BlobStore
from gitrun.store.ingest import PACK_BLOBS, PACK_BYTES, PackFile
from gitrun.store.pack import Entry, PackReader, ScannedPack

_MOST_WHOLE_BYTES = 2 * PACK_BYTES  # a longer one is cut, for what holds a pack in memory

Reader = PackReader | ScannedPack


class Place(NamedTuple):
    """Where a blob lies in one's own store."""

    reader: Reader
    entry: Entry


def find_all(store: BlobStore, blobs: Iterable[bytes]) -> dict[bytes, Place]:
    """Where blobs (raw ids) lie in the store, those that are in it."""
    found: dict[bytes, Place] = {}
    left = set(blobs)
    if not store.has_trash():
        left -= store.lacking(left)
    for blob in sorted(left):
        if blob in found:
            continue
        place = store.find(blob.hex())
        if place is None:
            continue
        reader = place[0]
        if reader_holds_many(reader, left):
            for entry in reader.entries():
                if entry.blob in left:
                    found.setdefault(entry.blob, Place(reader, entry))
        else:
            found[blob] = Place(*place)
    return found


def reader_holds_many(reader: Reader, left: set[bytes]) -> bool:
    """Whether going through a whole pack is worth it, for what may be looked for in it."""
    return isinstance(reader, ScannedPack) or reader.count <= 8 * len(left)


def packs_for(store: BlobStore, places: dict[bytes, Place]) -> Iterator[LocalPack]:
    """Packs with exactly these blobs; each is there until the next one is asked for."""
    by_pack: dict[str, list[Place]] = {}
    for place in places.values():
        by_pack.setdefault(place.reader.name, []).append(place)
    rest: list[Place] = []
    for name in sorted(by_pack):
        whole = _as_it_is(store, by_pack[name])
        if whole is not None:
            yield whole
        else:
            rest += sorted(by_pack[name], key=lambda place: place.entry.offset)
    yield from _made(store, rest)


def _as_it_is(store: BlobStore, places: list[Place]) -> LocalPack | None:
    reader = places[0].reader
    if not isinstance(reader, PackReader) or reader.count != len(places) or reader.bytes > _MOST_WHOLE_BYTES:
        return None
    if not store.has_pack(reader.name):
        return None  # in the trash: another hand may be about to delete it
    return LocalPack(reader.name, store.pack_path(reader.name), reader.bytes, reader.tail())


def _made(store: BlobStore, places: list[Place]) -> Iterator[LocalPack]:
    at = 0
    while at < len(places):
        file = PackFile(os.path.join(store.directory, "tmp"))
        try:
            while at < len(places) and file.writer.size < PACK_BYTES and file.writer.count < PACK_BLOBS:
                _copy(store, file, places[at])
                at += 1
            name = file.finish()
            reader = PackReader(store.bytes_of(file.path), name)
            yield LocalPack(name, file.path, reader.bytes, reader.tail())
        finally:
            file.abort()


def _copy(store: BlobStore, file: PackFile, place: Place) -> None:
    """Append a blob, verified; where this copy of it is damaged or gone, whichever the store has."""
    try:
        place.reader.read(place.entry)
        file.copy(place.reader, place.entry)
    except GitrunError:
        data = store.get(place.entry.blob.hex())  # raises what there is to raise
        file.writer.add(place.entry.blob, 0, len(data), data)
