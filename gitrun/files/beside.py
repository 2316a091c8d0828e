"""Files of an archive brought back one by one, beside whatever there is already.

The rules of the materialiser hold, but the directory is a user's own. So directories that exist are entered (never
through a link), nothing that has a name is touched, and a file gets its name when it is whole: a kill leaves one that
ends in `.gitrun-tmp`, never one that only looks whole.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from gitrun.errors import DestinationExists, GitrunError, from_os_error
from gitrun.files.materialise import NEW_FILE, Content, Materialiser
from gitrun.files.names import show

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Beside(Materialiser):
    """Writes files into the directory `root`, which may hold anything; a name that is taken is DestinationExists.

    What the content of a file raises while it is read leaves nothing of that file, and all others as they are.
    """

    _alone = False

    def _create(self, path: bytes, at: int, name: bytes, mode: int, content: Content) -> None:
        temporary = f".{os.urandom(8).hex()}.gitrun-tmp".encode()
        fd = os.open(temporary, NEW_FILE, mode, dir_fd=at)
        try:
            self._fill(fd, mode, content)
            _name(at, temporary, name)
            self._files.append(path)
        finally:
            with suppress(FileNotFoundError):  # it was renamed
                os.unlink(temporary, dir_fd=at)

    def _mkdir(self, path: bytes, at: int, name: bytes, mode: int) -> bool:
        try:
            return super()._mkdir(path, at, name, mode)
        except FileExistsError:
            return False

    def _explain(self, problem: OSError, path: bytes) -> GitrunError:
        why = {errno.EEXIST: "is there already", errno.ENOTDIR: "is below a file", errno.ELOOP: "is below a link"}
        if problem.errno not in why:
            return from_os_error(problem, f"writing {show(path)}")
        return DestinationExists(
            f"{show(path)} {why[problem.errno]}: {self.root}", kept="what is there", next="name a new directory"
        )


def _name(at: int, temporary: bytes, name: bytes) -> None:
    """Give a file its name, unless something has it; the first name may remain."""
    try:
        os.link(temporary, name, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
    except OSError as problem:
        if problem.errno not in _NO_LINKS:
            raise
        # Without hard links somebody may take the name between the look and the renaming.
        with suppress(FileNotFoundError):
            os.stat(name, dir_fd=at, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.rename(temporary, name, src_dir_fd=at, dst_dir_fd=at)
