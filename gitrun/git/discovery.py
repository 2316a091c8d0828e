"""Finding the repository without git, by git's rules, the one about ownership included.

Upwards from a directory: a `.git` directory, a `.git` file that names one, or a bare repository;
never past GIT_CEILING_DIRECTORIES or onto another filesystem. A repository of somebody else is
refused unless safe.directory names it, because its configuration could name programs to run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gitrun.errors import GitrunError, NotARepository, UnsafeRepository
from gitrun.git.config import Config
from gitrun.git.configfile import read_protected

_LONGEST_GITFILE = 1 << 16


class Place(NamedTuple):
    """Where a repository was found; `top` is the directory that holds its `.git`, None for a bare one."""

    top: str | None
    git_dir: str
    common_dir: str


def current_directory() -> str:
    """Where the user stands; raises GitrunError when that has been removed under him."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise GitrunError("the current directory no longer exists", next="cd to one that does") from None


def search(start: str, environ: Mapping[str, str]) -> Place:
    """The repository around `start`, or the one GIT_DIR names; raises NotARepository or UnsafeRepository."""
    if named := environ.get("GIT_DIR"):
        git_dir = os.path.realpath(os.path.join(start, _follow_file(os.path.join(start, named))))
        if (common := _common_dir(git_dir, environ)) is None:
            raise NotARepository(f"GIT_DIR is no Git repository: {named}")
        return Place(os.path.realpath(start), git_dir, common)
    for directory in _upwards(os.path.realpath(start), environ):
        entry = os.path.join(directory, ".git")
        if os.path.lexists(entry):
            git_dir = os.path.realpath(_follow_file(entry))
            if (common := _common_dir(git_dir, environ)) is not None:
                _check_owner([entry, directory, git_dir], directory, environ)
                return Place(directory, git_dir, common)
            if os.path.isfile(entry):
                raise NotARepository(f"{entry} names a directory that is no Git repository: {git_dir}")
        if (common := _common_dir(directory, environ)) is not None:
            _check_owner([directory], directory, environ)
            return Place(None, directory, common)
    raise NotARepository(f"there is no Git repository around {start}", next="git init")


def worktree_of(place: Place, config: Config, environ: Mapping[str, str]) -> str | None:
    """The top of the working tree: GIT_WORK_TREE, core.worktree, or where `.git` was; None when bare."""
    if named := environ.get("GIT_WORK_TREE"):
        return os.path.realpath(named)
    if named := config.get("core.worktree"):
        return os.path.realpath(os.path.join(place.git_dir, named))
    if config.get_bool("core.bare") and place.git_dir == place.common_dir:
        return None
    return place.top


def _upwards(start: str, environ: Mapping[str, str]) -> Iterator[str]:
    ceilings = {os.path.realpath(c) for c in environ.get("GIT_CEILING_DIRECTORIES", "").split(":") if c}
    crossing = Config([("x", environ.get("GIT_DISCOVERY_ACROSS_FILESYSTEM", ""))]).get_bool("x")
    try:
        device = os.stat(start).st_dev
    except OSError as problem:
        raise NotARepository(f"{start}: {problem.strerror}") from problem
    here = start
    while crossing or os.stat(here).st_dev == device:
        yield here
        above = os.path.dirname(here)
        if above == here or above in ceilings:
            return
        here = above


def _follow_file(path: str) -> str:
    """The directory that `path` is, or that the `.git` file `path` names."""
    if os.path.isdir(path):
        return path
    try:
        with open(path, "rb") as file:
            data = file.read(_LONGEST_GITFILE)
    except OSError as problem:
        raise NotARepository(f"{path} cannot be read: {problem.strerror}") from problem
    if not data.startswith(b"gitdir: "):
        raise NotARepository(f"{path} is no Git directory and names none")
    return os.path.join(os.path.dirname(path), os.fsdecode(data[8:].rstrip(b"\r\n")))


def _common_dir(git_dir: str, environ: Mapping[str, str]) -> str | None:
    """The common directory of `git_dir`, or None where that is no Git directory (setup.c, is_git_directory)."""
    if not _is_head(os.path.join(git_dir, "HEAD")):
        return None
    common = environ.get("GIT_COMMON_DIR")
    if not common:
        try:
            with open(os.path.join(git_dir, "commondir"), "rb") as file:
                common = os.path.join(git_dir, os.fsdecode(file.read(_LONGEST_GITFILE).rstrip(b"\r\n")))
        except OSError:
            common = git_dir  # only a linked worktree has that file
    common = os.path.realpath(common)
    objects = environ.get("GIT_OBJECT_DIRECTORY") or os.path.join(common, "objects")
    return common if os.path.isdir(objects) and os.path.isdir(os.path.join(common, "refs")) else None


def _is_head(path: str) -> bool:
    try:
        if os.path.islink(path):
            return os.readlink(path).startswith("refs/")
        with open(path, "rb") as file:
            data = file.read(256)
    except OSError:
        return False  # unreadable is not a repository, as for git
    return re.match(rb"ref:\s*refs/|[0-9a-f]{40}", data) is not None


def _check_owner(paths: list[str], directory: str, environ: Mapping[str, str]) -> None:
    """Refuse what somebody else owns, unless safe.directory lists `directory` (setup.c, ensure_valid_ownership)."""
    users = {os.geteuid()}
    if os.geteuid() == 0 and (sudo := environ.get("SUDO_UID", "")).isdigit():
        users.add(int(sudo))
    if all(os.lstat(path).st_uid in users for path in paths) or _is_listed(directory, environ):
        return
    raise UnsafeRepository(
        f"detected dubious ownership in repository at '{directory}'",
        next=f"git config --global --add safe.directory {directory}",
    )


def _is_listed(directory: str, environ: Mapping[str, str]) -> bool:
    listed = False
    for key, value in read_protected(environ):
        if key != "safe.directory":
            continue
        if not value:
            listed = False  # an empty value clears the list
        elif value == "*":
            listed = True
        else:
            path = os.path.expanduser(value) if value.startswith("~") else value
            if path.endswith("/*"):
                listed |= (directory + "/").startswith(os.path.realpath(path[:-2]) + "/")
            else:
                listed |= os.path.realpath(path) == directory
    return listed
