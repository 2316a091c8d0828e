"""What everybody does who is about to read an archive: seal the runs whose recorder is proved dead."""

from gitrun.archive.archive import Archive
from gitrun.archive.live_view import live_ids
from gitrun.errors import GitrunError


def seal_the_dead(archive: Archive) -> None:
    """Seals runs that are proved dead. What cannot be sealed now is shown as it is: reading goes on."""
    if not live_ids(archive.gitrun_dir):
        return
    from gitrun.recording.recover import recover_all  # only where something is live

    try:
        recover_all(archive.repo, archive.environ, archive.monitor)
    except (GitrunError, OSError) as problem:
        archive.monitor.warn("W011", f"a run that was left behind could not be sealed: {problem}")
