"""Bugs beside a command: told in a file of the archive's `log`, because they may change nothing for the command.

A traceback on the terminal would stand in the middle of somebody else's output, and a live directory is removed when
its run is sealed. So both the recorder's and the keeper's go to `<gitrun dir>/log`, and a warning names the file.
An exception may quote what it could not digest, so secrets are replaced in both.
"""

import os
from collections.abc import Mapping

from gitrun.capture.secrets import Redactor
from gitrun.errors import GitrunError
from gitrun.files.write import make_dirs, write_file
from gitrun.recording.live import LiveDirectory


def told(gitrun_dir: str, run_id: str, problem: Exception) -> str:
    """The problem in words; where nobody expected it, with the path of its traceback."""
    plain = Redactor(os.environ).text
    if isinstance(problem, (GitrunError, OSError)):
        return plain(str(problem))
    import traceback  # only for a bug

    words = plain(f"a bug in gitrun ({type(problem).__name__}: {problem})")
    text = plain("".join(traceback.format_exception(problem))).encode("utf-8", "backslashreplace")
    path = _place(gitrun_dir, f"bug-{run_id}-{os.getpid()}.txt")
    try:
        if not os.path.isdir(gitrun_dir):
            return words  # the archive was moved away: nothing is made anew in its place
        make_dirs(os.path.dirname(path))
        write_file(path, text, sync=False)
    except (GitrunError, OSError):
        return words  # the words are all there is room for
    return f"{words}; traceback: {path}"


def log_in_keeper(member: str, problem: BaseException, variables: Mapping[str, str], *, message: bool = True) -> None:
    """Writes a traceback to where `save_keeper_log` finds it, its message only where that can be trusted."""
    import traceback  # only for a bug

    lines = traceback.format_exception(problem) if message else traceback.format_tb(problem.__traceback__)
    text = Redactor(variables, os.environ).text("".join(lines))
    try:
        with open(os.path.join(member, "keeper.log"), "a", errors="backslashreplace") as log:
            log.write(text)
    except OSError:
        pass  # the directory is gone: nowhere to tell


def save_keeper_log(gitrun_dir: str, live: LiveDirectory) -> str | None:
    """Moves the traceback of a keeper out of the live directory; its new path, None where there is none."""
    log = os.path.join(live.member, "keeper.log")
    if not os.path.exists(log):
        return None
    path = _place(gitrun_dir, f"keeper-{live.run_id}.txt")
    try:
        make_dirs(os.path.dirname(path))
        os.rename(log, path)
    except (GitrunError, OSError):
        return None  # it stays where it is, and the run matters more
    return path


def _place(gitrun_dir: str, name: str) -> str:
    return os.path.join(gitrun_dir, "log", name)
