"""Refs as files: the loose ones, packed-refs, and Git's lock protocol for changing both.

The protocol (refs/files-backend.c): a ref is changed by whoever created `<ref>.lock`, packed-refs by
whoever created `packed-refs.lock`; a new packed-refs is renamed into place whole. A ref is packed
before its loose file goes, and leaves packed-refs before its loose file does when it is deleted.

Git takes `packed-refs.lock` for every deletion. Here it is taken only to remove a line that is there: a process
killed with that lock would lock the user out. See `_delete` for why that is enough.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from gitrun.errors import DamagedRepository, from_os_error
from gitrun.files.write import create, fsync_dir, write_all
from gitrun.git.reflocks import (
    POLL_S,
    RefConflictError,
    drop_dead_locks,
    fold_lock_path,
    lock_held,
    own,
    owned_lock,
    packed_path,
    refs_lock_path,
    take_lock,
)

_HEADER = "# pack-refs with: peeled fully-peeled sorted \n"
_PROOF_S = 0.5
_NEW = ".new.lock"  # Git reads no ref from a file with such an end


class Change(NamedTuple):
    """One ref from `old` (zeros: it does not exist) to `new` (None: it goes)."""

    name: str
    new: str | None
    old: str


def read_file(path: str) -> str | None:
    """The text of a loose ref without its newline; None when there is no such file."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(4096).rstrip("\n")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
    except OSError as problem:
        raise from_os_error(problem, "reading a ref") from problem


def read_loose(common_dir: str, prefix: str) -> dict[str, str]:
    """The text of every loose ref below the directory `prefix`, by full name."""
    found: dict[str, str] = {}
    pending = [prefix.rstrip("/")]
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(os.path.join(common_dir, directory)) as entries:
                for entry in entries:
                    name = f"{directory}/{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(name)
                    elif not name.endswith(".lock") and (text := read_file(entry.path)) is not None:
                        found[name] = text
        except (FileNotFoundError, NotADirectoryError):
            continue  # no ref has this prefix, or the last one has just gone
    return found


def read_packed(common_dir: str, prefix: str, digits: int) -> dict[str, str]:
    """The lines of packed-refs whose names begin with `prefix`; `digits` is the length of an object id."""
    return _select(_packed_text(common_dir), prefix, digits)


def _select(text: str, prefix: str, digits: int) -> dict[str, str]:
    first = text.find(f" {prefix}")
    if first < 0:
        return {}
    if not _is_sorted(text):
        lines = text.split("\n")
    else:  # one stretch of lines holds them all, so 10,000 other refs cost one search
        last = text.rfind(f" {prefix}")
        lines = text[max(0, first - digits) : text.find("\n", last)].split("\n")
    return {line[digits + 1 :]: line[:digits] for line in lines if line[digits + 1 :].startswith(prefix)}


def _is_sorted(text: str) -> bool:
    first = text.partition("\n")[0]
    return first.startswith("#") and "sorted" in first.split()


def _packed_text(common_dir: str) -> str:
    try:
        path = os.path.join(common_dir, "packed-refs")
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except OSError as problem:
        raise from_os_error(problem, "reading packed-refs") from problem


def commit(common_dir: str, changes: list[Change], digits: int, patience_s: float) -> bool:
    """Make all `changes` or none; False when a ref was not at its old value. Raises RefConflictError, GitrunError."""
    deadline = time.monotonic() + patience_s
    try:
        with _all_locked(common_dir, [change.name for change in changes], deadline):
            packed = _packed_text(common_dir)
            for change in changes:
                if (_current(common_dir, packed, change.name, digits) or "0" * digits) != change.old:
                    return False
                if change.new is not None:
                    _check_conflicts(common_dir, packed, change.name, digits)
            new = {change.name: change.new for change in changes if change.new is not None}
            for name, value in new.items():
                _write_new(os.path.join(common_dir, name), value)
            for name in new:
                _put(os.path.join(common_dir, name))
            gone = [change.name for change in changes if change.new is None]
            if gone:
                settle(common_dir, new)  # a run that moves from one name to another never has none
            _delete(common_dir, gone, digits, deadline)
            return True
    except OSError as problem:
        raise from_os_error(problem, "writing refs") from problem


