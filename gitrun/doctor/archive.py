"""Is the archive of this clone well? Looked at, and left as it is: not even a dead run is sealed on the way.

Only what is cheap to see is looked at, in any size of archive: refs, names, sizes, the frames of packs. Whether
every byte is what it should be is the question of `gitrun fsck`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from gitrun.archive.archive import Archive
from gitrun.doctor.check import FAIL, OK, WARN, Check, examine
from gitrun.doctor.settings import settings_in_force
from gitrun.files.holder import here
from gitrun.files.write import TEMPORARY_PREFIX
from gitrun.git.packs import OwnPacks
from gitrun.git.refs import LIVE, read_refs
from gitrun.model.ids import short
from gitrun.model.listing import listed, plural
from gitrun.monitor import Monitor
from gitrun.recording.live import DAMAGED, GONE, UNBORN, LiveDirectory
from gitrun.recording.liveness import ALIVE, DEAD, judge
from gitrun.settings import Settings
from gitrun.store.sessions import is_over, session_paths
from gitrun.ui.words import size

SHOWN = 3
_MIN_FILES = 100  # that one recording may make


class Usage(NamedTuple):
    """Files and bytes below a directory."""

    files: int
    bytes: int


def examine_archive(start: str, environ: Mapping[str, str]) -> list[Check]:
    """All that can be seen of the archive around `start`; raises what opening it raises."""
    heard = Heard()
    with Archive.open(start, environ, heard) as archive:
        return examine(
            [
                ("archive", lambda: _place(archive)),
                ("settings", lambda: settings_in_force(archive.here or archive.repo, archive.settings)),
                ("live", lambda: _live(archive)),
                ("orphans", lambda: _orphans(archive)),
                ("runs", lambda: _runs(archive)),
                ("refs", lambda: _foreign(archive)),
                ("store", lambda: _store(archive, heard)),
                ("space", lambda: _space(archive)),
                ("bugs", lambda: _bugs(archive)),
            ]
        )


class Heard(Monitor):
    """Collects what is warned about."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, code: str, message: str) -> None:
        self.warnings.append(f"{message} ({code})")


def _place(archive: Archive) -> Iterator[Check]:
    repo = archive.repo
    git = f"git at {repo.git.path}" if repo.git else "no git executable: gitrun reads and writes by itself"
    yield Check("archive", OK, f"{archive.gitrun_dir}, in {repo.common_dir} ({repo.object_format}, {git})")
    for name in ("GITRUN_ARCHIVE", "GITRUN_DIR"):
        if archive.environ.get(name):
            yield Check("archive", OK, f"{name} leads here")
    for directory in (archive.gitrun_dir, repo.objects_dir):
        if os.path.exists(directory) and not os.access(directory, os.W_OK | os.X_OK):
            yield Check("archive", WARN, f"{directory} is not writable for you: runs can be read and not recorded")


def _live(archive: Archive) -> Iterator[Check]:
    place, states = here(), {ALIVE: 0, DEAD: 0}
    for run in archive.live_runs():
        verdict = judge(LiveDirectory(os.path.join(archive.gitrun_dir, "live", run.id)), place)
        if verdict.state in states:
            states[verdict.state] += 1
        else:
            yield Check(
                "live",
                WARN,
                f"{run.id} may be running: {verdict.reason}",
                next=f"if it is certainly dead: gitrun recover {short(run.id)} --force",
            )
    yield Check("live", OK, f"{plural(states[ALIVE], 'run')} running here")
    if states[DEAD]:
        says = f"the recorder of {plural(states[DEAD], 'run')} is gone; nothing that was recorded is lost"
        yield Check("live", WARN, says, next="gitrun recover")


def _orphans(archive: Archive) -> Iterator[Check]:
    """What processes that were killed left behind."""
    live, store = os.path.join(archive.gitrun_dir, "live"), archive.store.directory
    names = _names(live)
    damaged = [name for name in names if name.startswith(DAMAGED)]
    if damaged:
        yield Check("orphans", WARN, f"put aside as damaged, never looked at again: {_listed(damaged, live)}")
    unfinished = [name for name in names if name.startswith((UNBORN, GONE))]
    unfinished += archive.live_leftovers()
    known = set(archive.run_ids()) - set(archive.live_leftovers())
    refs = [name for name in read_refs(archive.repo, LIVE) if name.removeprefix(LIVE) not in known]
    refs = [name for name in refs if not os.path.lexists(os.path.join(live, name.removeprefix(LIVE)))]
    if unfinished or refs:
        says = f"live directories left over: {len(unfinished)}; live refs of no live run: {len(refs)}"
        yield Check("orphans", WARN, says, next="gitrun recover")
    place = here()
    dead = [path for path in session_paths(store) if is_over(path, place)]
    temporary = [name for name in _names(os.path.join(store, "tmp")) if name.startswith(TEMPORARY_PREFIX)]
    if dead or (temporary and not session_paths(store)):
        says = f"ingests that were killed left {plural(len(dead), 'session')} and {plural(len(temporary), 'file')}"
        yield Check("orphans", OK, f"{says} in the store; the next collection removes them")
    if not (damaged or unfinished or refs):
        yield Check("orphans", OK, "no process has left anything behind")


