"""The installed files that a run really loaded, compared with what their distributions list.

A large environment takes seconds to compare, and most commands end before. What matters to a run is what it loaded:
some hundred files, whose size and time the processes reported when they imported them. These are compared at the end
of every run, by content, and what one run has hashed the next one need not hash again (hash_memory).

A file may have been written to since it was imported. Then its size at that time speaks for what was loaded, its
content now for the rest, and the record says that there are such files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from gitrun.capture.edited import Comparison, Installed, distinct
from gitrun.capture.hash_memory import HashMemory
from gitrun.capture.imports import Loaded
from gitrun.capture.ownership import Owners
from gitrun.capture.record_file import is_bookkeeping

SECONDS, HASHED_BYTES = 0.5, 256 << 20
_SITE = re.compile(rb".*?/(?:site|dist)-packages(?=/)", re.DOTALL)
Place = tuple[bytes, bytes]  # a directory of packages, and a path below it


def check_loaded(
    files: Iterable[Loaded],
    sites: list[bytes],
    owners: Owners,
    *,
    seconds: float = SECONDS,
    hashed_bytes: int = HASHED_BYTES,
    cache_dir: str | None = None,
) -> Installed:
    """Compares those of the loaded files that a RECORD lists: `edited` have `loaded`, `unowned` stays empty.

    `sites` are the directories of packages that are known; what lies in another one named like one counts as well.
    `seconds` and `hashed_bytes` bound the hashing; `cache_dir` None remembers nothing.
    """
    sites = distinct(sites)
    check = Comparison(seconds, hashed_bytes, HashMemory(sites, cache_dir, whole=False))
    rewritten = 0
    for (site, path), seen in _installed(files, sites).items():
        row = owners.listed(site, path)
        if row is None or path.endswith(b".pyc") or is_bookkeeping(path):
            continue
        at = site + b"/" + path
        now = _facts(at)
        is_rewritten = bool(seen) and now is not None and now not in seen
        rewritten += is_rewritten
        others = [size for size, _ in seen if 0 <= row.size != size]
        if is_rewritten and others:
            check.tell(site, row, "changed", max(others))
        else:
            check.add(site, row, at)
    check.compare()
    found = check.result()
    if rewritten:
        words = "were written to after they had been loaded, and are compared as they are now"
        found.problems.append(f"{rewritten} installed file(s) {words}")
    return found._replace(edited=[{**facts, "loaded": True} for facts in found.edited])


def _installed(files: Iterable[Loaded], sites: list[bytes]) -> dict[Place, set[tuple[int, int]]]:
    """The files below directories of packages, with each size and time that they were imported with."""
    tops = sorted((site + b"/" for site in sites), key=len, reverse=True)
    found: dict[Place, set[tuple[int, int]]] = {}
    for file in files:
        path = os.path.normpath(file.path) if b"/." in file.path or b"//" in file.path else file.path
        if (match := _SITE.match(path)) is not None:
            place = match[0], path[match.end() + 1 :]
        elif (top := next((top for top in tops if path.startswith(top)), None)) is not None:
            place = top[:-1], path[len(top) :]
        else:
            continue
        seen = found.setdefault(place, set())
        if file.size is not None and file.mtime_ns is not None:
            seen.add((file.size, file.mtime_ns))
    return found


def _facts(path: bytes) -> tuple[int, int] | None:
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return facts.st_size, facts.st_mtime_ns
