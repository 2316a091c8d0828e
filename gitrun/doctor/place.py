"""Does this place take a recording? What a recorder does before it starts a command is done here once, and undone.

Rights, quotas, network file systems and odd mounts are not to be judged by looking: the same call that a recorder
makes either works or says why not. Nothing of it stays.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gitrun.doctor.archive import free_space
from gitrun.doctor.check import FAIL, OK, WARN, Check
from gitrun.errors import GitrunError, from_os_error
from gitrun.files.holder import LOCAL, filesystem_of
from gitrun.files.locks import held_by_other
from gitrun.files.write import create as create_file
from gitrun.files.write import remove_quietly, write_all
from gitrun.git.executable import find_git
from gitrun.git.head import read_head
from gitrun.git.identity import FALLBACK, identity
from gitrun.git.refs import LIVE, create, delete
from gitrun.git.repository import Repository, archive_of, discover
from gitrun.model.ids import new_run_id
from gitrun.recording.live import LiveDirectory
from gitrun.recording.liveness import make_header
from gitrun.recording.prepare import plain_refs
from gitrun.recording.unrecorded import runs_unrecorded
from gitrun.settings import Settings, load

_PACK_BYTES = 1 << 18


class Place(NamedTuple):
    """Where a recording started here would find its source, and put its record."""

    repo: Repository
    archive: Repository
    gitrun_dir: str
    settings: Settings
    environ: Mapping[str, str]


def find_place(start: str, environ: Mapping[str, str]) -> Place:
    """The repositories as `gitrun record` finds them; raises what it would refuse."""
    repo = discover(start, find_git(environ), environ)
    archive = archive_of(repo, environ)
    return Place(repo, archive, archive.gitrun_dir(environ), load(repo.worktree, repo.config, environ), environ)


def repository(place: Place) -> Iterator[Check]:
    """What was found, and who records here."""
    repo = place.repo
    kind = f"{repo.object_format}, {'git' if repo.git else 'without a git executable'}"
    yield Check("repository", OK, f"{repo.worktree} ({kind})")
    if repo.common_dir != place.archive.common_dir:
        yield Check("repository", OK, f"runs go to the archive of {place.archive.common_dir}")
    who = identity(place.archive, place.environ)
    if who.name == FALLBACK.name or who.email == FALLBACK.email:
        says = f"Git knows no name and address here, so runs are by {who.name} <{who.email}>"
        yield Check("identity", WARN, says, next="git config user.name NAME; git config user.email ADDRESS")
    else:
        yield Check("identity", OK, f"{who.name} <{who.email}>")


def writable(place: Place) -> Iterator[Check]:
    """A live directory with a held lock, a file among the objects, a ref: made and removed."""
    run_id = new_run_id(time.time(), os.urandom(4))
    live, lock = LiveDirectory.create(place.gitrun_dir, run_id, make_header(place.archive.common_dir))
    try:
        kept = held_by_other(os.path.join(live.member, "lock"))
    finally:
        live.remove()
        lock.release()
    kind = filesystem_of(place.gitrun_dir)
    if kept:
        far = "" if kind in LOCAL else "; a run killed here is proved dead on this machine alone"
        yield Check("archive", OK, f"{place.gitrun_dir} takes files and keeps locks ({kind or 'unknown'}{far})")
    else:
        says = f"locks do nothing on this file system ({kind or 'unknown'}): a live run would be taken for a dead one"
        yield Check("archive", FAIL, says, next="set GITRUN_DIR to a directory on another file system")
    _objects(place.archive)
    said = "the objects of Git"
    head = read_head(place.archive).commit
    if head is not None:
        refs = plain_refs(place.archive)
        if not create(refs, LIVE + run_id, head) or not delete(refs, LIVE + run_id):
            raise GitrunError(f"the ref {LIVE}{run_id} could not be made and removed", next="git fsck")
        said += " and its refs"
    yield Check("git", OK, f"{said} can be written")


def _objects(archive: Repository) -> None:
    """One file where packs are written, of a name that git sweeps should we be killed here."""
    packs = os.path.join(archive.objects_dir, "pack")
    path = os.path.join(packs if os.path.isdir(packs) else archive.objects_dir, f"tmp_pack_{os.urandom(4).hex()}")
    try:
        fd = create_file(path, 0o444)
        try:
            write_all(fd, bytes(_PACK_BYTES))
        finally:
            os.close(fd)
            remove_quietly(path)
    except OSError as problem:
        raise from_os_error(problem, "writing among Git's objects") from problem


def space(place: Place) -> Iterator[Check]:
    """Room on the disks that take the record, and the temporary directory that programs use."""
    yield from free_space((place.gitrun_dir, place.archive.objects_dir), place.settings, FAIL)


def on_problem(place: Place) -> Iterator[Check]:
    """What a recording does that cannot start, which is what a job submitted from here would do."""
    if place.environ.get("GITRUN_DISABLE", "0") not in ("", "0"):
        yield Check(
            "trouble", FAIL, "GITRUN_DISABLE is set: commands run, and nothing is recorded", "unset GITRUN_DISABLE"
        )
        return
    rule = place.settings.get("record.on_problem")
    runs = runs_unrecorded(rule, place.environ)
    what = "runs all the same, unrecorded" if runs else "is not started"
    yield Check("trouble", OK, f"where nothing can be recorded, the command {what} (record.on_problem = {rule})")
