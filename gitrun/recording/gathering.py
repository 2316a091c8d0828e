"""What a run left behind, brought into its live directory once its command has ended.

One scan finds what was touched in the tree since the start; what the source holds with the same content was not
written, the rest is an output. Where other runs worked in the same directory meanwhile, a file is this run's only if
one of its processes said that it wrote it: else nobody knows whose it is, and the record says `ambiguous`. So it does
of what was changed after the last proof that the run lived.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.facts import relative, text_path
from gitrun.capture.held import Held, HeldSource
from gitrun.capture.imports import started_in, worktree_of
from gitrun.capture.keeping import DEFERRED, Budget, Kept, Output, floor_of, keep
from gitrun.capture.outputs import scan
from gitrun.capture.written import Found, Written, declared
from gitrun.errors import DiskFull, GitrunError
from gitrun.git.hashing import hasher, object_id
from gitrun.git.objects import reader_on_demand
from gitrun.model.canonical import path_bytes
from gitrun.model.listing import first_lines
from gitrun.model.times import parse_iso
from gitrun.recording.artifacts import Line, read_artifacts, replace_artifacts
from gitrun.recording.context import limit
from gitrun.recording.liveness import is_own
from gitrun.recording.member import clock_jump_ns, last_seen_ns, read_exit, started_at_ns
from gitrun.recording.neighbours import has_neighbours
from gitrun.recording.rooting import read_lines

if TYPE_CHECKING:
    from gitrun.recording.observing import Subject

_MOST = 100_000
_MOST_NAMED = 20
_ANOTHER_CLOCK_NS = 2_000_000_000  # how far the clocks of two file systems may be apart
_AFTER_OUTPUTS_S = 8.0  # what sealing needs when there is little time
_SCAN_AT_LEAST_S = 1.0


def gather(subject: Subject) -> Any:
    """Adds the outputs to the run's entries; what is missing, in sentences. Raises DiskFull or NotWritable."""
    worktree = worktree_of(subject.draft)
    if worktree is None or not os.path.isdir(worktree):
        return ["the working tree is gone: its outputs are not known"]
    found = _Gathering(subject, worktree.rstrip(b"/") + b"/")
    outputs = found.outputs()
    kept = store_entries(subject, outputs)
    replace_artifacts(subject.live, lambda line: line.get("kind") == "output", kept.lines)
    subject.draft["live"]["outputs"] = sums(read_artifacts(subject.live))
    return [*found.problems, *kept.problems] or "complete"


class _Start(NamedTuple):
    """When the command was let go, by the clock of one file system."""

    ns: int
    device: int

    def is_since(self, found: os.stat_result) -> bool:
        """Whether a file was changed since; one with another clock may have been a little before."""
        margin = 0 if found.st_dev == self.device else _ANOTHER_CLOCK_NS
        return found.st_ctime_ns >= self.ns - margin

    def earlier(self, by_ns: int) -> _Start:
        """The same moment for a clock that was set back since."""
        return self._replace(ns=self.ns - by_ns)


