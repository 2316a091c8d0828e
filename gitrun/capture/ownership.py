"""Which distribution owns a file among the installed packages, found without reading what nobody asks about.

A RECORD lists the files of its distribution, and a large environment has half a million of them. A run loads from a
few distributions. Most have their own name for a top name, so that one's RECORD is parsed; only where the guess fails
are all of them looked through, as bytes, and the answer is the guess for that top name from then on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from gitrun.capture.distributions import MAX_RECORD_BYTES, normalised
from gitrun.capture.facts import read_start, text_path

_OLD = b".egg-info"
# Top names that are loaded often and that are not their distribution's.
_KNOWN = {
    b"_distutils_hack": "setuptools", b"pkg_resources": "setuptools", b"sklearn": "scikit-learn", b"PIL": "pillow",
    b"yaml": "pyyaml", b"dateutil": "python-dateutil", b"attr": "attrs",
}  # fmt: skip
_MANY = 8


def owned_files(sites: Iterable[bytes]) -> Callable[[bytes], str | None]:
    """A question about absolute paths below these directories: the name of the distribution that owns one, or None."""
    owners = [(site.rstrip(b"/") + b"/", _Site(site)) for site in sites]

    def owner(path: bytes) -> str | None:
        for prefix, site in owners:
            if path.startswith(prefix) and (name := site.owner(path[len(prefix) :])) is not None:
                return name
        return None

    return owner


class _Site:
    """One directory of packages."""

    def __init__(self, site: bytes) -> None:
        self._site = site
        self._directories: dict[bytes, str] = {}  # metadata directories, with the names of their distributions
        self._candidates: dict[bytes, list[bytes]] = {}  # those that may own files below a top name
        self._files: dict[bytes, frozenset[bytes]] = {}  # what a metadata directory owns
        self._records: dict[bytes, bytes | None] = {}
        self._searched = 0
        try:
            names = sorted(os.listdir(site))
        except OSError:
            names = []  # nothing can be loaded from there either
        for name in names:
            if name.endswith((b".dist-info", _OLD)):
                self._directories[name] = _name_of(name)

    def owner(self, path: bytes) -> str | None:
        top = path.partition(b"/")[0]
        if top not in self._candidates:
            guess = _KNOWN.get(top) or normalised(text_path(top.partition(b".")[0]))
            self._candidates[top] = [each for each, name in self._directories.items() if name == guess]
        for directory in self._candidates[top]:
            if self._owns(directory, path, top):
                return self._directories[directory]
        found = self._search(path, top)
        if found is None:
            return None
        self._candidates[top].append(found)
        return self._directories[found]

    def _search(self, path: bytes, top: bytes) -> bytes | None:
        """Look through all RECORDs for a path; after some of these, have them all as sets."""
        self._searched += 1
        for directory in self._directories:
            record = self._record(directory)
            if record is None or b'"' in record or self._searched > _MANY:
                if self._owns(directory, path, top):
                    return directory
            elif record.startswith(path + b",") or b"\n" + path + b"," in record:
                return directory
        return None

    def _owns(self, directory: bytes, path: bytes, top: bytes) -> bool:
        if directory not in self._files:
            self._files[directory] = frozenset(self._listed(directory))
        files = self._files[directory]
        return path in files or (b"" in files and top.partition(b".")[0] in files)

    def _listed(self, directory: bytes) -> Iterator[bytes]:
        """The paths in a RECORD; without one an empty path and the top names, below which all is owned."""
        record = self._record(directory)
        if record is None:
            yield b""
            tops = read_start(os.path.join(self._site, directory, b"top_level.txt")) or b""
            yield from tops.split()
            yield os.fsencode(_name_of(directory)).replace(b"-", b"_")
        elif b'"' in record:
            import csv  # only for the rare RECORD that quotes a path with a comma

            rows = csv.reader(record.decode("utf-8", "surrogateescape").splitlines())
            yield from (os.fsencode(row[0]) for row in rows if row)
        else:
            yield from (line.partition(b",")[0] for line in record.splitlines())

    def _record(self, directory: bytes) -> bytes | None:
        if directory not in self._records:
            path = os.path.join(self._site, directory, b"RECORD")
            self._records[directory] = None if directory.endswith(_OLD) else read_start(path, MAX_RECORD_BYTES)
        return self._records[directory]


def _name_of(directory: bytes) -> str:
    return normalised(text_path(directory).rpartition(".")[0].partition("-")[0])
