"""Which paths Git tracked when a source was frozen, and which of them it would call changed.

`git status`, `git diff` and `git describe --dirty` read the index. A source keeps no index, but its
facts say what was untracked, deleted, staged as new or taken out, and HEAD's tree says the rest:
what HEAD has keeps HEAD's id, so an edited file shows as edited, and a file that equals HEAD's gets
the stat of the file just written, so Git need not read it. Staged and unstaged edits of one file
cannot be told apart any more; both show as unstaged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from gitrun.git.hashing import object_id
from gitrun.model.canonical import path_bytes
from gitrun.replay.index_file import IndexEntry
from gitrun.replay.plan import FILE, GITLINK, Item, parents_of
from gitrun.replay.source import Source

Stat = Callable[[bytes], os.stat_result | None]


def tracked(source: Source, head: Iterable[Item], tree: Iterable[Item], stat: Stat) -> list[IndexEntry]:
    """The index of a worktree that holds `tree` on top of the commit whose files are `head`."""
    committed = {item.path: item for item in head}
    left_out = source.paths("untracked") | source.paths("removed_from_index")
    delta = source.facts.get("delta") or ()
    hidden = _paths_of(delta, "assume-unchanged", "skip-worktree")
    entries: dict[bytes, IndexEntry] = {}
    for item in tree:
        if item.path in left_out:
            continue
        known = committed.get(item.path, item)
        same = known.oid == item.oid and known.mode == item.mode and item.mode != GITLINK
        kind = hidden.get(item.path)
        entries[item.path] = IndexEntry(
            item.path,
            known.mode,
            known.oid,
            stat(item.path) if same else None,
            skip_worktree=kind == "skip-worktree",
            assume_valid=kind == "assume-unchanged",
        )
    entries.update(_absent(source, committed, entries, left_out, hidden))
    entries.update(_staged(source, entries))
    return _without_collisions(entries)


def tracked_by_commit(head: Iterable[Item], tree: Iterable[Item], stat: Stat) -> list[IndexEntry]:
    """The index of a root, about which only its commit is known: what the commit has is tracked."""
    present = {item.path: item for item in tree}
    entries = []
    for item in head:
        found = present.get(item.path)
        same = found is not None and found.oid == item.oid and found.mode == item.mode and item.mode != GITLINK
        entries.append(IndexEntry(item.path, item.mode, item.oid, stat(item.path) if same else None))
    return entries


def _absent(
    source: Source,
    committed: Mapping[bytes, Item],
    entries: Mapping[bytes, IndexEntry],
    left_out: set[bytes],
    hidden: Mapping[bytes, str],
) -> dict[bytes, IndexEntry]:
    """Tracked paths that the source tree lacks: deleted ones, and those a sparse checkout never wrote."""
    gone = source.paths("deleted") | {entry.path for entry in source.extra}
    sparse = bool(source.facts.get("sparse"))
    return {
        path: IndexEntry(
            path,
            item.mode,
            item.oid,
            skip_worktree=sparse and path not in gone,
            assume_valid=hidden.get(path) == "assume-unchanged",
        )
        for path, item in committed.items()
        if path not in entries and path not in left_out
    }


def _staged(source: Source, entries: Mapping[bytes, IndexEntry]) -> dict[bytes, IndexEntry]:
    """Paths staged as new that the tree lacks (large files, removed ones): Git need only know that they are meant."""
    empty = object_id("blob", b"", source.facts.get("object_format") or "sha1")
    missing = source.paths("index_tracked_new") - entries.keys()
    return {path: IndexEntry(path, FILE, empty, intent_to_add=True) for path in missing}


def _without_collisions(entries: dict[bytes, IndexEntry]) -> list[IndexEntry]:
    """Drop a tracked file whose place a tracked directory has taken: an index cannot hold both."""
    parents = parents_of(entries)
    return [entry for path, entry in entries.items() if path not in parents]


def _paths_of(delta: Iterable[object], *kinds: str) -> dict[bytes, str]:
    return {
        path_bytes(entry["path"]): str(entry.get("kind"))
        for entry in delta
        if isinstance(entry, dict) and isinstance(entry.get("path"), str) and entry.get("kind") in kinds
    }
