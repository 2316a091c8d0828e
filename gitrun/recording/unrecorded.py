"""When nothing can be recorded: stop, or run the command all the same, and say so.

At a desk a person can repair the repository and type the command again; a job that has waited in a queue for a
day cannot. So the setting `record.on_problem` is `auto` unless somebody decides: run under a scheduler or in a
container, stop elsewhere. A command that is not recorded is not watched either: gitrun becomes it.
"""

import errno
import os
from collections.abc import Mapping
from typing import NoReturn

from gitrun.recording.signals import Inherited
from gitrun.recording.spawn import become, exit_code_for

_SCHEDULERS = (
    "SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID", "OAR_JOB_ID", "COBALT_JOBID", "FLUX_JOB_ID",
    "_CONDOR_SLOT", "AWS_BATCH_JOB_ID", "CLOUD_ML_JOB_ID",
)  # fmt: skip
_CONTAINER_VARIABLES = ("KUBERNETES_SERVICE_HOST", "APPTAINER_CONTAINER", "SINGULARITY_CONTAINER", "container")
_CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")
_CGROUP_HINTS = (b"docker", b"kubepods", b"libpod", b"containerd", b"lxc")


class NotExecuted(OSError):
    """The command was to run unrecorded, and the system does not execute it."""


def runs_unrecorded(setting: str, environ: Mapping[str, str]) -> bool:
    """Whether a command that cannot be recorded is run: `stop`, `run` or `auto` decide."""
    return setting == "run" or (setting == "auto" and unattended(environ) is not None)


def unattended(environ: Mapping[str, str]) -> str | None:
    """What says that nobody waits at the keyboard (a scheduler's variable, a container's mark), or None."""
    for name in (*_SCHEDULERS, *_CONTAINER_VARIABLES):
        if environ.get(name):
            return name
    for path in _CONTAINER_FILES:
        if os.path.exists(path):
            return path
    try:
        with open("/proc/1/cgroup", "rb") as file:
            lines = file.read(1 << 16)
    except OSError:
        return None
    return "/proc/1/cgroup" if any(hint in lines for hint in _CGROUP_HINTS) else None


def run_unrecorded(command: list[bytes], found: Inherited, directory: str | None = None) -> NoReturn:
    """Becomes the command as if gitrun had not been typed; raises OSError where it cannot be executed."""
    if directory is not None:
        os.chdir(directory)
    become(command, os.environb, found)


def cannot_start(command: list[bytes], problem_errno: int, message: str) -> tuple[int, str]:
    """The exit code and the line for a command that could not be executed."""
    name = command[0][:200].decode("utf-8", "backslashreplace")
    code = exit_code_for(problem_errno)
    if problem_errno == errno.E2BIG:
        size = sum(map(len, command)) + len(command)
        return code, f"{name}: the arguments ({size:,} bytes) and variables are more than the system passes on"
    if "/" not in name and (problem_errno, message) == (errno.ENOENT, os.strerror(errno.ENOENT)):
        return code, f"{name}: command not found"
    return code, f"{name}: {message}"
