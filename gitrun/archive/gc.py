"""`gitrun gc`: let go of removed runs whose grace is over, and of the blobs that nothing names any more.

gitrun deletes no Git object (a user's own commit may rely on one). It lets go of the ref, and takes its mark
off the packs it wrote, so that the next `git gc` sees what is left over.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from gitrun.archive.archive import Archive
from gitrun.archive.live_view import live_ids
from gitrun.archive.marking import mark
from gitrun.archive.trash import expired, forget
from gitrun.errors import GitrunError
from gitrun.files.locks import FileLock
from gitrun.files.write import make_dirs
from gitrun.git.packs import release
from gitrun.git.refs import fold_lock
from gitrun.monitor import SILENT, Monitor
from gitrun.store.collect import Collected, Plan, collect, plan

WAIT_S = 30.0  # for sessions to end; longer, and the next collection empties the trash
_YOUNG_S = 86_400.0  # a pack that young may belong to a snapshot being taken


class Swept(NamedTuple):
    """What a collection found and did; `freed` in bytes of the store, `expired` are the ids of runs let go of."""

    expired: list[str]
    plan: Plan
    done: Collected
    released: int


def gc(archive: Archive, *, dry_run: bool = False, monitor: Monitor = SILENT) -> Swept:
    """Collect; raises DamagedRecord and its like at the first record that cannot be read, with nothing collected."""
    make_dirs(archive.gitrun_dir)
    lock = FileLock(os.path.join(archive.gitrun_dir, "gc.lock"))
    if not lock.acquire(blocking=False):
        raise GitrunError("another gitrun gc is at work", kept="everything", next="wait for its end")
    try:
        return _gc(archive, dry_run, monitor)
    finally:
        lock.release()


def _gc(archive: Archive, dry_run: bool, monitor: Monitor) -> Swept:
    over = expired(archive, archive.settings.get("gc.grace"), time.time())
    needed = mark(archive, without=frozenset(over), monitor=monitor)
    todo = plan(archive.store, needed.blobs, needed.packs)
    if dry_run:
        return Swept(sorted(over), todo, Collected(todo.freed, []), 0)
    for run_id, commit in over.items():
        forget(archive, run_id, commit)

    def mark_again() -> tuple[set[bytes], set[str]]:
        again = mark(archive, monitor=monitor)
        return again.blobs, again.packs

    done = collect(archive.store, todo, needed.blobs, mark_again, WAIT_S)
    return Swept(sorted(over), todo, done, _release(archive) if over else 0)


def _release(archive: Archive) -> int:
    """Let git see what is left over; not while somebody records, who may rely on an object of such a pack alone."""
    with FileLock(fold_lock(archive.repo)):
        if live_ids(archive.gitrun_dir):
            return 0
        return release(archive.repo.objects_dir, archive.repo.object_format, time.time() - _YOUNG_S)
