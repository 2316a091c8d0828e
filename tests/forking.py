"""An action in a forked process, which may be killed, crowd others or fill the disk, and how that process ends."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

from gitrun.errors import GitrunError

ENDED, REFUSED, FAILED = 0, 7, 1  # the exit code of an action that is done, met an expected problem, or has a bug


def forked(action: Callable[[], object]) -> int:
    """Begin to do it in a process of its own; the process id, for `ended`."""
    pid = os.fork()
    if pid:
        return pid
    code = FAILED
    try:
        action()
        code = ENDED
    except (GitrunError, OSError) as problem:  # the command line shows both as problems
        code = REFUSED
        os.write(2, f"{type(problem).__name__}: {problem}\n".encode())
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for the end of a forked process; its exit code, or the signal that ended it as a negative number."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def in_child(action: Callable[[], object]) -> int:
    """Do it in a process of its own, to the end; its exit code as of `ended`."""
    return ended(forked(action))