@contextmanager
def _all_locked(common_dir: str, names: list[str], deadline: float) -> Iterator[None]:
    """Hold the locks of all these refs. Nobody waits with one of them held, so no two wait for each other."""
    owner = own(refs_lock_path(common_dir))
    paths = [os.path.join(common_dir, name) for name in sorted(names)]
    while True:
        with ExitStack() as held:
            # Somebody may have been stopped (Ctrl-Z) with it. Proof is not worth waiting for him.
            has_proof = owner.acquire(timeout=_PROOF_S)
            held.callback(owner.release)
            proof = owner.path if has_proof else None
            busy = next((path for path in paths if not held.enter_context(owned_lock(path, proof))), None)
            if busy is None:
                yield
                return
        if time.monotonic() > deadline:
            raise lock_held(busy)
        time.sleep(POLL_S)


def _write_new(path: str, value: str) -> None:
    """The value that a ref is about to get, under a name that Git takes for a lock; the ref's own lock guards it."""
    with suppress(FileNotFoundError):
        os.unlink(path + _NEW)  # of a killed process
    fd = create(path + _NEW)
    try:
        write_all(fd, value.encode() + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)


def _current(common_dir: str, packed: str, name: str, digits: int) -> str | None:
    loose = read_file(os.path.join(common_dir, name))
    return _select(packed, name, digits).get(name) if loose is None else loose


def _check_conflicts(common_dir: str, packed: str, name: str, digits: int) -> None:
    parts = name.split("/")
    for n in range(2, len(parts)):
        if _current(common_dir, packed, above := "/".join(parts[:n]), digits) is not None:
            raise RefConflictError(f"the ref {above} exists, so {name} cannot", above)
    for below in (*read_loose(common_dir, name), *_select(packed, name + "/", digits)):
        raise RefConflictError(f"the ref {below} exists, so {name} cannot", below)


def _put(path: str) -> None:
    try:
        os.rename(path + _NEW, path)
    except IsADirectoryError:
        for directory, _, _ in os.walk(path, topdown=False):
            os.rmdir(directory)  # what deleted refs leave behind; _check_conflicts saw no ref in it
        os.rename(path + _NEW, path)


def _delete(common_dir: str, names: list[str], digits: int, deadline: float) -> None:
    if not names:
        return
    _leave_packed(common_dir, names, digits, deadline)
    for name in names:
        with suppress(FileNotFoundError):  # it was in packed-refs alone
            os.unlink(os.path.join(common_dir, name))
    # A packer may have read the loose file before it went, and brings the ref back when it renames its new
    # packed-refs. It holds packed-refs.lock from before it reads loose refs until after that rename. So one that
    # has read our file is seen here, by its lock or by its line, and one that comes later finds nothing to read.
    # The lock of the ref itself, which we hold, keeps everybody else from making the ref anew meanwhile.
    lock = packed_path(common_dir) + ".lock"
    while os.path.lexists(lock) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    _leave_packed(common_dir, names, digits, deadline)


def _leave_packed(common_dir: str, names: list[str], digits: int, deadline: float) -> None:
    """Remove the lines of `names` from packed-refs, where it has any."""
    text = _packed_text(common_dir)
    gone = [name for name in names if name in _select(text, name, digits)]
    if gone:
        with _packed_lock(common_dir, deadline):
            rewrite_packed(common_dir, {}, gone, digits)


