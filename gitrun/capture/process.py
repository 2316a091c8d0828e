"""Facts about the process itself: who ran it, from where, with which mask, language and terminal.

Programs look at all of these: they write with the umask, sort by the locale, and draw progress bars on a
terminal and not in a pipe.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

from gitrun.capture.facts import Facts, place, read_start

MAX_STDIN_BYTES = 1 << 30
STREAMS = ("stdin", "stdout", "stderr")


def capture_process(
    environ: Mapping[str, str],
    worktree: bytes | None,
    *,
    cwd: bytes | None = None,
    fds: tuple[int, int, int] = (0, 1, 2),
) -> Facts:
    """umask (octal text), locale, time zone, terminal, user and working directory; `fds` are the user's own streams."""
    problems: list[str] = []
    if cwd is None:
        try:
            cwd = os.getcwdb()
        except OSError as problem:
            problems.append(f"working directory: {problem.strerror}")
    value = {
        "cwd": None if cwd is None else place(cwd, worktree),
        "umask": f"{_umask():04o}",
        "locale": locale(environ),
        "timezone": timezone(environ),
        "terminal": terminal(fds),
        "user": user(environ),
    }
    return Facts(value, problems)


def locale(environ: Mapping[str, str]) -> dict[str, str]:
    """The locale in force for each category that changes results, as POSIX derives it from the variables."""
    everything = environ.get("LC_ALL") or ""
    default = environ.get("LANG") or "C"
    categories = ("LC_CTYPE", "LC_NUMERIC", "LC_COLLATE", "LC_TIME", "LC_MESSAGES")
    return {category: everything or environ.get(category) or default for category in categories}


def timezone(environ: Mapping[str, str], link: str = "/etc/localtime") -> str | None:
    """The time zone in force: TZ, else the name behind the system's link; None where that has no name."""
    if environ.get("TZ"):
        return environ["TZ"]
    try:
        return os.readlink(link).partition("zoneinfo/")[2] or None
    except OSError:
        return None  # a copy instead of a link, or a system without one, which is UTC


def terminal(fds: tuple[int, int, int]) -> dict[str, Any]:
    """What each stream is (tty, pipe, file, null, socket, closed, other), and the size of the first terminal."""
    kinds = {name: stream_kind(fd) for name, fd in zip(STREAMS, fds, strict=True)}
    size: dict[str, int | None] = {"columns": None, "rows": None}
    for fd, kind in zip(fds, kinds.values(), strict=True):
        if kind == "tty":
            try:
                columns, rows = os.get_terminal_size(fd)
            except OSError:
                continue  # a terminal that has hung up has no size
            size = {"columns": columns, "rows": rows}
            break
    return {**kinds, **size}


def stream_kind(fd: int) -> str:
    """The kind of file behind a descriptor."""
    try:
        facts = os.fstat(fd)
    except OSError:
        return "closed"
    if stat.S_ISCHR(facts.st_mode):
        if os.isatty(fd):
            return "tty"
        return "null" if _is_null(facts) else "other"
    if stat.S_ISFIFO(facts.st_mode):
        return "pipe"
    if stat.S_ISREG(facts.st_mode):
        return "file"
    return "socket" if stat.S_ISSOCK(facts.st_mode) else "other"


def stdin_file(worktree: bytes | None, fd: int = 0) -> dict[str, Any] | None:
    """The file that standard input is, and from where on it is read; None where it is none that has a name."""
    if stream_kind(fd) != "file":
        return None
    try:
        path = os.readlink(f"/proc/self/fd/{fd}").encode("utf-8", "surrogateescape")
        position = os.lseek(fd, 0, os.SEEK_CUR)
    except OSError:
        return None  # no /proc
    if not os.path.isfile(path):
        return None  # it was removed, as the text of a here-document is
    return {"path": place(path, worktree), "position": position}


def stdin_digest(fd: int = 0) -> str | None:
    """The sha256 of that file, however far it has been read; None of one that is too large to be read for this."""
    import hashlib

    try:
        if os.fstat(fd).st_size > MAX_STDIN_BYTES:
            return None
        with open(f"/proc/self/fd/{fd}", "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None  # nobody may open it again


def user(environ: Mapping[str, str]) -> dict[str, Any]:
    """Numeric id and name; a uid that no user database knows has the name its environment claims, or none."""
    import pwd  # only here; the name service behind it may be slow, so it is asked once

    uid = os.getuid()
    try:
        name: str | None = pwd.getpwuid(uid).pw_name
    except (KeyError, OSError):
        name = environ.get("USER") or environ.get("LOGNAME")
    return {"uid": uid, "name": name}


def _is_null(facts: os.stat_result) -> bool:
    try:
        return facts.st_rdev == os.stat(os.devnull).st_rdev
    except OSError:
        return False


def _umask() -> int:
    status = read_start("/proc/self/status", 4096) or b""
    at = status.find(b"\nUmask:")
    if at >= 0:
        return int(status[at + 7 :].split(None, 1)[0], 8)
    mask = os.umask(0o022)  # without /proc it can only be asked by setting it
    os.umask(mask)
    return mask