class _Gathering:
    def __init__(self, subject: Subject, top: bytes) -> None:
        self.subject = subject
        self.top = top
        self.problems: list[str] = []
        self.facts = subject.draft["live"]
        set_back_ns = max(0, -clock_jump_ns(read_exit(subject.live.member) or {}))
        self.start = _start(subject, top).earlier(set_back_ns)  # else what was written after that would be too old
        self.written = Written(subject.observed, started_in(subject.draft))
        context = subject.context
        own = {context.gitrun_dir, context.archive.common_dir, *(self.facts.get("own_files") or ())}
        self.own = {os.path.realpath(os.fsencode(path)) for path in own}

    def outputs(self) -> list[Output]:
        """Every output, each once."""
        with reader_on_demand(self.subject.context.archive) as reader:
            source = _Source(self.subject, reader)
            inside = [one for one in self._touched() if not source.has(one)]
            outputs = {one.name: Output(*one, "") for one in inside}
            outputs.update((one.name, Output(*one, "observed")) for one in self._outside())
            outputs.update((one.name, Output(*one, "declared")) for one in self._declared())
            shared = bool(inside) and has_neighbours(self.subject.context, reader(), self.subject.draft)
        if len(outputs) > _MOST:
            self.problems.append(f"{len(outputs):,} outputs, of which {_MOST:,} were kept")
        last_ns = _last_proof_ns(self.subject) if outputs else None
        return [self._judged(outputs[name], shared, last_ns) for name in sorted(outputs)[:_MOST]]

    def _touched(self) -> Iterator[Found]:
        data = {os.path.normpath(os.path.join(self.top, path_bytes(path))) for path in _limit(self.subject, "data")}
        limit_s = max(_SCAN_AT_LEAST_S, min(_limit(self.subject, "scan_time"), _left_s(self.subject)))
        skip = data | self.own | self._as_named(self.own)
        found = scan(self.top, self.start.ns, skip=skip, limit_s=limit_s)
        links = [f"{text_path(path)}/: a link to a directory elsewhere" for path in found.links]
        self.problems += first_lines([f"not looked through: {gap}" for gap in (*found.gaps, *links)], _MOST_NAMED)
        for name, stat_ in found.touched:
            if self.top + name not in skip:
                yield Found(name, self.top + name, stat_)

    def _as_named(self, paths: set[bytes]) -> set[bytes]:
        """Real paths below the tree as the scan comes by them."""
        real_top = os.path.realpath(self.top) + b"/"
        return {self.top + path[len(real_top) :] for path in paths if path.startswith(real_top)}

    def _outside(self) -> Iterator[Found]:
        return self.written.outside(self.top, self.own, self.start.is_since)

    def _declared(self) -> Iterator[Found]:
        patterns = [path_bytes(text) for text in self.facts.get("output_patterns") or ()]
        cwd = started_in(self.subject.draft)
        real_top = os.path.realpath(self.top)
        skip = [path for path in self.own if relative(real_top, path) is None]  # a replay lies below the archive's
        return declared(patterns, cwd, self.top, skip, self.start.is_since, self.problems)

    def _judged(self, output: Output, shared: bool, last_ns: int | None) -> Output:
        if last_ns is not None and output.found.st_ctime_ns > last_ns:
            return output._replace(evidence="ambiguous")
        if output.evidence:
            return output
        if self.written.has(output.path):
            return output._replace(evidence="observed")
        return output._replace(evidence="ambiguous" if shared else "scan")


class _Source:
    """What the source holds in the tree: what still is that was touched only."""

    def __init__(self, subject: Subject, reader: Any) -> None:
        source = subject.draft["source"]
        self._held = HeldSource(source, read_lines(subject.live), reader)
        self._fmt = subject.context.archive.object_format
        roots = [(path_bytes(root["path"]) + b"/", root["n"]) for root in source.get("roots") or []]
        self._roots = sorted(roots, key=lambda root: len(root[0]), reverse=True)

    def has(self, one: Found) -> bool:
        """Whether the source has a file with just this content."""
        above, n = next(((path, n) for path, n in self._roots if one.name.startswith(path)), (b"", None))
        try:
            held = self._held.find((n, one.name[len(above) :]))
            return held is not None and _is_content(one, held, self._fmt)
        except (OSError, GitrunError, KeyError):
            return False  # gone, or a source that cannot be read: better an output too many


