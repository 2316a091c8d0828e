"""Which files changed after the snapshot had looked at them and before the command could read them.

Problem: a snapshot takes a moment, and so does a start. A file saved in between is not what ran.
Idea: every look of a snapshot was a stat, so a second one after the start tells, and the inode's
change time says on which side of the start it happened. Nobody waits for it: the command runs.
Reason: change times are set by the file system alone, so its clock is the one that is asked here,
not the process's. It ticks every few milliseconds; a change within the tick of the start counts as
the command's own.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from gitrun.capture.statdata import StatRules, is_unchanged
from gitrun.capture.walk import GITLINK
from gitrun.files.write import create, make_dirs, remove_quietly
from gitrun.git.index import Index, mode_of
from gitrun.model.canonical import path_text

MOST_TRACKED = 100_000  # files; to look at that many again takes a quarter of a second of the command's machine


class Watched(NamedTuple):
    """One worktree as it was looked at: `read` has the stat of every file that was read."""

    top: bytes
    prefix: bytes
    tracked: Index
    trust: StatRules
    read: dict[bytes, os.stat_result]


class Watch(NamedTuple):
    """All worktrees of a snapshot that began at `began_ns`, by the file system's clock."""

    began_ns: int
    worktrees: list[Watched]


class Changes(NamedTuple):
    """The paths that changed, relative to the top, and in words what was not looked at."""

    paths: set[str]
    gaps: list[str]


def clock_ns(directory: str) -> int:
    """The time on the clock that stamps the files of `directory`, which is made where it is missing."""
    make_dirs(directory)
    path = os.path.join(directory, f"tmp-clock-{os.urandom(6).hex()}")
    fd = create(path)
    try:
        return os.fstat(fd).st_mtime_ns
    finally:
        os.close(fd)
        remove_quietly(path)


def changed_since(watch: Watch, started_ns: int) -> Changes:
    """What changed in the watched worktrees between the snapshot's looks and `started_ns`; ends the watch."""
    changes = Changes(set(), [])
    tracked = sum(len(files) for each in watch.worktrees for files in each.tracked.files.values())
    if tracked > MOST_TRACKED:
        changes.gaps.append(
            f"{tracked} tracked files: whether an unchanged one was edited while the command was started is not known"
        )
    while watch.worktrees:  # an index is large, and the command may run for days
        each = watch.worktrees.pop()
        paths = [path for path, was in each.read.items() if _differs(each.top + path, was, watch, started_ns)]
        if tracked <= MOST_TRACKED:
            paths += _changed_entries(each, watch, started_ns)
        changes.paths.update(path_text(each.prefix + path) for path in paths)
    return changes


def same_state(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether two looks at a path saw one file that nobody touched in between."""
    return (
        before.st_ctime_ns == after.st_ctime_ns
        and before.st_mtime_ns == after.st_mtime_ns
        and before.st_size == after.st_size
        and before.st_ino == after.st_ino
        and before.st_mode == after.st_mode
    )


def _differs(path: bytes, was: os.stat_result, watch: Watch, started_ns: int) -> bool:
    found = look(path)
    return found is not None and watch.began_ns <= found.st_ctime_ns < started_ns and not same_state(was, found)


def _changed_entries(each: Watched, watch: Watch, started_ns: int) -> list[bytes]:
    """The files that the index proved unchanged then, and does not now."""
    paths = []
    for directory, files in each.tracked.files.items():
        for name, entry in files.items():
            found = look(each.top + directory + name)
            if found is None or not watch.began_ns <= found.st_ctime_ns < started_ns or mode_of(entry) == GITLINK:
                continue
            if stat.S_ISDIR(found.st_mode) or directory + name in each.read:
                continue
            if not is_unchanged(found, entry, each.tracked.mtime_ns, each.trust):
                paths.append(directory + name)
    return paths


def look(path: bytes) -> os.stat_result | None:
    """What is at `path`; None for nothing, which has no time: who removed a file, and when, cannot be told."""
    try:
        return os.lstat(path)
    except OSError:
        return None
