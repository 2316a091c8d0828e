"""A store that lies elsewhere: on the disk that has the room.

`<gitrun_dir>/store` is then a symbolic link, so that whoever reads the store finds it without being told, and
moving one later is a matter of `mv` and `ln -s`. A link is copied along with a repository, and two archives
that share a store must not collect for each other: each leaves its name in `users/`, and nothing is
collected where there is another one's.
"""

from __future__ import annotations

import os

from gitrun.errors import GitrunError, from_os_error
from gitrun.files.write import fsync_dir, make_dirs, write_file
from gitrun.store.config import load_or_create


def place(gitrun_dir: str, path: str) -> None:
    """Have the store lie below the directory `path` ("" for beside everything else), where it is not made yet."""
    link = os.path.join(gitrun_dir, "store")
    if path and not os.path.lexists(link):
        target = os.path.join(os.path.abspath(path), f"gitrun-{load_or_create(gitrun_dir).writer}")
        make_dirs(target)
        try:
            os.symlink(target, link)
            fsync_dir(gitrun_dir)
        except FileExistsError:
            pass  # another first run was quicker, with the same writer and so with the same target
        except OSError as problem:
            raise from_os_error(problem, "placing the store") from problem
    if os.path.islink(link):
        _sign(gitrun_dir, link)


def check_there(store_dir: str) -> None:
    """Raise GitrunError where the store lies elsewhere and is not there now."""
    if os.path.islink(store_dir) and not os.path.isdir(store_dir):
        raise GitrunError(f"the store is not there: {os.readlink(store_dir)}", next="mount its disk, or move it back")


def check_alone(gitrun_dir: str, store_dir: str) -> None:
    """Raise GitrunError where other archives rely on this store too."""
    if not os.path.islink(store_dir):
        return
    _sign(gitrun_dir, store_dir)
    own = load_or_create(gitrun_dir).writer
    users = os.path.join(store_dir, "users")
    for name in sorted(os.listdir(users)):
        if name != own:
            with open(os.path.join(users, name), encoding="utf-8", errors="replace") as file:
                where = file.read(4096).strip()
            raise GitrunError(
                f"the store in {os.readlink(store_dir)} is used by {where} as well: what it needs is not known here",
                next=f"once that archive is gone, rm {os.path.join(users, name)}",
            )


def _sign(gitrun_dir: str, store_dir: str) -> None:
    check_there(store_dir)
    path = os.path.join(store_dir, "users", load_or_create(gitrun_dir).writer)
    if not os.path.exists(path):
        make_dirs(os.path.dirname(path))
        write_file(path, os.fsencode(os.path.realpath(gitrun_dir)) + b"\n")
