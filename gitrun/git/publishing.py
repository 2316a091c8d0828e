"""Making a pack visible to Git at one moment, marked as kept, whatever the user's gc does meanwhile."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator

from gitrun.errors import GitrunError
from gitrun.files.permissions import inherit
from gitrun.files.write import create, remove_quietly, write_all

KEEP_MARK = b"gitrun\n"

_MODE = 0o444
_CHUNK = 1 << 20
_RENAME_ATTEMPTS = 10


def read_chunks(fd: int) -> Iterator[bytes]:
    """The bytes of an open file from its start."""
    at = 0
    while chunk := os.pread(fd, _CHUNK, at):
        yield chunk
        at += len(chunk)


class Temporary:
    """A file that has no name Git looks at, until `rename`.

    Git's own gc removes such names when they are old. With `--prune=now` it removes them at once,
    also from under a writer; the descriptor still has the bytes, and `rename` writes them anew.
    """

    def __init__(self, directory: str, prefix: str) -> None:
        self._prefix = prefix
        self._open(directory)

    def _open(self, directory: str) -> None:
        self.path = os.path.join(directory, self._prefix + os.urandom(8).hex())
        self.fd = create(self.path, _MODE)

    def sync(self) -> None:
        os.fsync(self.fd)

    def rename(self, target: str) -> None:
        for _ in range(_RENAME_ATTEMPTS):
            try:
                os.rename(self.path, target)
                self.path = ""
                return
            except OSError as problem:
                if problem.errno not in (errno.ENOENT, errno.EXDEV):
                    raise
                self._copy_to(os.path.dirname(target))
        raise GitrunError(f"{target}: its temporary file is removed again and again", next="wait for git gc")

    def _copy_to(self, directory: str) -> None:
        lost_path, lost = self.path, self.fd
        try:
            self._open(directory)
            for chunk in read_chunks(lost):
                write_all(self.fd, chunk)
        finally:
            os.close(lost)
            remove_quietly(lost_path)

    def close(self) -> None:
        os.close(self.fd)
        if self.path:
            remove_quietly(self.path)


class Staged(Temporary):
    """A file that git wrote for us elsewhere, perhaps on another filesystem than the packs."""

    def __init__(self, path: str, parent: os.stat_result) -> None:
        self._prefix = "tmp_staged_"
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        inherit(self.fd, parent)


def publish(directory: str, name: str, pack: Temporary, index: Temporary, *, sync: bool) -> None:
    """Make a pack visible: its mark, its bytes, and last its index.

    With `sync` all of them are durable before they have their names: a power cut may keep a name and lose the bytes,
    and a pack of zeros troubles every git command. The mark is locked meanwhile,
    so that what a killed writer leaves can be told from a pack that is being published.
    """
    base = os.path.join(directory, name)
    keep = Temporary(directory, "tmp_keep_")
    try:
        write_all(keep.fd, KEEP_MARK)
        fcntl.flock(keep.fd, fcntl.LOCK_EX)
        if sync:
            for file in (keep, pack, index):
                file.sync()
        keep.rename(base + ".keep")
        pack.rename(base + ".pack")
        index.rename(base + ".idx")
    finally:
        keep.close()
