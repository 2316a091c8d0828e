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

STREAMS = ("stdin", "stdout", "stderr")


def capture_process(
    environ: Mapping[str, str],
    worktree: bytes | None,
    *,
    cwd: bytes | None = None,
    fds: tuple[int, int, int] = (0, 1, 2),
) -> Facts:
    """umask (octal text), locale, terminal, user and working directory; `fds` are the user's own streams."""
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
