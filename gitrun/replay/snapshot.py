"""A source frozen for later: what a job runs hours from now is what was there when it was submitted.

A queued job that reads the working tree when it starts runs whatever the user is editing by then.
`gitrun snapshot` keeps the tree as a commit of its own under refs/gitrun/snapshots/<id>, with all
that a run would keep of its source: the facts, the files beside the tree, the roots. The ref keeps
the objects alive; its `snapshot.json` and `extra.jsonl` name the blobs a collector has to keep.

    snapshot.json   format, id, name, created_at, worktree, source (as in run.json)
    extra.jsonl     as in a run's record
    source/, roots/<n>/
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.snapshot import Snapshot, take_snapshot
from gitrun.errors import AmbiguousRun, DamagedRecord, NewerFormat, NotARepository, RunNotFound
from gitrun.git.identity import identity
from gitrun.git.objects import ObjectReader, open_reader
from gitrun.git.packs import OwnPacks, PackWriter
from gitrun.git.refs import SNAPSHOTS, RefTransaction, read_refs
from gitrun.git.repository import Repository
from gitrun.git.trees import DIRECTORY, FILE, TreeEntry, encode_commit, encode_tree, parse_commit, read_tree
from gitrun.model.canonical import MAX_BYTES, DecodeProblem, decode, decode_lines, encode, encode_line
from gitrun.model.ids import is_run_id, new_run_id, short
from gitrun.model.times import iso
from gitrun.monitor import SILENT, Monitor
from gitrun.replay.source import Source, make_source

if TYPE_CHECKING:
    from gitrun.archive.archive import Archive

FORMAT = 1


class Frozen(NamedTuple):
    """A snapshot read back: its commit, the content of snapshot.json, and the lines of extra.jsonl."""

    id: str
    commit: str
    base: str | None
    record: Mapping[str, Any]
    extra: list[Any]

    @property
    def name(self) -> str | None:
        """What the user called it."""
        return self.record.get("name")

    def source(self) -> Source:
        """The frozen source."""
        facts = self.record.get("source") or {}
        return make_source(f"snapshot {self.id}", facts, self.extra, self.record.get("created_at"), self.commit)


def freeze(archive: Archive, name: str | None = None, monitor: Monitor = SILENT) -> str:
    """Freeze the working tree around the current directory; returns the snapshot's id once it is durable.

    Raises NotARepository outside a working tree, DiskFull, NotWritable or GitFailed.
    """
    here = archive.here
    if here is None or here.worktree is None:
        raise NotARepository("there is no working tree here to freeze", next="cd into a repository")
    now_ns = time.time_ns()
    shot = take_snapshot(here, archive.repo, lambda: archive.store, archive.settings, monitor, environ=archive.environ)
    if shot.pack is not None:
        shot.pack.sync()
    snapshot_id = new_run_id(now_ns / 1e9, os.urandom(4))
    record = {
        "format": FORMAT,
        "requires": [],
        "id": snapshot_id,
        "name": name,
        "created_at": iso(now_ns),
        "worktree": here.worktree,
        "source": shot.source,
    }
    commit = _write(archive.repo, archive.environ, record, shot, now_ns)
    transaction = RefTransaction(archive.repo)
    transaction.create(SNAPSHOTS + snapshot_id, commit)
    if not transaction.commit():
        raise NotARepository(f"the ref of snapshot {snapshot_id} could not be created", next="gitrun snapshot")
    shot.release()
    return snapshot_id


def find(archive: Archive, text: str) -> Frozen:
    """The snapshot with this id, last six characters or name; raises RunNotFound or AmbiguousRun."""
    refs = read_refs(archive.repo, SNAPSHOTS)
    known = {ref.removeprefix(SNAPSHOTS): commit for ref, commit in refs.items()}
    known = {snapshot_id: commit for snapshot_id, commit in known.items() if is_run_id(snapshot_id)}
    with open_reader(archive.repo) as reader:
        chosen = [key for key in known if text in (key, short(key))]
        if not chosen:
            frozen = [_read(reader, key, commit) for key, commit in known.items()]
            chosen = [each.id for each in frozen if each.name == text]
        if not chosen:
            raise RunNotFound(f"no snapshot answers to {text!r}", next="gitrun snapshot")
        if len(chosen) > 1:
            words = f"{text!r} could be {len(chosen)} snapshots: {', '.join(sorted(chosen)[:10])}"
            raise AmbiguousRun(words, sorted(chosen), next="use the id")
        return _read(reader, chosen[0], known[chosen[0]])


def _write(repo: Repository, environ: Mapping[str, str], record: dict[str, Any], shot: Snapshot, now_ns: int) -> str:
    """Write the snapshot's commit durably."""
    writer = PackWriter(repo.objects_dir, repo.object_format, own=OwnPacks(repo.objects_dir, repo.object_format))
    try:
        lines = b"".join(encode_line(entry) for entry in shot.extra)
        roots = [TreeEntry(b"%d" % root.n, DIRECTORY, root.tree) for root in shot.roots]
        entries = [
            TreeEntry(b"snapshot.json", FILE, writer.add("blob", encode(record))),
            TreeEntry(b"source", DIRECTORY, shot.tree),
        ]
        if lines:
            entries.append(TreeEntry(b"extra.jsonl", FILE, writer.add("blob", lines)))
        if roots:
            entries.append(TreeEntry(b"roots", DIRECTORY, writer.add("tree", encode_tree(roots))))
        tree = writer.add("tree", encode_tree(entries))
        message = f"snapshot {record['id']}\n".encode()
        author = identity(repo, environ)
        with open_reader(repo) as reader:
            parents = parse_commit(reader.read(shot.commit)[1]).parents  # HEAD, where the archive has it
        commit = writer.add("commit", encode_commit(tree, parents, author, now_ns // 10**9, "+0000", message))
        writer.finish(sync=True)
        return commit
    except BaseException:
        writer.abort()
        raise


def _read(reader: ObjectReader, snapshot_id: str, commit: str) -> Frozen:
    """Read a snapshot's record; raises DamagedRecord or NewerFormat."""
    try:
        header = parse_commit(reader.read(commit, MAX_BYTES)[1])
        entries = {entry.name: entry.oid for entry in read_tree(reader, header.tree)}
        record = decode(reader.read(entries[b"snapshot.json"], MAX_BYTES)[1])
        extra = decode_lines(reader.read(entries[b"extra.jsonl"], MAX_BYTES)[1]) if b"extra.jsonl" in entries else []
        newer = record["format"] > FORMAT or record.get("requires")
    except (KeyError, TypeError, AttributeError, DecodeProblem) as problem:
        raise DamagedRecord(f"snapshot {snapshot_id} is damaged: {problem!r}", next="git fsck") from problem
    if newer:
        raise NewerFormat(f"snapshot {snapshot_id} was written by a later gitrun", next="pip install --upgrade gitrun")
    return Frozen(snapshot_id, commit, header.parents[0] if header.parents else None, record, extra)
