"""The place of a run, had again: its command sees the checkout under the very path that the worktree had.

The path is an input: programs print it, hash it, refuse to start under another one, and environments have it in their
scripts. So where Linux allows it the command gets a view of the file system of its own (`mounts`), in which the
checkout lies at the place of the worktree, roots at theirs, and the built environment at that of the recorded one. What
lies there is neither seen by the replay nor touched.

A mount hides all that lies below it, and some of that is needed: the archive, which most often is the `.git` of that
very worktree, the package that reports from inside the command's processes, an interpreter. What can be seen where it
is gets a mount of its own there; the archive is seen in a directory outside, unwritable but for gitrun's own part.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gitrun.replay.mounts import Mount, enter, refusal

# A place above one of these would hide what every program needs.
_SYSTEM = ("/bin", "/dev", "/etc", "/lib", "/proc", "/sbin", "/sys", "/usr")
_ALTERNATES = os.path.join("objects", "info", "alternates")
MOST_MOUNTS = 400


class Shown(NamedTuple):
    """Something of ours, and the path under which the command shall see it."""

    real: str
    seen: str
    read_only: bool = False
    is_needed: bool = False  # without it there is no place


class Refused(NamedTuple):
    """Why there is no such place, in words that complete "it was not run at its old place: "."""

    why: str


class Place(NamedTuple):
    """A view that works; `shown` are its parts, the outer ones first."""

    shown: tuple[Shown, ...]

    def enter(self) -> None:
        """Give the calling process this view; raises OSError."""
        enter([Mount(each.real, each.seen, each.read_only) for each in self.shown])

    def seen(self, path: str) -> str:
        """The name of one of our paths in there."""
        for each in sorted(self.shown, key=lambda each: len(each.real), reverse=True):
            if is_below(path, each.real):
                return each.seen + path[len(each.real) :]
        return path

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """What the command's names mean here."""
        return tuple((each.seen, each.real) for each in self.shown)

    def has(self, path: str) -> bool:
        """Whether something is shown at this very path."""
        return any(each.seen == path for each in self.shown)


def is_below(path: str, directory: str) -> bool:
    """Whether a path is a directory or lies in it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def may_have(worktree: str | None, empty: str) -> Refused | None:
    """Why a run's place cannot be had at all, found out with the `empty` directory in its place."""
    if worktree is None:
        return Refused("the run had no worktree")
    if not os.path.isabs(worktree) or os.path.normpath(worktree) != worktree or not os.path.isdir(worktree):
        return Refused(f"{worktree} is no directory here")
    if any(is_below(path, worktree) for path in _SYSTEM):
        return Refused(f"{worktree} holds what every program needs")
    words = refusal([Mount(empty, worktree)])
    return None if words is None else Refused(f"the system does not allow it: {words}")


def make_place(shown: Iterable[Shown]) -> Place | Refused:
    """The view with all of these in it, as far as each has somewhere to be seen; what is needed must have that."""
    wanted = sorted({each.seen: each for each in shown}.values(), key=lambda each: len(each.seen))
    placed: list[Shown] = []
    for each in wanted:
        if _has_place(each, placed):
            placed.append(each)
        elif each.is_needed:
            return Refused(f"{each.seen} cannot be shown")
    if len(placed) > MOST_MOUNTS:
        return Refused(f"{len(placed):,} mounts would be needed")
    place = Place(tuple(placed))
    words = refusal([Mount(each.real, each.seen, each.read_only) for each in place.shown])
    return place if words is None else Refused(f"the system does not allow it: {words}")


def alternates(git_dirs: Iterable[tuple[str, str]], tops: Sequence[str], scratch: str) -> list[Shown]:
    """The objects that repositories borrow from places that will be hidden, and the lists that name them.

    `git_dirs` are those repositories: where each lies, and where it will be seen. New lists are written to `scratch`.
    """
    shown: list[Shown] = []
    for git_dir, seen in git_dirs:
        try:
            with open(os.path.join(git_dir, _ALTERNATES), encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().splitlines()
        except OSError:
            continue  # it borrows nothing, or is none
        if not any(hidden(line, tops) for line in lines):
            continue
        there = []
        for line in lines:
            if hidden(line, tops):
                lent = os.path.join(scratch, f"objects-{len(shown)}")
                os.mkdir(lent)
                shown.append(Shown(line, lent, read_only=True, is_needed=True))
                line = lent
            there.append(line)
        listing = os.path.join(scratch, f"alternates-{len(shown)}")
        with open(listing, "x", encoding="utf-8", errors="surrogateescape") as file:
            file.write("".join(f"{line}\n" for line in there))
        shown.append(Shown(listing, os.path.join(seen, _ALTERNATES), is_needed=True))
    return shown


def hidden(path: str, tops: Sequence[str]) -> bool:
    """Whether a path, or what a link leads to, lies below one of the places where something else will be seen."""
    return any(is_below(name, top) for name in (path, os.path.realpath(path)) for top in tops)


def _has_place(each: Shown, placed: Sequence[Shown]) -> bool:
    """Whether there is something to mount on, made where that lies in one of our own directories."""
    if os.path.normpath(each.seen) != each.seen or not os.path.lexists(each.real):
        return False  # recorded paths get here: one with `..` in it would have directories made outside of ours
    is_directory = os.path.isdir(each.real)
    above = [one for one in placed if is_below(each.seen, one.seen)]
    if not above:
        return os.path.isdir(each.seen) if is_directory else os.path.isfile(each.seen)
    cover = above[-1]
    if cover.real == cover.seen:  # the user's own directory, seen where it is: nothing is made in there
        return os.path.isdir(each.seen) if is_directory else os.path.isfile(each.seen)
    return _make_point(cover.real, each.seen[len(cover.seen) :].strip("/"), is_directory)


def _make_point(base: str, below: str, is_directory: bool) -> bool:
    """Make what a mount needs below one of our directories, through no link; False where something else is there."""
    *above, name = below.split("/")
    path = base
    try:
        for part in above:
            path = os.path.join(path, part)
            if not _is_directory(path):
                os.mkdir(path)
        path = os.path.join(path, name)
        if is_directory:
            if not _is_directory(path):
                os.mkdir(path)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError:
        return False  # a file or a link of the source is there
    return True


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False
