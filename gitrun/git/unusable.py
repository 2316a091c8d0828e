"""Packs of gitrun's that a power cut has left without their bytes.

The pack of a snapshot gets its name before it is synced, so that no command waits for the disk. Where power goes in
between, name and mark may be there, and of the bytes nothing, zeros or a part. Git then complains at each command,
and folding stops at such a pack. What cannot be opened holds nothing for anybody: it is moved out of the way.
"""

from __future__ import annotations

import os
from contextlib import suppress

from gitrun.errors import DamagedStore
from gitrun.files.write import fsync_dir, make_dirs
from gitrun.git.packs import Pack, open_index
from gitrun.git.publishing import KEEP_MARK
from gitrun.git.repository import Repository
from gitrun.monitor import Monitor


def unusable_packs(repo: Repository) -> dict[Pack, str]:
    """The packs with gitrun's mark, or what may be left of it, that Git cannot open either; and why."""
    found = {}
    directory = os.path.join(repo.objects_dir, "pack")
    for keep in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        pack = Pack(directory, keep.removesuffix(".keep"), 0)
        if keep.endswith(".keep") and _may_be_ours(pack.path("keep")):
            with suppress(FileNotFoundError):  # not published yet, or folded away since it was listed
                try:
                    open_index(pack, repo.object_format)
                except DamagedStore as problem:
                    if not _is_version_1(pack.path("idx")):
                        found[pack] = str(problem)
    return found


def put_unusable_aside(repo: Repository, monitor: Monitor) -> None:
    """Move these packs to `gitrun/quarantine/` beside the objects; raises OSError."""
    for pack, why in unusable_packs(repo).items():
        aside = os.path.join(repo.common_dir, "gitrun", "quarantine")
        make_dirs(aside)
        for suffix in ("idx", "pack", "keep"):
            with suppress(FileNotFoundError):  # another process was quicker
                os.rename(pack.path(suffix), os.path.join(aside, f"{pack.name}.{suffix}"))
        fsync_dir(aside)
        monitor.warn("W016", f"{why}; it was moved to {aside}")


def _is_version_1(index: str) -> bool:
    """Whether it may be an index as gitrun never writes one: a user's pack, whose `.keep` is often empty."""
    with open(index, "rb") as file:
        head = file.read(1024)
        size = os.fstat(file.fileno()).st_size
    count = int.from_bytes(head[-4:], "big")  # the last of 256 sums; then 24 bytes an object, and two checksums
    return count > 0 and size == len(head) + 24 * count + 40


def _may_be_ours(keep: str) -> bool:
    try:
        with open(keep, "rb") as file:
            return KEEP_MARK.startswith(file.read(len(KEEP_MARK)).rstrip(b"\0"))
    except OSError:
        return False  # gone, or not ours to read: then not ours
