"""What a run read, brought into its live directory once its command has ended.

Named with `--input` it was looked at before the start; the rest is what its Python processes opened and what its
configuration names, but for what has another place in the record: the source, the environment, the run's own outputs.
What somebody wrote to since the start is no longer what the run was given, and says so. A file that a guard kept
out of the source is stored here, because nothing else would give it back; one that another run made names that run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from gitrun.capture.facts import place
from gitrun.capture.held import HeldSource
from gitrun.capture.imports import started_in, worktree_of
from gitrun.capture.readings import CONFIG, OBSERVED, Belongings, named_paths, readings
from gitrun.capture.whereabouts import Territory, Whereabouts, prefixes_of
from gitrun.git.objects import reader_on_demand
from gitrun.model.artifacts import MAX_INPUTS
from gitrun.model.canonical import MAX_BYTES, DecodeProblem, decode, path_bytes
from gitrun.recording.artifacts import Line, read_artifacts
from gitrun.recording.context import limit
from gitrun.recording.member import started_at_ns
from gitrun.recording.rooting import read_lines

if TYPE_CHECKING:
    from gitrun.recording.observing import Subject

_REST_S = 5.0  # what sealing needs behind this when there is little time
_INDEX_S = 1.0  # how long the runs that are not in the traces yet are read


def consume(subject: Subject) -> Any:
    """Adds the inputs to the run's entries; what `coverage.inputs` says. Raises DiskFull or NotWritable."""
    known = subject.draft["coverage"].get("inputs")
    problems = list(known) if isinstance(known, list) else []
    lines = read_artifacts(subject.live)
    found = [line for line in lines if line["kind"] == "input"]
    with _consumer(subject, lines) as consumer:
        for line in found:
            consumer.compare(line)
        found += consumer.found({consumer.absolute(line["path"]) for line in found})
        problems += consumer.problems
    if found:
        from gitrun.recording.storing_inputs import tell_makers, write_inputs  # as below

        problems += tell_makers(subject, found, max(0.0, _end(subject, _INDEX_S) - time.monotonic()))
        declared = subject.draft["live"].get("input_directories") or ()
        named = {*map(path_bytes, declared), *consumer.directories}
        problems += write_inputs(subject, found, named, worktree_of(subject.draft), _limit(subject, "stored"))
    if any(process.opened for process in subject.observed.processes):
        return {"python": OBSERVED, "labels": problems}
    return problems or ("complete" if found else None)


class _Setting(NamedTuple):
    """Where the run took place, and when it began."""

    worktree: bytes | None
    cwd: bytes
    started_ns: int


