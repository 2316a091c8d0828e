"""Directories outside the worktree that are source all the same, each as a tree of its own: a root.

An editable install runs from a working copy that lies elsewhere, so a commit of this repository says nothing of it.
Its bytes are captured as those of a submodule are: tracked and untracked files by its own index and ignore rules,
without any conversion. Where it lies in a larger repository only its own directory is taken, and where it lies in
none, the files in it.

These directories are known when the command runs already, and captured beside it. What the program had loaded by
then is compared with the tree when the run has ended (`loaded`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.contents import Shelf
from gitrun.capture.findings import Findings, View, texts
from gitrun.capture.guards import Guard, read_limits
from gitrun.capture.nested import Nested
from gitrun.capture.takings import Place, Tools
from gitrun.capture.trees import Head
from gitrun.capture.uncommon import index_path, load_index
from gitrun.capture.watch import Watch, clock_ns
from gitrun.capture.worktree import capture_worktree
from gitrun.errors import GitrunError, NotARepository
from gitrun.git.executable import clean_environment
from gitrun.git.head import Head as Commit
from gitrun.git.head import read_head
from gitrun.git.ignore import IgnoreRules
from gitrun.git.index import Index, empty_index, read_index_file, size_of
from gitrun.git.objects import ObjectReader, reader_on_demand
from gitrun.git.packs import OwnPacks, PackWriter
from gitrun.git.repository import Repository, discover
from gitrun.git.trees import parse_commit, read_tree
from gitrun.model.canonical import MAX_BYTES, path_text
from gitrun.monitor import SILENT
from gitrun.settings import Settings

if TYPE_CHECKING:
    from gitrun.store.blobs import BlobStore

KIND = "outside"


class RootTrees(NamedTuple):
    """Roots as `source.roots` lists them, with what goes into `extra.jsonl` and two more lists of `source`.

    The trees are durable; the blobs of the lines are once the caller has committed `shelf`, which it closes.
    """

    roots: list[dict[str, Any]]
    extra: list[dict[str, Any]]
    excluded: list[dict[str, Any]]
    changed: list[str]
    problems: list[str]
    shelf: Shelf


class _Own(NamedTuple):
    """A directory as a worktree of its own: its repository, and of that the part below it.

    `below` is its path there (b"" or b"a/b/"), `rules` None where the repository's own are the right ones.
    """

    repo: Repository
    tracked: Index
    head: Commit
    below: bytes = b""
    rules: IgnoreRules | None = None


def capture_roots(
    paths: Iterable[bytes],
    *,
    archive: Repository,
    worktree: bytes | None,
    roots: Sequence[Mapping[str, Any]],
    store: Callable[[], BlobStore],
    settings: Settings,
    environ: Mapping[str, str],
) -> RootTrees:
    """Capture these directories as roots, numbered after `roots`, those of the source so far.

    Absolute paths in any order; what lies in the worktree, in a root or in one another is taken once. A directory
    that cannot be captured is a sentence in `problems`. Raises DiskFull or NotWritable, nothing visible left behind.
    """
    writer = PackWriter(
        archive.objects_dir, archive.object_format, own=OwnPacks(archive.objects_dir, archive.object_format)
    )
    shelf = Shelf(store)
    findings = Findings()
    work = _Roots(archive, writer, shelf, findings, settings, environ, len(roots))
    try:
        for path in _topmost(paths, worktree, roots):
            work.take(path)
        writer.finish(sync=True)
    except BaseException:
        writer.abort()
        shelf.close()
        raise
    excluded = [entry for _, entry in sorted(findings.excluded, key=lambda pair: pair[0])]
    return RootTrees(work.roots, findings.sorted_extra(), excluded, texts(findings.changed), work.problems, shelf)


def _topmost(paths: Iterable[bytes], worktree: bytes | None, roots: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """The directories that nothing else covers."""
    covered = [os.path.realpath(os.fsencode(root["path"])) for root in roots if str(root["path"]).startswith("/")]
    if worktree is not None:
        covered.append(os.path.realpath(worktree))
    found: list[bytes] = []
    for path in sorted({os.path.realpath(path) for path in paths if path.startswith(b"/")}):
        if not any(path == each or path.startswith(each + b"/") for each in (*covered, *found)) and path != b"/":
            found.append(path)
    return found


class _Roots:
    def __init__(
        self,
        archive: Repository,
        writer: PackWriter,
        shelf: Shelf,
        findings: Findings,
        settings: Settings,
        environ: Mapping[str, str],
        number: int,
    ) -> None:
        self._archive = archive
        self._environ = environ
        self._findings = findings
        self._most = settings.get("record.root_bytes"), settings.get("record.root_files")
        limits = read_limits(settings)
        limits = limits._replace(
            max_bytes=min(limits.max_bytes, self._most[0]), max_files=min(limits.max_files, self._most[1])
        )
        self._number = number
        guard = Guard(limits, SILENT)  # the worktree's own guard has warned about what a user can change
        watch = Watch(clock_ns(archive.gitrun_dir(environ)), [])
        self._tools = Tools(archive.object_format, writer, shelf, guard, environ, watch)
        self.roots: list[dict[str, Any]] = []
        self.problems: list[str] = []

    def take(self, path: bytes) -> None:
        """Capture one directory, and the repositories in it."""
        try:
            own = self._open(path)
            self._capture(path, own, KIND)
        except (GitrunError, OSError) as problem:
            self.problems.append(f"{path_text(path)}: {problem}")

    def _open(self, path: bytes) -> _Own:
        top = os.fsdecode(path)
        try:
            around = discover(top, self._archive.git, clean_environment(self._environ))
        except NotARepository:
            around = None
        except GitrunError as problem:
            self.problems.append(f"{top}: taken as plain files: {problem}")
            around = None
        if around is None or around.worktree is None:
            return _Own(self._archive._replace(worktree=top), empty_index(), Commit(None, None))
        repo, head = around._replace(worktree=top), read_head(around)
        name = os.path.relpath(path, os.path.realpath(os.fsencode(around.worktree)))
        below = b"" if name == b"." else name + b"/"
        rules = IgnoreRules.for_repository(around, below) if below else None
        if rules is not None and rules.is_inside_ignored(b""):
            rules = None  # somebody installed what is ignored here, so all of it counts
        index = self._index_of(around)
        return _Own(repo, _below(index, below) if below else index, head, below, rules)

    def _index_of(self, repo: Repository) -> Index:
        if repo.object_format != self._archive.object_format:
            return empty_index()  # the ids in it mean nothing here: everything is read
        return load_index(repo, read_index_file(index_path(repo)), self._environ)[0]

    def _refuse_large(self, own: _Own) -> None:
        """Tracked files are taken whatever they weigh, so what is too much is found before."""
        entries = [entry for files in own.tracked.files.values() for entry in files.values()]
        size = sum(map(size_of, entries))
        most_bytes, most_files = self._most
        if size > most_bytes or len(entries) > most_files:
            raise GitrunError(
                f"{len(entries)} tracked files, {size} bytes: more than record.root_files or record.root_bytes; "
                "of these, only what the run loaded is kept"
            )

    def _capture(self, path: bytes, own: _Own, kind: str) -> None:
        self._refuse_large(own)
        n = self._number + 1
        view = View(self._findings, path + b"/", n)
        try:
            with reader_on_demand(own.repo) as reader:
                head = Head(self._head_tree(own, reader), False)
                place = Place(own.repo, view, head, True, frozenset(), reader, own.tracked, own.rules)
                captured = capture_worktree(place, self._tools)
        except BaseException:
            extra = self._findings.extra
            for name in [name for name, line in extra.items() if line.get("root") == n]:
                del extra[name]
            raise
        self._number = n
        known = own.head.commit is not None and own.repo.object_format == self._archive.object_format
        facts: dict[str, Any] = {"n": n, "path": path_text(path), "tree": captured.tree, "kind": kind}
        facts.update(commit=own.head.commit, branch=own.head.branch, dirty=captured.is_dirty if known else None)
        self.roots.append(facts)
        for inner in sorted(captured.nested):
            self._take_nested(path, inner)

    def _head_tree(self, own: _Own, reader: Callable[[], ObjectReader]) -> bytes | None:
        """The raw id of HEAD's tree of this directory; None where there is none, or where it is not at hand."""
        if own.head.commit is None or own.repo.object_format != self._archive.object_format:
            return None
        try:
            oid = parse_commit(reader().read(own.head.commit, MAX_BYTES)[1]).tree
            for name in own.below.split(b"/")[:-1]:
                oid = next(entry.oid for entry in read_tree(reader(), oid) if entry.name == name)
        except (KeyError, StopIteration, GitrunError):
            return None  # a shallow or broken clone, or nothing here is committed: the files are there all the same
        return bytes.fromhex(oid)

    def _take_nested(self, outer: bytes, nested: Nested) -> None:
        path = os.path.join(outer, nested.path[:-1])
        try:
            index = empty_index() if nested.kind == "files" else self._index_of(nested.repo)
            self._capture(path, _Own(nested.repo, index, nested.head), nested.kind)
        except (GitrunError, OSError) as problem:
            self.problems.append(f"{path_text(path)}: {problem}")


def _below(index: Index, prefix: bytes) -> Index:
    """The part of an index below a directory, as if that were the top."""
    cut = len(prefix)
    return Index(
        index.version,
        index.mtime_ns,
        {name[cut:]: files for name, files in index.files.items() if name.startswith(prefix)},
        {name[cut:]: below for name, below in index.below.items() if name.startswith(prefix)},
        {name[cut:]: tree for name, tree in index.trees.items() if name.startswith(prefix)},
        {path[cut:]: flags for path, flags in index.extended.items() if path.startswith(prefix)},
        {path[cut:]: stages for path, stages in index.conflicts.items() if path.startswith(prefix)},
    )
