"""Which files a directory of packages should hold by its own lists, and which lie there beside them.

A RECORD names the files of its distribution with size and hash. Older metadata has no such list: what lies below the
top names of such a distribution is taken for its own, because nobody can say more. A conda environment lists its files
in `conda-meta`, which is large, so that is read only when something is left to explain.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from gitrun.capture.facts import read_start, text_path
from gitrun.capture.record_file import MAX_RECORD_BYTES, BadRecord, Row, is_bookkeeping, name_of, read_record, rows_of

MOST_ROWS = 1_000_000
MOST_META_BYTES = 64 << 20
_METADATA = (b".dist-info", b".egg-info", b".egg", b".egg-link")
# Made with every environment, by virtualenv, uv and Python itself.
_MADE = frozenset((b"_virtualenv.py", b"_virtualenv.pth", b"README.txt"))


class Listing(NamedTuple):
    """What the metadata of one directory says: rows to compare, all paths owned, top names that are owned whole."""

    rows: list[Row]
    owned: set[bytes]
    tops: set[bytes]


def list_site(site: bytes, problems: list[str]) -> Listing:
    """The listing of one directory of packages; what cannot be read is a sentence in `problems`."""
    listing = Listing([], set(), set())
    try:
        names = sorted(os.listdir(site))
    except OSError as problem:
        problems.append(f"environment: {text_path(site)}: {problem.strerror}")
        return listing
    for name in names:
        if not name.endswith((b".dist-info", b".egg-info")):
            continue
        distribution = name_of(name)
        try:
            _take(read_record(os.path.join(site, name)), distribution, listing, problems)
            continue
        except BadRecord:
            pass  # older metadata has none
        if not _take_installed(site, name, listing):
            tops = read_start(os.path.join(site, name, b"top_level.txt")) or b""
            listing.tops.update(top.partition(b"/")[0] for top in tops.split())
            listing.tops.add(distribution.encode("utf-8", "surrogateescape").replace(b"-", b"_"))
    if len(listing.rows) >= MOST_ROWS:
        problems.append(f"environment: {text_path(site)}: more than {MOST_ROWS} files are listed; not all were checked")
    return listing


def _take(record: bytes, distribution: str, listing: Listing, problems: list[str]) -> None:
    wrong = 0
    try:
        for path, digest, size in rows_of(record):
            if not path or b"\0" in path:
                wrong += bool(path or digest or size)
                continue
            listing.owned.add(path)
            if path.endswith(b".pyc") or (b".dist-info/" in path and is_bookkeeping(path)):
                continue
            if size and not (size.isdigit() and len(size) < 20):
                wrong += 1
            elif len(listing.rows) < MOST_ROWS:
                listing.rows.append(Row(distribution, path, digest, int(size) if size else -1))
    except BadRecord:
        wrong += 1
    if wrong:
        problems.append(f"environment: {distribution}: {wrong} line(s) of its RECORD cannot be read")


def _take_installed(site: bytes, name: bytes, listing: Listing) -> bool:
    """What pip once listed of a distribution without RECORD, relative to its metadata."""
    text = read_start(os.path.join(site, name, b"installed-files.txt"), MAX_RECORD_BYTES)
    if text is None:
        return False
    listing.owned.update(os.path.normpath(os.path.join(name, line)) for line in text.splitlines() if line)
    return True


class Unowned(NamedTuple):
    """Paths that no list has, in the order of a walk that looks at files before directories; `whole`: it saw all."""

    paths: list[bytes]
    whole: bool


def unowned_files(site: bytes, listing: Listing, deadline: float) -> Unowned:
    """The files below `site` that nothing in it lists; compiled files and the metadata itself are left out.

    `deadline` is by time.monotonic().
    """
    found: list[bytes] = []
    pending = [b""]
    while pending:
        if time.monotonic() > deadline or len(found) > MOST_ROWS:
            return Unowned(found, False)
        directory = pending.pop()
        try:
            with os.scandir(os.path.join(site, directory) if directory else site) as entries:
                here = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        except OSError:
            continue  # it vanished, or is nobody's to read
        below = []
        for name, is_directory in here:
            if not directory and _is_known(name, listing.tops):
                continue
            path = directory + name
            if is_directory:
                if name != b"__pycache__":
                    below.append(path + b"/")
            elif path not in listing.owned and not name.endswith(b".pyc"):
                found.append(path)
        pending += reversed(below)
    return Unowned(_without_links(site, found, listing), True)


def _is_known(name: bytes, tops: set[bytes]) -> bool:
    """Whether a top name is metadata, made with the environment, or a distribution's as a whole."""
    return name.endswith(_METADATA) or name in _MADE or (bool(tops) and name.partition(b".")[0] in tops)


def _without_links(site: bytes, paths: list[bytes], listing: Listing) -> list[bytes]:
    """Without links to directories whose files are listed."""
    links = {path for path in paths if os.path.islink(os.path.join(site, path))}
    if not links:
        return paths
    tops = {owned[: len(link)] for link in links for owned in listing.owned if owned.startswith(link + b"/")}
    return [path for path in paths if path not in tops]


def conda_files(site: bytes) -> dict[bytes, str | None] | None:
    """What conda installed, by path below the prefix that `site` belongs to, with its sha256 if known.

    None where it is no conda environment.
    """
    prefix = os.path.dirname(os.path.dirname(os.path.dirname(site)))
    directory = os.path.join(prefix, b"conda-meta")
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(b".json"))
    except OSError:
        return None
    found: dict[bytes, str | None] = {}
    for name in names:
        data = read_start(os.path.join(directory, name), MOST_META_BYTES)
        try:
            content = json.loads(data or b"")
        except (ValueError, RecursionError):
            continue  # conda_packages tells of it
        if isinstance(content, dict):
            found.update((path.encode("utf-8", "surrogatepass"), None) for path in _texts(content.get("files")))
            found.update(_hashes(content.get("paths_data")))
    return found


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _hashes(data: Any) -> Iterator[tuple[bytes, str]]:
    paths = data.get("paths") if isinstance(data, dict) else None
    for each in paths if isinstance(paths, list) else []:
        if isinstance(each, dict) and isinstance(path := each.get("_path"), str):
            digest = each.get("sha256_in_prefix") or each.get("sha256")
            if isinstance(digest, str):
                yield path.encode("utf-8", "surrogatepass"), digest
