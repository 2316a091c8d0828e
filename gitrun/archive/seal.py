"""Turning a finished record into a commit that can never change.

A power cut may come between any two writes, and a ref must never point at something it took
away. So the order is fixed: blobs durable, then Git objects durable, then the ref, and whatever
is left behind before the ref exists is unreachable and harmless. Two processes may seal the same
run (a recorder that was thought dead, and its rescuer); the ref is create-only, so one of them
wins and the other is told whether what it had was the same record.

A run's identity is its id and its tree. The commit around it is derived from the record alone,
so sealing the same record twice writes the same commit.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from gitrun.archive.message import encode_message
from gitrun.errors import DamagedRecord, GitFailed, GitrunError, from_os_error
from gitrun.git.fold import fold
from gitrun.git.identity import identity
from gitrun.git.objects import open_reader
from gitrun.git.packs import OwnPacks, Pack, PackWriter, replace_by_superset, sync_files
from gitrun.git.refs import LIVE, RUNS, RefTransaction, delete, read_ref
from gitrun.git.repository import Repository
from gitrun.git.trees import DIRECTORY, FILE, TreeEntry, encode_commit, encode_tree, file_of_commit
from gitrun.model.canonical import MAX_BYTES, encode
from gitrun.model.times import parse_iso
from gitrun.monitor import Monitor

if TYPE_CHECKING:  # a run whose parts are all small never loads the store
    from gitrun.store.blobs import BlobStore
    from gitrun.store.ingest import Session

INLINE_LIMIT = 256 << 10
SMALL_PACK = 1 << 20
RESERVED = frozenset({"run.json", "source", "roots"})


class Part(NamedTuple):
    """The content of one part: its bytes, or the path of a file that holds them."""

    data: bytes = b""
    path: str | None = None

    def size_bytes(self) -> int:
        """How long the content is."""
        return len(self.data) if self.path is None else os.stat(self.path).st_size

    def read(self) -> bytes:
        """The content, whole; meant for parts that fit in memory."""
        if self.path is None:
            return self.data
        with open(self.path, "rb") as file:
            return file.read()


class RootTree(Protocol):
    """What sealing needs of a root: its number and its tree."""

    @property
    def n(self) -> int: ...
    @property
    def tree(self) -> str: ...


class Sealed(NamedTuple):
    """The commit that holds the run; `created` is False when somebody else had sealed it.

    `conflict` says that what they sealed is another record; ours was then not written anywhere.
    """

    commit: str
    created: bool
    conflict: bool = False


def seal(
    archive: Repository,
    store: Callable[[], BlobStore],
    record: dict[str, Any],
    parts: Mapping[str, Part],
    snapshot_commit: str | None,
    source_tree: str | None,
    roots: Iterable[RootTree],
    monitor: Monitor,
    *,
    environ: Mapping[str, str],
    snapshot_pack: Pack | None = None,
) -> Sealed:
    """Make `record` the run `refs/gitrun/runs/<id>` and end its live ref.

    `store` is called only when a part is over 256 KiB; `snapshot_pack` is the pack that
    `take_snapshot` wrote, replaced by one that holds the record as well when it is small.
    Raises DiskFull, NotWritable or GitFailed; nothing that was durable before is lost then.
    """
    run_id = record["id"]
    try:
        with ExitStack() as promises:
            placed, blobs = _place(store, parts, promises)
            body = encode({**record, "parts": placed})
            earlier = read_ref(archive, RUNS + run_id)
            if earlier is not None:
                return _already(archive, run_id, earlier, body)
            commit = _write_objects(
                archive, record, body, blobs, snapshot_commit, source_tree, roots, environ, snapshot_pack
            )
            if not _publish(archive, run_id, commit):
                return _lost_the_race(archive, run_id, body)
    except OSError as problem:
        raise from_os_error(problem, f"sealing run {run_id}", next="gitrun recover") from problem
    fold(archive, monitor)  # the run is safe by now; what prevents this is only a warning
    return Sealed(commit, created=True)


def _place(
    store: Callable[[], BlobStore], parts: Mapping[str, Part], promises: ExitStack
) -> tuple[dict[str, dict[str, Any]], dict[str, bytes]]:
    """What run.json says of each part, and the bytes of those that go into the tree.

    The store's session stays open in `promises` until the ref names what was put.
    """
    assert not RESERVED & parts.keys() and not any("/" in name for name in parts), "a part's name is taken or a path"
    placed: dict[str, dict[str, Any]] = {}
    blobs: dict[str, bytes] = {}
    session: Session | None = None
    for name, part in sorted(parts.items()):
        if part.size_bytes() <= INLINE_LIMIT:
            blobs[name] = data = part.read()
            placed[name] = {"bytes": len(data), "in": "tree", "sha256": hashlib.sha256(data).hexdigest()}
            continue
        session = session or promises.enter_context(store().session())
        content = session.put_bytes(part.data) if part.path is None else session.put_file(part.path)
        chunks = [[blob, length] for blob, length in content.chunks]
        placed[name] = {"bytes": content.bytes, "chunks": chunks, "in": "store", "sha256": content.sha256}
    if session is not None:
        session.commit()
    return placed, blobs


def _write_objects(
    archive: Repository,
    record: dict[str, Any],
    body: bytes,
    blobs: dict[str, bytes],
    snapshot_commit: str | None,
    source_tree: str | None,
    roots: Iterable[RootTree],
    environ: Mapping[str, str],
    snapshot_pack: Pack | None,
) -> str:
    """Write R and all it needs, durably: in one pack with the snapshot's objects when those are few."""
    writer = PackWriter(
        archive.objects_dir, archive.object_format, own=OwnPacks(archive.objects_dir, archive.object_format)
    )
    try:
        absorbed = snapshot_pack is not None and _absorb(writer, snapshot_pack)
        tree = _write_tree(writer, body, blobs, source_tree, roots)
        parents = [snapshot_commit] if snapshot_commit else []
        when_s = parse_iso(record.get("ended_at") or record["started_at"]) // 1_000_000_000
        who, message = identity(archive, environ), encode_message(record).encode()
        commit = writer.add("commit", encode_commit(tree, parents, who, when_s, "+0000", message))
        pack = writer.finish(sync=True)
    except BaseException:
        writer.abort()
        raise
    if absorbed and pack is not None and snapshot_pack is not None:
        _replace(archive, snapshot_pack, pack)
    return commit


