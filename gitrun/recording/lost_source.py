"""A run whose source the power took: sealed without it, and it says so.

The pack of a snapshot is synced when the command has started, so that no command waits for the disk. Where power goes
before, the live directory may be there and the pack not, or only its name. A ref must never name what is not there, and
the run still has its command, its machine and perhaps its console to tell.
"""

from typing import Any

from gitrun.errors import GitrunError
from gitrun.files.holder import here
from gitrun.git.objects import ObjectReader, open_reader
from gitrun.git.trees import DIRECTORY, GITLINK, parse_tree
from gitrun.model.canonical import MAX_BYTES
from gitrun.recording.context import Context
from gitrun.recording.live import LiveDirectory
from gitrun.recording.liveness import read_header


def forget_lost_source(context: Context, live: LiveDirectory, draft: dict[str, Any]) -> None:
    """Take the source out of a draft where objects of it are missing; looked at only after a reboot of its host."""
    header = read_header(live.member) or {}
    if header.get("boot_id") == here().boot_id:
        return  # what was written is there, synced or not
    facts, source = draft.get("live") or {}, draft.get("source") or {}
    trees = [source.get("tree"), *(root.get("tree") for root in source.get("roots") or ())]
    with open_reader(context.archive) as reader:
        snapshot = facts.get("snapshot")
        if (snapshot is None or reader.has(snapshot)) and all(_is_whole(reader, tree) for tree in trees if tree):
            return
    draft["source"] = {**source, "tree": None, "roots": []}
    draft["live"] = {**facts, "snapshot": None, "pack": None}
    draft.setdefault("coverage", {})["source"] = ["it is lost: the power went before it had reached the disk"]


def _is_whole(reader: ObjectReader, tree: str) -> bool:
    """Whether a tree and everything below it is there."""
    seen, pending = {tree}, [tree]
    try:
        while pending:
            data = reader.read(pending.pop(), MAX_BYTES)[1]
            for _, mode, oid in parse_tree(data, len(tree) // 2):
                if oid in seen or mode == GITLINK:
                    continue  # a submodule's commit lies elsewhere
                seen.add(oid)
                if mode == DIRECTORY:
                    pending.append(oid)
                elif not reader.has(oid):
                    return False
    except (KeyError, GitrunError):
        return False
    return True