class _Consumer:
    """Finds the inputs of one run among what was named."""

    def __init__(
        self, subject: Subject, setting: _Setting, lines: list[Line], belongings: Belongings, source: HeldSource
    ) -> None:
        self._subject = subject
        self._setting = setting
        self._belongings = belongings
        self._source = source
        self._real_directories: dict[bytes, bytes] = {}
        made = [line for line in lines if line["kind"] == "output"]
        self._made = {self.absolute(line["path"]): line for line in made}
        self._readings = readings(subject.observed, setting.cwd)
        self._end = _end(subject, _limit(subject, "time"))
        self.problems: list[str] = []
        self.directories: set[bytes] = set()  # those that the configuration names, as lines name them

    def compare(self, line: Line) -> None:
        """Says of an input that was looked at before the start whether it was written to since."""
        try:
            now = os.stat(self.absolute(line["path"]))
        except OSError:
            changed = line["reason"] != "missing"
        else:
            changed = now.st_mtime_ns > self._setting.started_ns or now.st_size != (line["bytes"] or now.st_size)
        if changed:
            line["overwritten"] = True

    def found(self, known: set[bytes]) -> list[Line]:
        """The lines of all other inputs."""
        read = self._readings
        paths = dict.fromkeys(self._named(known), CONFIG)
        paths.update(dict.fromkeys(self._files(read.read, known), OBSERVED))
        if len(paths) > MAX_INPUTS:
            self.problems.append(f"{len(paths):,} inputs, of which {MAX_INPUTS:,} are recorded")
            paths = dict(sorted(paths.items())[:MAX_INPUTS])
        rewritten = list(map(self._rewritten, self._files(read.rewritten, known)))
        return [*self._described(paths), *rewritten] if paths else rewritten

    def _described(self, paths: dict[bytes, str]) -> list[Line]:
        """The lines of files that the run read, each with its digest as far as time and bytes go."""
        from gitrun.capture.digests import Digests, user_cache  # many runs read nothing of their own
        from gitrun.capture.inputs import Allowance, describe

        setting = self._setting
        spent = int(self._subject.draft["live"].get("inputs_read") or 0)
        allowance = Allowance(max(0, _limit(self._subject, "bytes") - spent), self._end)
        digests = Digests(user_cache(self._subject.context.environ, setting.worktree))
        described = describe(paths, setting.worktree, digests, allowance)
        self.problems += described.problems
        for line in described.entries:
            self.compare(line)
        return described.entries

    def _named(self, known: set[bytes]) -> list[bytes]:
        """Files that the configuration names, those below a directory instead of it; not those written meanwhile."""
        subject, setting = self._subject, self._setting
        named = named_paths(
            _config(subject), subject.draft["command"], setting.cwd, setting.worktree, subject.observed.places
        )
        too_wide = [os.fsencode(os.path.expanduser("~")), setting.cwd, os.fsencode(subject.context.gitrun_dir)]
        too_wide += [setting.worktree] if setting.worktree else []
        too_wide += [*self._made, *self._readings.written]  # a directory that was written into
        found: set[bytes] = set()
        for path in named:
            if not os.path.isdir(path):
                found.add(path)
            elif self._belongings.where(path + b"/x") is not None:
                found.update(self._belongings.files_of(path, too_wide, setting.started_ns, self._end) or ())
                self.directories.add(path_bytes(place(path, setting.worktree)))
        return [path for path in self._files(found, known) if not self._is_newer(path)]

    def _is_newer(self, path: bytes) -> bool:
        try:
            return os.stat(path).st_mtime_ns > self._setting.started_ns
        except OSError:
            return True  # gone by now

    def _files(self, paths: Iterable[bytes], known: set[bytes]) -> Iterator[bytes]:
        """Those of these files that are inputs by where they lie and by who made them."""
        for path in sorted(paths):
            if path in known or not self._may_be_input(path) or not os.path.isfile(path):
                continue
            made = self._made.get(path) or self._made.get(self._real(path))
            if made is None or made["evidence"] == "ambiguous" or path in self._readings.rewritten:
                yield path

    def _may_be_input(self, path: bytes) -> bool:
        """Whether neither the file nor what a link leads to is the source's or somebody else's."""
        for name in dict.fromkeys((path, self._real(path))):
            where = self._belongings.where(name)
            if where is None:
                return False
            held = self._source.find((where.root, where.path))
            if held is not None and not held.is_link:
                return False
        return True

    def _real(self, path: bytes) -> bytes:
        directory, name = os.path.split(path)
        if os.path.islink(path):
            return os.path.realpath(path)
        if directory not in self._real_directories:
            self._real_directories[directory] = os.path.realpath(directory)
        return os.path.join(self._real_directories[directory], name)

    def _rewritten(self, path: bytes) -> Line:
        """A file that a process read and then wrote to: what it read is gone."""
        return {
            "path": place(path, self._setting.worktree), "kind": "input", "type": "file", "mode": None, "bytes": None,
            "sha256": None, "level": None, "evidence": OBSERVED, "stored": False, "reason": "overwritten",
            "produced_by": None, "overwritten": True,
        }  # fmt: skip

    def absolute(self, text: str) -> bytes:
        """Where a path of an entry lies."""
        return os.path.join(self._setting.worktree or b"/", path_bytes(text))


@contextmanager
def _consumer(subject: Subject, lines: list[Line]) -> Iterator[_Consumer]:
    """The consumer of a run; reads the archive's objects as long as it is in use."""
    context, live, draft = subject.context, subject.live, subject.draft
    worktree, cwd = worktree_of(draft), started_in(draft)
    real = subject.observed.places.real  # a replay sees its copy of a root at the root's own place
    roots = [(root["n"], real(path_bytes(root["path"]))) for root in draft["source"].get("roots") or []]
    prefixes = prefixes_of([*(process.start for process in subject.observed.processes), draft.get("interpreter") or {}])
    own = [os.fsencode(path) for path in (context.gitrun_dir, context.archive.common_dir, live.path)]
    own += [path_bytes(path) for path in draft["live"].get("own_files") or ()]
    # a replay lies below the archive's own directory, and its inputs are inputs all the same
    own = [path for path in own if worktree is None or not _is_below(worktree, path)]
    belongings = Belongings(
        Whereabouts(Territory(worktree, roots, prefixes), subject.owners.below), own, prefixes, worktree
    )
    started_ns = draft["live"].get("tree_clock_ns") or started_at_ns(live.member)
    if started_ns is None:  # nobody wrote down that the command was let go: its live directory was there before
        started_ns = os.stat(os.path.join(live.member, "header.json")).st_mtime_ns
    with reader_on_demand(context.archive) as reader:
        source = HeldSource(draft["source"], read_lines(live), reader)
        yield _Consumer(subject, _Setting(worktree, cwd, started_ns), lines, belongings, source)


def _is_below(path: bytes, directory: bytes) -> bool:
    return os.path.realpath(path).startswith(os.path.realpath(directory) + b"/")


def _config(subject: Subject) -> dict[str, Any]:
    path = subject.live.part_paths().get("config.json")
    if path is None:
        return {}
    try:
        with open(path, "rb") as file:
            value = decode(file.read(MAX_BYTES + 1))
    except (OSError, DecodeProblem):
        return {}  # the topic `config` says so
    return value if isinstance(value, dict) else {}


def _limit(subject: Subject, name: str) -> Any:
    return limit(subject.draft, f"record.input_{name}")


def _end(subject: Subject, seconds: float) -> float:
    """Until when inputs may be read, by time.monotonic()."""
    return time.monotonic() + subject.context.left_s(seconds, _REST_S)
