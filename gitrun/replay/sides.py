"""The two sides of a `diff`: a run, or the working tree as it is at this moment.

A working tree has no objects to compare until it is snapshot, and a look must leave nothing
behind. So its snapshot goes into a scratch repository that borrows every object of the archive
and is removed afterwards; Git then compares two trees as if both were old.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from gitrun.archive.archive import Archive
from gitrun.archive.contract import content
from gitrun.archive.run import Run
from gitrun.errors import DamagedRecord, GitFailed, GitrunError
from gitrun.git.diff import tree_diff
from gitrun.git.objects import ObjectReader, open_reader
from gitrun.git.repository import Repository
from gitrun.git.trees import DIRECTORY, GITLINK, TreeEntry, read_tree, tree_changes
from gitrun.replay.difference import Difference, differences
from gitrun.store.blobs import BlobStore

_PARTS = ("config", "environment", "hardware")
TOPICS = (*_PARTS, "seeds")


class Side(NamedTuple):
    """What is compared: a tree in `repo`, files beside it by path, values by topic where there are any, and the run."""

    label: str
    repo: Repository
    tree: str | None
    beside: dict[str, str]
    values: dict[str, Any]
    run: Run | None = None


def side_of_run(archive: Archive, run: Run) -> Side:
    """A run as a side; raises DamagedRecord or NewerFormat."""
    values: dict[str, Any] = {topic: content(run.value(f"{topic}.json")) for topic in _PARTS}
    config, environment, extra = values["config"], values["environment"], run.value("extra.jsonl") or []
    try:
        values["config"] = {**(config.get("values") or {}), "(arguments)": config.get("positional") or None}
        values["environment"] = {**environment, "distributions": _versions(environment.get("distributions"))}
        values["seeds"] = run.record.get("seeds") or {}
        return Side(f"run {run.id}", archive.repo, run.source_tree, _beside(extra), values, run)
    except (KeyError, TypeError, AttributeError) as problem:
        what = f"a part of its record is not what it should be: {problem!r}"
        raise DamagedRecord(f"run {run.id} is damaged: {what}", next="git fsck") from problem


@contextmanager
def working_tree(archive: Archive) -> Iterator[Side]:
    """The working tree as a side, of which nothing is kept; without config and environment: nothing was run."""
    from gitrun.capture.hardware import capture_hardware  # what takes a snapshot is not loaded to read one
    from gitrun.capture.snapshot import take_snapshot

    if archive.here is None:
        raise GitrunError("there is no working tree here to compare with", next="gitrun diff A B")
    with TemporaryDirectory(prefix="gitrun-diff-") as directory:
        scratch = _scratch(directory, archive.repo, archive.here)
        snapshot = take_snapshot(
            archive.here,
            scratch,
            lambda: BlobStore(os.path.join(directory, "gitrun")),
            archive.settings,
            archive.monitor,
            environ=scratch.environ,
        )
        values = {"hardware": content(capture_hardware(environ=archive.environ).value)}
        yield Side("the working tree", scratch, snapshot.tree, _beside(snapshot.extra), values)


def compare_values(a: Side, b: Side) -> dict[str, list[Difference]]:
    """The differences of every topic that both sides know."""
    return {
        topic: differences(a.values[topic], b.values[topic])
        for topic in TOPICS
        if topic in a.values and topic in b.values
    }


def changed_paths(a: Side, b: Side) -> list[bytes]:
    """The paths whose bytes or modes differ, in the tree or beside it, sorted; raises DamagedRecord."""
    with open_reader(b.repo, lazy_fetch=True) as reader:
        in_trees = {path for path, _, _ in _changed(reader, a, b)}
    beside = {key for key, _, _ in differences(a.beside, b.beside)}
    return sorted(in_trees | {os.fsencode(path) for path in beside})


def patch(a: Side, b: Side, colour: bool) -> bytes:
    """The difference of the source trees, as `git diff` prints it; raises DamagedRecord naming the run to blame.

    The trees are looked at first and the files when the diff has failed, so that what is damaged is said in
    the same words whatever program compares.
    """
    if not a.tree or not b.tree or a.tree == b.tree:
        return b""
    with open_reader(b.repo, lazy_fetch=True) as reader:
        changes = list(_changed(reader, a, b))
    try:
        return tree_diff(b.repo, a.tree, b.tree, [], colour)
    except GitFailed:
        for path, old, new in changes:
            for side, entry in ((a, old), (b, new)):
                if entry is not None and entry.mode not in (DIRECTORY, GITLINK):
                    _check_file(side, path, entry.oid)
        raise


Change = tuple[bytes, TreeEntry | None, TreeEntry | None]


def _changed(reader: ObjectReader, a: Side, b: Side) -> Iterator[Change]:
    """What differs between two trees, by path; equal subtrees are never opened."""
    return tree_changes(a.tree, b.tree, partial(_entries, reader, a), partial(_entries, reader, b))


def _entries(reader: ObjectReader, side: Side, tree: str) -> list[TreeEntry]:
    try:
        return read_tree(reader, tree)
    except (DamagedRecord, GitFailed) as problem:  # git and dulwich differ in what they call missing, corrupt, or none
        raise _damaged(side, f"tree {tree} is missing or corrupt") from problem


def _check_file(side: Side, path: bytes, oid: str) -> None:
    with open_reader(side.repo) as reader:  # one each: git's does not outlive a corrupt object
        try:
            reader.read(oid)
        except (KeyError, GitFailed) as problem:
            raise _damaged(side, f"the content of {os.fsdecode(path)}, {oid}, is missing or corrupt") from problem


def _damaged(side: Side, what: str) -> DamagedRecord:
    return DamagedRecord(f"{side.label} is damaged: {what}", next="git fsck")


def _versions(distributions: Any) -> dict[str, str]:
    """Each distribution by name: its version, and the start of the digest of what is installed under it."""
    return {
        str(each.get("name")): f"{each.get('version')} ({str(each['record'])[:8]})"
        if each.get("record")
        else str(each.get("version"))
        for each in distributions or []
    }


def _beside(extra: list[Any]) -> dict[str, str]:
    return {str(entry["path"]): str(entry["sha256"]) for entry in extra if not entry.get("root")}


def _scratch(directory: str, archive: Repository, here: Repository) -> Repository:
    """A repository in `directory` whose new objects stay there and which borrows those of the other two."""
    git_dir = os.path.join(directory, "git")
    objects_dir = os.path.join(git_dir, "objects")
    os.makedirs(os.path.join(objects_dir, "info"))
    os.makedirs(os.path.join(objects_dir, "pack"))
    os.mkdir(os.path.join(git_dir, "refs"))
    sha256 = archive.object_format == "sha256"
    _write(git_dir, "HEAD", "ref: refs/heads/none\n")
    _write(
        git_dir,
        "config",
        f"[core]\n\trepositoryformatversion = {int(sha256)}\n\tbare = true\n"
        + ("[extensions]\n\tobjectFormat = sha256\n" if sha256 else ""),
    )
    borrowed = dict.fromkeys((archive.objects_dir, here.objects_dir))
    _write(objects_dir, os.path.join("info", "alternates"), "".join(f"{path}\n" for path in borrowed))
    environ: Mapping[str, str] = {
        name: value for name, value in archive.environ.items() if name not in ("GITRUN_DIR", "GIT_OBJECT_DIRECTORY")
    }
    return archive._replace(
        worktree=None, git_dir=git_dir, common_dir=git_dir, objects_dir=objects_dir, environ=environ
    )


def _write(directory: str, name: str, text: str) -> None:
    # Not files.write: this is a scratch directory that need not survive anything.
    with open(os.path.join(directory, name), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
