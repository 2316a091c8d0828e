"""The runs that were sealed without some of their outputs, noted so that `gitrun recover` finds them.

<gitrun dir>/deferred/<run id>              an empty file: locked by who stores what is missing, removed by who is done
<gitrun dir>/deferred/<run id>.artifacts/   the copies of what was handed over (`gitrun.log_artifact`), until then
"""

import os

from gitrun.child.artifact import FOLDER
from gitrun.errors import from_os_error
from gitrun.files.locks import FileLock
from gitrun.files.write import make_dirs, remove_quietly
from gitrun.model.ids import is_run_id
from gitrun.recording.live import LiveDirectory


def home(gitrun_dir: str) -> str:
    """Where they are noted."""
    return os.path.join(gitrun_dir, "deferred")


def mark_deferred(gitrun_dir: str, run_id: str) -> None:
    """Notes that a run will be sealed without some of its outputs; raises DiskFull or NotWritable."""
    make_dirs(home(gitrun_dir))
    with FileLock(os.path.join(home(gitrun_dir), run_id)):
        pass  # the lock's file is the note


def deferred_runs(gitrun_dir: str) -> list[str]:
    """The runs that are noted, oldest first."""
    try:
        return sorted(name for name in os.listdir(home(gitrun_dir)) if is_run_id(name))
    except FileNotFoundError:
        return []


def copies_of(gitrun_dir: str, run_id: str) -> str:
    """Where the copies of a run lie that is sealed and noted."""
    return os.path.join(home(gitrun_dir), run_id + ".artifacts")


def keep_copies(gitrun_dir: str, live: LiveDirectory, run_id: str) -> None:
    """Takes the copies out of a live directory that is about to be removed, where the run was noted.

    They are moved as they are, so that each copy still is the file that its entry describes.
    """
    folders = [os.path.join(member, FOLDER) for member in live.members()]
    folders = list(filter(os.path.isdir, folders))
    if not folders or not os.path.exists(os.path.join(home(gitrun_dir), run_id)):
        return
    try:
        first, *more = folders
        os.rename(first, copies_of(gitrun_dir, run_id))
        for folder in more:
            for name in os.listdir(folder):
                os.rename(os.path.join(folder, name), os.path.join(copies_of(gitrun_dir, run_id), name))
    except OSError as problem:
        raise from_os_error(problem, "keeping what is not stored yet") from problem


def drop_copies(gitrun_dir: str, run_id: str) -> None:
    """Removes the copies of a run that needs them no more."""
    folder = copies_of(gitrun_dir, run_id)
    try:
        for name in os.listdir(folder):
            remove_quietly(os.path.join(folder, name))
        os.rmdir(folder)
    except OSError:
        pass  # nearly always there are none
