"""Git itself as the store of a remote, for whoever has nothing else: each pack is a commit behind a ref.

    refs/gitrun/packs/<sha256>    a commit whose tree is the pack in pieces of 256 KiB, named 0000, 0001, …
    refs/gitrun/tails/<sha256>    a commit whose tree is one file, `tail`: index and trailer of that pack

Nothing in a clone points to these, so that nobody gets them who does not ask. The tail has a ref of its own because
Git brings all of what a ref names: whoever looks for a blob brings tails, and only then packs. Both refs are made and
never moved, and the commits say nothing of who made them or when: two machines that send one pack make the same refs.

A pack is compressed already. Git's defaults would spend minutes on trying again, with a window of whole packs in
memory; so the objects are written as a Git pack with stored blobs, and git is told to send them as they are. The
pieces are for the other side: a push of a hundred objects is kept as the pack that it came in, one of fewer is
unpacked and compressed object by object, which takes ten times as long. What was sent before a cut is there: packs go
in pushes of at most 256 MiB.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence

from gitrun.archive.archive import Archive
from gitrun.errors import BlobNotFound, DamagedRecord, DamagedStore, GitFailed, RemoteFailed
from gitrun.git.identity import FALLBACK
from gitrun.git.objects import ObjectReader, open_reader
from gitrun.git.packs import PackWriter
from gitrun.git.transport import DONE, TAKEN, THERE, Remote, Update
from gitrun.git.transport_quarantine import Quarantine
from gitrun.git.trees import FILE, TreeEntry, encode_commit, encode_tree, file_of_commit, parse_commit, read_tree
from gitrun.monitor import SILENT, Monitor
from gitrun.remote.stores.protocol import MOST_TAIL_BYTES, Limits, LocalPack, is_pack_name, wrong_bytes

PACKS = "refs/gitrun/packs/"
TAILS = "refs/gitrun/tails/"
_TAIL = b"tail"
_PIECE_BYTES = 256 << 10
_PUSH_BYTES = 256 << 20
_FETCH_PACKS = 8
_FETCH_TAILS = 1000
_TRIES = 4
_PAUSE_S = 0.3
_AS_IT_IS = {
    "pack.window": "0",  # no search for similar packs: there are none
    "pack.compression": "0",
    "core.compression": "0",
    "core.bigFileThreshold": "1m",  # larger blobs are streamed, not held
    "pack.threads": "1",
    "core.packedGitWindowSize": "8m",  # what is mapped of the packs that are read, else up to all of them
    "core.packedGitLimit": "32m",
}


class GitStore:
    """The packs behind refs of a Git remote."""

    has_ranges = False
    limits: Limits | None = Limits(256 << 20, 1 << 30)

    def __init__(self, archive: Archive, remote: Remote, monitor: Monitor = SILENT) -> None:
        self.where = f"inside Git at {remote.name}"
        self.key = remote.key
        self._archive = archive
        self._remote = remote
        self._monitor = monitor
        self._refs: dict[str, str] = {}
        self._expected: list[str] = []
        self._brought: dict[str, str] = {}  # packs in the quarantine, with their objects
        self._incoming: Quarantine | None = None
        self._open: tuple[str, list[str]] | None = None  # the pack that was read last, and its pieces
        self._reader: ObjectReader | None = None
        self._lock = threading.Lock()

    def names(self) -> set[str]:
        """The packs that are there, whole."""
        self._refs = self._remote.refs([PACKS, TAILS], self._monitor)
        return self._whole()

    def tails(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """The tails of packs that are there; one that is gone by now is left out."""
        listed = [name for name in names if TAILS + name in self._refs]
        for at in range(0, len(listed), _FETCH_TAILS):
            wants = {TAILS + name: self._refs[TAILS + name] for name in listed[at : at + _FETCH_TAILS]}
            with self._quarantine() as incoming:
                self._remote.fetch(wants, incoming, (), self._monitor)
                with open_reader(incoming.repo) as reader:
                    for ref, commit in wants.items():
                        try:
                            yield ref.removeprefix(TAILS), file_of_commit(reader, commit, _TAIL, MOST_TAIL_BYTES)
                        except (KeyError, DamagedRecord, GitFailed) as problem:
                            told = _not_ours(commit, problem)
                            self._monitor.warn("W050", f"{self.where}: {told}; its blobs are not found")

    def put(self, packs: Iterable[LocalPack], monitor: Monitor = SILENT) -> None:
        """Keep these packs, durably; each is checked against its name, and one that is there already is not sent."""
        there = self._whole() if self._refs else self.names()  # as of the plan: each look lists every ref
        batch: _Batch | None = None
        try:
            for pack in packs:
                if pack.name in there:
                    continue
                if batch is not None and batch.size_bytes + pack.size_bytes > _PUSH_BYTES:
                    self._push(batch, monitor)
                    batch.close()
                    batch = None
                batch = batch or _Batch(self._quarantine(_AS_IT_IS))
                batch.add(pack)
            if batch is not None:
                self._push(batch, monitor)
        finally:
            if batch is not None:
                batch.close()

    def get(self, name: str, offset: int, length: int) -> bytes:
        """So many bytes of a pack from there on, fewer at its end; raises BlobNotFound where it is gone."""
        with self._lock:
            if self._open is None or self._open[0] != name:
                self._open = name, self._pieces_of(name)
            wanted = self._open[1][offset // _PIECE_BYTES : -(-(offset + length) // _PIECE_BYTES)]
            assert self._reader is not None
            try:
                found = [data for _, _, data in self._reader.many(wanted, _PIECE_BYTES)]
            except (KeyError, GitFailed) as problem:
                raise _not_ours(self._brought[name], problem) from problem
        if any(len(piece) < _PIECE_BYTES for piece in found[:-1]):
            raise _not_ours(self._brought[name], "a piece of it is too short")
        start = offset % _PIECE_BYTES
        return b"".join(found)[start : start + length]

    def expect(self, names: Sequence[str]) -> None:
        """That these packs will be read: they are brought eight at a time."""
        self._expected = list(names)

    def remove(self, names: Collection[str]) -> None:
        """No longer hold these packs; the tail goes first. The host gives the space back when it collects."""
        there = self._remote.refs([PACKS, TAILS], self._monitor)
        for kind in (TAILS, PACKS):
            going = {kind + name: there[kind + name] for name in names if kind + name in there}
            results = self._remote.delete(going, self._monitor) if going else []
            if failed := [result for result in results if result.state != DONE]:
                raise RemoteFailed(
                    f"{self._remote.name} did not remove {failed[0].name}: {failed[0].why or failed[0].state}",
                    kept="every pack that is there still",
                    next=f"gitrun remote check {self._remote.name}",
                )

    def close(self) -> None:
        """Remove what was brought."""
        self._open = None
        self._brought = {}
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._incoming is not None:
            self._incoming.close()
            self._incoming = None

    def _whole(self) -> set[str]:
        packs = {ref.removeprefix(PACKS) for ref in self._refs if ref.startswith(PACKS)}
        return {name for name in packs if is_pack_name(name) and TAILS + name in self._refs}

    def _quarantine(self, settings: dict[str, str] | None = None) -> Quarantine:
        made = Quarantine(self._archive.repo, self._archive.gitrun_dir)
        if settings:
            made.repo = made.repo._replace(environ=_with_settings(dict(made.repo.environ), settings))
        return made

    def _pieces_of(self, name: str) -> list[str]:
        """The objects that are a pack, in order."""
        if name not in self._brought:
            self._bring(name)
        assert self._incoming is not None
        if self._reader is None:
            self._reader = open_reader(self._incoming.repo)
        commit = self._brought[name]
        try:
            header = parse_commit(self._reader.read(commit, _PIECE_BYTES)[1])
            return [entry.oid for entry in read_tree(self._reader, header.tree)]
        except (KeyError, DamagedRecord, GitFailed) as problem:
            raise _not_ours(commit, problem) from problem

    def _bring(self, name: str) -> None:
        """Fetch a pack and those that are expected after it; what was brought before it is removed."""
        at = self._expected.index(name) if name in self._expected else None
        some = [name] if at is None else self._expected[at : at + _FETCH_PACKS]
        wants = {PACKS + each: self._refs[PACKS + each] for each in some if PACKS + each in self._refs}
        if PACKS + name not in wants:
            raise BlobNotFound(f"E051 {self.where} has no pack {name} any more")
        self.close()
        self._incoming = self._quarantine()
        self._remote.fetch(wants, self._incoming, (), self._monitor)
        self._brought = {ref.removeprefix(PACKS): commit for ref, commit in wants.items()}

    def _push(self, batch: _Batch, monitor: Monitor) -> None:
        """Send a batch; where others make the same refs at the same moment, look again what is left to do."""
        updates, why = batch.finish(), ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE_S * attempt * (1 + int.from_bytes(os.urandom(1), "big") / 256))
                self.names()
                updates = [update for update in updates if update.name not in self._refs]
            results = self._remote.push(updates, monitor, batch.objects).results if updates else []
            left = [result for result in results if result.state not in (DONE, THERE)]
            if not left:
                return
            why = left[0].why or left[0].state
            if not any(result.state == TAKEN for result in left):
                break
        raise RemoteFailed(
            f"{self._remote.name} did not take the refs of packs: {why}",
            kept="everything here, and what has arrived there",
            next=f"gitrun remote check {self._remote.name}",
        )


class _Batch:
    """Packs as Git objects, on their way in one push."""

    def __init__(self, objects: Quarantine) -> None:
        self.objects = objects
        self.size_bytes = 0
        self._writer = objects.writer()
        self._updates: list[Update] = []

    def add(self, pack: LocalPack) -> None:
        """Write a pack and its tail, each as a commit; raises DamagedStore where it is not what it is named by."""
        pieces = [
            TreeEntry(b"%04x" % number, FILE, self._writer.add("blob", piece, level=0))
            for number, piece in enumerate(_pieces(pack))
        ]
        commit = _commit(self._writer, pieces, f"pack {pack.name}\n")
        tail = TreeEntry(_TAIL, FILE, self._writer.add("blob", pack.tail))
        told = _commit(self._writer, [tail], f"tail of pack {pack.name}\n")
        self._updates += [Update(PACKS + pack.name, commit), Update(TAILS + pack.name, told)]
        self.size_bytes += pack.size_bytes

    def finish(self) -> list[Update]:
        """The refs to make, once their objects can be read."""
        self._writer.finish(sync=False)
        return self._updates

    def close(self) -> None:
        """Remove the objects."""
        self._writer.abort()
        self.objects.close()


def _commit(writer: PackWriter, entries: list[TreeEntry], message: str) -> str:
    tree = writer.add("tree", encode_tree(entries))
    return writer.add("commit", encode_commit(tree, [], FALLBACK, 0, "+0000", message.encode()))


def _pieces(pack: LocalPack) -> Iterator[bytes]:
    digest, left = hashlib.sha256(), pack.size_bytes
    with open(pack.path, "rb", buffering=0) as file:
        while left and (piece := file.read(min(_PIECE_BYTES, left))):
            digest.update(piece)
            left -= len(piece)
            yield piece
    if digest.hexdigest() != pack.name:
        raise wrong_bytes(pack)


def _not_ours(commit: str, problem: object) -> DamagedStore:
    return DamagedStore(f"E051 commit {commit} is not what the ref of a pack should name: {problem}")


def _with_settings(environ: dict[str, str], settings: dict[str, str]) -> dict[str, str]:
    """The environment with settings that count over those of all files."""
    count = environ.get("GIT_CONFIG_COUNT", "0")
    at = int(count) if count.isdigit() else 0
    for n, (key, value) in enumerate(settings.items(), at):
        environ[f"GIT_CONFIG_KEY_{n}"], environ[f"GIT_CONFIG_VALUE_{n}"] = key, value
    environ["GIT_CONFIG_COUNT"] = str(at + len(settings))
    return environ
