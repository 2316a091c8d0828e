"""What a check of the archive asks of its remotes: do you have what is missing here, and may we have it back.

A blob that is not here may be lost, or it came with a run whose files nobody has asked for yet. Neither is damage as
long as a remote has it. What one's own runs lack is brought back; the files of others' runs stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitrun.archive.archive import Archive
from gitrun.errors import GitrunError
from gitrun.git.transport import open_remote, remote_names
from gitrun.remote.known import Known, runs_in
from gitrun.remote.reach import Reach


class Remotes:
    """What `archive.fsck.Elsewhere` asks for."""

    def __init__(self, archive: Archive, reach: Reach) -> None:
        self._archive = archive
        self._reach = reach
        self._own = archive.writer_id()
        self._is_own: dict[str, bool] = {}

    def heal(self, missing: Mapping[str, Sequence[str]]) -> None:
        """Bring back missing blobs (hex ids, with the runs that need them), as far as runs of this clone need them."""
        self._reach.bring(blob for blob, runs in missing.items() if any(map(self._was_recorded_here, runs)))

    def known(self, missing: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Of missing blobs (hex ids, with the runs that need them) those that a remote has; asks nobody.

        It has what its runs need, for blobs go before the ref of a run.
        """
        found: dict[str, str] = {}
        for name in remote_names(self._archive.repo) if missing else ():
            remote = open_remote(self._archive.repo, name, self._archive.environ)
            there = runs_in(Known(self._archive.gitrun_dir, remote.key).refs())
            for blob, runs in missing.items():
                if any(run_id in there for run_id in runs):
                    found.setdefault(blob, name)
        return found

    def _was_recorded_here(self, run_id: str) -> bool:
        if run_id not in self._is_own:
            run = self._archive.run(run_id)
            try:
                self._is_own[run_id] = run is not None and run.record.get("origin") in (self._own, None)
            except GitrunError:
                self._is_own[run_id] = True  # nobody knows whose it is
        return self._is_own[run_id]
