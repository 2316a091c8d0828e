"""What a run left behind, brought into its live directory once its command has ended.

One scan finds what was touched in the tree since the start; processes and the user name what lies elsewhere. Most runs
touch nothing, and pay for that look alone: what judges and stores files is loaded where there is one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.facts import text_path
from gitrun.capture.imports import worktree_of
from gitrun.capture.outputs import ANOTHER_CLOCK_NS, Touched, scan
from gitrun.model.artifacts import PART
from gitrun.model.canonical import path_bytes
from gitrun.model.listing import first_lines
from gitrun.model.times import parse_iso
from gitrun.recording.context import limit
from gitrun.recording.member import clock_jump_ns, read_exit, started_at_ns

if TYPE_CHECKING:
    from gitrun.recording.observing import Subject

AFTER_S = 8.0  # what sealing needs behind the outputs when there is little time
_MOST_NAMED = 20
_SCAN_AT_LEAST_S = 1.0


def gather(subject: Subject) -> Any:
    """Adds the outputs to the run's entries; what is missing, in sentences. Raises DiskFull or NotWritable."""
    worktree = worktree_of(subject.draft)
    if worktree is None or not os.path.isdir(worktree):
        return ["the working tree is gone: its outputs are not known"]
    look = Look(subject, worktree.rstrip(b"/") + b"/")
    touched = look.touched()
    if touched or look.beyond or look.patterns or _writes(subject) or PART in subject.live.part_paths():
        from gitrun.recording.claiming import claim  # see above
        from gitrun.recording.storing_outputs import store_entries

        outputs = claim(look, touched)
        look.problems += store_entries(subject, outputs)
    return look.problems or "complete"


def _writes(subject: Subject) -> bool:
    """Whether a process says that it wrote anything."""
    return any(opened.mode == "w" for process in subject.observed.processes for opened in process.opened)


class Start(NamedTuple):
    """When the command was let go, by the clock of one file system."""

    ns: int
    device: int

    def is_since(self, found: os.stat_result) -> bool:
        """Whether a file was changed since; one with another clock may have been a little before."""
        margin = 0 if found.st_dev == self.device else ANOTHER_CLOCK_NS
        return found.st_ctime_ns >= self.ns - margin

    def earlier(self, by_ns: int) -> Start:
        """The same moment for a clock that was set back since."""
        return self._replace(ns=self.ns - by_ns)


class Look:
    """One look at the tree of a run whose command has ended; `top` is its directory with a slash at its end.

    `beyond` are files outside that links in the tree lead to, and that were changed lately.
    `own` are directories of gitrun, of Git and of this command line, `patterns` what the user names as outputs.
    """

    def __init__(self, subject: Subject, top: bytes) -> None:
        self.subject = subject
        self.top = top
        self.problems: list[str] = []
        self.beyond: list[bytes] = []
        facts, context = subject.draft["live"], subject.context
        set_back_ns = max(0, -clock_jump_ns(read_exit(subject.live.member) or {}))
        self.start = _start(subject, top).earlier(set_back_ns)  # else what was written after that would be too old
        own = {context.gitrun_dir, context.archive.common_dir, *(facts.get("own_files") or ())}
        self.own = {os.path.realpath(os.fsencode(path)) for path in own}
        self.patterns = [path_bytes(text) for text in facts.get("output_patterns") or ()]

    def touched(self) -> list[Touched]:
        """The files of the tree that were touched since the start."""
        data = {os.path.normpath(os.path.join(self.top, path_bytes(path))) for path in self._limit("data")}
        limit_s = max(_SCAN_AT_LEAST_S, self.subject.context.left_s(self._limit("scan_time"), AFTER_S))
        skip = data | self.own | self._as_named(self.own)
        found = scan(self.top, self.start.ns, skip=skip, limit_s=limit_s)
        self.beyond = found.beyond
        links = [f"{text_path(path)}/: a link to a directory elsewhere" for path in found.links]
        self.problems += first_lines([f"not looked through: {gap}" for gap in (*found.gaps, *links)], _MOST_NAMED)
        return [one for one in found.touched if self.top + one.path not in skip]

    def _as_named(self, paths: set[bytes]) -> set[bytes]:
        """Real paths below the tree as the scan comes by them."""
        real_top = os.path.realpath(self.top) + b"/"
        return {self.top + path[len(real_top) :] for path in paths if path.startswith(real_top)}

    def _limit(self, name: str) -> Any:
        return limit(self.subject.draft, f"record.{name}")


def _start(subject: Subject, top: bytes) -> Start:
    """By the clock of the tree's file system where that can be had, else with a margin."""
    device = os.stat(top).st_dev
    at_ns = subject.draft["live"].get("began_ns") or started_at_ns(subject.live.member)
    if at_ns is not None and os.stat(subject.live.member).st_dev == device:
        return Start(at_ns, device)
    marked_ns = subject.draft["live"].get("tree_clock_ns")
    if isinstance(marked_ns, int):
        return Start(marked_ns, device)
    return Start(parse_iso(subject.draft["started_at"]) - ANOTHER_CLOCK_NS, device)
