"""The source a run starts from, frozen: one tree, one commit on top of HEAD, one pack.

Nothing of the user's is written: not the index, not HEAD, no ref outside refs/gitrun/ (none at all
here), no file of the worktree. What comes out is a commit S whose tree is the source and whose parent
is HEAD, in a pack with a `.keep`, plus what no Git tree can hold: files in the store, lists of what
was left out, and the trees of repositories that lie inside.

The caller pins HEAD by a live ref before and S after; the pack is written and not yet synced.
"""

from __future__ import annotations

import gc
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.contents import Shelf
from gitrun.capture.findings import Findings, View, texts
from gitrun.capture.guards import Guard, read_limits
from gitrun.capture.nested import Nested
from gitrun.capture.takings import Place, Tools
from gitrun.capture.trees import Head as TreesHead
from gitrun.capture.watch import Watch, clock_ns
from gitrun.capture.worktree import Captured, capture_worktree
from gitrun.errors import DamagedRecord, DamagedRepository, UnsupportedRepository, from_os_error
from gitrun.git.head import Head, read_head
from gitrun.git.identity import identity
from gitrun.git.index import empty_index
from gitrun.git.objects import ObjectReader, open_reader, read_loose
from gitrun.git.packs import OwnPacks, Pack, PackWriter
from gitrun.git.refs import RUNS, read_refs
from gitrun.git.repository import Repository
from gitrun.git.trees import encode_commit, parse_commit
from gitrun.model.canonical import path_text
from gitrun.monitor import SILENT, Monitor
from gitrun.settings import Settings

if TYPE_CHECKING:
    from gitrun.capture.recorded_outputs import RecordedOutputs
    from gitrun.store.blobs import BlobStore

_PASSWORD = re.compile(r"(?<=://)[^/@]*@")
_USER = re.compile(r"(?<=://)([^/@:]*):[^/@]*@")


class Root(NamedTuple):
    """A tree that a gitlink stands for: its number, its path below the worktree, its tree, its facts."""

    n: int
    path: str
    tree: str
    facts: dict[str, Any]


class Snapshot(NamedTuple):
    """A frozen source: `commit` is S, `base` HEAD, `source` and `extra` what the record says of it.

    `pack` is in place and not synced; None when gitrun's packs had everything. `watch` tells later
    what changed since, for a snapshot of files that the command is about to read.
    """

    tree: str
    base: str | None
    commit: str
    source: dict[str, Any]
    roots: list[Root]
    extra: list[dict[str, Any]]
    pack: Pack | None
    watch: Watch | None = None
    promises: Shelf | None = None

    def release(self) -> None:
        """Let go of the blobs in `extra`: something on disk that a collector reads names them by now."""
        if self.promises is not None:
            self.promises.close()


def take_snapshot(
    repo: Repository,
    archive: Repository,
    store: Callable[[], BlobStore],
    settings: Settings,
    monitor: Monitor = SILENT,
    *,
    environ: Mapping[str, str],
) -> Snapshot:
    """Freeze the worktree of `repo` into `archive`; `store` is called when a file has to go there.

    Raises UnsupportedRepository, DamagedRepository, DiskFull, NotWritable or GitFailed, and leaves
    nothing visible then.
    """
    if repo.object_format != archive.object_format:
        raise UnsupportedRepository(
            f"this repository uses {repo.object_format} and the archive {archive.object_format}",
            next="unset GITRUN_ARCHIVE",
        )
    writer = PackWriter(
        archive.objects_dir, archive.object_format, own=OwnPacks(archive.objects_dir, archive.object_format)
    )
    shelf = Shelf(store)
    # Millions of small tuples and nothing circular: the collector would only look at them again and again.
    collects = gc.isenabled()
    gc.disable()
    try:
        watch = Watch(clock_ns(archive.gitrun_dir(environ)), [])
        guard = Guard(read_limits(settings), monitor)
        recorded = _recorded(repo, archive, environ)
        tools = Tools(repo.object_format, writer, shelf, guard, environ, watch, recorded)
        taken = _Snapshotter(repo, archive, tools).take()
        shelf.commit()
        pack = writer.finish(sync=False)
    except BaseException as problem:
        writer.abort()
        shelf.close()
        if isinstance(problem, OSError):
            raise from_os_error(problem, "taking a snapshot") from problem
        raise
    finally:
        if collects:
            gc.enable()
    tools.guard.warn()
    return taken._replace(pack=pack, watch=watch, promises=shelf)


def _recorded(repo: Repository, archive: Repository, environ: Mapping[str, str]) -> RecordedOutputs | None:
    """What earlier runs left in this worktree; None where no run has left anything."""
    gitrun_dir = archive.gitrun_dir(environ)
    if repo.worktree is None or not os.path.isdir(os.path.join(gitrun_dir, "cache", "outputs")):
        return None
    from gitrun.capture.recorded_outputs import RecordedOutputs  # a millisecond, for nothing in a new archive

    def runs() -> list[str]:
        return [name.removeprefix(RUNS) for name in read_refs(archive, RUNS)]

    return RecordedOutputs(gitrun_dir, repo.worktree, runs)


