"""Taking out of the store what nothing needs any more, while others put things in.

Packs are immutable, so a pack with nothing needed in it goes, and one with little is written again without
the rest. Neither happens at once: a pack is first moved to `trash/`, where nobody finds it, so that a session
which is about to rely on one of its blobs sees that it is gone and stores the blob again. Only when every
session that was there at the time of marking has ended, and a second marking needs nothing of it, is it
deleted; what the second marking does need goes back. A kill at any point leaves packs in `trash/`, and the
next collection decides about them in the same way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from gitrun.errors import DamagedStore, GitrunError, from_os_error
from gitrun.files.holder import here
from gitrun.files.write import fsync_dir, make_dirs
from gitrun.store.ingest import PACK_BYTES, PackFile
from gitrun.store.place import check_alone
from gitrun.store.sessions import is_over, session_paths

if TYPE_CHECKING:
    from gitrun.store.blobs import BlobStore
    from gitrun.store.pack import PackReader, ScannedPack

SMALL_BYTES = 4 << 20
MANY_PACKS = 100
_POLL_S = 0.2
_LEFT_S = 7 * 86_400.0  # a temporary file that old is nobody's: it was never promised to anybody


class PackUse(NamedTuple):
    """How much of a pack is needed: bytes of its file, and stored bytes of its needed blobs."""

    name: str
    size: int
    needed: int


class Plan(NamedTuple):
    """What a collection would do: packs to drop, packs to write again."""

    dead: list[PackUse]
    sparse: list[PackUse]

    @property
    def freed(self) -> int:
        """Bytes that go."""
        return sum(use.size for use in self.dead) + sum(use.size - use.needed for use in self.sparse)


class Collected(NamedTuple):
    """What a collection did; `waiting` names the sessions that keep the trash from being emptied."""

    freed: int
    waiting: list[str]


def plan(store: BlobStore, needed: set[bytes], promised: set[str]) -> Plan:
    """Sort all packs; `needed` are raw blob ids, `promised` the packs somebody relies on as a whole."""
    uses = [_use(store, name, needed, promised) for name in store.pack_names()]
    many = sum(use.size < SMALL_BYTES for use in uses) > MANY_PACKS
    dead = [use for use in uses if not use.needed]
    rest = [use for use in uses if use.needed]
    sparse = [use for use in rest if use.needed * 2 < use.size or (many and use.size < SMALL_BYTES)]
    return Plan(dead, sparse)


def _use(store: BlobStore, name: str, needed: set[bytes], promised: set[str]) -> PackUse:
    size = os.stat(store.pack_path(name)).st_size
    reader = store.pack(name)
    if reader is None or name in promised:
        return PackUse(name, size, size)  # what cannot be read is not known to be useless
    return PackUse(name, size, sum(entry.stored_bytes for entry in reader.entries() if entry.blob in needed))


def collect(
    store: BlobStore,
    todo: Plan,
    needed: set[bytes],
    mark_again: Callable[[], tuple[set[bytes], set[str]]],
    wait_s: float,
) -> Collected:
    """Carry out a plan; the caller holds the collector's lock and has just marked `needed`."""
    check_alone(store.gitrun_dir, store.directory)
    trash = os.path.join(store.directory, "trash")
    try:
        rewritten = _rewrite(store, todo.sparse, needed)
        make_dirs(trash)
        for use in [*todo.dead, *rewritten]:
            os.rename(store.pack_path(use.name), _trash_path(store, use.name))
            store.forget(use.name)
        fsync_dir(trash)
        waiting = _wait(session_paths(store.directory), wait_s)
        _take_back(store, *mark_again())  # also where nothing is deleted now: a run may have been sealed meanwhile
        if waiting:
            return Collected(0, [os.path.basename(path) for path in waiting])
        freed = _empty(store) - sum(use.needed for use in rewritten)
        _sweep_tmp(store)
        store.compact_index()
    except OSError as problem:
        raise from_os_error(
            problem, "collecting", kept="every needed blob; what was moved to the store's trash is still there"
        ) from problem
    return Collected(freed, [])


def _rewrite(store: BlobStore, uses: Iterable[PackUse], needed: set[bytes]) -> list[PackUse]:
    """Write the needed blobs of these packs into new ones; those of which all was written."""
    done: list[PackUse] = []
    pending: list[PackUse] = []
    file: PackFile | None = None
    for use in uses:
        reader = store.pack(use.name)
        if reader is None:
            continue
        file = file or PackFile(os.path.join(store.directory, "tmp"))
        try:
            _copy(reader, needed, file)
        except DamagedStore as problem:
            store.monitor.warn("W022", f"{problem}; the pack stays as it is")
            continue
        pending.append(use)
        if file.writer.size >= PACK_BYTES:
            done += _replaced(pending, file.publish_in(store))
            file, pending = None, []
    if file is not None:
        done += _replaced(pending, file.publish_in(store))
    return done


def _replaced(uses: list[PackUse], by: str | None) -> list[PackUse]:
    """Those that a new pack takes the place of; it may be one of them, written again as it was."""
    return [] if by is None else [use for use in uses if use.name != by]


def _copy(reader: PackReader | ScannedPack, needed: set[bytes], file: PackFile) -> None:
    """Copy the needed blobs as they are stored, each verified on the way."""
    wanted = sorted((entry for entry in reader.entries() if entry.blob in needed), key=lambda entry: entry.offset)
    for entry in wanted:
        reader.read(entry)
        file.copy(reader, entry)


def _wait(sessions: list[str], wait_s: float) -> list[str]:
    """The sessions that have not ended after `wait_s` seconds."""
    end, place = time.monotonic() + wait_s, here()
    while True:
        sessions = [path for path in sessions if not is_over(path, place)]
        if not sessions or time.monotonic() >= end:
            return sessions
        time.sleep(_POLL_S)


def _take_back(store: BlobStore, needed: set[bytes], promised: set[str]) -> None:
    """Give packs their place again where somebody needs a blob that no other pack has."""
    store.refresh()
    for name in _trashed(store):
        reader = store.open_pack(_trash_path(store, name), name)
        if reader is None:
            continue
        missing = any(entry.blob in needed and not store.holds(entry.blob) for entry in reader.entries())
        if missing or name in promised:
            path = store.pack_path(name)
            make_dirs(os.path.dirname(path))
            os.rename(_trash_path(store, name), path)
            fsync_dir(os.path.dirname(path))
            store.adopt(name)


def _empty(store: BlobStore) -> int:
    """Delete what is in the trash; its bytes."""
    freed = 0
    for name in _trashed(store):
        path = _trash_path(store, name)
        freed += os.stat(path).st_size
        os.unlink(path)
    return freed


def _trashed(store: BlobStore) -> list[str]:
    try:
        names = os.listdir(os.path.join(store.directory, "trash"))
    except FileNotFoundError:
        return []
    return sorted(name.removesuffix(".gpk") for name in names if name.endswith(".gpk") and len(name) == 68)


def _trash_path(store: BlobStore, name: str) -> str:
    return os.path.join(store.directory, "trash", name + ".gpk")


def _sweep_tmp(store: BlobStore) -> None:
    directory = os.path.join(store.directory, "tmp")
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        path = os.path.join(directory, name)
        if time.time() - os.stat(path).st_mtime > _LEFT_S:
            os.unlink(path)


def end_session(store: BlobStore, name: str) -> None:
    """End a session that nobody can prove dead, as a person says it is; raises GitrunError when there is none."""
    for path in session_paths(store.directory):
        if os.path.basename(path) == name:
            os.unlink(path)
            return
    raise GitrunError(f"there is no session {name}", next="gitrun gc")
