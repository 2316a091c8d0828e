"""The inputs of one directory become one line, with a list of their own: a data set is one thing to a reader.

So does a directory that was named as such, and one with so many files that nobody would read their lines.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from gitrun.model.canonical import encode_line, path_bytes, path_text

MANY = 1000  # lines below one directory that are still lines
MANIFEST_BYTES = 15 << 20  # a blob has at most 16 MiB
Line = dict[str, Any]


class Folded(NamedTuple):
    """The lines that stay, and for each directory that became one those below it."""

    lines: list[Line]
    directories: list[tuple[bytes, list[Line]]]


class _Branch(NamedTuple):
    """What lies below a directory and is not folded yet, how many lines that will be, and what is folded."""

    loose: list[Line]
    folded: list[tuple[bytes, list[Line]]]


def fold(lines: Iterable[Line], named: Collection[bytes] = (), many: int = MANY) -> Folded:
    """As one each: the directories `named`, and the deepest others with more than `many` lines below them.

    Never the top of everything.
    """
    branches: dict[bytes, _Branch] = {b"": _Branch([], [])}
    for line in lines:
        _branch(branches, _parent(path_bytes(line["path"]))).loose.append(line)
    for directory in sorted(branches, key=lambda path: path.count(b"/") if path != b"/" else -1, reverse=True):
        loose, folded = branches[directory]
        if directory in (b"", b"/"):
            continue
        if len(loose) + len(folded) > many or (directory in named and (loose or folded)):
            loose, folded = [], [(directory, [*loose, *(line for _, lines in folded for line in lines)])]
        above = branches[_parent(directory)]
        above.loose.extend(loose)
        above.folded.extend(folded)
    tops = [branch for directory, branch in branches.items() if directory in (b"", b"/")]
    return Folded([line for top in tops for line in top.loose], [one for top in tops for one in top.folded])


def directory_lines(directory: bytes, below: list[Line]) -> Iterator[tuple[Line, bytes]]:
    """The lines of a directory, nearly always one, each with its manifest: the lines of the files."""
    below = sorted(below, key=lambda line: path_bytes(line["path"]))
    part: list[Line] = []
    data: list[bytes] = []
    size = 0
    for line in below:
        encoded = encode_line(line)
        if size + len(encoded) > MANIFEST_BYTES:
            yield _directory_line(directory, part), b"".join(data)
            part, data, size = [], [], 0
        part.append(line)
        data.append(encoded)
        size += len(encoded)
    yield _directory_line(directory, part), b"".join(data)


def _directory_line(directory: bytes, below: list[Line]) -> Line:
    makers = {line["produced_by"] for line in below}
    levels = {line["level"] for line in below}
    line: Line = {
        "path": path_text(directory), "kind": "input", "type": "directory", "mode": None,
        "bytes": sum(line["bytes"] or 0 for line in below), "sha256": None, "evidence": below[0]["evidence"],
        "level": "stat" if "stat" in levels else "sample" if "sample" in levels else None,
        "stored": False, "reason": "input", "produced_by": makers.pop() if len(makers) == 1 else None,
        "files": len(below),
    }  # fmt: skip
    if any(each.get("overwritten") for each in below):
        line["overwritten"] = True
    return line


def _branch(branches: dict[bytes, _Branch], directory: bytes) -> _Branch:
    """The branch of a directory, and with it those of all above."""
    at = directory
    while at not in branches:
        branches[at] = _Branch([], [])
        at = _parent(at)
    return branches[directory]


def _parent(path: bytes) -> bytes:
    above, slash, name = path.rpartition(b"/")
    return above or (slash if name else b"")
