"""Installed files that are not what was installed: edited, gone, or put beside the distributions by somebody.

A RECORD says what an installer wrote. Whoever debugs edits a file among the packages, and no version number shows it.
Size and presence of every listed file are compared each time; contents are hashed within a bound of time and bytes,
the youngest file first, because an edit makes a file young. What was hashed once is remembered by the file's size,
time and inode, so that a later look goes on where this one stopped and soon has nothing left to hash.

A look takes seconds in a large environment: it belongs beside a running command. What a run loaded is a small part of
it, and is compared by itself (edited_loaded).
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import os
import stat
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from gitrun.capture.facts import text_path, unwaiting
from gitrun.capture.hash_memory import HashMemory
from gitrun.capture.record_file import Row
from gitrun.capture.site_files import conda_files, list_site, unowned_files

MOST_NAMED = 2000
CHUNK_BYTES = 1 << 20
SMALL_BYTES = 64 << 10
LOOK_FACTOR = 5  # looking at all files may take so many times what hashing may
_ALGORITHMS = (b"sha256", b"sha384", b"sha512")
_RUN_AT_START = (b"sitecustomize.py", b"usercustomize.py")


class Installed(NamedTuple):
    """Files that differ from their RECORD, files in no list, and how much was seen.

    `edited` are {distribution, path, state, bytes, sha256} with state `missing` or `changed`, `unowned` {path, bytes,
    sha256}; paths are relative to their site. Of `of` present files with a hash in a RECORD, the content of `hashed`
    was compared, now or earlier.
    """

    edited: list[dict[str, Any]]
    unowned: list[dict[str, Any]]
    hashed: int
    of: int
    problems: list[str]


class _File(NamedTuple):
    """A listed file that is there."""

    site: bytes
    row: Row
    facts: os.stat_result

    @property
    def is_resized(self) -> bool:
        return not stat.S_ISREG(self.facts.st_mode) or (0 <= self.row.size != self.facts.st_size)


def check_installed(
    sites: list[bytes],
    seconds: float = 2.0,
    hashed_bytes: int = 1 << 30,
    cache_dir: str | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Installed:
    """Compares what lies in `sites` with what their distributions list.

    `seconds` and `hashed_bytes` bound the hashing; `cache_dir` None remembers nothing. Once `stop` says so, the rest
    is left out, and what comes back is worth nothing.
    """
    sites = distinct(sites)
    check = Comparison(seconds, hashed_bytes, HashMemory(sites, cache_dir), stop)
    for site in sites:
        check.look_at(site)
    check.compare()
    return check.result()


class Comparison:
    """One look: `look_at` directories or `add` single files, then `compare`, then `result`."""

    def __init__(
        self, seconds: float, hashed_bytes: int, memory: HashMemory, stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._seconds = seconds
        self._bytes_left = hashed_bytes
        self._memory = memory
        self._stop = stop
        self._look_until = time.monotonic() + LOOK_FACTOR * seconds
        self._files: list[_File] = []
        self._conda: dict[bytes, dict[bytes, str | None] | None] = {}
        self._edited: list[tuple[bytes, dict[str, Any]]] = []
        self._unowned: list[dict[str, Any]] = []
        self._unnamed = 0
        self._hashed = 0
        self._of = 0
        self._unreadable = 0
        self._problems: list[str] = []

    def look_at(self, site: bytes) -> None:
        """Stats every listed file of a site, and walks it for the others."""
        listing = list_site(site, self._problems)
        below = site + b"/"
        has_conda = os.path.isdir(os.path.join(site, b"../../../conda-meta"))
        for at, row in enumerate(listing.rows):
            if at % 1000 == 999 and (self._stop() or time.monotonic() > self._look_until):
                self._problems.append(f"environment: {text_path(site)}: not all files were looked at in time")
                break
            if has_conda and row.path.startswith(b"../"):
                continue  # conda moves what a RECORD has outside of site-packages
            self.add(site, row, row.path if row.path[:1] == b"/" else below + row.path)
        if os.path.basename(site) not in (b"site-packages", b"dist-packages") or site.startswith(b"/usr/lib"):
            return  # a directory of the user's own is source; Debian keeps its lists elsewhere
        if self._stop():
            return
        unowned = unowned_files(site, listing, self._look_until)
        if not unowned.whole:
            self._problems.append(f"environment: {text_path(site)}: not all files were looked for in time")
        paths = unowned.paths
        if paths and (known := self._conda_of(site)):
            paths = [path for path in paths if _below_prefix(site, path) not in known]
        room = max(MOST_NAMED - len(self._unowned), 0)
        self._unowned += (_describe(site, path) for path in paths[:room])
        self._unnamed += len(paths[room:])

    def add(self, site: bytes, row: Row, path: bytes) -> None:
        """Stats one listed file, whose absolute path this is."""
        try:
            facts = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            self.tell(site, row, "missing", None)
        except (OSError, ValueError):
            self._unreadable += 1
        else:
            self._files.append(_File(site, row, facts))

    def compare(self) -> None:
        """Hashes what was never hashed: first what is known to differ, then the youngest."""
        pending: list[tuple[bool, int, bytes, int]] = []
        for at, file in enumerate(self._files):
            has_digest = _is_digest(file.row.digest)
            is_regular = stat.S_ISREG(file.facts.st_mode)
            self._of += has_digest and is_regular
            known = self._memory.recall(file.site, file.row, file.facts)
            if known == "" and not file.is_resized:
                self._hashed += has_digest
            elif known is not None:
                self._conclude(file, known)
            elif is_regular and (has_digest or file.is_resized):
                pending.append((not file.is_resized, -file.facts.st_mtime_ns, file.row.path, at))
            elif not is_regular:
                self.tell(file.site, file.row, "changed", None)
        heapq.heapify(pending)  # most of a long list may never be reached
        deadline = time.monotonic() + self._seconds
        while pending:
            at = heapq.heappop(pending)[3]
            file = self._files[at]
            if self._stop() or (not file.is_resized and time.monotonic() > deadline):
                break
            found = self._hash(file, deadline)
            if found is not None:
                self._memory.keep(file.site, file.row, file.facts, found)
                self._conclude(file, found)
            elif file.is_resized:
                self.tell(file.site, file.row, "changed", file.facts.st_size)
        self._memory.close()

    def _conclude(self, file: _File, found: str) -> None:
        """`found` is empty where the content is as listed, else what it is instead."""
        has_digest = _is_digest(file.row.digest)
        self._hashed += has_digest
        if file.is_resized or (found and has_digest):
            self.tell(file.site, file.row, "changed", file.facts.st_size, found)

    def _hash(self, file: _File, deadline: float) -> str | None:
        """Empty where a file has the listed hash, else its own as hex; None where it was not read to its end."""
        size = file.facts.st_size
        if size > self._bytes_left or time.monotonic() > deadline:
            return None
        algorithm, _, expected = file.row.digest.partition(b"=")
        digest = hashlib.new(algorithm.decode("ascii") if algorithm in _ALGORITHMS else "sha256")
        buffer = memoryview(bytearray(min(CHUNK_BYTES, size + 1)))
        try:
            path = os.path.join(file.site, file.row.path)
            with open(path, "rb", buffering=0, opener=unwaiting) as stream:
                while (count := stream.readinto(buffer)) and self._bytes_left >= 0:
                    digest.update(buffer[:count])
                    self._bytes_left -= count
                    if time.monotonic() > deadline:
                        return None
                after = os.fstat(stream.fileno())
        except OSError:
            self._unreadable += 1
            return None
        if (after.st_size, after.st_mtime_ns, after.st_ino) != (size, file.facts.st_mtime_ns, file.facts.st_ino):
            return None  # somebody writes it just now
        right = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=") == expected.rstrip(b"=")
        return "" if right else f"{digest.name}:{digest.hexdigest()}"

    def tell(self, site: bytes, row: Row, state: str, size: int | None, found: str | None = None) -> None:
        """Names a file that is not as listed; `found` is the hash it has instead."""
        sha256 = found.removeprefix("sha256:") if found and found.startswith("sha256:") else None
        facts = {"distribution": row.distribution, "path": text_path(row.path), "state": state}
        self._edited.append((site, {**facts, "bytes": size, "sha256": sha256}))

    def _conda_of(self, site: bytes) -> dict[bytes, str | None] | None:
        if site not in self._conda:
            self._conda[site] = conda_files(site)
        return self._conda[site]

    def _is_condas(self, site: bytes, facts: dict[str, Any]) -> bool:
        """Whether conda made of a file what it is now: it writes its prefix into some."""
        if facts["sha256"] is None or (known := self._conda_of(site)) is None:
            return False
        path = _below_prefix(site, facts["path"].encode("utf-8", "surrogateescape"))
        return bool(known.get(path) == facts["sha256"])

    def result(self) -> Installed:
        """What was found, in an order that does not depend on the directories'."""
        edited = [facts for site, facts in self._edited if not self._is_condas(site, facts)]
        edited.sort(key=lambda facts: (facts["path"], facts["distribution"]))
        problems = self._problems
        if len(edited) > MOST_NAMED:
            problems.append(f"environment: {len(edited)} edited or missing files, of which {MOST_NAMED} are named")
        if self._unnamed:
            more = MOST_NAMED + self._unnamed
            problems.append(f"environment: {more} files of no distribution, of which {MOST_NAMED} are named")
        if self._unreadable:
            problems.append(f"environment: {self._unreadable} installed file(s) could not be read")
        unowned = sorted(self._unowned, key=lambda facts: str(facts["path"]))
        return Installed(edited[:MOST_NAMED], unowned, self._hashed, self._of, problems)


