"""Folding: many small packs of gitrun's become one, and its loose refs lines of packed-refs.

Problem: a run costs at least four files, 16 KiB on disk for a one-line change, and many packs and
loose refs slow the user's own git.
Idea: once there are many packs, the smallest are packed again as one, with deltas between runs, so
that sizes grow geometrically and an object is moved a logarithmic number of times.
Reason for the order: the superset is durable and marked before a pack that it replaces goes, so a
kill at any point leaves every object in at least one pack, and the next fold finishes the work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from gitrun.errors import GitFailed, GitrunError
from gitrun.files.write import make_dirs
from gitrun.git import reffiles
from gitrun.git.objects import ObjectReader, open_reader
from gitrun.git.packindex import PackIndex
from gitrun.git.packs import (
    OwnPacks,
    Pack,
    PackWriter,
    publish_staged,
    remove_leftovers,
    replace_by_superset,
)
from gitrun.git.reflocks import own
from gitrun.git.refs import RUNS, fold_lock
from gitrun.git.repository import Repository
from gitrun.git.trees import DIRECTORY, parse_commit, parse_tree
from gitrun.git.unusable import put_unusable_aside
from gitrun.model.ids import is_run_id
from gitrun.monitor import Monitor

# Packs or loose refs that there may be before they are folded.
_PACKS = 32
_LOOSE_REFS = 64
# A pack this large is worth its files; moving it would make somebody wait.
_LARGEST_BYTES = 64 << 20
_GROWTH = 2


def fold(repo: Repository, monitor: Monitor) -> None:
    """Fold gitrun's packs and refs where there are many; what prevents it is a warning, since nothing is lost.

    One process folds at a time; another one that comes by leaves it to that.
    """
    try:
        if _is_due(repo):
            put_unusable_aside(repo, monitor)
            fold_now(repo)
    except (GitrunError, OSError) as problem:
        monitor.warn("W010", f"the archive could not be folded, which costs disk space alone: {problem}")


def fold_now(repo: Repository) -> bool:
    """Fold whatever is worth it, due or not; False when another process is at it. Raises GitrunError, OSError."""
    lock = own(fold_lock(repo))
    workplace = os.path.dirname(lock.path)
    if not lock.acquire(blocking=False):
        return False
    try:
        remove_leftovers(repo.objects_dir)
        _fold_packs(repo, os.path.join(workplace, "fold"))
        if repo.ref_storage == "files":
            reffiles.pack(repo.common_dir, RUNS, repo.hash_len * 2, lock.path, _is_run)
    finally:
        lock.release()
    return True


def _is_run(name: str, value: str) -> bool:
    # Anything else below refs/gitrun/runs/ is somebody else's: packed-refs would need to know what it peels to.
    return is_run_id(name[len(RUNS) :]) and not value.startswith("ref:")


def _is_due(repo: Repository) -> bool:
    if len(OwnPacks(repo.objects_dir, repo.object_format).packs()) >= _PACKS:
        return True
    try:
        return len(os.listdir(os.path.join(repo.common_dir, RUNS))) >= _LOOSE_REFS
    except FileNotFoundError:
        return False  # every run is packed, or there is none


def _fold_packs(repo: Repository, stage: str) -> None:
    small = [p for p in OwnPacks(repo.objects_dir, repo.object_format).packs() if p.size < _LARGEST_BYTES]
    ids = {pack: list(PackIndex(pack.path("idx"), repo.object_format).ids()) for pack in small}
    chosen = choose({pack: len(found) for pack, found in ids.items()})
    if len(chosen) < 2:
        return
    if repo.git is None:
        _merge_plain(repo, chosen)
    else:
        wanted = sorted({oid.hex() for pack in chosen for oid in ids[pack]})
        superset = _pack_by_git(repo, wanted, stage)
        replace_by_superset(repo.objects_dir, repo.object_format, chosen, superset)


def choose(counts: dict[Pack, int]) -> list[Pack]:
    """The packs to fold, by numbers of objects: as many of the smallest as leave the rest growing by a factor."""
    chosen: list[Pack] = []
    total = 0
    for pack in sorted(counts, key=lambda pack: (counts[pack], pack.name)):
        if chosen and counts[pack] >= _GROWTH * total:
            break
        chosen.append(pack)
        total += counts[pack]
    return chosen


def _merge_plain(repo: Repository, chosen: list[Pack]) -> None:
    """Without git: the packs that hold no deltas, entry by entry as they are."""
    writer = PackWriter(repo.objects_dir, repo.object_format)
    merged = [pack for pack in chosen if writer.absorb(pack)]
    if len(merged) < 2:
        writer.abort()
    elif (superset := writer.finish(sync=True)) is not None:
        replace_by_superset(repo.objects_dir, repo.object_format, merged, superset)


def _pack_by_git(repo: Repository, ids: list[str], stage: str) -> Pack:
    """One pack with the objects `ids`, made by `git pack-objects` in the directory `stage` and then published."""
    make_dirs(stage)
    for leftover in os.listdir(stage):  # of a fold that was killed; we hold the lock
        os.unlink(os.path.join(stage, leftover))
    listing = b"".join(b"%s %s\n" % (oid.encode(), hint) for oid, hint in _with_hints(repo, ids))
    settings = ["-c", "pack.packSizeLimit=0", "-c", "pack.writeReverseIndex=false", "-c", "pack.indexVersion=2"]
    how = ["pack-objects", "-q", "--delta-base-offset", "--window=10", "--depth=50"]
    answer = repo.run([*settings, *how, os.path.join(stage, "new")], stdin=listing).decode().split()
    if len(answer) != 1:
        raise GitFailed(f"git pack-objects made {len(answer)} packs where one was asked for")
    return publish_staged(repo.objects_dir, os.path.join(stage, f"new-{answer[0]}"), f"pack-{answer[0]}")


def _with_hints(repo: Repository, ids: list[str]) -> Iterator[tuple[str, bytes]]:
    """Each id with the path it is found at: git looks for deltas among objects of like paths."""
    out = repo.run(["cat-file", "--batch-check=%(objecttype)"], stdin="\n".join([*ids, ""]).encode())
    kinds = dict(zip(ids, out.decode("utf-8", "replace").splitlines(), strict=True))
    if missing := next((oid for oid, kind in kinds.items() if kind.endswith("missing")), None):
        raise GitFailed(f"object {missing} of gitrun's own packs cannot be read", next="git fsck")
    hints: dict[str, bytes] = {}
    commits = [oid for oid, kind in kinds.items() if kind == "commit"]
    with open_reader(repo) as reader:
        level = {parse_commit(data).tree: b"" for _, _, data in reader.many(commits)}
        level = {tree: path for tree, path in level.items() if tree in kinds}
        while level:
            level = _hint_children(reader, level, kinds, hints, repo.hash_len)
    for oid in ids:
        yield oid, hints.get(oid, b"").replace(b"\n", b"?")


def _hint_children(
    reader: ObjectReader, level: dict[str, bytes], kinds: dict[str, str], hints: dict[str, bytes], hash_len: int
) -> dict[str, bytes]:
    """Note the paths of what the trees of `level` hold; the trees among them, which are the next level."""
    below: dict[str, bytes] = {}
    for tree, _, data in reader.many(list(level)):
        path = level[tree] + b"/" if level[tree] else b""
        for name, mode, oid in parse_tree(data, hash_len):
            if oid in kinds and oid not in hints:
                hints[oid] = path + name
                if mode == DIRECTORY:
                    below[oid] = path + name
    return below
