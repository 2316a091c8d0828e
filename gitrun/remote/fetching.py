"""Bringing runs from a remote: into a quarantine, judged there, and only then into the repository.

    plan = plan_fetch(archive, remote, words, monitor)     what the remote has that is not here
    bring(archive, plan, monitor)                          objects, judged; then the refs

Records come with their metrics and consoles; the files that runs read and wrote stay where they are until somebody
asks for them. A run that is here already is left alone, whatever the remote has under its id. Runs that were removed
here or by somebody else stay away unless they are named, and purged ones always.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitrun.archive.annotations import Annotations, Event
from gitrun.archive.archive import Archive
from gitrun.archive.harmless import harmless
from gitrun.archive.objects import RunObjects
from gitrun.archive.run import SealedRun
from gitrun.archive.trash import removed
from gitrun.errors import AmbiguousRun, GitrunError
from gitrun.git.fold import fold
from gitrun.git.head import read_head
from gitrun.git.refs import ANNOTATIONS, RUNS, RefTransaction, create, read_ref, read_refs
from gitrun.git.transport import Remote
from gitrun.git.transport_quarantine import Quarantine
from gitrun.model.ids import is_run_id
from gitrun.monitor import Monitor
from gitrun.remote.annotations import readable, reconcile
from gitrun.remote.history import present
from gitrun.remote.known import Known, runs_in
from gitrun.remote.travel import is_same

PREFIXES = (RUNS, ANNOTATIONS)
REMOVED, PURGED = "removed", "purged"
_PART = re.compile(r"[0-9a-z-]+")  # of an id
_RECENT = 64
_TIPS = 256  # of the user's branches, that are offered as what both may have


class Refusal(NamedTuple):
    """A run that was not taken: a code of spec/problems.md, its id, and why."""

    code: str
    run: str
    what: str


class Wanted(NamedTuple):
    """What to fetch: runs by ids to commits, and annotations by refs to their ends.

    `unsure` are runs that are here in another commit; `named` were asked for by their ids, `described` is what else
    was said of those that are meant (a name, a tag, an expression), to be looked up in their records.
    """

    remote: Remote
    known: Known
    runs: dict[str, str]
    unsure: dict[str, str]
    named: frozenset[str]
    annotations: dict[str, str]
    there: dict[str, str]
    described: tuple[str, ...]
    meant: frozenset[str]  # the ids of runs that were asked for, here or not


class Brought(NamedTuple):
    """What a fetch did: ids of runs that are here now, that were, and that were not taken, with the reasons."""

    fetched: list[str]
    already: list[str]
    left: list[str]  # removed somewhere, or not meant by the expression
    refused: list[Refusal]
    annotations: list[str]
    received_bytes: int


def plan_fetch(
    archive: Archive,
    remote: Remote,
    words: Sequence[str],
    monitor: Monitor,
) -> Wanted:
    """Which runs the words mean (ids, parts of one, names, expressions; none: all), and what else there is to fetch.

    Raises RemoteFailed, AmbiguousRun.
    """
    there = remote.refs(PREFIXES, monitor)
    known = Known(archive.gitrun_dir, remote.key)
    theirs, local, seen = runs_in(there), archive.sealed(), runs_in(known.refs())
    found = {word: _by_id(word, theirs) for word in words}
    named = frozenset(run_id for run_id in found.values() if run_id is not None)
    described = tuple(word for word, run_id in found.items() if run_id is None)
    gone = removed(archive)
    meant = named if words and not described else theirs
    new = {
        run_id: theirs[run_id] for run_id in meant if run_id not in local and (run_id in named or run_id not in gone)
    }
    unsure = {
        run_id: oid
        for run_id, oid in theirs.items()
        if run_id in local and oid != local[run_id] and seen.get(run_id) != oid
    }
    here = read_refs(archive.repo, ANNOTATIONS)
    said = {
        name: tip for name, tip in there.items()
        if name.startswith(ANNOTATIONS) and here.get(name) != tip and "/" not in name.removeprefix(ANNOTATIONS)
    }  # fmt: skip
    return Wanted(remote, known, new, unsure, named, said, there, described, frozenset(meant))


def bring(archive: Archive, wanted: Wanted, monitor: Monitor) -> Brought:
    """Fetch, judge, take in, and name what was planned.

    Raises RemoteFailed where it could not be fetched, DiskFull, NotWritable; nothing here has changed then.
    """
    refs = {RUNS + run_id: oid for run_id, oid in {**wanted.runs, **wanted.unsure}.items()}
    already = [run_id for run_id in runs_in(wanted.there) if run_id in archive.sealed()]
    with Quarantine(archive.repo, archive.gitrun_dir) as incoming:
        if refs or wanted.annotations:
            wanted.remote.fetch({**refs, **wanted.annotations}, incoming, _tips(archive, wanted), monitor)
        same, refused = _judge_doubles(archive, wanted, incoming)
        taken, bad = _judge(archive, incoming, wanted.runs, monitor)
        refused += bad
        said = readable(incoming.repo, wanted.annotations, monitor) if wanted.annotations else {}
        kept = _kept(archive, wanted, incoming, taken, said)
        left = sorted(taken.keys() - kept.keys())
        is_all = not left and not refused and not same and len(said) == len(wanted.annotations)
        received = incoming.take_in(None if is_all else [*kept.values(), *said.values()])
    archive.objects.close()  # its git has not seen the new pack
    fetched, lost = _name(archive, kept)
    refused += lost
    archive.look_again()
    ends = reconcile(archive, said, monitor) if said else {}
    held = [run_id for run_id in already if run_id not in wanted.unsure or run_id in same]
    theirs = runs_in(wanted.there)
    annotations = {name: tip for name, tip in wanted.there.items() if name.startswith(ANNOTATIONS)}
    wanted.known.replace({**{RUNS + run_id: theirs[run_id] for run_id in sorted({*held, *fetched})}, **annotations})
    if fetched:
        fold(archive.repo, monitor)
    return Brought(sorted(fetched), sorted(already), left, refused, sorted(ends), received)


def _by_id(word: str, theirs: Mapping[str, str]) -> str | None:
    """The one run of the remote that has this id, or part of one; None where none has, or it can be no part of one."""
    text = word.lower()
    if _PART.fullmatch(text) is None:
        return None
    found = [run_id for run_id in theirs if text in (run_id, run_id[-6:])] or [key for key in theirs if text in key]
    if len(found) > 1:
        raise AmbiguousRun(f"{harmless(word)!r} could be {len(found)} runs there", sorted(found), next="use the id")
    return found[0] if found else None


def _tips(archive: Archive, wanted: Wanted) -> list[str]:
    """Commits that are here and that the remote may have: the user's branches, and the latest runs it has."""
    repo = archive.repo
    refs = [*read_refs(repo, "refs/remotes/").values(), *read_refs(repo, "refs/heads/").values()]
    head = read_head(repo).commit
    runs = runs_in(wanted.known.refs())
    latest = [runs[run_id] for run_id in sorted(runs, reverse=True)[:_RECENT]]
    said = [tip for name in wanted.annotations if (tip := read_ref(repo, name)) is not None]
    tips = dict.fromkeys([*([head] if head else []), *refs[:_TIPS], *latest, *said])
    return present(repo, archive.objects.reader, tips)


