"""RECORD, the list that an installer leaves of the files of a distribution: `path,hash,size`, one row each.

Four rooms ask it different questions: which digest names the content, what is edited, whose a file is, what a wheel
would hold. What a row is, and which rows are the installer's own bookkeeping, is said here once. A large environment
has half a million rows, so they are split as bytes; the csv module is for the rare RECORD that quotes a path.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from gitrun.capture.facts import text_path, unwaiting

MAX_RECORD_BYTES = 64 << 20
_BOOKKEEPING = frozenset((b"INSTALLER", b"REQUESTED", b"RECORD", b"direct_url.json"))
_METADATA = b".dist-info/"


class BadRecord(Exception):
    """There is no RECORD, or it cannot be read; the message says why."""


class Row(NamedTuple):
    """One file by a RECORD: `path` as it stands there, `digest` like `sha256=…` or empty, `size` -1 where not given."""

    distribution: str
    path: bytes
    digest: bytes
    size: int


def read_record(directory: bytes) -> bytes:
    """The RECORD in a metadata directory; raises BadRecord."""
    try:
        with open(directory + b"/RECORD", "rb", buffering=0, opener=unwaiting) as file:
            data = file.read(MAX_RECORD_BYTES + 1) or b""
    except (OSError, ValueError) as problem:
        raise BadRecord(getattr(problem, "strerror", None) or str(problem)) from problem
    if len(data) > MAX_RECORD_BYTES:
        raise BadRecord(f"larger than {MAX_RECORD_BYTES} bytes")
    return data


def rows_of(record: bytes) -> list[list[bytes]]:
    """[path, hash, size] of each row as they stand there, the path empty in a row that is none; raises BadRecord."""
    rows = [line.rsplit(b",", 2) for line in _plain(record).splitlines()]
    return [row if len(row) == 3 else [b"", b"", row[-1]] for row in rows]


def is_bookkeeping(path: bytes, metadata: bytes | None = None) -> bool:
    """Whether installers write this file themselves, so that it says nothing of the distribution.

    `metadata`, a directory's name, asks about that one alone: a distribution may bring the metadata of others along.
    """
    directory, _, name = path.rpartition(b"/")
    is_there = directory.endswith(_METADATA[:-1]) if metadata is None else directory == metadata
    return is_there and (name in _BOOKKEEPING or name.startswith(b"uv_"))


def canonical_record(record: bytes) -> str:
    """sha256 over the sorted (path, hash, size) of a RECORD without what depends on the installer.

    Left out are *.pyc, the bookkeeping of installers and whatever lies outside site-packages (scripts, whose
    first line names the environment). An entry is `path,hash,size` without quotes and LF; sorted by bytes. Raises
    BadRecord.
    """
    data = _plain(record)
    data = data.replace(b"\r\n", b"\n") if b"\r" in data else data
    lines = data.split(b"\n")
    # an environment has some 100,000 lines, so the tests of each are the cheapest there are
    if (compiled := data.count(b".pyc,")) == data.count(b".pyc,,\n"):
        lines = [line for line in lines if line[-6:] != b".pyc,,"] if compiled else lines
    else:
        lines = [line for line in lines if b".pyc," not in line]
    lines.sort()
    for begin, end in ((b"", b"\0"), (b"../", b"..0"), (b"/", b"0")):  # what has a beginning lies together
        del lines[bisect_left(lines, begin) : bisect_left(lines, end)]
    for line in _lines_with(_METADATA, data):
        at = bisect_left(lines, line)
        while at < len(lines) and lines[at] == line and is_bookkeeping(line.rsplit(b",", 2)[0]):
            del lines[at]
    return hashlib.sha256(b"".join([line + b"\n" for line in lines])).hexdigest()


def normalised(name: str) -> str:
    """A distribution's name as packaging compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(directory: bytes) -> str:
    """The normalised name of the distribution whose `*.dist-info` or `*.egg-info` has this name."""
    return normalised(text_path(directory).rpartition(".")[0].partition("-")[0])


def _plain(record: bytes) -> bytes:
    """The rows without quotes."""
    if b'"' not in record:
        return record
    import csv  # see above

    lines = (line.decode("utf-8", "surrogateescape") for line in record.splitlines(keepends=True))
    try:
        rows = [",".join(row) for row in csv.reader(lines, strict=True)]
    except csv.Error as problem:
        raise BadRecord(str(problem)) from problem
    return "".join(f"{row}\n" for row in rows).encode("utf-8", "surrogateescape")


def _lines_with(part: bytes, data: bytes) -> Iterator[bytes]:
    """The few lines that hold `part`."""
    at = data.find(part)
    while at >= 0:
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        yield data[data.rfind(b"\n", 0, at) + 1 : end]
        at = data.find(part, end)
