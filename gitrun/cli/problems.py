"""How a command ends when it does not end well: one clear message and the right exit status.

An expected problem says what happened, what was kept and what to type next. Anything else is a
bug in gitrun: the traceback goes to a file, so that the terminal holds one line that can be acted on.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from gitrun.archive.harmless import harmless
from gitrun.errors import ExpressionError, GitrunError, from_os_error
from gitrun.model.listing import first_lines
from gitrun.ui.table import columns
from gitrun.ui.terminal import stderr

BUG, INTERRUPTED, BROKEN_PIPE = 70, 130, 141
_SHOWN = 10
_AROUND = 50  # characters of an expression on each side of the place that is pointed at


def guarded(call: Callable[[], int]) -> int:
    """The exit status of `call`, with every way it can fail turned into a message and a status."""
    try:
        status = call()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _drop_stdout()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except GitrunError as problem:
        return report(problem)
    except OSError as problem:
        return report(from_os_error(problem, "the system refuses"))
    except Exception as bug:
        return report_bug(bug)


def report(problem: GitrunError) -> int:
    """Print an expected problem on stderr and return its exit status."""
    screen = stderr()
    screen.line(screen.style("gitrun: ", "red") + harmless(problem.message))
    if isinstance(problem, ExpressionError):
        _show_place(problem)
    for candidate in first_lines(getattr(problem, "candidates", []), _SHOWN):
        screen.line(f"  {harmless(candidate)}")
    if problem.kept:
        screen.line(f"  kept: {harmless(problem.kept)}")
    if problem.next:
        screen.line(f"  next: {harmless(problem.next)}")
    return problem.exit_code


def _show_place(problem: ExpressionError) -> None:
    """The text that could not be understood, as much as fits a line, and a caret below the place."""
    begin = max(0, problem.at - _AROUND)
    before, behind = harmless(problem.text[begin : problem.at]), harmless(problem.text[problem.at :][:_AROUND])
    screen = stderr()
    screen.line(f"  {before}{behind}")
    screen.line(f"  {' ' * columns(before)}^")


def report_bug(bug: Exception) -> int:
    """Write the traceback where it can be found and return exit status 70."""
    import traceback  # this and what follows only for a bug

    from gitrun.capture.secrets import Redactor

    plain = Redactor(os.environ).text  # an exception may quote what it could not digest
    text = plain("".join(traceback.format_exception(bug)))
    screen = stderr()
    try:
        path = _write_log(text)
    except (OSError, GitrunError):
        screen.line(text)
        path = "above"
    screen.line(f"gitrun: a bug in gitrun: {harmless(plain(f'{type(bug).__name__}: {bug}'), 300)}")
    screen.line(f"  traceback: {path}")
    return BUG


def _write_log(text: str) -> str:
    """Put the traceback into the archive's own directory; raises when there is none to write to."""
    from gitrun.files.write import make_dirs, write_file
    from gitrun.git.executable import find_git
    from gitrun.git.repository import archive_of, discover

    repo = archive_of(discover(os.getcwd(), find_git(), os.environ, bare_ok=True), os.environ)
    directory = os.path.join(repo.gitrun_dir(os.environ), "log")
    make_dirs(directory)
    path = os.path.join(directory, time.strftime("bug-%Y%m%d-%H%M%S-", time.gmtime()) + f"{os.getpid()}.txt")
    write_file(path, text.encode("utf-8", "backslashreplace"))
    return path


def _drop_stdout() -> None:
    """Nobody reads us any more: send what is left to nowhere, so that the interpreter's last flush is quiet."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
