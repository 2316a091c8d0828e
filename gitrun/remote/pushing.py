"""Sending runs to a remote: first what would happen, then, once that is agreed to, doing it.

    plan = plan_push(archive, remote, blobs, ids, monitor)     asks the remote, sends nothing
    plan.asks                                                  what somebody has to say yes to
    carry_out(archive, plan, monitor)                          blobs, then objects and refs

A run is sent once: its ref is made where there is none, and never moved. Where the remote has a run of that id in
another commit, it is the same run if the record is, and a conflict otherwise; both copies stay. A push that is
repeated sends what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from gitrun.archive.archive import Archive
from gitrun.archive.run import SealedRun
from gitrun.errors import GitrunError
from gitrun.git.refs import ANNOTATIONS, RUNS, read_refs
from gitrun.git.transport import DONE, TAKEN, THERE, Remote, Result, Update
from gitrun.git.transport_quarantine import Quarantine
from gitrun.monitor import Monitor
from gitrun.remote.annotations import reconcile
from gitrun.remote.history import present
from gitrun.remote.known import Known, runs_in
from gitrun.remote.preview import Measuring
from gitrun.remote.scanning import Scan, Scanner
from gitrun.remote.travel import Blobs, Weight, same_runs
from gitrun.remote.wrapping import Parcel, private_commits, read_commits, wrap

PREFIXES = ("refs/gitrun/runs/", ANNOTATIONS, "refs/heads/", "refs/tags/")
_RECENT = 64  # runs that the remote has and that git is told of, for the sake of what they share with new ones


class Refusal(NamedTuple):
    """A run that did not travel: a code of spec/problems.md, its id, and why."""

    code: str
    run: str
    what: str


class Public(NamedTuple):
    """A commit that nobody has seen yet and that would be on the remote."""

    commit: str
    subject: str


class Plan(NamedTuple):
    """What a push would do; `objects` holds the commits made for it, and is closed by `carry_out`."""

    remote: Remote
    known: Known
    runs: dict[str, SealedRun]
    parcels: list[Parcel]
    already: list[str]
    refused: list[Refusal]
    public: list[Public]
    scan: Scan
    said: dict[str, str]  # refs of annotations that the remote may lack, and their ends
    blobs: Blobs | None
    weight: Weight
    object_bytes: int | None
    there: dict[str, str] | None  # the remote's refs, where it was asked
    objects: Quarantine

    @property
    def asks(self) -> list[str]:
        """What somebody has to say yes to, one sentence each."""
        found = []
        if self.public:
            found.append(f"{len(self.public)} commit(s) that {self.remote.name} has not would become public")
        if self.scan.found:
            found.append(f"{len(self.scan.found)} file(s) hold what looks like a secret")
        if self.blobs is not None and (question := self.blobs.question(self.weight)):
            found.append(question)
        return found

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not self.parcels and not self.said


class Done(NamedTuple):
    """What a push did: ids of runs that are there now, that were, and that are not, with the reasons."""

    sent: list[str]
    already: list[str]
    refused: list[Refusal]
    annotations: list[str]
    blobs: Weight
    sent_bytes: int
    said: list[str]


def plan_push(
    archive: Archive,
    remote: Remote,
    blobs: Blobs | None,
    run_ids: Sequence[str] | None,
    monitor: Monitor,
    *,
    with_commits: bool = False,
) -> Plan:
    """What it takes to have these runs (None: all that it has not) on the remote; sends nothing.

    Raises RemoteFailed, and what reading the archive raises. Whoever does not carry it out closes `plan.objects`.
    """
    known = Known(archive.gitrun_dir, remote.key)
    local = archive.sealed()
    wanted = {run_id: local[run_id] for run_id in (local if run_ids is None else run_ids) if run_id in local}
    objects = Quarantine(archive.repo, archive.gitrun_dir)
    try:
        return _plan(archive, remote, blobs, wanted, known, objects, monitor, with_commits, run_ids is not None)
    except BaseException:
        objects.close()
        raise


def _plan(
    archive: Archive,
    remote: Remote,
    blobs: Blobs | None,
    wanted: dict[str, str],
    known: Known,
    objects: Quarantine,
    monitor: Monitor,
    with_commits: bool,
    is_named: bool,
) -> Plan:
    repo, reader = archive.repo, archive.objects.reader
    read, broken = read_commits(reader, wanted)
    refused = [Refusal("E010", run_id, why) for run_id, why in broken.items()]
    tips = _tracking(archive, remote) if is_named and not with_commits else []
    bases = {one.base for one in read.values() if one.base is not None}
    private = private_commits(repo, reader, bases, tips) if tips else ["?"]
    there: dict[str, str] | None = None
    already: list[str] = []
    if private:  # what is here does not prove that the remote has the bases: ask it
        there = remote.refs(PREFIXES, monitor)
        already, conflicts = _compare(archive, remote, wanted, there, known, objects, monitor)
        refused += conflicts
        for run_id in [*already, *(conflict.run for conflict in conflicts)]:
            read.pop(run_id, None)
        tips = present(repo, reader, [oid for name, oid in there.items() if not name.startswith("refs/gitrun/")])
        bases = {one.base for one in read.values() if one.base is not None}
        private = private_commits(repo, reader, bases, tips)
    runs = {run_id: SealedRun(archive.objects, run_id, wanted[run_id]) for run_id in read}
    scanner = Scanner(archive)
    refused += [_damaged(run) for run in scanner.runs(list(runs.values()), monitor)]
    weight, lacking = blobs.missing(_left(runs, refused), monitor) if blobs is not None else (Weight(), {})
    refused += [Refusal("E034", run_id, why) for run_id, why in lacking.items()]
    runs = {run.id: run for run in _left(runs, refused)}
    read = {run_id: read[run_id] for run_id in runs}
    writer = objects.writer()
    parcels = wrap(repo, reader, wanted, read, () if with_commits else private, tips, writer)
    writer.finish(sync=False)
    recent = _recent(archive, known)
    measuring = Measuring(objects.repo, [parcel.sent for parcel in parcels], [*tips, *recent])
    said = _unsaid(archive, known, there)
    scanner.annotations(said.values())
    public = _subjects(archive, private) if with_commits and parcels else []
    return Plan(
        remote, known, runs, parcels, already, refused, public, scanner.result(), said, blobs, weight,
        measuring.bytes(), there, objects,
    )  # fmt: skip


def carry_out(archive: Archive, plan: Plan, monitor: Monitor) -> Done:
    """Send what was planned: for all runs the blobs, then the objects and refs.

    Raises RemoteFailed where nothing could be sent; the same push again goes on where this one was cut.
    """
    with plan.objects:
        sent_blobs = Weight()
        if plan.blobs is not None and plan.parcels:
            sent_blobs = plan.blobs.send(list(plan.runs.values()), monitor)
        updates = [Update(RUNS + parcel.run_id, parcel.sent) for parcel in plan.parcels]
        updates += [Update(name, tip, create=False) for name, tip in plan.said.items()]
        pushed = plan.remote.push(updates, monitor, plan.objects) if updates else None
        results = {result.name: result for result in pushed.results} if pushed else {}
        by_id = {parcel.run_id: parcel for parcel in plan.parcels}
        fared = {run_id: results[RUNS + run_id] for run_id in by_id}
        sent = [run_id for run_id, result in fared.items() if result.state == DONE]
        already = [*plan.already, *(run_id for run_id, result in fared.items() if result.state == THERE)]
        taken = {run_id: result for run_id, result in fared.items() if result.state == TAKEN}
        refused = list(plan.refused)
        if taken:  # somebody was quicker, or it was there all along: is it the same run?
            same, conflicts = _after_all(archive, plan, taken, monitor)
            already += same
            refused += conflicts
        failed = {run_id: result for run_id, result in fared.items() if result.state not in (DONE, THERE, TAKEN)}
        refused += [Refusal("E061", run_id, result.why) for run_id, result in failed.items()]
        there = {RUNS + run_id: by_id[run_id].sent for run_id, result in fared.items() if result.state in (DONE, THERE)}
        said, late = _annotated(archive, plan, results, monitor)
        plan.known.note({**there, **said})
        total = (pushed.sent_bytes if pushed else 0) + late
        words = pushed.said if pushed else []
        return Done(sorted(sent), sorted(already), refused, sorted(said), sent_blobs, total, words)


def _annotated(
    archive: Archive, plan: Plan, results: Mapping[str, Result], monitor: Monitor
) -> tuple[dict[str, str], int]:
    """The annotations that are there now; where the remote had others of the same writer, both are put together."""
    said = {name: tip for name, tip in plan.said.items() if results[name].state in (DONE, THERE)}
    behind = [name for name in plan.said if name not in said]
    if not behind:
        return said, 0
    theirs = plan.remote.refs([ANNOTATIONS], monitor)
    with Quarantine(archive.repo, archive.gitrun_dir) as incoming:
        both = {name: theirs[name] for name in behind if name in theirs}
        plan.remote.fetch(both, incoming, list(plan.said.values()), monitor)
        incoming.take_in()
    archive.objects.close()  # its git has not seen the new pack
    merged = reconcile(archive, both, monitor)
    updates = [Update(name, tip, create=False) for name, tip in merged.items() if theirs[name] != tip]
    pushed = plan.remote.push(updates, monitor) if updates else None
    for result in pushed.results if pushed else ():
        if result.state not in (DONE, THERE):
            monitor.warn("W060", f"what was said of runs could not be sent: {result.why or result.state}")
            merged.pop(result.name, None)
    return {**said, **merged}, pushed.sent_bytes if pushed else 0


def _damaged(run: SealedRun) -> Refusal:
    code, what = run.problem or ("E011", "it cannot be read")
    return Refusal(code, run.id, what)


def _left(runs: Mapping[str, SealedRun], refused: Sequence[Refusal]) -> list[SealedRun]:
    gone = {refusal.run for refusal in refused}
    return [run for run_id, run in runs.items() if run_id not in gone]


def _tracking(archive: Archive, remote: Remote) -> list[str]:
    """What this repository last saw on the branches of the remote."""
    return list(read_refs(archive.repo, f"refs/remotes/{remote.name}/").values()) if "/" not in remote.name else []


def _recent(archive: Archive, known: Known) -> list[str]:
    """Commits of the latest runs that are here and there: what they hold is not sent again."""
    there, local = runs_in(known.refs()), archive.sealed()
    same = (run_id for run_id in sorted(there, reverse=True) if there[run_id] == local.get(run_id))
    return [local[run_id] for run_id in islice(same, _RECENT)]


def _unsaid(archive: Archive, known: Known, there: Mapping[str, str] | None) -> dict[str, str]:
    """The refs of annotations that the remote has not as they are here."""
    seen = known.refs() if there is None else there
    return {name: tip for name, tip in read_refs(archive.repo, ANNOTATIONS).items() if seen.get(name) != tip}


def _compare(
    archive: Archive,
    remote: Remote,
    wanted: Mapping[str, str],
    there: Mapping[str, str],
    known: Known,
    objects: Quarantine,
    monitor: Monitor,
) -> tuple[list[str], list[Refusal]]:
    """Of the wanted runs those that the remote has, and those of which it has another run of the same id.

    What it has of all runs is noted.
    """
    theirs, seen, local = runs_in(there), runs_in(known.refs()), archive.sealed()
    both = {run_id: oid for run_id, oid in theirs.items() if run_id in local}
    unsure = {run_id: oid for run_id, oid in both.items() if oid != local[run_id] and seen.get(run_id) != oid}
    tips = list(read_refs(archive.repo, "refs/heads/").values())
    same = same_runs(remote, objects, local, unsure, tips, monitor) if unsure else set()
    held = {run_id: oid for run_id, oid in both.items() if run_id not in unsure or run_id in same}
    said = {name: tip for name, tip in there.items() if name.startswith(ANNOTATIONS)}
    known.replace({**{RUNS + run_id: oid for run_id, oid in held.items()}, **said})
    conflicts = [_conflict(remote, run_id) for run_id in wanted if run_id in unsure and run_id not in same]
    return [run_id for run_id in wanted if run_id in held], conflicts


def _after_all(
    archive: Archive, plan: Plan, taken: Mapping[str, Result], monitor: Monitor
) -> tuple[list[str], list[Refusal]]:
    there = plan.remote.refs([RUNS, ANNOTATIONS], monitor)
    gone = [run_id for run_id in taken if RUNS + run_id not in there]
    wanted = {run_id: plan.runs[run_id].commit for run_id in taken if run_id not in gone}
    same, conflicts = _compare(archive, plan.remote, wanted, there, plan.known, plan.objects, monitor)
    return same, [*conflicts, *(Refusal("E061", run_id, taken[run_id].why) for run_id in gone)]


def _conflict(remote: Remote, run_id: str) -> Refusal:
    return Refusal("E060", run_id, f"{remote.name} has another run of this id; both were kept as they are")


def _subjects(archive: Archive, commits: Sequence[str]) -> list[Public]:
    """Commits with what their authors called them."""
    found = []
    for oid in commits:
        try:
            message = archive.objects.reader.read(oid)[1].partition(b"\n\n")[2]
        except (KeyError, GitrunError):
            message = b""
        found.append(Public(oid, message.partition(b"\n")[0].decode("utf-8", "replace")))
    return found
