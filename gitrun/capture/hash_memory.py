"""What was hashed among the installed packages, so that no later run hashes it again.

A file is remembered as a voucher: a short digest over its path, size, time, inode and the hash that its RECORD lists.
A voucher that is known says that this very file had the listed content; one of a file that had another content keeps
what that was. Vouchers of files that are no longer there are forgotten at the next write. A file written within the
last seconds gets none, because a second change could leave the same time behind.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time

from gitrun.capture.site_files import Row
from gitrun.errors import GitrunError
from gitrun.files.write import make_dirs, write_file

RACY_NS = 2_000_000_000
VERSION = 1
MOST_BYTES = 64 << 20
_WIDTH = 24  # of a voucher, in hex


class HashMemory:
    """The vouchers for some directories of packages, in a file below `directory`; None remembers nothing."""

    def __init__(self, sites: list[bytes], directory: str | None) -> None:
        name = hashlib.sha256(b"\0".join(sites)).hexdigest()[:32]
        self._path = None if directory is None else os.path.join(directory, f"hashed-{name}")
        self._known = {} if self._path is None else _load(self._path)
        self._kept: dict[str, str] = {}
        self._is_new = False

    def recall(self, site: bytes, row: Row, facts: os.stat_result) -> str | None:
        """Empty where the content was as listed, else what it was; None where nobody knows."""
        if not self._known:
            return None
        voucher = _voucher(site, row, facts)
        found = self._known.get(voucher)
        if found is not None:
            self._kept[voucher] = found
        return found

    def keep(self, site: bytes, row: Row, facts: os.stat_result, found: str) -> None:
        """Remember what was found by hashing."""
        if self._path is not None and facts.st_mtime_ns < time.time_ns() - RACY_NS:
            self._kept[_voucher(site, row, facts)] = found
            self._is_new = True

    def close(self) -> None:
        """Write what is new."""
        if self._path is None or not self._is_new:
            return
        directory = os.path.dirname(self._path)
        if not os.path.isdir(os.path.dirname(directory)):
            return  # the archive was moved away meanwhile: nothing is made anew in its place
        right = "".join(sorted(voucher for voucher, found in self._kept.items() if not found))
        wrong = {voucher: found for voucher, found in self._kept.items() if found}
        try:
            make_dirs(directory)
            write_file(
                self._path, json.dumps({"version": VERSION, "right": right, "wrong": wrong}).encode(), sync=False
            )
        except GitrunError:
            pass  # the next look hashes again


def _voucher(site: bytes, row: Row, facts: os.stat_result) -> str:
    """The name of one file as it is now."""
    marks = b"%d %d %d\0%b\0%b/%b" % (facts.st_mtime_ns, facts.st_size, facts.st_ino, row.digest, site, row.path)
    return hashlib.blake2b(marks, digest_size=_WIDTH // 2).hexdigest()


def _load(path: str) -> dict[str, str]:
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read(MOST_BYTES))
        right, wrong = content["right"], content["wrong"]
        if content["version"] != VERSION or re.fullmatch(r"[0-9a-f]*", right) is None:
            return {}
        if any(not isinstance(found, str) or not found for found in wrong.values()):
            return {}
        return {**dict.fromkeys(map("".join, zip(*[iter(right)] * _WIDTH, strict=False)), ""), **wrong}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # a memory that cannot be read is empty
