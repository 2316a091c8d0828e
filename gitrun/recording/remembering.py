"""What a sealed run left in its working tree is noted there, so that the next snapshot does not take it for source.

The entries say what the bytes were, and the file's stat now whether it still has them: where it was last touched
before the command had ended, nothing can have changed it since it was read. Else the next snapshot compares.

Not everything that a scan found is the program's: somebody may have written code while it ran. So what looks like
code or configuration counts only where a process said that it wrote it, and nothing that steers Git ever does.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from gitrun.archive.entries import Entry
from gitrun.capture.facts import word_set
from gitrun.capture.recorded_outputs import encode, file_of, load, run_of, write
from gitrun.errors import GitrunError
from gitrun.files.locks import FileLock
from gitrun.files.room import make_room
from gitrun.files.write import make_dirs
from gitrun.model.canonical import path_bytes
from gitrun.recording.context import Context
from gitrun.recording.live import LiveDirectory
from gitrun.store.stat_cache import settled_before

MOST_ROWS = 100_000
MOST_TREES = 64
_LOCK_WAIT_S = 5.0
_SAID = ("observed", "declared", "api")
_CODE = word_set(
    "bash bat c cc cfg cpp cu cuh cxx f f90 go h hpp ini ipynb java jl js lua m pl ps1 py pyi pyx r rb rs scala sh "
    "sql toml ts yaml yml zsh makefile dockerfile"
)


class Row(NamedTuple):
    """A file that a run left at `path` (relative to the working tree): size and sha256 of its bytes or a link's target.

    `found` is the stat it had with these bytes; None where that is not proved.
    """

    path: bytes
    size: int
    sha256: str
    is_link: bool
    found: os.stat_result | None


def remember_outputs(context: Context, live: LiveDirectory, record: dict[str, Any], entries: Iterable[Entry]) -> None:
    """Note the outputs of a run that has just been sealed, whose live directory is still there; never fails."""
    worktree = record.get("worktree")
    if not worktree or (record.get("links") or {}).get("replay_of"):
        return  # a replay's directory is its own, and nobody records there again
    try:
        ended = os.stat(os.path.join(live.member, "exit"))
    except OSError:
        return  # nobody saw the end: its outputs are source once more
    remember(context.gitrun_dir, worktree, record["id"], _rows(entries, os.fsencode(worktree), ended))


def remember_stored(
    gitrun_dir: str, record: dict[str, Any], stored: Iterable[tuple[dict[str, Any], os.stat_result]]
) -> None:
    """Note outputs that were stored after the seal, each with the stat it had before and after it was read."""
    rows = [
        Row(path_bytes(line["path"]), line["bytes"], line["sha256"], False, found)
        for line, found in stored
        if line["kind"] == "output" and _is_the_programs(path_bytes(line["path"]), line["evidence"])
    ]
    if record.get("worktree") and not (record.get("links") or {}).get("replay_of"):
        remember(gitrun_dir, record["worktree"], record["id"], rows)


def remember(gitrun_dir: str, worktree: str, run: str, left: Iterable[Row]) -> None:
    """Add rows to those of a working tree; never fails, the worst is that an output is source once."""
    path = file_of(gitrun_dir, worktree)
    new = {row.path: encode(row.sha256, row.is_link, row.size, row.found, run) for row in left if b"\0" not in row.path}
    if not new:
        return
    directory = os.path.dirname(path)
    lock = FileLock(os.path.join(directory, "lock"))
    try:
        make_dirs(directory)
        if lock.acquire(timeout=_LOCK_WAIT_S):
            rows = {**load(path), **new}
            if len(rows) > MOST_ROWS:
                newest = sorted(rows.items(), key=lambda item: run_of(item[1]), reverse=True)
                rows = dict(newest[: MOST_ROWS * 3 // 4])
            write(path, rows)
            make_room(directory, files=MOST_TREES, but=["lock"])  # most working trees were made for one run
    except (OSError, GitrunError):
        pass  # a full disk, or a directory that is not ours to write
    finally:
        lock.release()


def _rows(entries: Iterable[Entry], top: bytes, ended: os.stat_result) -> Iterator[Row]:
    for entry in entries:
        if entry.kind != "output" or entry.sha256 is None or entry.size is None:
            continue
        if entry.type not in ("file", "link") or not _is_the_programs(entry.path, entry.facts.get("evidence")):
            continue
        try:
            found = os.lstat(os.path.join(top, entry.path))
        except OSError:
            continue  # gone by now
        is_as_it_was = found.st_size == entry.size and _is_proved(found, ended)
        yield Row(entry.path, entry.size, entry.sha256, entry.type == "link", found if is_as_it_was else None)


def _is_proved(found: os.stat_result, ended: os.stat_result) -> bool:
    """Whether a file had its bytes when the command ended: `ended` is a file written then, maybe on another disk."""
    return max(found.st_mtime_ns, found.st_ctime_ns) < settled_before(ended, found.st_dev)


def _is_the_programs(path: bytes, evidence: Any) -> bool:
    """Whether it is safe to say that nobody but the program made this file."""
    name = path[path.rfind(b"/") + 1 :]
    if path.startswith(b"/") or name.startswith(b".git") or evidence == "ambiguous":
        return False
    return evidence in _SAID or os.fsdecode(name.rpartition(b".")[2]).lower() not in _CODE
