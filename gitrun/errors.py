"""The one error tree: every problem gitrun expects, with the exit code it ends in.

    GitrunError                  1
    ├── UsageError               2    the command line or a setting cannot be understood
    │   └── ExpressionError      2    what was typed to choose runs cannot be; it is shown with a mark below
    ├── CommandNotStarted      125    gitrun could not start the command at all
    ├── NotARepository           1    no Git repository here
    ├── UnsafeRepository         1    Git's safe.directory rule refuses it
    ├── UnsupportedRepository    1    a Git feature that gitrun does not guess about
    ├── DamagedRepository        1    Git's own files cannot be read
    ├── GitFailed                1    the git executable said no
    ├── RemoteFailed             1    a remote cannot be reached, does not let us in, or does not take what is sent
    ├── NotWritable              1    .git, the archive or the destination cannot be written
    ├── DiskFull                 1    no space or no quota left
    ├── RunNotFound              1    no run answers to that name
    ├── AmbiguousRun             1    several do; they are listed
    ├── LiveElsewhere            1    the run may be alive where we cannot see it
    ├── DestinationExists        1    something is already there, and nothing is overwritten
    ├── HostilePath              1    a name or tree that must not be written to a disk
    ├── NewerFormat              1    written by a later gitrun; refused rather than guessed
    ├── DamagedRecord            5    a run commit or one of its parts is not what it should be
    └── DamagedStore             5    a pack or a blob is not what it should be
        └── BlobNotFound         5    no pack holds it

An expected problem says three things: what happened (the message), what was kept, and what to
do next. Anything that is not a GitrunError is a bug and ends in a traceback and exit code 70.
"""

from __future__ import annotations

import errno


class GitrunError(Exception):
    """An expected problem: what happened, what was kept, and the next thing to type."""

    exit_code = 1

    def __init__(self, message: str, *, kept: str = "", next: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.kept = kept
        self.next = next

    def __str__(self) -> str:
        return self.message


class UsageError(GitrunError):
    """The command line or a setting cannot be understood."""

    exit_code = 2


class ExpressionError(UsageError):
    """An expression or a list of keys cannot be understood; `at` is the character of its `text` where that shows."""

    def __init__(self, message: str, text: str, at: int, *, next: str = "") -> None:
        super().__init__(message, next=next)
        self.text, self.at = text, at


class CommandNotStarted(GitrunError):
    """gitrun could not start the command."""

    exit_code = 125


class NotARepository(GitrunError):
    """There is no Git repository here."""


class UnsafeRepository(GitrunError):
    """Git's safe.directory rule refuses this repository to this user."""


class UnsupportedRepository(GitrunError):
    """The repository uses a feature that gitrun refuses rather than guesses about."""


class DamagedRepository(GitrunError):
    """Git's own files are damaged in a way that keeps gitrun from reading them."""


class GitFailed(GitrunError):
    """The git executable ended with an error; the message carries its own words."""


class RemoteFailed(GitrunError):
    """A remote cannot be reached, does not let us in, or does not take what is sent."""


class NotWritable(GitrunError):
    """A place that must be written cannot be."""


class DiskFull(GitrunError):
    """No space or no quota left on the device."""


class RunNotFound(GitrunError):
    """No run answers to that name."""


class AmbiguousRun(GitrunError):
    """Several runs answer to that name; `candidates` lists their ids."""

    def __init__(self, message: str, candidates: list[str], *, kept: str = "", next: str = "") -> None:
        super().__init__(message, kept=kept, next=next)
        self.candidates = candidates


class LiveElsewhere(GitrunError):
    """The run may still be alive where this machine cannot see it."""


class DestinationExists(GitrunError):
    """Something is already there, and nothing is ever overwritten."""


class HostilePath(GitrunError):
    """A name or a tree that must not be written to a disk."""


class NewerFormat(GitrunError):
    """A later gitrun wrote this; it is refused rather than guessed about."""


class DamagedRecord(GitrunError):
    """A run commit or one of its parts is not what it should be."""

    exit_code = 5


class DamagedStore(GitrunError):
    """A pack or a blob is not what it should be."""

    exit_code = 5


class BlobNotFound(DamagedStore):
    """No pack holds this blob."""


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


def from_os_error(problem: OSError, doing: str, *, kept: str = "", next: str = "") -> GitrunError:
    """The expected problem an OSError stands for; `doing` is a clause such as "writing the record"."""
    words = f"{doing}: {problem.strerror or problem}"
    if problem.errno == errno.EFBIG:
        words = f"{doing}: the file size limit (ulimit -f) is reached"
        next = next or "ulimit -f unlimited"
    if problem.filename is not None:
        name = problem.filename
        words += f": {name.decode('utf-8', 'replace') if isinstance(name, bytes) else name}"
    if problem.errno in _FULL:
        return DiskFull(words, kept=kept, next=next or "free some space, then try again")
    if problem.errno in _DENIED:
        return NotWritable(words, kept=kept, next=next)
    return GitrunError(words, kept=kept, next=next)
