"""Bringing what a replay needs from remotes, in a process of its own.

The libraries that talk to object stores leave threads behind, and a recorder forks: what a thread held at that moment
is held for ever in the child. So whoever is about to record has the blobs brought by somebody else. That one has the
terminal, for git may have to ask for a password.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from gitrun.archive.archive import Archive
from gitrun.archive.run import Run
from gitrun.git.discovery import current_directory
from gitrun.monitor import Monitor
from gitrun.own_python import own_variables
from gitrun.remote.reach import Reach
from gitrun.ui.monitor import TerminalMonitor
from gitrun.ui.terminal import stderr


def have_for_replay(archive: Archive, run: Run, environ: Mapping[str, str], monitor: Monitor) -> None:
    """Have all here that a replay of a run needs, as far as any remote has it; tells the rest to the monitor."""
    with Reach(archive, monitor) as reach:
        if not reach.lacks_for_replay(run):
            return
    command = (sys.executable, "-P", "-m", "gitrun.cli.apart", run.id)
    pid = os.posix_spawn(sys.executable, command, own_variables(environ))
    os.waitpid(pid, 0)  # it has told what it could not bring; the replay says what is missing


def main(run_id: str) -> None:
    """Bring it; the process that `have_for_replay` starts."""
    monitor = TerminalMonitor(stderr(os.environ))
    with Archive.open(current_directory(), os.environ, monitor) as archive, Reach(archive, monitor) as reach:
        if (run := archive.run(run_id)) is not None:
            reach.for_replay(run)


if __name__ == "__main__":
    main(sys.argv[1])
