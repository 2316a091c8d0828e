"""Where a run's inputs came from and where its outputs went, run by run in both directions.

An input names the run that made it (`produced_by`) where that was known at the seal. What is known only now, because
the maker was fetched later, and who read a file later, the traces know. A file leads from one run to another by its
content alone: who copies a file elsewhere does not break the line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gitrun.archive.archive import Archive
from gitrun.archive.entries import Entry
from gitrun.archive.message import Summary
from gitrun.archive.run import Run
from gitrun.archive.trace_files import is_made, is_read
from gitrun.archive.traces import Traces, files_of
from gitrun.errors import GitrunError
from gitrun.model.canonical import path_text

MOST_RUNS = 1000
_MOST_FILES = 100_000  # of one run


class File(NamedTuple):
    """A content that led from one run to another: where the one made it, and where the other read it."""

    made: str
    read: str
    sha256: str
    bytes: int


class Step(NamedTuple):
    """All that `maker` made and `reader` read; `files` is sorted by where it was read."""

    maker: str
    reader: str
    files: list[File]


class Lineage(NamedTuple):
    """The runs around one, `steps` from maker to reader, `origins` the inputs of each run that no run here made.

    `runs` has a summary for each run that is here; `gaps` says what could not be followed.
    """

    run: str
    runs: dict[str, Summary]
    steps: list[Step]
    origins: dict[str, list[str]]
    gaps: list[str]

    def makers_of(self, run_id: str) -> list[Step]:
        """The steps that lead to a run, in the order in which its makers began."""
        return sorted(step for step in self.steps if step.reader == run_id)

    def readers_of(self, run_id: str) -> list[Step]:
        """The steps that lead on from a run."""
        return sorted((step for step in self.steps if step.maker == run_id), key=lambda step: step.reader)


def lineage(archive: Archive, run: Run) -> Lineage:
    """The lineage of a run; what cannot be read of another is a gap, and nothing that is raised."""
    return _Walk(archive, run).walk()


class _Walk:
    def __init__(self, archive: Archive, run: Run) -> None:
        self._archive = archive
        self._start = run
        self._traces = Traces(archive)
        self._entries: dict[str, list[Entry]] = {}
        self._made: dict[str, dict[str, str]] = {}
        self._runs: dict[str, Run] = {run.id: run}
        self._files: dict[tuple[str, str], dict[str, File]] = {}
        self._origins: dict[str, list[str]] = {}
        self._gaps: list[str] = []

    def walk(self) -> Lineage:
        if not self._traces.update():
            self._gaps.append("not every run could be looked through: the archive cannot be written to")
        self._follow(up=True)
        self._follow(up=False)
        steps = [
            Step(maker, reader, sorted(files.values(), key=lambda file: file.read))
            for (maker, reader), files in sorted(self._files.items())
        ]
        runs = {run_id: run.summary for run_id, run in self._runs.items()}
        return Lineage(self._start.id, runs, steps, self._origins, self._gaps)

    def _follow(self, up: bool) -> None:
        """Go through all runs in one direction, the nearest first."""
        seen, pending = {self._start.id}, [self._start.id]
        while pending:
            run_id = pending.pop(0)
            for other in self._makers(run_id) if up else self._readers(run_id):
                if other in seen:
                    continue
                if len(seen) >= MOST_RUNS:
                    self._gaps.append(f"more than {MOST_RUNS} runs: the rest is not shown")
                    return
                seen.add(other)
                pending.append(other)

    def _makers(self, run_id: str) -> Iterator[str]:
        """The runs that made what a run read."""
        origins = self._origins.setdefault(run_id, [])
        for entry in self._of(run_id):
            if not is_read(entry):
                continue
            maker = self._maker(run_id, entry)
            if maker is None:
                origins.append(path_text(entry.path))
            else:
                self._note(maker, run_id, entry)
                yield maker

    def _readers(self, run_id: str) -> Iterator[str]:
        """The runs that read what a run made."""
        made = self._made_by(run_id)
        readers = {reader for digest in made for reader in self._traces.readers(digest)}
        for reader in sorted(readers - {run_id}):
            read = [entry for entry in self._of(reader) if entry.sha256 in made and is_read(entry)]
            mine = [entry for entry in read if self._maker(reader, entry) == run_id]
            for entry in mine:
                self._note(run_id, reader, entry)
            if mine:
                yield reader

    def _maker(self, run_id: str, entry: Entry) -> str | None:
        """The run that made an input, the last before it that did where it does not say."""
        if entry.produced_by is not None or entry.sha256 is None:
            return entry.produced_by
        return self._traces.maker(entry.sha256, before=run_id)

    def _note(self, maker: str, reader: str, entry: Entry) -> None:
        read, digest = path_text(entry.path), entry.sha256 or ""
        files = self._files.setdefault((maker, reader), {})
        if read not in files:
            files[read] = File(self._made_by(maker).get(digest, read), read, digest, entry.size or 0)

    def _made_by(self, run_id: str) -> dict[str, str]:
        """Where a run made each content."""
        if run_id not in self._made:
            made = [entry for entry in self._of(run_id) if entry.sha256 is not None and is_made(entry)]
            self._made[run_id] = {entry.sha256 or "": path_text(entry.path) for entry in reversed(made)}
        return self._made[run_id]

    def _of(self, run_id: str) -> list[Entry]:
        """The entries of a run, none where it is not here."""
        if run_id not in self._entries:
            self._entries[run_id] = []
            run = self._runs.get(run_id) or self._archive.run(run_id)
            if run is None:
                self._gaps.append(f"run {run_id} is not here")
                return []
            self._runs[run_id] = run
            try:
                files = files_of(self._archive, run)
                self._entries[run_id] = files[:_MOST_FILES]
                if len(files) > _MOST_FILES:
                    self._gaps.append(f"run {run_id}: {len(files):,} files, of which {_MOST_FILES:,} were followed")
            except GitrunError as problem:
                self._gaps.append(f"run {run_id}: {problem}")
        return self._entries[run_id]
