"""Which distribution owns a file among the installed packages, found without reading what nobody asks about.

A RECORD lists the files of its distribution, and a large environment has half a million of them. A run loads from a
few distributions. Most have their own name for a top name, so that one's RECORD is parsed; only where the guess fails
are all of them looked through, as bytes, and the answer is the guess for that top name from then on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from gitrun.capture.facts import read_start, text_path
from gitrun.capture.record_file import BadRecord, Row, name_of, normalised, read_record, rows_of

_OLD = b".egg-info"
# Top names that are loaded often and that are not their distribution's.
_KNOWN = {
    b"_distutils_hack": "setuptools", b"pkg_resources": "setuptools", b"sklearn": "scikit-learn", b"PIL": "pillow",
    b"yaml": "pyyaml", b"dateutil": "python-dateutil", b"attr": "attrs",
}  # fmt: skip
_MANY = 8


class Owners:
    """Answers for the directories of packages of one run; each RECORD is read once, whoever asks."""

    def __init__(self) -> None:
        self._sites: dict[bytes, _Site] = {}

    def below(self, sites: Iterable[bytes]) -> Callable[[bytes], str | None]:
        """A question about absolute paths below these: the name of the distribution that owns one, or None."""
        owners = [(site.rstrip(b"/") + b"/", self._site(site)) for site in sites]

        def owner(path: bytes) -> str | None:
            for prefix, site in owners:
                if path.startswith(prefix) and (name := site.owner(path[len(prefix) :])) is not None:
                    return name
            return None

        return owner

    def listed(self, site: bytes, path: bytes) -> Row | None:
        """The row of a file in the RECORD that has it; `path` is relative to `site`."""
        return self._site(site).listed(path)

    def _site(self, site: bytes) -> _Site:
        if site not in self._sites:
            self._sites[site] = _Site(site)
        return self._sites[site]


class _Site:
    """One directory of packages."""

    def __init__(self, site: bytes) -> None:
        self._site = site
        self._directories: dict[bytes, str] = {}  # metadata directories, with the names of their distributions
        self._candidates: dict[bytes, list[bytes]] = {}  # those that may own files below a top name
        self._files: dict[bytes, dict[bytes, list[bytes]]] = {}  # the rows of what each of them owns
        self._records: dict[bytes, bytes | None] = {}
        self._searched = 0
        try:
            names = sorted(os.listdir(site))
        except OSError:
            names = []  # nothing can be loaded from there either
        for name in names:
            if name.endswith((b".dist-info", _OLD)):
                self._directories[name] = name_of(name)

    def owner(self, path: bytes) -> str | None:
        found = self._find(path)
        return None if found is None else self._directories[found]

    def listed(self, path: bytes) -> Row | None:
        found = self._find(path)
        if found is None or (row := self._files_of(found).get(path)) is None:
            return None
        _, digest, size = row
        return Row(self._directories[found], path, digest, int(size) if size.isdigit() and len(size) < 20 else -1)

    def _find(self, path: bytes) -> bytes | None:
        """The metadata directory of the distribution that owns a file."""
        top = path.partition(b"/")[0]
        if top not in self._candidates:
            guess = _KNOWN.get(top) or normalised(text_path(top.partition(b".")[0]))
            self._candidates[top] = [each for each, name in self._directories.items() if name == guess]
        for directory in self._candidates[top]:
            if self._owns(directory, path, top):
                return directory
        found = self._search(path, top)
        if found is not None:
            self._candidates[top].append(found)
        return found

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
        files = self._files_of(directory)
        return path in files or (b"" in files and top.partition(b".")[0] in files)

    def _files_of(self, directory: bytes) -> dict[bytes, list[bytes]]:
        """The rows of a RECORD by path; without one an empty path and the top names, below which all is owned."""
        if directory not in self._files:
            record = self._record(directory)
            try:
                rows = self._tops(directory) if record is None else [row for row in rows_of(record) if row[0]]
            except BadRecord:
                rows = self._tops(directory)
            self._files[directory] = {row[0]: row for row in rows}
        return self._files[directory]

    def _tops(self, directory: bytes) -> list[list[bytes]]:
        tops = read_start(os.path.join(self._site, directory, b"top_level.txt")) or b""
        names = [b"", *tops.split(), os.fsencode(name_of(directory)).replace(b"-", b"_")]
        return [[name, b"", b""] for name in names]

    def _record(self, directory: bytes) -> bytes | None:
        if directory not in self._records:
            try:
                found = None if directory.endswith(_OLD) else read_record(os.path.join(self._site, directory))
            except BadRecord:
                found = None
            self._records[directory] = found
        return self._records[directory]
