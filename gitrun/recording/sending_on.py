"""`push.auto`: a run that has just been sealed goes to a remote, in a process of its own that nobody waits for.

Nobody can answer it: what would need a yes (a secret, more than the remote is meant for) is not sent, no password is
asked for, and whatever goes wrong is in `log/push.txt` beside the archive. `gitrun status` says which runs are only
here, and the next `gitrun push` sends them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from gitrun.files.write import make_dirs
from gitrun.own_python import own_command, own_variables

_MOST_LOG_BYTES = 1 << 20
_SILENT = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never", "GITRUN_QUIET": "1"}


def send_on(remote: str, run_id: str, place: str, gitrun_dir: str, environ: Mapping[str, str]) -> None:
    """Start `gitrun push REMOTE RUN` at a place in the repository, and return; raises OSError where it cannot be."""
    log = os.path.join(gitrun_dir, "log", "push.txt")
    make_dirs(os.path.dirname(log))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    if os.path.exists(log) and os.stat(log).st_size > _MOST_LOG_BYTES:
        flags |= os.O_TRUNC
    words = own_command("push", "--quiet", remote, run_id)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o666),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    variables = {**own_variables(environ), **_SILENT}
    # Two steps, so that it is nobody's child who waits: the shell ends at once.
    quoted = ["/bin/sh", "-c", 'cd "$0" && ("$@" &)', place, *words]
    pid = os.posix_spawn("/bin/sh", quoted, variables, file_actions=actions, setsid=True)
    os.waitpid(pid, 0)
