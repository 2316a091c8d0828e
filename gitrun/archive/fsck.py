"""Is everything there that the archive says it has? Runs, their parts, the blobs they name, the packs.

Each problem has a code of spec/problems, says where it is and which runs it costs. `repair` mends what can be
mended without the lost bytes: an index is made again from its records, damaged records are put aside, so that
the next one who stores the same content heals them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from gitrun.archive.archive import Archive
from gitrun.archive.entries import read_entries
from gitrun.archive.needs import blobs_of
from gitrun.archive.run import SealedRun
from gitrun.archive.since import standing
from gitrun.archive.trash import removed
from gitrun.errors import DamagedRecord, GitrunError
from gitrun.git.unusable import put_unusable_aside, unusable_packs
from gitrun.model.artifacts import PART
from gitrun.model.listing import plural
from gitrun.monitor import SILENT, Monitor
from gitrun.store.check import LATER, check_packs, coded, repair
from gitrun.store.place import check_there


class Finding(NamedTuple):
    """One problem: its code, where it is, what it is, the runs it costs something."""

    code: str
    where: str
    what: str
    runs: list[str]

    @property
    def is_damage(self) -> bool:
        """Whether something is lost, rather than merely not as one might think."""
        return self.code.startswith("E")


class Elsewhere(Protocol):
    """The stores of remotes, as far as a check is concerned; blobs are hex ids."""

    def heal(self, missing: Mapping[str, Sequence[str]]) -> None:
        """Bring back what runs of this clone lack, given with the runs that need it."""

    def known(self, missing: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Those that some place is known to have, with its name, given with the runs that need it; asks nobody."""


def fsck(
    archive: Archive,
    *,
    data: bool = False,
    mend: bool = False,
    elsewhere: Elsewhere | None = None,
    monitor: Monitor = SILENT,
) -> Iterator[Finding]:
    """Every problem there is; with `data` every stored byte is read, with `mend` damaged packs are put aside.

    With `mend` what is missing is brought back from `elsewhere`; what is known to be there is no damage.
    Raises GitrunError where the store lies elsewhere and is not there.
    """
    check_there(archive.store.directory)
    for ref in archive.foreign_refs():
        yield Finding("W013", ref.name, ref.why, [])
    for pack, why in unusable_packs(archive.repo).items():
        yield Finding("E016", pack.path("pack"), why, [])
    if mend:
        put_unusable_aside(archive.repo, monitor)
    wanted: dict[str, list[str]] = {}
    runs = _runs(archive)
    with monitor.task("checking runs", len(runs), "runs") as progress:
        for run in runs:
            yield from _check_run(archive, run, wanted)
            progress.advance(1)
    for damage in list(check_packs(archive.store, data=data, monitor=monitor)):
        hurt = sorted({run_id for blob in damage.blobs for run_id in wanted.get(blob.hex(), ())})
        yield Finding(damage.code, f"store/packs/{damage.pack[:2]}/{damage.pack}.gpk", damage.what, hurt)
        if mend and damage.code not in LATER and archive.store.has_pack(damage.pack):
            lost = repair(archive.store, damage.pack)
            yield Finding("W036", "store/quarantine", f"pack {damage.pack} was put aside, {lost} blobs are lost", [])
    yield from _missing(archive, wanted, elsewhere, mend)


def _runs(archive: Archive) -> list[SealedRun]:
    found = {**removed(archive), **archive.sealed()}
    return [SealedRun(archive.objects, run_id, found[run_id]) for run_id in sorted(found)]


def _check_run(archive: Archive, run: SealedRun, wanted: dict[str, list[str]]) -> Iterator[Finding]:
    """A run's commit, record, parts and trees; the blobs it names go into `wanted`."""
    where = f"refs/gitrun/runs/{run.id}"
    try:
        record = run.record
    except GitrunError as problem:
        yield Finding(run.problem.code if run.problem else "E011", where, str(problem), [run.id])
        return
    problems: list[str] = []
    _want(run.id, _blobs(archive, (record.get("parts") or {}).values(), problems), wanted)
    for name in record.get("parts") or {}:
        try:
            content: Any = run.value(name) if name.endswith(".jsonl") else run.part(name)
        except GitrunError as problem:
            yield Finding(run.problem.code if run.problem else "E014", where, f"{name}: {problem}", [run.id])
            run.problem = None
            continue
        if name == PART:
            yield from (Finding("E039", where, problem, [run.id]) for problem in _misshapen(content, archive))
        if name.endswith(".jsonl"):
            lines = standing(content, run.events()) if name == PART else content
            _want(run.id, _blobs(archive, lines or (), problems), wanted)
    yield from (Finding("E038", where, problem, [run.id]) for problem in dict.fromkeys(problems))
    for tree in _trees(record):
        if not archive.objects.reader.has(tree):
            yield Finding("E015", where, f"the tree {tree} of its source is missing", [run.id])


def _misshapen(lines: Any, archive: Archive) -> Iterator[str]:
    """What no recorder writes among the entries: `get` and `checkout` refuse it."""
    try:
        for entry in read_entries(lines):
            if entry.stored and entry.type == "file" and "chunk_list" not in entry.facts:
                entry.chunks(archive.store.get)
    except DamagedRecord as problem:
        yield str(problem)


def _trees(record: dict[str, Any]) -> Iterator[str]:
    source = record.get("source") or {}
    yield from (str(value["tree"]) for value in (source, *(source.get("roots") or ())) if value.get("tree"))


def _blobs(archive: Archive, lines: Iterable[Any], problems: list[str]) -> Iterator[str]:
    """The blobs that these lines need; a list of them that is none goes into `problems`."""
    for line in lines:
        try:
            yield from blobs_of(line, archive.store.get)
        except DamagedRecord as problem:
            problems.append(str(problem))
        except GitrunError:
            continue  # the list is damaged or missing, as one of the blobs that were named before


def _want(run_id: str, blobs: Iterable[str], wanted: dict[str, list[str]]) -> None:
    for blob in blobs:
        runs = wanted.setdefault(blob, [])
        if run_id not in runs[-1:]:
            runs.append(run_id)


def _missing(
    archive: Archive, wanted: dict[str, list[str]], elsewhere: Elsewhere | None, mend: bool
) -> Iterator[Finding]:
    """What is in no pack: brought back with `mend`, told where it is known to be elsewhere, and else lost."""
    gone: dict[str, list[str]] = {}
    for blob, runs in sorted(wanted.items()):
        try:
            if not archive.store.can_get(blob):
                gone[blob] = runs
        except GitrunError as problem:
            code, what = coded(problem)
            yield Finding(code, "store", what, runs)
    if gone and mend and elsewhere is not None:
        elsewhere.heal(gone)
        healed = {blob: runs for blob, runs in gone.items() if archive.store.has(blob)}
        if healed:
            what = f"missing here, and brought back from remotes: {plural(len(healed), 'blob')}"
            yield Finding("W054", "store", what, _runs_of(healed.values()))
        gone = {blob: runs for blob, runs in gone.items() if blob not in healed}
    known = elsewhere.known(gone) if gone and elsewhere is not None else {}
    for place in sorted(set(known.values())):
        there = [runs for blob, runs in gone.items() if known.get(blob) == place]
        yield Finding("W055", "store", f"not here, and at {place}: {plural(len(there), 'blob')}", _runs_of(there))
    for blob, runs in gone.items():
        if blob not in known:
            yield Finding("E034", "store", f"no pack holds the blob {blob}", runs)


def _runs_of(lists: Iterable[list[str]]) -> list[str]:
    return sorted({run_id for runs in lists for run_id in runs})