def _is_content(one: Found, held: Held, fmt: str) -> bool:
    if held.is_link != stat.S_ISLNK(one.found.st_mode):
        return held.is_link and held.oid is None  # it lies below a link of the source
    if held.is_link:
        return held.oid == object_id("blob", os.readlink(one.path), fmt)
    digest = hashlib.sha256() if held.sha256 is not None else hasher("blob", one.found.st_size, fmt)
    fd = os.open(one.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while piece := os.read(fd, 1 << 20):
            digest.update(piece)
    finally:
        os.close(fd)
    return digest.hexdigest() == (held.sha256 or held.oid)


# -- when


def _start(subject: Subject, top: bytes) -> _Start:
    """By the clock of the tree's file system where that can be had, else with a margin."""
    device = os.stat(top).st_dev
    at_ns = subject.draft["live"].get("began_ns") or started_at_ns(subject.live.member)
    if at_ns is not None and os.stat(subject.live.member).st_dev == device:
        return _Start(at_ns, device)
    marked_ns = subject.draft["live"].get("tree_clock_ns")
    if isinstance(marked_ns, int):
        return _Start(marked_ns, device)
    return _Start(parse_iso(subject.draft["started_at"]) - _ANOTHER_CLOCK_NS, device)


def _last_proof_ns(subject: Subject) -> int | None:
    """When a run that somebody else finds certainly lived for the last time; None in its own recorder."""
    if is_own(subject.live.member):
        return None
    end = read_exit(subject.live.member) or {}
    return max(end.get("ended_ns") or 0, last_seen_ns(subject.live.member) or 0)


def _left_s(subject: Subject) -> float:
    """Seconds until the outputs have to be done."""
    stop_by = subject.context.stop_by()
    return float("inf") if stop_by is None else stop_by - _AFTER_OUTPUTS_S - time.monotonic()


# -- storing


def store_entries(subject: Subject, outputs: list[Output], kind: str = "output") -> Kept:
    """The lines of files of one kind, stored within what others have left; raises NotWritable or DamagedStore."""
    if not outputs:
        return Kept([], [])
    store = subject.context.store()
    is_made = os.path.lexists(store.directory) or not store.path
    budget = _budget(subject, os.path.realpath(store.directory) if is_made else store.path)
    try:
        with store.session() as session:
            kept = keep(outputs, session, budget, kind, monitor=subject.context.monitor)
            session.commit()
            # what names the blobs is on disk before the session's promise ends
            replace_artifacts(subject.live, lambda line: line.get("kind") == kind, kept.lines)
        return kept
    except DiskFull as problem:
        with store.session() as session:
            kept = keep(outputs, session, budget._replace(refused="space"), kind, monitor=subject.context.monitor)
        return kept._replace(problems=[f"nothing is stored: {problem}", *kept.problems])


def _budget(subject: Subject, store_dir: str) -> Budget:
    latest = time.monotonic() + _limit(subject, "output_time")
    facts = subject.draft["live"]
    cwd, top = subject.draft.get("cwd"), b""
    if isinstance(cwd, str) and cwd != "." and not cwd.startswith("/"):
        top = path_bytes(cwd) + b"/"
    stored = (line for line in read_artifacts(subject.live) if line.get("kind") == "artifact" and line["stored"])
    return Budget(
        max(0, _limit(subject, "output_bytes") - sum(line["bytes"] for line in stored)),
        floor_of(store_dir, _limit(subject, "output_floor")),
        store_dir,
        lambda: min(latest, time.monotonic() + _left_s(subject)),
        (*(facts.get("keep") or ()), *_limit(subject, "keep")),
        (*(facts.get("no_keep") or ()), *_limit(subject, "no_keep")),
        top,
    )


def _limit(subject: Subject, name: str) -> Any:
    return limit(subject.draft, f"record.{name}")


def sums(lines: list[Line]) -> dict[str, int]:
    """What the last line of a recording says of outputs, and of what was handed over."""
    lines = [line for line in lines if line.get("kind") in ("output", "artifact")]
    stored = sum(line["bytes"] or 0 for line in lines if line["stored"])
    left_out = sum(line["bytes"] or 0 for line in lines if not line["stored"])
    return {"stored": stored, "left_out": left_out, "deferred": sum(line["reason"] == DEFERRED for line in lines)}
