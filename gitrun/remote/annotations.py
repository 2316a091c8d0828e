"""What was said of runs, here and on a remote, put together: a chain is followed, two ends of one are merged.

Nearly always one end follows from the other, since each clone writes to a chain of its own. A clone that was copied
with all its files may have gone on with the same one, and a push may have lost a race. Then a merge commit has both
ends as its parents and the events of both: each event is a line, and no line is lost. It is made of what it merges
alone, so that two machines that merge the same make the same commit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gitrun.archive.annotations import Annotations
from gitrun.archive.archive import Archive
from gitrun.archive.harmless import harmless
from gitrun.errors import DamagedRecord, GitrunError
from gitrun.git.identity import FALLBACK
from gitrun.git.objects import ObjectReader, open_reader
from gitrun.git.packs import OwnPacks, PackWriter
from gitrun.git.refs import ANNOTATIONS, create, read_ref, update
from gitrun.git.repository import Repository
from gitrun.git.trees import DIRECTORY, FILE, TreeEntry, encode_commit, encode_tree, parse_commit, read_tree
from gitrun.model.canonical import MAX_BYTES, DecodeProblem, decode, decode_lines, encode
from gitrun.monitor import Monitor
from gitrun.remote.history import is_ancestor

_TRIES = 10
_DEPTH = 4
_STATE = b"annotations.json"
_TIME = re.compile(rb"> (\d{1,12}) [+-]\d{4}$")


def readable(repo: Repository, tips: Mapping[str, str], monitor: Monitor) -> dict[str, str]:
    """Of refs of annotations and their ends, those of which every event can be read; the others are told.

    A collector stops at an event that it cannot read, so one that came from elsewhere must not get that far.
    """
    good = {}
    with open_reader(repo) as reader:
        for name, tip in tips.items():
            writer = name.removeprefix(ANNOTATIONS)
            try:
                for _ in Annotations(repo, lambda reader=reader: reader, tips={writer: tip}).everything():  # type: ignore[misc]
                    pass
                good[name] = tip
            except (GitrunError, KeyError) as problem:
                monitor.warn("W061", f"what {harmless(writer)} said was not taken: {harmless(str(problem), 200)}")
    return good


def reconcile(archive: Archive, theirs: Mapping[str, str], monitor: Monitor) -> dict[str, str]:
    """Have the refs here follow these ends, whose commits are here and readable; the ends of all of them now."""
    ends = {}
    with open_reader(archive.repo) as reader:
        for name, tip in theirs.items():
            for _ in range(_TRIES):  # this clone may say something meanwhile
                mine = read_ref(archive.repo, name)
                end = tip if mine is None else _end(archive.repo, reader, mine, tip)
                if mine == end or (
                    create(archive.repo, name, end) if mine is None else update(archive.repo, name, end, mine)
                ):
                    ends[name] = end
                    break
            else:
                monitor.warn("W060", f"{name} is being changed all the time; next: the same command again")
    archive.objects.forget_events()
    return ends


def _end(repo: Repository, reader: ObjectReader, mine: str, theirs: str) -> str:
    if is_ancestor(repo, reader, mine, theirs):
        return theirs
    if is_ancestor(repo, reader, theirs, mine):
        return mine
    return merge(repo, reader, mine, theirs)


def merge(repo: Repository, reader: ObjectReader, one: str, other: str) -> str:
    """The commit in which two ends of a chain become one; durable, and named by no ref yet."""
    parents = sorted((one, other))
    commits = [parse_commit(reader.read(oid, MAX_BYTES)[1]) for oid in parents]
    when_s = max(int(found[1]) if (found := _TIME.search(commit.author)) else 0 for commit in commits)
    writer = PackWriter(repo.objects_dir, repo.object_format, own=OwnPacks(repo.objects_dir, repo.object_format))
    try:
        tree = _merge_trees(reader, writer.add, commits[0].tree, commits[1].tree, 0)
        commit = encode_commit(tree, parents, FALLBACK, when_s, "+0000", b"merge what was said in two places\n")
        oid = writer.add("commit", commit)
        writer.finish(sync=True)
    except BaseException:
        writer.abort()
        raise
    return oid


def _merge_trees(reader: ObjectReader, add: Callable[[str, bytes], str], one: str, other: str, depth: int) -> str:
    if one == other:
        return one
    if depth > _DEPTH:
        raise DamagedRecord("the tree of an annotation is nested too deeply")
    left, right = ({entry.name: entry for entry in read_tree(reader, oid)} for oid in (one, other))
    merged = {**right, **left}
    for name in left.keys() & right.keys():
        mine, theirs = left[name], right[name]
        if mine.oid == theirs.oid:
            continue
        if mine.mode == theirs.mode == DIRECTORY:
            merged[name] = TreeEntry(name, DIRECTORY, _merge_trees(reader, add, mine.oid, theirs.oid, depth + 1))
        elif name == _STATE:
            merged[name] = TreeEntry(name, FILE, add("blob", _merge_state(_read(reader, mine), _read(reader, theirs))))
        elif name.endswith(b".jsonl"):
            merged[name] = TreeEntry(name, FILE, add("blob", _merge_lines(_read(reader, mine), _read(reader, theirs))))
        # of anything else, which this version does not know, the one that sorts first stays on every machine
    return add("tree", encode_tree(merged.values()))


def _merge_lines(one: bytes, other: bytes) -> bytes:
    """All lines of both, each once, in the order of their events."""
    lines = dict.fromkeys([*one.splitlines(keepends=True), *other.splitlines(keepends=True)])
    try:
        placed = [(_place(decode_lines(line)[0]), line) for line in lines]
    except (DecodeProblem, LookupError, TypeError) as problem:
        raise DamagedRecord(f"an event cannot be read: {problem}") from problem
    return b"".join(line for _, line in sorted(placed))


def _place(event: dict[str, Any]) -> tuple[int, int]:
    return int(event["lamport"]), int(event["seq"])


def _merge_state(one: bytes, other: bytes) -> bytes:
    try:
        states = [decode(one), decode(other)]
        return encode({**states[1], **states[0], **{key: max(s[key] for s in states) for key in ("seq", "lamport")}})
    except (DecodeProblem, KeyError, TypeError) as problem:
        raise DamagedRecord(f"annotations.json cannot be read: {problem}") from problem


def _read(reader: ObjectReader, entry: TreeEntry) -> bytes:
    kind, data = reader.read(entry.oid, MAX_BYTES)
    if kind != "blob":
        raise DamagedRecord(f"{entry.oid} is a {kind}, not a blob")
    return data