def _runs(archive: Archive) -> Iterator[Check]:
    runs = list(archive.newest_first())
    broken = [run for run in runs if run.problem is not None]
    damaged = [run.id for run in broken if run.problem and run.problem.code.startswith("E")]
    later = len(broken) - len(damaged)
    yield Check("runs", OK, f"{plural(sum(not run.is_live for run in runs), 'run')} sealed")
    if damaged:
        yield Check("runs", FAIL, f"{plural(len(damaged), 'run')} damaged: {_listed(damaged)}", next="gitrun fsck")
    if later:
        yield Check("runs", WARN, f"{plural(later, 'run')} of a later gitrun, not read", next="update gitrun")


def _foreign(archive: Archive) -> Iterator[Check]:
    foreign = [f"{ref.name} ({ref.why})" for ref in archive.foreign_refs()]
    if foreign:
        yield Check("refs", WARN, f"no runs, left alone: {_listed(foreign)}", next="git update-ref -d REF removes one")
    else:
        yield Check("refs", OK, "nothing foreign among the runs")


def _store(archive: Archive, heard: Heard) -> Iterator[Check]:
    before = len(heard.warnings)
    archive.writer_id()  # raises where the store's config is damaged
    names = archive.store.pack_names()
    for name in names:
        archive.store.pack(name)  # one that cannot be read is warned about
    total = sum(os.stat(archive.store.pack_path(name)).st_size for name in names)
    yield Check("store", OK, f"{plural(len(names), 'pack')}, {size(total)}")
    for warning in heard.warnings[before:][:SHOWN]:
        yield Check("store", FAIL, warning, next="gitrun fsck")
    aside = usage(os.path.join(archive.store.directory, "quarantine"))
    if aside.files:
        yield Check("store", WARN, f"{plural(aside.files, 'damaged pack')} put aside ({size(aside.bytes)})")


def _space(archive: Archive) -> Iterator[Check]:
    own = OwnPacks(archive.repo.objects_dir, archive.repo.object_format).packs()
    beside, kept = usage(archive.gitrun_dir), sum(pack.size for pack in own)
    cached = usage(os.path.join(archive.gitrun_dir, "cache"))
    replays = usage(os.path.join(archive.gitrun_dir, "replays"))
    says = f"{size(beside.bytes)} beside Git ({size(cached.bytes)} of it cache), {size(kept)} in Git packs"
    yield Check("space", OK, says)
    if replays.files:
        yield Check("space", OK, f"{size(replays.bytes)} in checkouts that replays kept")
    yield from free_space((archive.gitrun_dir, archive.repo.objects_dir), archive.settings, WARN)


def free_space(places: Iterable[str], settings: Settings, when_little: str) -> Iterator[Check]:
    """Room for bytes and for files in these places; `when_little` is the state where a recording would not fit."""
    floor = settings.get("record.free_space_floor")
    disks = {os.stat(_existing(place)).st_dev: _existing(place) for place in places}
    for place in disks.values():
        facts = os.statvfs(place)
        free = facts.f_bavail * facts.f_frsize
        says = f"{size(free)} free where {place} lies"
        if free < floor:
            says += f"; a recording stops capturing the console below {size(floor)}"
            yield Check("space", when_little, says, next="free some space")
        elif facts.f_files > 0 and facts.f_favail < _MIN_FILES:
            yield Check("space", when_little, f"only {facts.f_favail} more files fit where {place} lies")
        else:
            yield Check("space", OK, says)


def _bugs(archive: Archive) -> Iterator[Check]:
    home = os.path.join(archive.gitrun_dir, "log")
    logs = sorted(_names(home))
    if logs:
        yield Check(
            "bugs", WARN, f"{plural(len(logs), 'traceback')} of bugs in gitrun, the last one {logs[-1]} in {home}"
        )


def usage(directory: str) -> Usage:
    """What lies below a directory; what vanishes meanwhile does not count."""
    files = total = 0
    for home, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(home, name)).st_size
            except OSError:
                continue  # somebody else tidies up
            files += 1
    return Usage(files, total)


def _existing(path: str) -> str:
    while not os.path.exists(path):
        path = os.path.dirname(path) or "/"
    return path


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _listed(names: list[str], place: str = "") -> str:
    return listed(names, SHOWN) + (f" in {place}" if place else "")