class _Snapshotter:
    def __init__(self, repo: Repository, archive: Repository, tools: Tools) -> None:
        self._repo = repo
        self._archive = archive
        self._tools = tools
        self._findings = Findings()
        self._roots: list[Root] = []
        self._readers: list[ObjectReader] = []

    def take(self) -> Snapshot:
        try:
            head = read_head(self._repo)
            reader = self._lazy(self._repo)
            head_tree = _tree_of(self._repo, head.commit, reader)
            covers = head_tree is not None and self._archive_has(head.commit, head_tree)
            view, skip = View(self._findings), self._never_source(self._repo)
            place = Place(self._repo, view, TreesHead(head_tree, covers), False, skip, reader)
            captured = capture_worktree(place, self._tools)
            for nested in sorted(captured.nested):
                self._take_root(nested, b"")
        finally:
            for opened in self._readers:
                opened.close()
        parents = [head.commit] if covers and head.commit else []
        author = identity(self._archive, self._tools.environ)
        message = b"the source of a run\n"
        commit = encode_commit(captured.tree, parents, author, int(time.time()), "+0000", message)
        oid = self._tools.writer.add("commit", commit)
        self._roots.sort(key=lambda root: os.fsencode(root.path))
        source = self._facts(head, captured)
        return Snapshot(captured.tree, head.commit, oid, source, self._roots, self._findings.sorted_extra(), None)

    def _lazy(self, repo: Repository) -> Callable[[], ObjectReader]:
        """A reader that is opened by the first question: often there is none."""
        opened: list[ObjectReader] = []

        def reader() -> ObjectReader:
            if not opened:
                opened.append(open_reader(repo))
                self._readers.append(opened[0])
            return opened[0]

        return reader

    def _archive_has(self, commit: str | None, tree: bytes) -> bool:
        """Whether a commit and its tree are in the archive, so that S can have it as its parent."""
        if self._archive.objects_dir == self._repo.objects_dir:
            return True
        reader = self._lazy(self._archive)()
        return commit is not None and reader.has(commit) and reader.has(tree.hex())

    def _take_root(self, nested: Nested, outer: bytes) -> None:
        """Capture a nested repository, then those inside it."""
        prefix = outer + nested.path
        n = len(self._roots) + 1
        root = Root(n, path_text(prefix[:-1]), "", {})
        self._roots.append(root)
        reader = self._lazy(nested.repo)
        try:
            head_tree = _tree_of(nested.repo, nested.head.commit, reader)
        except DamagedRepository:
            head_tree = None  # a shallow or broken clone: its files are there all the same
        view = View(self._findings, prefix, n)
        skip = self._never_source(nested.repo)
        tracked = empty_index() if nested.kind == "files" else None
        place = Place(nested.repo, view, TreesHead(head_tree, False), True, skip, reader, tracked)
        captured = capture_worktree(place, self._tools)
        facts = {
            "n": n,
            "path": root.path,
            "tree": captured.tree,
            "commit": nested.head.commit,
            "branch": nested.head.branch,
            "dirty": captured.is_dirty,
            "kind": nested.kind,
        }
        self._roots[n - 1] = root._replace(tree=captured.tree, facts=facts)
        for inner in sorted(captured.nested):
            self._take_root(inner, prefix)

    def _never_source(self, repo: Repository) -> frozenset[bytes]:
        """Directories inside the worktree that are Git's or gitrun's own."""
        assert repo.worktree is not None
        top = os.path.realpath(repo.worktree) + os.sep
        own = [
            self._archive.gitrun_dir(self._tools.environ),
            self._archive.common_dir,
            self._repo.git_dir,
            self._repo.common_dir,
            repo.git_dir,
            repo.common_dir,
        ]
        inside = [path[len(top) :] for path in map(os.path.realpath, own) if path.startswith(top)]
        return frozenset(os.fsencode(path) + b"/" for path in inside)

    def _facts(self, head: Head, captured: Captured) -> dict[str, Any]:
        """The `source` object of run.json."""
        modified, deleted, _, staged, unstaged = captured.comparison
        elsewhere = captured.beside.intersection(deleted)
        unread = {path for path, entry in self._findings.excluded if entry["reason"] == "unreadable"}
        return {
            "object_format": self._repo.object_format,
            "tree": captured.tree,
            "base": head.commit,
            "branch": head.branch,
            "detached": head.detached,
            "dirty": captured.is_dirty,
            "modified": texts(elsewhere.union(modified)),
            "deleted": texts(set(deleted) - captured.beside - captured.absent - unread),
            "untracked": texts(captured.untracked),
            "conflicts": texts(captured.conflicts),
            "index_tracked_new": texts(staged),
            "removed_from_index": texts(unstaged),
            "roots": [root.facts for root in self._roots],
            "remotes": _remotes(self._repo),
            "shallow": self._repo.is_shallow,
            "sparse": captured.sparse,
            **self._findings.sorted_facts(),
        }


def _tree_of(repo: Repository, commit: str | None, reader: Callable[[], ObjectReader]) -> bytes | None:
    """The raw id of a commit's tree; raises DamagedRepository when the commit is not there."""
    if commit is None:
        return None
    try:
        _, content = read_loose(repo, commit) or reader().read(commit)
        return bytes.fromhex(parse_commit(content).tree)
    except (KeyError, DamagedRecord) as problem:
        raise DamagedRepository(f"HEAD is {commit}, and that commit cannot be read", next="git fsck") from problem


def _remotes(repo: Repository) -> dict[str, str]:
    """The URL of each remote, without user names and passwords."""
    found = {}
    for key in repo.config.keys("remote."):
        if key.endswith(".url"):
            url = repo.config.get_all(key)[0]
            found[key[len("remote.") : -len(".url")]] = redact_url(url)
    return found


def redact_url(url: str) -> str:
    """A URL without its password, and without the user (often a token) where it goes over HTTP."""
    if url.startswith(("http://", "https://", "ftp://", "ftps://")):
        return _PASSWORD.sub("", url)
    return _USER.sub(r"\1@", url)
