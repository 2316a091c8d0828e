"""Which of the files that were touched are outputs of this run, and how that is known.

What the source holds with the same content was not written, the rest is an output. Where other runs worked in the same
directory meanwhile, a file is this run's only if one of its processes said that it wrote it: else nobody knows whose it
is, and the record says `ambiguous`. So it does of what was changed after the last proof that the run lived.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, Any

from gitrun.capture.facts import relative
from gitrun.capture.held import Held, HeldSource
from gitrun.capture.imports import started_in
from gitrun.capture.keeping import Output
from gitrun.capture.places import read_places
from gitrun.capture.written import Found, Written, behind_links, declared
from gitrun.errors import GitrunError
from gitrun.files.read import pieces
from gitrun.git.hashing import hasher, object_id
from gitrun.git.objects import reader_on_demand
from gitrun.model.canonical import path_bytes
from gitrun.recording.liveness import is_own
from gitrun.recording.member import last_seen_ns, read_exit
from gitrun.recording.neighbours import has_neighbours
from gitrun.recording.rooting import read_lines

if TYPE_CHECKING:
    from gitrun.capture.outputs import Touched
    from gitrun.recording.gathering import Look
    from gitrun.recording.observing import Subject

_MOST = 100_000


def claim(look: Look, touched: list[Touched]) -> list[Output]:
    """Every output of a run, each once; what is missing is added to the problems of `look`."""
    subject, top = look.subject, look.top
    cwd = started_in(subject.draft)
    written = Written(subject.observed, cwd)
    with reader_on_demand(subject.context.archive) as reader:
        source = _Source(subject, reader)
        found = (Found(path, top + path, stat_) for path, stat_ in touched)
        inside = [one for one in found if not source.has(one)]
        outputs = {one.name: Output(*one, "") for one in inside}
        no_results = look.own | _caches(subject, top)
        beyond = behind_links(look.beyond, read_places(subject.live.member), top, no_results, look.start.is_since)
        outputs.update((one.name, Output(*one, "")) for one in beyond if not source.has(one))
        for one in written.outside(top, no_results, look.start.is_since):
            outputs[one.name] = Output(*one, "observed")
        real_top = os.path.realpath(top)
        skip = [path for path in look.own if relative(real_top, path) is None]  # a replay lies below the archive's
        for one in declared(look.patterns, cwd, top, skip, look.start.is_since, look.problems):
            outputs[one.name] = Output(*one, "declared")
        is_open = not all(one.evidence for one in outputs.values())
        shared = is_open and has_neighbours(subject.context, reader(), subject.draft)
    if len(outputs) > _MOST:
        look.problems.append(f"{len(outputs):,} outputs, of which {_MOST:,} were kept")
    last_ns = _last_proof_ns(subject) if outputs else None
    return [_judged(outputs[name], written, shared, last_ns) for name in sorted(outputs)[:_MOST]]


def _caches(subject: Subject, top: bytes) -> set[bytes]:
    """The user's directory of caches where it has another name than `.cache`, by which it would be known."""
    place = os.fsencode(subject.context.environ.get("XDG_CACHE_HOME") or "")
    real = os.path.realpath(place)
    return {real} if os.path.isabs(place) and relative(os.path.realpath(top), real) is None else set()


def _judged(output: Output, written: Written, shared: bool, last_ns: int | None) -> Output:
    if last_ns is not None and output.found.st_ctime_ns > last_ns:
        return output._replace(evidence="ambiguous")
    if output.evidence:
        return output
    if written.has(output.path):
        return output._replace(evidence="observed")
    return output._replace(evidence="ambiguous" if shared else "scan")


def _last_proof_ns(subject: Subject) -> int | None:
    """When a run that somebody else finds certainly lived for the last time; None in its own recorder."""
    if is_own(subject.live.member):
        return None
    end = read_exit(subject.live.member) or {}
    return max(end.get("ended_ns") or 0, last_seen_ns(subject.live.member) or 0)


class _Source:
    """What the source holds in the tree: what still is that was touched only."""

    def __init__(self, subject: Subject, reader: Any) -> None:
        source = subject.draft["source"]
        self._held = HeldSource(source, read_lines(subject.live), reader)
        self._fmt = subject.context.archive.object_format
        roots = [(path_bytes(root["path"]) + b"/", root["n"]) for root in source.get("roots") or []]
        self._roots = sorted(roots, key=lambda root: len(root[0]), reverse=True)

    def has(self, one: Found) -> bool:
        """Whether the source has a file with just this content, that may be executed if this one may."""
        above, n = next(((path, n) for path, n in self._roots if one.name.startswith(path)), (b"", None))
        try:
            held = self._held.find((n, one.name[len(above) :]))
            if held is None or held.is_executable not in (None, bool(one.found.st_mode & stat.S_IXUSR)):
                return False  # another mode is a result as well
            return _is_content(one, held, self._fmt)
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
        for piece in pieces(fd, one.found.st_size + 1):  # one that has grown since has another content
            digest.update(piece)
    finally:
        os.close(fd)
    return digest.hexdigest() == (held.sha256 or held.oid)
