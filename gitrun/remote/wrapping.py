"""The commit in which a run travels: its own where the remote has its base, else another around the same tree.

Problem: a run's commit stands on the commit the user worked on. A remote that has not that commit would get it with
the run: work that was never meant to be public, or, out of a shallow clone, history that is not here.
Idea: a run is its id and its tree; the commits around it can be made again. So where the base must not travel, the
same snapshot and the same record stand on the nearest commit that the remote has, or on none.
Reason for rebuilding both commits from their own bytes: the same run on the same base is the same commit on every
machine, so that sending it twice sends it once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from gitrun.errors import DamagedRecord
from gitrun.git.objects import ObjectReader
from gitrun.git.packs import PackWriter
from gitrun.git.repository import Repository
from gitrun.git.trees import Commit, parse_commit, with_parents
from gitrun.model.canonical import MAX_BYTES
from gitrun.remote.history import lacking, nearest


class Parcel(NamedTuple):
    """How a run travels: its commit here, the commit that is sent, the commit that this stands on, and whether
    that is another than here."""

    run_id: str
    commit: str
    sent: str
    base: str | None
    is_wrapped: bool


class Read(NamedTuple):
    """A run's commit and its snapshot's, as bytes; the snapshot's is None where the run has none."""

    run: bytes
    snapshot_id: str | None
    snapshot: bytes | None
    base: str | None


def read_commits(reader: ObjectReader, runs: Mapping[str, str]) -> tuple[dict[str, Read], dict[str, str]]:
    """The commits around runs (ids to commits), and of those that cannot be read, why."""
    whole, broken = dict[str, Read](), dict[str, str]()
    for run_id, commit in runs.items():
        try:
            kind, data = reader.read(commit, MAX_BYTES)
            parents = _parse(kind, data, commit).parents
            if not parents:
                whole[run_id] = Read(data, None, None, None)
                continue
            kind, snapshot = reader.read(parents[0], MAX_BYTES)
            above = _parse(kind, snapshot, parents[0]).parents
            whole[run_id] = Read(data, parents[0], snapshot, above[0] if above else None)
        except KeyError as problem:
            broken[run_id] = f"commit {problem.args[0]} is missing"
        except DamagedRecord as problem:
            broken[run_id] = problem.message
    return whole, broken


def private_commits(repo: Repository, reader: ObjectReader, bases: Collection[str], tips: Collection[str]) -> list[str]:
    """The commits under runs that the remote has not, newest first; `tips` it has, and they are here."""
    return lacking(repo, reader, set(bases), tips)


def wrap(
    repo: Repository,
    reader: ObjectReader,
    runs: Mapping[str, str],
    read: Mapping[str, Read],
    private: Collection[str],
    tips: Collection[str],
    writer: PackWriter,
) -> list[Parcel]:
    """How each run travels; new commits go to `writer`."""
    nearest_to: dict[str, str | None] = {}
    hidden = set(private)
    parcels = []
    for run_id, one in read.items():
        commit = runs[run_id]
        if one.base is None or one.base not in hidden or one.snapshot is None:
            parcels.append(Parcel(run_id, commit, commit, one.base, False))
            continue
        if one.base not in nearest_to:
            nearest_to[one.base] = nearest(repo, reader, one.base, tips)
        base = nearest_to[one.base]
        snapshot = writer.add("commit", with_parents(one.snapshot, [] if base is None else [base]))
        parcels.append(Parcel(run_id, commit, writer.add("commit", with_parents(one.run, [snapshot])), base, True))
    return parcels


def _parse(kind: str, data: bytes, oid: str) -> Commit:
    if kind != "commit":
        raise DamagedRecord(f"{oid} is a {kind}, not a commit")
    return parse_commit(data)
