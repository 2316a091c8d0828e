"""Checking the packs of a store, and putting aside what is damaged so that it can be healed.

A blob in a damaged record is as good as missing, and worse: `has` would say it is there. So a repair copies
what is whole into a new pack and moves the old one to `quarantine/`, where it can still be looked at; from
then on the blob counts as missing, and whoever stores the same content again heals it.

A check of every byte takes long. What it has found whole is noted as it goes, so that one that was broken off
goes on where it was; one that came to its end forgets the notes.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from gitrun.errors import BlobNotFound, DamagedStore, GitrunError
from gitrun.files.write import fsync_dir, make_dirs, remove_quietly
from gitrun.monitor import SILENT, Monitor
from gitrun.store.ingest import PackFile
from gitrun.store.pack import Entry, PackReader, ScannedPack

if TYPE_CHECKING:
    from gitrun.store.blobs import BlobStore

LATER = ("E021", "E022")  # of a later gitrun: not damage, and not for this one to mend
_CODE = re.compile(r"([EW][0-9]{3}) (.*)", re.DOTALL)


class PackDamage(NamedTuple):
    """One thing wrong with a pack: a code of spec/problems, what, and the raw ids of the blobs it costs."""

    pack: str
    code: str
    what: str
    blobs: frozenset[bytes]


def check_packs(store: BlobStore, *, data: bool, monitor: Monitor = SILENT) -> Iterator[PackDamage]:
    """Every problem of every pack: of its frame, and with `data` of every byte in it."""
    notes = os.path.join(store.gitrun_dir, "cache", "checked-packs")
    done = _read_notes(notes) if data else frozenset()
    names = store.pack_names()
    with monitor.task("checking packs", len(names), "packs") as progress:
        for name in names:
            if name not in done:
                found = list(_check(store, name, data))
                yield from found
                if data and not found:
                    _note(notes, name)
            progress.advance(1)
    if data:
        remove_quietly(notes)


def _check(store: BlobStore, name: str, data: bool) -> Iterator[PackDamage]:
    path = store.pack_path(name)
    reader, problem = _open(store, path, name)
    if problem is not None:
        yield PackDamage(name, *coded(problem), frozenset())
    if reader is None or not data:
        return
    damaged = [(entry.blob, told) for entry in reader.entries() if (told := _read(reader, entry)) is not None]
    for blob, told in damaged:
        yield PackDamage(name, *coded(told), frozenset([blob]))
    if problem is None and not damaged and _digest(path) != name:
        yield PackDamage(name, "E033", f"pack {name}: its bytes are not those it is named by", frozenset())


def _digest(path: str) -> str:
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def coded(problem: GitrunError) -> tuple[str, str]:
    """The code that a problem of the store begins with, and the rest; one without is about a blob in no pack."""
    found = _CODE.fullmatch(str(problem))
    return (found[1], found[2]) if found else ("E034", str(problem))


def _open(store: BlobStore, path: str, name: str) -> tuple[PackReader | ScannedPack | None, GitrunError | None]:
    """The pack as far as it can be read, and what is wrong with its frame."""
    try:
        return PackReader(store.bytes_of(path), name), None
    except BlobNotFound:
        return None, None  # collected meanwhile
    except GitrunError as problem:
        told = problem
    try:
        return ScannedPack(store.bytes_of(path), name), told
    except GitrunError:
        return None, told


def _read(reader: PackReader | ScannedPack, entry: Entry) -> GitrunError | None:
    try:
        reader.read(entry)
    except DamagedStore as problem:
        return problem
    except GitrunError:
        return None  # a later gitrun's encoding: not for us to judge
    return None


def repair(store: BlobStore, name: str) -> int:
    """Copy what is whole of a damaged pack into a new one and put the old one aside; the blobs that were lost.

    Where only its index was damaged the new one has the same bytes as it once had, and so the same name.
    """
    path = store.pack_path(name)
    reader, _ = _open(store, path, name)
    _put_aside(store, path)
    store.forget(name)
    lost, made = 0, None
    if reader is not None:
        file = PackFile(os.path.join(store.directory, "tmp"))
        try:
            for entry in sorted(reader.entries(), key=lambda entry: entry.offset):
                if _read(reader, entry) is None:
                    file.copy(reader, entry)
                else:
                    lost += 1
            made = file.publish_in(store)
        except BaseException:
            file.abort()
            raise
    if made != name and os.path.exists(path):
        os.unlink(path)
    return lost


def _put_aside(store: BlobStore, path: str) -> None:
    """Give a pack a second name in the quarantine; it keeps its first until there is something better."""
    aside = os.path.join(store.directory, "quarantine")
    make_dirs(aside)
    try:
        os.link(path, os.path.join(aside, os.path.basename(path)))
    except FileExistsError:
        pass  # an earlier repair of it was broken off
    fsync_dir(aside)


def _read_notes(path: str) -> frozenset[str]:
    try:
        with open(path, encoding="ascii") as file:
            return frozenset(file.read().split())
    except (OSError, UnicodeDecodeError):
        return frozenset()  # then everything is looked at


def _note(path: str, name: str) -> None:
    make_dirs(os.path.dirname(path))
    with open(path, "a", encoding="ascii") as file:
        file.write(name + "\n")
