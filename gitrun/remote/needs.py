"""Which blobs a run needs, in the order in which they can be known.

A record names its large parts; the parts name the files, and lists of their blobs that are blobs themselves; a list of
a directory's files names lists again. On a machine where none of them is yet, each step has to arrive before the next
can be asked for. So what a run needs comes as steps, and whoever brings them for many runs does so step by step for
all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gitrun.archive.archive import Archive
from gitrun.archive.entries import Entry
from gitrun.archive.marking import NOTHING, Marks, mark_run, said_of
from gitrun.archive.needs import blobs_of, manifest_lines
from gitrun.archive.run import SealedRun
from gitrun.archive.since import DROP, standing
from gitrun.model.artifacts import PART
from gitrun.model.ids import is_sha256
from gitrun.store.chunk_lists import decode

VENDORED = "vendored.jsonl"


def steps_of(archive: Archive, run: SealedRun, *, files: bool, wheels: bool = False) -> Iterator[set[str]]:
    """The blobs a run needs, step by step: those of one step must be here before the next is asked for.

    Without `files` the content of the files it read and wrote is left out, unless `wheels` that of the distributions
    that are on no index; left are its parts, the files beside its source, and the lists that a collector has to read.
    Raises DamagedRecord, and what reading blobs raises.
    """
    parts = run.record.get("parts") or {}
    yield {blob for place in parts.values() for blob, _ in _pairs(place)}
    lines = {name: run.value(name) or [] for name in parts if name.endswith(".jsonl") and name != PART}
    lines[PART] = standing(run.value(PART), run.events())
    yield from lists_in([line for some in lines.values() for line in some], archive)
    left_out = {name for name, is_wanted in ((PART, files), (VENDORED, files or wheels)) if not is_wanted}
    content = [line for name, some in lines.items() if name not in left_out for line in some]
    yield {blob for line in content for blob in blobs_of(line, archive.store.get)}


def lists_in(lines: list[Any], archive: Archive) -> Iterator[set[str]]:
    """The lists of blobs and of files that lines name, and those that such a list names."""
    lines = [line for line in lines if type(line) is dict]
    yield {str(line[key]) for line in lines for key in ("chunk_list", "manifest") if is_sha256(line.get(key))}
    below = [
        inner
        for line in lines
        if is_sha256(line.get("manifest"))
        for inner in manifest_lines(str(line.get("manifest")), archive.store.get)
    ]
    yield {str(line["chunk_list"]) for line in below if is_sha256(line.get("chunk_list"))}


def content_of(archive: Archive, entries: list[Entry]) -> set[str]:
    """The blobs of the content of files, whose lists are here."""
    found: set[str] = set()
    for entry in entries:
        listed: Any = entry.facts.get("chunk_list")
        if is_sha256(listed):
            found.update(blob for blob, _ in decode(archive.store.get(listed)))
        else:
            found.update(blob for blob, _ in _pairs(entry.facts))
    return found


def lists_of(entries: Iterable[Entry]) -> set[str]:
    """The blobs that are lists of the blobs of files."""
    return {str(entry.facts["chunk_list"]) for entry in entries if is_sha256(entry.facts.get("chunk_list"))}


def undropped(run: SealedRun) -> list[Any]:
    """The lines of `artifacts.jsonl` as if no content had been let go of."""
    return standing(run.value(PART), [event for event in run.events() if event.kind != DROP])


def marked(archive: Archive, run: SealedRun) -> set[bytes]:
    """The raw ids of all that a collector would keep for a run: what travels with it, as far as it is here.

    It names more than there is: what looks like a blob's id may be none.
    """
    marks = Marks()
    mark_run(archive, run, marks, said_of(archive, (run.id,)).get(run.id, NOTHING))
    return marks.blobs


def _pairs(place: Any) -> Iterator[tuple[str, int]]:
    """The blobs of a list of chunks that may be anything."""
    chunks = place.get("chunks") if type(place) is dict else None
    for chunk in chunks if type(chunks) is list else ():
        if type(chunk) is list and len(chunk) == 2 and is_sha256(chunk[0]):
            yield chunk[0], chunk[1]
