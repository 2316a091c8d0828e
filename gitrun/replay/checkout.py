"""The exact files of a source in a directory of their own.

A checkout that fails half-way, or that is interrupted, must leave nothing that looks like a
checkout. So a new directory is written under a temporary name beside its place and renamed when it
is whole; an empty directory that exists already is filled in place, because somebody may be
standing in it, and emptied again on failure. Everything is judged (`plan`) before anything is written.

The bytes are those that were on disk: blobs as Git stores them, without smudge filters or line-end
conversion, and where such a conversion stood between Git and the disk, the raw bytes from the store.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from gitrun.errors import DamagedRecord, DestinationExists, from_os_error
from gitrun.files.materialise import Materialiser
from gitrun.files.names import show
from gitrun.git.objects import ObjectReader, open_reader
from gitrun.model.canonical import path_bytes
from gitrun.model.listing import listed
from gitrun.monitor import SILENT, Monitor, Task
from gitrun.replay.borrow import give_git
from gitrun.replay.plan import Addition, Item, Plan, Trees, fitting, make_plan, outside_plan, root_plan
from gitrun.replay.removal import remove_tree
from gitrun.replay.source import Source

if TYPE_CHECKING:
    from gitrun.archive.archive import Archive

ROOTS = ".roots"
LOADED = ".loaded"
ARTIFACTS = ".artifacts"


class CheckedOut(NamedTuple):
    """A finished checkout; `roots` maps the number of a root that lay outside the worktree to its directory.

    `loaded` is where loaded files lie that were in no part of the source, `artifacts` where files of the run lie
    that have no place in it; None where there are none.
    """

    directory: str
    files: int
    roots: dict[int, str]
    loaded: str | None = None
    artifacts: str | None = None


def checkout(
    archive: Archive,
    source: Source,
    directory: str,
    monitor: Monitor = SILENT,
    additions: Iterable[Addition] = (),
    artifacts: Iterable[Addition] = (),
) -> CheckedOut:
    """Write `source` to the new or empty `directory`, with a `.git` of its own.

    `additions` are further files, each written where the source leaves its place free; so are `artifacts`, and those
    that find none, or have an absolute path, go to `<directory>.artifacts/<path>`. Roots that
    lay outside the worktree go to `<directory>.roots/<n>`, loaded files that lay in no part of the source to
    `<directory>.loaded/<absolute path>`. Raises DestinationExists, HostilePath,
    DamagedRecord, DamagedStore, DiskFull or NotWritable; nothing is left behind then.
    """
    directory = os.path.abspath(directory)
    outside = [root.n for root in source.roots if root.is_outside]
    has_loaded = any(entry.is_outside for entry in source.extra)
    beside = [*([directory + ROOTS] if outside else []), *([directory + LOADED] if has_loaded else [])]
    _refuse_existing([directory, *beside])
    with open_reader(archive.repo, lazy_fetch=True) as reader:
        trees = Trees(reader)
        plan = make_plan(source, trees)
        plans = {n: root_plan(source, n, trees) for n in outside}
        loaded = outside_plan(source)
        artifacts = list(artifacts)
        added = fitting(plan, [*additions, *(each for each in artifacts if not each.path.startswith(b"/"))])
        aside = _aside(artifacts, {each.path for each in added})
        _say_what_is_missing(plan, source, {each.path for each in added}, monitor)
        if aside:
            _refuse_existing([directory + ARTIFACTS])
        total = sum(len(each.files) + len(each.links) + len(each.extra) for each in (plan, loaded, *plans.values()))
        with monitor.task("checkout", total, "files") as task, ExitStack() as places:
            place = places.enter_context(_place(directory))
            if plans:
                roots = places.enter_context(_place(directory + ROOTS))
                for n, each in plans.items():
                    _write(archive, reader, source, each, os.path.join(roots, str(n)), task)
            if has_loaded:
                _write(archive, reader, source, loaded, places.enter_context(_place(directory + LOADED)), task)
            if aside:
                _write_aside(aside, places.enter_context(_place(directory + ARTIFACTS)), source.when_ns)
            _write(archive, reader, source, plan, place, task, added)
            give_git(archive, reader, source, trees, place, monitor)
            os.utime(place, ns=(source.when_ns, source.when_ns))
    made = {n: os.path.join(directory + ROOTS, str(n)) for n in plans}
    loaded_at, artifacts_at = directory + LOADED if has_loaded else None, directory + ARTIFACTS if aside else None
    return CheckedOut(directory, total, made, loaded_at, artifacts_at)


def _write(
    archive: Archive,
    reader: ObjectReader,
    source: Source,
    plan: Plan,
    place: str,
    task: Task,
    additions: Iterable[Addition] = (),
) -> None:
    """The files of one plan, through the one materialiser."""
    with Materialiser(place, source.when_ns) as out:
        for path in plan.directories:
            out.directory(path)
        for item, data in _blobs(reader, plan.files, source.label):
            out.file(item.path, item.mode, data)
            task.advance()
        for entry in plan.extra:
            out.file(entry.path, entry.mode, archive.store.read(entry.chunks))
            task.advance()
        for addition in additions:
            _add(out, addition)
        for item, data in _blobs(reader, plan.links, source.label):
            out.symlink(item.path, data)
            task.advance()
        out.finish()


def _aside(artifacts: list[Addition], placed: set[bytes]) -> list[Addition]:
    """Those with no place among the source, by where they go instead; of two of one path, the first."""
    aside: dict[bytes, Addition] = {}
    for each in artifacts:
        if each.path not in placed:
            place = each.path.lstrip(b"/")
            aside.setdefault(place, each._replace(path=place))
    return list(aside.values())


def _write_aside(aside: list[Addition], place: str, when_ns: int) -> None:
    with Materialiser(place, when_ns) as out:
        for addition in aside:
            _add(out, addition)
        out.finish()


def _add(out: Materialiser, addition: Addition) -> None:
    if addition.target is None:
        out.file(addition.path, addition.mode, addition.pieces)
    else:
        out.symlink(addition.path, addition.target)


def _blobs(reader: ObjectReader, items: list[Item], label: str) -> Iterator[tuple[Item, bytes]]:
    """Each item with its bytes, in order; raises DamagedRecord naming the path that has none."""
    stream = reader.many([item.oid for item in items])
    for item in items:
        try:
            _, kind, data = next(stream)
        except KeyError:
            kind = "missing object"
        if kind != "blob":
            raise DamagedRecord(
                f"{label}: {show(item.path)} cannot be given back: {item.oid} is a {kind}, not a file",
                kept="nothing was written",
                next="git fsck",
            )
        yield item, data


def _say_what_is_missing(plan: Plan, source: Source, added: set[bytes], monitor: Monitor) -> None:
    for path in plan.empty_gitlinks:
        monitor.warn("W030", f"{show(path)} was a submodule without files; it is an empty directory")
    outputs = []
    for entry in source.facts.get("excluded") or []:
        path = path_bytes(str(entry.get("path")))
        if path in added:
            continue
        if entry.get("reason") == "output":
            outputs.append(show(path))
        else:
            monitor.warn("W031", f"not in the record, so not here: {show(path)} ({entry.get('reason')})")
    if outputs:
        monitor.warn("W031", f"outputs of earlier runs are no source, so not here: {listed(outputs)}")


def _refuse_existing(paths: list[str]) -> None:
    """Say no before any work where a destination is in use."""
    for path in paths:
        if os.path.lexists(path) and not (os.path.isdir(path) and not os.listdir(path)):
            raise DestinationExists(f"{path} is there already", kept="nothing was written", next="name a new directory")


@contextmanager
def _place(directory: str) -> Iterator[str]:
    """Where to write what becomes `directory` when the block ends well, and is removed when it does not."""
    new = not os.path.lexists(directory)
    parent, name = os.path.split(directory)
    place = os.path.join(parent, f".{name[:100]}.{os.urandom(4).hex()}.gitrun-tmp") if new else directory
    try:
        yield place
        if new:
            _rename(place, directory)
    except BaseException as problem:
        if new:
            if os.path.lexists(place):
                remove_tree(place)
        elif not isinstance(problem, DestinationExists):
            _empty(directory)
        if isinstance(problem, OSError):
            raise from_os_error(problem, f"checking out to {directory}", kept="nothing was left there") from problem
        raise


def _rename(place: str, directory: str) -> None:
    # rename() would silently replace an empty directory that came meanwhile; mkdir first makes it ours.
    try:
        os.mkdir(directory)
    except FileExistsError:
        what = f"{directory} was made by somebody else meanwhile"
        raise DestinationExists(what, kept="it was not touched", next="name a new directory") from None
    try:
        os.rename(place, directory)
    except OSError:
        os.rmdir(directory)
        raise


def _empty(directory: str) -> None:
    """Take back what a failed checkout put into a directory that was empty when it began."""
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            remove_tree(entry.path)
        else:
            os.unlink(entry.path)
