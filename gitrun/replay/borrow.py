"""Which repository a checkout's `.git` borrows from, and what it says about HEAD.

The archive lends its objects to the worktree. A submodule or embedded repository keeps its objects
in a repository of its own; where that still exists and has the recorded commit, its root gets a
`.git` as well, and where it does not, the files are there without one, as in a release tarball.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from gitrun.errors import DamagedRecord, GitrunError
from gitrun.files.names import show
from gitrun.git.executable import clean_environment
from gitrun.git.objects import ObjectReader, open_reader
from gitrun.git.refs import read_refs
from gitrun.git.repository import Repository, discover
from gitrun.git.trees import parse_commit
from gitrun.model.canonical import MAX_BYTES
from gitrun.monitor import Monitor
from gitrun.replay.index_file import encode_index
from gitrun.replay.plan import Item, Trees
from gitrun.replay.private_git import Identity, full_branch, write_git_directory
from gitrun.replay.source import Root, Source
from gitrun.replay.tracked import tracked, tracked_by_commit

if TYPE_CHECKING:
    from gitrun.archive.archive import Archive

_UNBORN = "refs/heads/main"


def give_git(
    archive: Archive, reader: ObjectReader, source: Source, trees: Trees, place: str, monitor: Monitor
) -> None:
    """Give the worktree at `place`, and every root in it that can have one, a private `.git`."""
    head, committed = _head(source, reader, trees, monitor)
    tree = trees.walk(source.tree, source.label)
    index = encode_index(tracked(source, committed, tree, _stat_below(place)), archive.repo.object_format)
    tags = read_refs(archive.repo, "refs/tags/")
    remotes = {str(name): str(url) for name, url in (source.facts.get("remotes") or {}).items()}
    write_git_directory(os.path.join(place, ".git"), archive.repo, head, tags, remotes, index)
    for root in source.roots:
        if not root.is_outside:
            _give_root_git(archive, source, root, trees, place)


def _head(source: Source, reader: ObjectReader, trees: Trees, monitor: Monitor) -> tuple[Identity, list[Item]]:
    """What HEAD is, and the files of its commit."""
    branch = None if source.facts.get("detached") else full_branch(source.facts.get("branch"))
    base = source.facts.get("base")
    if base is None:
        return Identity(branch or _UNBORN, None), []
    committed = _files_of(str(base), reader, trees)
    if committed is None:
        monitor.warn("W032", f"the archive does not have the commit {base}: Git answers as before the first commit")
        return Identity(branch or _UNBORN, None), []
    return Identity(branch, str(base)), committed


def _files_of(commit: str, reader: ObjectReader, trees: Trees) -> list[Item] | None:
    """The files of a commit, None where the commit is not there to be borrowed."""
    try:
        kind, data = reader.read(commit, MAX_BYTES)
    except KeyError:
        return None
    if kind != "commit":
        raise DamagedRecord(f"{commit} is a {kind}, not a commit")
    tree = parse_commit(data).tree
    trees.load([tree], f"commit {commit}")
    return list(trees.walk(tree, f"commit {commit}"))


def _give_root_git(archive: Archive, source: Source, root: Root, trees: Trees, place: str) -> None:
    lender = None if root.commit is None else _lender(archive, root)
    if lender is None or root.commit is None:
        return
    with open_reader(lender) as reader:
        committed = _files_of(root.commit, reader, Trees(reader))
    if committed is None:
        return  # its repository has moved on and pruned the commit
    at = os.path.join(place, os.fsdecode(root.path))
    tree = trees.walk(root.tree, source.label)
    index = encode_index(tracked_by_commit(committed, tree, _stat_below(at)), lender.object_format)
    tags = read_refs(lender, "refs/tags/")
    write_git_directory(os.path.join(at, ".git"), lender, Identity(None, root.commit), tags, {}, index)


def _lender(archive: Archive, root: Root) -> Repository | None:
    """The repository of a submodule or embedded repository, where it still is."""
    for around in (archive.here, archive.repo):
        if around is None or around.worktree is None:
            continue
        at = os.path.join(around.worktree, os.fsdecode(root.path))
        if not os.path.lexists(os.path.join(at, ".git")):
            continue
        try:
            return discover(at, archive.repo.git, clean_environment(archive.environ))
        except GitrunError as problem:
            archive.monitor.warn("W033", f"{show(root.path)} gets no .git: {problem}")
    return None


def _stat_below(place: str) -> Callable[[bytes], os.stat_result | None]:
    before = os.fsencode(place) + b"/"

    def stat(path: bytes) -> os.stat_result | None:
        try:
            return os.lstat(before + path)
        except OSError:
            return None  # a link or a directory that leads elsewhere: Git will look for itself

    return stat
