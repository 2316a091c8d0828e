"""Which names out of an archive may become names on a disk.

A tree can hold any bytes, and a disk gives some of them a meaning: `..` climbs out, `.git/hooks/x`
is code that Git runs, and to NTFS and HFS+ many spellings are `.git` (`GIT~1`, `.git.`, `.git::$I`,
`.g<zero width joiner>it`). Git refuses those spellings everywhere, since a tree travels; so does
gitrun. Names that only one system cannot hold (`NUL`, `a:b`, bytes that are not UTF-8) are refused
on that system alone: elsewhere they are ordinary names of ordinary files.
"""

from __future__ import annotations

import re
import sys

from gitrun.errors import HostilePath

MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4095

# What nearly every name looks like. Nothing that matches can be a form of `.git`, `.` or `..`.
_PLAIN = re.compile(rb"[A-Za-z0-9_-][A-Za-z0-9_.-]*\Z")
_NTFS_GIT = re.compile(rb"(?:\.git|git~1)[ .]*(?::.*)?\Z", re.IGNORECASE | re.DOTALL)
_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_WINDOWS_RESERVED = re.compile(
    rb"(?:con|prn|aux|nul|com[0-9]|lpt[0-9]|conin\$|conout\$)[ ]*(?:[.:].*)?\Z", re.IGNORECASE | re.DOTALL
)
_WINDOWS_CHARACTERS = re.compile(rb'[\x00-\x1f<>:"|?*\\]')


def check_path(path: bytes, system: str = sys.platform) -> None:
    """Raise HostilePath unless `path` (components joined by `/`) may be written below a directory."""
    if len(path) > MAX_PATH_BYTES:
        raise HostilePath(f"a path of {len(path)} bytes: {show(path[:60])}…")
    for name in path.split(b"/"):
        check_component(name, system)


def check_component(name: bytes, system: str = sys.platform) -> None:
    """Raise HostilePath unless `name` may be the name of one file or directory."""
    if len(name) > MAX_NAME_BYTES:
        raise HostilePath(f"a name of {len(name)} bytes: {show(name[:60])}…")
    if not _PLAIN.match(name):
        if name in (b"", b".", b".."):
            raise HostilePath(f"a path with the component {show(name)}")
        if b"/" in name or b"\0" in name:
            raise HostilePath(f"a name with a slash or a NUL: {show(name)}")
        if is_git_directory(name):
            raise HostilePath(f"a name that some system takes for .git: {show(name)}")
    if system == "win32":
        _check_windows(name)
    elif system == "darwin":
        _check_utf8(name, "macOS")


def is_git_directory(name: bytes) -> bool:
    """Whether some file system would open `.git` under this name."""
    # To Windows a backslash separates; each piece is a component there.
    if any(_NTFS_GIT.match(piece) for piece in name.split(b"\\")):
        return True
    if name.isascii():
        return False
    text = name.decode("utf-8", "surrogateescape")
    return _HFS_IGNORED.sub("", text).lower() == ".git"


def show(name: bytes) -> str:
    """A name as a message can hold it: quoted, with everything unprintable escaped."""
    return ascii(name.decode("utf-8", "surrogateescape"))


def _check_windows(name: bytes) -> None:
    if _WINDOWS_CHARACTERS.search(name) or name.endswith((b".", b" ")) or _WINDOWS_RESERVED.match(name):
        raise HostilePath(f"a name that Windows cannot hold: {show(name)}")
    _check_utf8(name, "Windows")


def _check_utf8(name: bytes, system: str) -> None:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        raise HostilePath(f"a name that is not UTF-8, which {system} cannot hold: {show(name)}") from None
