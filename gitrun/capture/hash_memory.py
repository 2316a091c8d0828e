"""What was hashed among the installed packages, so that no later run hashes it again.

A file is remembered as a voucher: a short digest over its path, size, time, inode and the hash that its RECORD lists.
A voucher that is known says that this very file had the listed content; one of a file that had another content keeps
what that was. Vouchers of files that are no longer there are forgotten when all files were looked at. A file written
within the last seconds gets none, because a second change could leave the same time behind.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from typing import Any

from gitrun.capture.derived import Derived
from gitrun.capture.record_file import Row

RACY_NS = 2_000_000_000
VERSION = 1
_WIDTH = 24  # of a voucher, in hex


class HashMemory:
    """The vouchers for some directories of packages, in a file below `directory`; None remembers nothing.

    `whole`: the look is at all files, so that a voucher nobody asked for is of a file that is gone.
    """

    def __init__(self, sites: list[bytes], directory: str | None, *, whole: bool = True) -> None:
        self._sites = b"\0".join(sites)
        self._derived = Derived(directory, "hashed", VERSION)
        self._known = _vouchers(self._derived.read(self._sites))
        self._kept: dict[str, str] = {} if whole else {**self._known}
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
        if facts.st_mtime_ns < time.time_ns() - RACY_NS:
            self._kept[_voucher(site, row, facts)] = found
            self._is_new = True

    def close(self) -> None:
        """Write what is new."""
        if self._is_new:
            right = "".join(sorted(voucher for voucher, found in self._kept.items() if not found))
            wrong = {voucher: found for voucher, found in self._kept.items() if found}
            self._derived.write(self._sites, {"right": right, "wrong": wrong})


def _voucher(site: bytes, row: Row, facts: os.stat_result) -> str:
    """The name of one file as it is now."""
    marks = b"%d %d %d\0%b\0%b/%b" % (facts.st_mtime_ns, facts.st_size, facts.st_ino, row.digest, site, row.path)
    return hashlib.blake2b(marks, digest_size=_WIDTH // 2).hexdigest()


def _vouchers(content: dict[str, Any] | None) -> dict[str, str]:
    """Each with what was found; none where the content is not what was written."""
    if content is None:
        return {}
    try:
        right, wrong = content["right"], content["wrong"]
        is_whole = re.fullmatch(r"[0-9a-f]*", right) and all(isinstance(said, str) and said for said in wrong.values())
        rows = map("".join, zip(*[iter(right)] * _WIDTH, strict=False))
        return {**dict.fromkeys(rows, ""), **wrong} if is_whole else {}
    except (KeyError, TypeError, AttributeError):
        return {}
