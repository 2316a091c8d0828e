"""The lines of files that a run reads: what they are, and what is known of their content.

Those named with `record --input GLOB` are looked at before the command starts, so that they are what it was given;
the others when it has ended, which is when they are known. A file that no digest is known of is hashed, small
ones first, until the run has used up its bytes; of a larger one samples are, and when the time is over its size and
time must do. `level` says which it was. Hashing streams, and a file that is being written while it is read is named
as such rather than trusted.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gitrun.capture.digests import Digests
from gitrun.capture.facts import place, relative, text_path, unwaiting
from gitrun.capture.globs import matches
from gitrun.capture.secret_files import is_secret_file
from gitrun.model.artifacts import MAX_INPUTS
from gitrun.model.times import iso

BUFFER_BYTES = 1 << 20
SAMPLE_BYTES = 64 << 10
SAMPLE, STAT = "sample", "stat"  # levels; none where all of the content was hashed
_MOST_TOLD = 20


class Allowance:
    """What may be read of files that no digest is known of: bytes in sum, up to a moment of `time.monotonic()`."""

    def __init__(self, left_bytes: int, end: float = float("inf")) -> None:
        self.left_bytes = left_bytes
        self.end = end

    def is_over(self) -> bool:
        """Whether the time is."""
        return time.monotonic() > self.end


class Inputs(NamedTuple):
    """Lines for artifacts.jsonl, sorted by path bytes, and one sentence for each thing missing.

    `directories` are those that were named as such, by their paths in lines.
    """

    entries: list[dict[str, Any]]
    problems: list[str]
    directories: Sequence[str] = ()


def capture_inputs(
    globs: Sequence[bytes], *, cwd: bytes, worktree: bytes | None, digests: Digests, allowance: Allowance
) -> Inputs:
    """Look at the files that the patterns match; patterns and their matches are relative to `cwd`."""
    problems: list[str] = []
    found: dict[bytes, str] = {}
    directories: list[str] = []
    for pattern in globs:
        named = os.path.normpath(os.path.join(cwd, pattern))
        if os.path.isdir(named):
            directories.append(place(named, worktree))
        matched = False
        complaints = len(problems)
        for path in matches(os.path.join(cwd, pattern), problems):
            matched = True
            found[os.path.normpath(path)] = "declared"
            if len(found) >= MAX_INPUTS:
                problems.append(f"input {text_path(pattern)}: more than {MAX_INPUTS} files; the rest is not recorded")
                break
        if not matched and len(problems) == complaints:
            problems.append(f"input {text_path(pattern)}: matches no file")
    described = describe(found, worktree, digests, allowance)
    return Inputs(described.entries, problems + described.problems, directories)


def describe(paths: Mapping[bytes, str], worktree: bytes | None, digests: Digests, allowance: Allowance) -> Inputs:
    """The lines of files by their absolute paths, each with what it was found by (the field `evidence`)."""
    describer = _Describer(worktree, digests, allowance)
    looked = [found for path, evidence in paths.items() if (found := describer.look(path, evidence)) is not None]
    looked.sort(key=lambda each: (0 if each[1] is None else each[1].st_size, each[0]))
    entries = [describer.complete(*each) for each in looked]
    digests.save()
    return Inputs(sorted(entries, key=lambda entry: os.fsencode(entry["path"])), describer.problems())


def sample(path: bytes, size: int) -> str:
    """The sha256 of a file's size in decimal, a zero byte, and its first, middle and last 64 KiB; raises OSError."""
    with open(path, "rb", buffering=0, opener=unwaiting) as file:
        digest = hashlib.sha256(b"%d\0" % size)
        for start in (0, max(0, size // 2 - SAMPLE_BYTES // 2), max(0, size - SAMPLE_BYTES)):
            digest.update(os.pread(file.fileno(), SAMPLE_BYTES, start))
        return digest.hexdigest()


class _Describer:
    def __init__(self, worktree: bytes | None, digests: Digests, allowance: Allowance) -> None:
        self._tops = [] if worktree is None else list(dict.fromkeys((worktree, os.path.realpath(worktree))))
        self._digests = digests
        self._allowance = allowance
        self._problems: list[str] = []
        self._weak: dict[str, list[int]] = {}  # sizes by level

    def look(self, path: bytes, evidence: str) -> tuple[bytes, os.stat_result | None, dict[str, Any]] | None:
        """Path, stat and line so far, without a stat where there is no more to say; None for what is no file."""
        entry: dict[str, Any] = {
            "path": self._place(path), "kind": "input", "type": "file", "mode": None, "bytes": None,
            "sha256": None, "level": None, "evidence": evidence, "stored": False, "reason": "input",
            "produced_by": None,
        }  # fmt: skip
        try:
            link = stat.S_ISLNK(os.lstat(path).st_mode)
            if link:
                entry["target"] = text_path(os.readlink(path))  # the content is that of the file it leads to
            facts = os.stat(path)
        except OSError as problem:
            self._tell(entry, str(problem.strerror))
            return path, None, {**entry, "type": "link" if "target" in entry else "file", "reason": "missing"}
        if not stat.S_ISREG(facts.st_mode):
            self._tell(entry, "not a file (a pipe, socket or device); not recorded")
            return None
        entry["mode"] = f"{stat.S_IMODE(facts.st_mode):04o}"
        if is_secret_file(path) or (link and is_secret_file(os.path.realpath(path))):
            return path, None, {**entry, "reason": "secret"}
        return path, facts, entry

    def _place(self, path: bytes) -> str:
        """As `facts.place`, for many paths."""
        inside = next((found for top in self._tops if (found := relative(path, top)) is not None), None)
        return text_path(path if inside is None else inside)

    def complete(self, path: bytes, facts: os.stat_result | None, entry: dict[str, Any]) -> dict[str, Any]:
        """The line with what can be said of the content."""
        if facts is None:
            return entry
        known = self._digests.get(path, facts)
        if known is not None:
            return {**entry, "bytes": facts.st_size, "sha256": known}
        try:
            if not self._allowance.is_over():
                if facts.st_size > max(self._allowance.left_bytes, 3 * SAMPLE_BYTES):
                    return {**entry, **self._weakly(facts, SAMPLE), "sample": sample(path, facts.st_size)}
                if (content := self._hash(path, facts, entry)) is not None:
                    return {**entry, **content}
            return {**entry, **self._weakly(facts, STAT)}
        except OSError as problem:
            self._tell(entry, str(problem.strerror))
            return {**entry, "bytes": facts.st_size, "reason": "unreadable"}

    def _weakly(self, facts: os.stat_result, level: str) -> dict[str, Any]:
        self._weak.setdefault(level, []).append(facts.st_size)
        return {"bytes": facts.st_size, "level": level, "modified": iso(facts.st_mtime_ns)}

    def _hash(self, path: bytes, facts: os.stat_result, entry: dict[str, Any]) -> dict[str, Any] | None:
        """Size and sha256 of what was read; None when the time was over before the end."""
        digest = hashlib.sha256()
        size = 0
        buffer = bytearray(min(BUFFER_BYTES, facts.st_size + 1))
        view = memoryview(buffer)
        with open(path, "rb", buffering=0, opener=unwaiting) as file:
            while count := file.readinto(buffer):
                digest.update(view[:count])
                size += count
                if count == BUFFER_BYTES and self._allowance.is_over():
                    return None
            after = os.fstat(file.fileno())
        self._allowance.left_bytes -= size
        if (after.st_size, after.st_mtime_ns) != (facts.st_size, facts.st_mtime_ns) or size != facts.st_size:
            self._tell(entry, "changed while it was read")
        else:
            self._digests.put(path, after, digest.hexdigest())
        return {"bytes": size, "sha256": digest.hexdigest()}

    def _tell(self, entry: dict[str, Any], what: str) -> None:
        self._problems.append(f"input {entry['path']}: {what}")

    def problems(self) -> list[str]:
        """What is missing, in sentences: not more than a reader can bear."""
        told = self._problems[:_MOST_TOLD]
        if len(self._problems) > _MOST_TOLD:
            told.append(f"{len(self._problems) - _MOST_TOLD} more inputs are missing or could not be read")
        words = {SAMPLE: "samples", STAT: "size and time"}
        for level, sizes in self._weak.items():
            told.append(f"{len(sizes)} input(s), {sum(sizes)} bytes, are known by {words[level]} only")
        return told
