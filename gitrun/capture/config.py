"""What the run was told: values from its command line and from its configuration files, each with its origin.

Without a look inside the program this is a reading, not the truth: options are taken as `words` reads them,
and a file counts when it was given to gitrun (`record --config`) or is named on the command line and ends in
a configuration format. Where both name a key, the command line wins, as it does in nearly every program.
Secrets are replaced first, and a file in which one was found is recorded without its hash.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from typing import Any

from gitrun.capture.configfile import MAX_BYTES, Unreadable, format_of, read_values
from gitrun.capture.facts import Facts, place, structure, unwaiting
from gitrun.capture.places import AS_HERE, Places
from gitrun.capture.program import Program
from gitrun.capture.secret_files import is_secret_file
from gitrun.capture.secrets import Redactor
from gitrun.capture.words import arguments_start, read_words

MAX_FILES = 50


def capture_config(
    argv: Sequence[bytes],
    files: Sequence[bytes],
    redactor: Redactor,
    *,
    cwd: bytes,
    worktree: bytes | None,
    program: Program,
    places: Places = AS_HERE,
) -> Facts:
    """The content of config.json: values, provenance, positional words, files.

    `argv` is the command as the user typed it (secrets are replaced here), `files` are those given to gitrun,
    `program` tells where among its words the program stands and whether a script follows it, `places` what its paths
    mean here.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    provenance: dict[str, dict[str, Any]] = {}
    described = []
    start = arguments_start(argv, program.at, program.script_follows)
    words_here = list(map(places.real_word, argv[start:]))
    named = [(path, "gitrun") for path in files] + [(path, "argv") for path in _named_files(words_here, cwd)]
    for path, given_by in _distinct(named, cwd, problems):
        description, found = read_file(path, given_by, redactor, worktree)
        described.append(description)
        if description["note"]:
            problems.append(f"config file {description['path']}: {description['note']}")
        for key, value in found.items():
            values[key] = value
            provenance[key] = {"source": "file", "file": description["path"], "default": None}
    words = read_words(redactor.argv(argv), start)
    for key, value in words.values.items():
        values[key] = value
        provenance[key] = {"source": "argv", "position": words.positions[key], "default": None}
    return Facts(
        structure(values=values, provenance=provenance, positional=words.positional, files=described), problems
    )


def _named_files(words: Sequence[bytes], cwd: bytes) -> list[bytes]:
    """Existing files with a configuration format's ending among the words and the values behind `=`."""
    found = []
    for word in words:
        if len(word) > 4096:
            continue
        for candidate in (word, word.partition(b"=")[2]):
            if candidate and format_of(candidate) and os.path.isfile(os.path.join(cwd, candidate)):
                found.append(candidate)
                break
    return found


def _distinct(named: Sequence[tuple[bytes, str]], cwd: bytes, problems: list[str]) -> list[tuple[bytes, str]]:
    """Absolute paths, each once, in order, up to a bound."""
    distinct: dict[bytes, str] = {}
    for path, given_by in named:
        distinct.setdefault(os.path.normpath(os.path.join(cwd, path)), given_by)
    if len(distinct) > MAX_FILES:
        problems.append(f"config: {len(distinct)} files named; the first {MAX_FILES} were read")
    return list(distinct.items())[:MAX_FILES]


def read_file(
    path: bytes, given_by: str, redactor: Redactor, worktree: bytes | None, *, not_after_ns: int | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """How a file is described, and its values without secrets; not of one that was written after a moment."""
    kind = format_of(path)
    description: dict[str, Any] = {
        "path": place(path, worktree), "format": kind, "given_by": given_by, "bytes": None, "sha256": None,
        "note": None,
    }  # fmt: skip
    if is_secret_file(path):
        return {**description, "note": "a file of secrets, by its name; not read"}, {}
    try:
        size, data = _read(path, not_after_ns)
    except (OSError, ValueError) as problem:
        return {**description, "note": getattr(problem, "strerror", None) or str(problem)}, {}
    description["bytes"] = size
    if len(data) > MAX_BYTES:
        return {**description, "note": f"more than {MAX_BYTES} bytes: too large to be configuration; not read"}, {}
    before = redactor.names
    redactor.names = set()  # only to see whether this very file holds a secret
    try:
        values = redactor.tree(read_values(data, kind)) if kind else {}
        note = None if kind else "no format that gitrun reads (JSON, TOML, YAML, INI)"
    except Unreadable as problem:
        values, note = {}, redactor.text(str(problem))
    redactor.text(data)
    if redactor.names:
        description["secrets"] = sorted(redactor.names)
    else:
        description["sha256"] = hashlib.sha256(data).hexdigest()
    redactor.names |= before
    return {**description, "note": note}, values


def _read(path: bytes, not_after_ns: int | None) -> tuple[int, bytes]:
    """Size and content up to one byte more than the bound; only of regular files, never waiting for a pipe."""
    fd = unwaiting(path, os.O_RDONLY)
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError("not a file")
        if not_after_ns is not None and facts.st_mtime_ns > not_after_ns:
            raise ValueError("written after the program had started; not read")
        pieces = []
        left = MAX_BYTES + 1
        while left and (piece := os.read(fd, left)):
            pieces.append(piece)
            left -= len(piece)
        return facts.st_size, b"".join(pieces)
    finally:
        os.close(fd)