def _is_digest(digest: bytes) -> bool:
    return digest.partition(b"=")[0] in _ALGORITHMS


def _below_prefix(site: bytes, path: bytes) -> bytes:
    """`lib/python3.11/site-packages/…`, as conda names a file."""
    return b"/".join([*site.split(b"/")[-3:], path])


def _describe(site: bytes, path: bytes) -> dict[str, Any]:
    """An unowned file; the content counts where Python runs it at its start."""
    facts: dict[str, Any] = {"path": text_path(path), "bytes": None, "sha256": None}
    try:
        with open(os.path.join(site, path), "rb", opener=unwaiting) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                return facts
            facts["bytes"] = found.st_size
            runs = b"/" not in path and (path.endswith(b".pth") or path in _RUN_AT_START)
            if runs and found.st_size <= SMALL_BYTES:
                facts["sha256"] = hashlib.sha256(file.read(SMALL_BYTES)).hexdigest()
    except OSError:
        pass  # it vanished, or may not be read: it is named all the same
    return facts


def distinct(sites: list[bytes]) -> list[bytes]:
    """Existing directories, each once (lib64 is often a link to lib)."""
    found: dict[tuple[int, int], bytes] = {}
    for site in sites:
        try:
            facts = os.stat(site)
        except (OSError, ValueError):
            continue  # nothing can be installed there
        found.setdefault((facts.st_dev, facts.st_ino), site.rstrip(b"/") or b"/")
    return list(found.values())