def _replace(archive: Repository, old: Pack, new: Pack) -> None:
    """Make the new pack durable and remove the one whose objects it took over."""
    try:
        replace_by_superset(archive.objects_dir, archive.object_format, [old], new)
    except FileNotFoundError:
        return  # another process has folded the new one already, and what it folds into is durable


def _absorb(writer: PackWriter, snapshot: Pack) -> bool:
    """Take the snapshot's objects over when they are few; either way all of them are durable afterwards."""
    try:
        if snapshot.size < SMALL_PACK and writer.absorb(snapshot):
            sync_files(snapshot.directory, list(snapshot.relied))
            return True
    except FileNotFoundError:
        return False  # folded meanwhile, and a fold is durable before it removes anything
    snapshot.sync()
    return False


def _write_tree(
    writer: PackWriter, body: bytes, blobs: dict[str, bytes], source_tree: str | None, roots: Iterable[RootTree]
) -> str:
    entries = [TreeEntry(name.encode(), FILE, writer.add("blob", data)) for name, data in sorted(blobs.items())]
    entries.append(TreeEntry(b"run.json", FILE, writer.add("blob", body)))
    if source_tree is not None:
        entries.append(TreeEntry(b"source", DIRECTORY, source_tree))
    trees = [TreeEntry(str(root.n).encode(), DIRECTORY, root.tree) for root in roots]
    if trees:
        entries.append(TreeEntry(b"roots", DIRECTORY, writer.add("tree", encode_tree(trees))))
    return writer.add("tree", encode_tree(entries))


def _publish(archive: Repository, run_id: str, commit: str) -> bool:
    """Create the run's ref and delete its live ref in one step; False when the run exists already."""
    transaction = RefTransaction(archive)
    transaction.create(RUNS + run_id, commit)
    transaction.delete(LIVE + run_id)
    return transaction.commit()


def _lost_the_race(archive: Repository, run_id: str, body: bytes) -> Sealed:
    """Somebody sealed this run between our look and our ref."""
    winner = read_ref(archive, RUNS + run_id)
    if winner is None:
        raise GitrunError(
            f"the ref of run {run_id} could not be created",
            kept="the run is still in its live directory",
            next="gitrun recover",
        )
    return _already(archive, run_id, winner, body)


def _already(archive: Repository, run_id: str, commit: str, body: bytes) -> Sealed:
    """Somebody sealed this run before: the same record is one run, another one is a conflict."""
    try:
        with open_reader(archive) as reader:
            theirs = file_of_commit(reader, commit, b"run.json", MAX_BYTES)
    except (KeyError, DamagedRecord, GitFailed) as problem:
        raise DamagedRecord(
            f"run {run_id} was sealed before, and cannot be read: {problem}",
            kept="what is still in its live directory",
            next="git fsck",
        ) from problem
    if hashlib.sha256(theirs).digest() != hashlib.sha256(body).digest():
        return Sealed(commit, created=False, conflict=True)
    delete(archive, LIVE + run_id)
    return Sealed(commit, created=False)