def _judge_doubles(archive: Archive, wanted: Wanted, incoming: Quarantine) -> tuple[set[str], list[Refusal]]:
    """Of the runs that are here in another commit, which are the same run; the others stay away."""
    same: set[str] = set()
    if wanted.unsure:
        local = archive.sealed()
        reader = _objects(archive, incoming).reader
        same = {run_id for run_id, oid in wanted.unsure.items() if is_same(reader, local[run_id], oid)}
        reader.close()
    what = f"{wanted.remote.name} has another run of this id; the one that is here was kept"
    return same, [Refusal("E060", run_id, what) for run_id in wanted.unsure if run_id not in same]


def _judge(
    archive: Archive, incoming: Quarantine, runs: Mapping[str, str], monitor: Monitor
) -> tuple[dict[str, str], list[Refusal]]:
    """The runs that can be read, and those that are not what they should be."""
    taken: dict[str, str] = {}
    refused: list[Refusal] = []
    objects = _objects(archive, incoming)
    try:
        sealed = [SealedRun(objects, run_id, oid) for run_id, oid in runs.items()]
        objects.load_commits(sealed)
        for run in objects.read_ahead(sealed):
            assert isinstance(run, SealedRun)
            try:
                run.record  # noqa: B018  raises what is wrong with it
                taken[run.id] = run.commit
            except GitrunError as problem:
                code, what = run.problem or ("E011", problem.message)
                refused.append(Refusal(code, run.id, what))
    finally:
        objects.close()
    return taken, refused


def _kept(
    archive: Archive, wanted: Wanted, incoming: Quarantine, taken: dict[str, str], said: Mapping[str, str]
) -> dict[str, str]:
    """The runs that are meant: not purged, not removed unless named, and chosen where somebody chooses."""
    tips = {
        name.removeprefix(ANNOTATIONS): tip for name, tip in {**read_refs(archive.repo, ANNOTATIONS), **said}.items()
    }
    objects = _objects(archive, incoming)
    try:
        annotations = Annotations(incoming.repo, lambda: objects.reader, tips=tips)
        kept = {}
        for run_id, oid in taken.items():
            kinds = {event.kind for event in _standing(annotations.of(run_id))} if tips else set()
            if PURGED not in kinds and (REMOVED not in kinds or run_id in wanted.named):
                kept[run_id] = oid
    finally:
        objects.close()
    if wanted.described:
        from gitrun.remote.selecting import meeting  # with all that asks questions of many runs

        chosen = {*wanted.named, *meeting(archive, incoming, kept, wanted.described, wanted.remote.name)}
        kept = {run_id: oid for run_id, oid in kept.items() if run_id in chosen}
    return kept


def _standing(events: list[Event]) -> list[Event]:
    """The events that still count: what was said last of a run being removed does."""
    last = {event.kind: event for event in events}
    gone = last.get(REMOVED)
    if gone is not None and gone.body.get("undone"):
        return [event for event in events if event.kind != REMOVED]
    return events


def _objects(archive: Archive, incoming: Quarantine) -> RunObjects:
    return RunObjects(incoming.repo, lambda: archive.store, archive.monitor)


def _name(archive: Archive, runs: Mapping[str, str]) -> tuple[list[str], list[Refusal]]:
    """Make the refs of runs, all at once; one by one where somebody has just made one of them."""
    transaction = RefTransaction(archive.repo)
    for run_id, oid in runs.items():
        assert is_run_id(run_id)
        transaction.create(RUNS + run_id, oid)
    if transaction.commit():
        return list(runs), []
    named = [run_id for run_id, oid in runs.items() if create(archive.repo, RUNS + run_id, oid)]
    lost = [run_id for run_id in runs if run_id not in named]
    return named, [Refusal("E060", run_id, "another run of this id has just been made here") for run_id in lost]
