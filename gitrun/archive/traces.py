"""Which runs made and which runs read a content, so that a file leads from one run to the next.

The records say it all, and reading ten thousand of them for one digest is out of the question. So what they say is
kept once more, by digest (`trace_files`). A run that is sealed here leaves its traces by itself; the others are read
when somebody asks.
"""

from __future__ import annotations

import time

from gitrun.archive.archive import Archive
from gitrun.archive.entries import Entry
from gitrun.archive.picking import expanded
from gitrun.archive.run import Run, SealedRun
from gitrun.archive.since import entries_of
from gitrun.archive.trace_files import MADE, READ, Trace, TraceFiles, is_settled, traces_of
from gitrun.errors import GitrunError
from gitrun.model.artifacts import PART
from gitrun.model.ids import second

_ROUND = 64  # runs that are added in one go


class Traces:
    """The traces of the sealed runs of an archive."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._files = TraceFiles(archive.gitrun_dir)

    def update(self, seconds: float = float("inf")) -> bool:
        """Add the runs that are not in it, the latest first; whether all are now. Raises GitrunError for refs alone."""
        end = time.monotonic() + seconds
        missing = sorted(self._archive.sealed().keys() - self._files.known(), reverse=True)
        for at in range(0, len(missing), _ROUND):
            if time.monotonic() > end:
                return False
            runs = self._archive.runs(missing[at : at + _ROUND])
            read = {run.id: _traces_of(self._archive, run) for run in self._archive.with_records(runs, (PART,))}
            if not self._files.add({run_id: traces for run_id, traces in read.items() if traces is not None}):
                return False
        return True

    def makers(self, digest: str) -> list[str]:
        """The runs that made a content, the earliest first, as far as they are still there."""
        return self._find(digest, MADE)

    def maker(self, digest: str, before: str) -> str | None:
        """The last run that began no later than this one and made a content; ids tell the second."""
        earlier = [run for run in self.makers(digest) if second(run) <= second(before) and run != before]
        return earlier[-1] if earlier else None

    def readers(self, digest: str) -> list[str]:
        """The runs that read it."""
        return self._find(digest, READ)

    def _find(self, digest: str, what: bytes) -> list[str]:
        sealed = self._archive.sealed()
        return sorted(run for kind, run in self._files.find(digest) if kind == what and run in sealed)


def files_of(archive: Archive, run: Run) -> list[Entry]:
    """The entries of a run, those below a directory instead of it; raises DamagedRecord or DamagedStore."""
    return expanded(entries_of(run), archive.store.get)


def _traces_of(archive: Archive, run: Run) -> list[Trace] | None:
    """The traces of a run; none of one that cannot be read, None where there are more to come."""
    try:
        if not isinstance(run, SealedRun) or PART not in (run.record.get("parts") or {}):
            return []
        entries = files_of(archive, run)
        is_replay = bool((run.record.get("links") or {}).get("replay_of"))
    except GitrunError:
        return []  # fsck says what is wrong with it
    return traces_of(entries, is_replay=is_replay) if is_settled(entries) else None