@contextmanager
def _packed_lock(common_dir: str, deadline: float) -> Iterator[None]:
    """Hold packed-refs.lock, so that a kill can be healed unless a long fold has the proof of it just now."""
    path = packed_path(common_dir)
    owner = own(fold_lock_path(common_dir))
    if not owner.acquire(timeout=max(0.0, deadline - time.monotonic()) / 2):
        os.close(take_lock(path, deadline))
        try:
            yield
        finally:
            os.unlink(path + ".lock")
        return
    try:
        while True:
            with owned_lock(path, owner.path) as locked:
                if locked:
                    yield
                    return
            if time.monotonic() > deadline:
                raise lock_held(path)
            time.sleep(POLL_S)
    finally:
        owner.release()


def rewrite_packed(common_dir: str, added: dict[str, str], gone: Iterable[str], digits: int) -> None:
    """Replace packed-refs by itself with `added` and without `gone`; the caller holds packed-refs.lock."""
    old = _packed_text(common_dir)
    header, lines = _split_packed(old, digits)
    for name in gone:
        lines.pop(name, None)
    lines.update({name: f"{oid} {name}\n" for name, oid in added.items()})
    ordered = [lines[name] for name in sorted(lines, key=os.fsencode)]
    path = packed_path(common_dir)
    # The lock guards this name too, so what a killed writer left under it is simply written over.
    temporary = path + ".gitrun"
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    fd = create(temporary)
    try:
        write_all(fd, "".join([header, *ordered]).encode("utf-8", "surrogateescape"))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, path)
    fsync_dir(os.path.dirname(path))


def _split_packed(text: str, digits: int) -> tuple[str, dict[str, str]]:
    """The header to write and, by name, the lines of each ref (with its peeled value where it has one)."""
    if not text:
        return _HEADER, {}
    header, name = "", ""
    lines: dict[str, str] = {}
    for line in text.split("\n"):
        if line.startswith("#"):
            header = f"{line.rstrip()}{'' if _is_sorted(line) else ' sorted'} \n"
        elif line.startswith("^") and name:
            lines[name] += line + "\n"
        elif line[digits : digits + 1] == " ":
            name = line[digits + 1 :]
            lines[name] = line + "\n"
        elif line:
            raise DamagedRepository(f"packed-refs is damaged: {line[:200]!r}", next="git fsck")
    return header, lines


def settle(common_dir: str, names: Iterable[str]) -> None:
    """Make changed refs durable, and give what root's git made of them to the owner of the repository."""
    try:
        directories = sorted({os.path.dirname(name) for name in names})
        if os.geteuid() == 0:
            for path in (*directories, *names):
                _give_to_owner(common_dir, path)
        for directory in directories:
            with suppress(FileNotFoundError):  # the last ref in it has just gone
                fsync_dir(os.path.join(common_dir, directory))
    except OSError as problem:
        raise from_os_error(problem, "writing refs") from problem


def _give_to_owner(common_dir: str, path: str) -> None:
    above = os.path.dirname(path)
    if above != "refs":
        _give_to_owner(common_dir, above)
    with suppress(FileNotFoundError):  # a ref that was deleted
        mine, theirs = (os.lstat(os.path.join(common_dir, place)) for place in (path, above))
        if (mine.st_uid, mine.st_gid) != (theirs.st_uid, theirs.st_gid):
            os.chown(os.path.join(common_dir, path), theirs.st_uid, theirs.st_gid, follow_symlinks=False)


def pack(common_dir: str, prefix: str, digits: int, owner: str, wanted: Callable[[str, str], bool]) -> int:
    """Move the loose refs below `prefix` that are `wanted` (by name and value) into packed-refs; how many.

    `owner` is a file whose flock the caller holds. Nothing is moved while another process has
    packed-refs locked.
    """
    drop_dead_locks(common_dir, prefix, owner)
    path = packed_path(common_dir)
    with owned_lock(path, owner) as locked:
        found = {n: v for n, v in read_loose(common_dir, prefix).items() if locked and wanted(n, v)}
        if not found:
            return 0
        rewrite_packed(common_dir, found, (), digits)
    for name, value in found.items():
        loose = os.path.join(common_dir, name)
        with owned_lock(loose, owner) as locked:
            if locked and read_file(loose) == value:
                os.unlink(loose)
    return len(found)
