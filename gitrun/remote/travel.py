"""What travels with runs and in which order: blobs, then objects, then the ref.

A push may be cut at any byte, and a remote must then hold everything that one of its refs names. So what a ref names is
sent before it: first the blobs of the run to the remote's store, then the Git objects and the ref in one push, in which
the other side makes the ref when it has the objects. What was sent before a cut is there when the same is sent again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from gitrun.archive.run import SealedRun
from gitrun.errors import DamagedRecord, GitFailed
from gitrun.git.objects import ObjectReader, open_reader
from gitrun.git.refs import RUNS
from gitrun.git.transport import Remote
from gitrun.git.transport_quarantine import Quarantine
from gitrun.git.trees import parse_commit, read_tree
from gitrun.model.canonical import MAX_BYTES
from gitrun.monitor import Monitor

RECORD = b"run.json"


class Weight(NamedTuple):
    """How many blobs, and their bytes."""

    blobs: int = 0
    bytes: int = 0


class Blobs(Protocol):
    """The store of a remote, as far as pushing is concerned."""

    def missing(self, runs: Sequence[SealedRun], monitor: Monitor) -> tuple[Weight, dict[str, str]]:
        """What it lacks of all that these runs need, and the runs that it cannot have whole, by their ids: why."""

    def send(self, runs: Sequence[SealedRun], monitor: Monitor) -> Weight:
        """Send that, durably; what was sent. Raises RemoteFailed and what reading a blob raises."""

    def question(self, weight: Weight) -> str | None:
        """What somebody has to say yes to before that much is sent, if anything."""


def same_runs(
    remote: Remote,
    into: Quarantine,
    here: Mapping[str, str],
    there: Mapping[str, str],
    tips: Sequence[str],
    monitor: Monitor,
) -> set[str]:
    """Of runs that are here and there in different commits, those that are the same run.

    The commits of the remote are brought into the quarantine and no further.
    """
    remote.fetch({RUNS + run_id: oid for run_id, oid in there.items()}, into, tips, monitor)
    with open_reader(into.repo) as reader:
        return {run_id for run_id, oid in there.items() if is_same(reader, here[run_id], oid)}


def is_same(reader: ObjectReader, one: str, other: str) -> bool:
    """Whether two commits are wrappers of one run: their trees are one, or their records."""
    if one == other:
        return True
    try:
        mine, theirs = (parse_commit(reader.read(oid, MAX_BYTES)[1]).tree for oid in (one, other))
        return mine == theirs or _record(reader, mine) == _record(reader, theirs)
    except (KeyError, DamagedRecord, GitFailed):
        return False  # what cannot be read is not taken for the same


def _record(reader: ObjectReader, tree: str) -> str:
    found = next((entry.oid for entry in read_tree(reader, tree) if entry.name == RECORD), None)
    if found is None:
        raise DamagedRecord(f"tree {tree} holds no run.json")
    return found
