"""A directory of its own for one run: from a snapshot frozen earlier, or from the files as they are now.

Two runs in one checkout see each other's outputs and each other's edits. `record --isolate` copies
the source to a fresh directory first and runs there; `record --at SNAPSHOT` does the same with a
source that was frozen when the job was submitted. The user's place in the worktree is kept: who
typed the command in `experiments/` gets `experiments/` of the new directory.

The directory stays when the run has ended, because the run's outputs are in it.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from gitrun.capture.snapshot import Root, Snapshot, take_snapshot
from gitrun.errors import HostilePath, NotARepository
from gitrun.files.names import check_component
from gitrun.files.write import make_dirs
from gitrun.git.identity import identity
from gitrun.git.packs import OwnPacks, Pack, PackWriter
from gitrun.git.repository import Repository
from gitrun.git.trees import encode_commit
from gitrun.model.canonical import path_text
from gitrun.model.times import iso
from gitrun.monitor import SILENT, Monitor
from gitrun.replay.checkout import checkout
from gitrun.replay.snapshot import find
from gitrun.replay.source import Source, make_source

if TYPE_CHECKING:
    from gitrun.archive.archive import Archive


class Isolated(NamedTuple):
    """Where the run takes place (`workdir`, below the new worktree `directory`) and the source it has there."""

    directory: str
    workdir: str
    snapshot: Snapshot


def isolate(archive: Archive, run_id: str, cwd: str, at: str | None = None, monitor: Monitor = SILENT) -> Isolated:
    """Make the directory of run `run_id` from the snapshot `at`, or from the working tree around `cwd` as it is now.

    Raises RunNotFound or AmbiguousRun for `at`, NotARepository without a working tree, and what
    `checkout` raises; nothing is left behind then.
    """
    here = archive.here
    if at is not None:
        frozen = find(archive, at)
        source = frozen.source()
        shot = as_snapshot(archive, source, None, frozen.base)
        worktree = str(frozen.record.get("worktree") or "worktree")
    else:
        if here is None or here.worktree is None:
            raise NotARepository("there is no working tree here to isolate", next="cd into a repository")
        worktree = here.worktree
        shot = take_snapshot(
            here, archive.repo, lambda: archive.store, archive.settings, monitor, environ=archive.environ
        )
        extra = list(shot.extra)
        shot = shot._replace(watch=None)  # what changes now in the user's tree is no business of the copy
        source = make_source("the working tree", shot.source, extra, iso(time.time_ns()), shot.commit)
    home = archive.settings.get("isolate.dir") or os.path.join(archive.gitrun_dir, "isolated")
    parent = os.path.join(home, run_id)
    make_dirs(parent)
    directory = os.path.join(parent, name_of(worktree))
    checkout(archive, source, directory, monitor)
    return Isolated(directory, _same_place(directory, cwd, here), shot)


def name_of(worktree: str | None) -> str:
    """The name for a copy of a recorded worktree: its own, where that can be the name of a directory."""
    name = os.path.basename(worktree or "")
    try:
        check_component(os.fsencode(name))
    except (HostilePath, ValueError):
        return "worktree"  # a record may say anything, `/..` included
    return name


def _same_place(directory: str, cwd: str, here: Repository | None) -> str:
    """The directory that corresponds to `cwd`, made where the source has no file in it."""
    if here is None or here.worktree is None:
        return directory
    below = os.path.relpath(os.path.realpath(cwd), os.path.realpath(here.worktree))
    if below == os.curdir or below.startswith(os.pardir):
        return directory
    workdir = os.path.join(directory, below)
    os.makedirs(workdir, exist_ok=True)
    return workdir


def as_snapshot(archive: Archive, source: Source, commit: str | None, parent: str | None = None) -> Snapshot:
    """A source that is kept already, as the recorder takes one.

    `commit` is one whose tree is the source; where there is none, one is written on top of `parent`.
    """
    pack = None
    if commit is None:
        commit, pack = _write_commit(archive, source, parent)
    facts = dict(source.facts)
    roots = [
        Root(root.n, path_text(root.path), root.tree, known)
        for root, known in zip(source.roots, facts.get("roots") or [], strict=True)
    ]
    return Snapshot(source.tree, facts.get("base"), commit, facts, roots, source.lines, pack)


def _write_commit(archive: Archive, source: Source, parent: str | None) -> tuple[str, Pack | None]:
    repo = archive.repo
    writer = PackWriter(repo.objects_dir, repo.object_format, own=OwnPacks(repo.objects_dir, repo.object_format))
    try:
        message = f"{source.label}\n".encode()
        author = identity(repo, archive.environ)
        parents = [parent] if parent else []
        commit = encode_commit(source.tree, parents, author, source.when_ns // 10**9, "+0000", message)
        return writer.add("commit", commit), writer.finish(sync=False)
    except BaseException:
        writer.abort()
        raise
