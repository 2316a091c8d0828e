"""Brings the inputs of a run into its live directory: who made them, and what of them is stored.

A file that a guard kept out of the source is stored, because nothing else would give it back; small ones first, up to
a bound. Many files of one directory become one line, whose list of them is a blob. What lines name is durable before
they are written.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING

from gitrun.capture.folding import directory_lines, fold
from gitrun.errors import DiskFull, GitrunError
from gitrun.model.canonical import path_bytes
from gitrun.recording.artifacts import Line, replace_artifacts
from gitrun.recording.guarded import LeftOut
from gitrun.settings import load
from gitrun.store.chunk_lists import place

if TYPE_CHECKING:
    from gitrun.recording.observing import Subject
    from gitrun.store.ingest import Session


def tell_makers(subject: Subject, lines: list[Line], seconds: float) -> list[str]:
    """Names the run that made an input, where one of the archive has; runs not in its traces are read for so long.

    What could not be found out, in sentences.
    """
    context, run_id = subject.context, subject.draft["id"]
    known = {each["path"]: each["run"] for each in subject.draft["source"].get("excluded") or [] if each.get("run")}
    asked = []
    for line in lines:
        if line["sha256"] is not None and line["bytes"]:
            line["produced_by"] = known.get(line["path"])
            asked += [line] if line["produced_by"] is None else []
    if not asked:
        return []
    from gitrun.archive.archive import Archive
    from gitrun.archive.traces import Traces  # most runs have nothing to ask them

    settings = load(None, context.archive.config, context.environ)
    try:
        with Archive(context.archive, None, settings, context.environ, context.monitor) as archive:
            traces = Traces(archive)
            traces.update(seconds)
            for line in asked:
                line["produced_by"] = traces.maker(line["sha256"], run_id)
    except GitrunError as problem:
        return [f"which runs made them is not known: {problem}"]
    return []


def write_inputs(
    subject: Subject, lines: list[Line], named: Collection[bytes], worktree: bytes | None, limit_bytes: int
) -> list[str]:
    """Writes the lines, those below a directory of `named` as one, and before them what they need in the store.

    What there was no room for, in sentences. Raises DiskFull or NotWritable where they cannot be written.
    """
    left_out = LeftOut(subject.draft["source"].get("excluded") or [], worktree)
    wanted: list[Line] = []
    rest: list[Line] = []
    for line in lines:
        is_wanted = line["sha256"] is not None and left_out.find(path_bytes(line["path"])) is not None
        (wanted if is_wanted else rest).append(line)
    folded = fold(rest, named)
    if not wanted and not folded.directories:
        return _replace(subject, lines)
    try:
        with subject.context.store().session() as session:
            _store(session, wanted, worktree or b"/", limit_bytes)
            directories = []
            for directory, below in folded.directories:
                for line, manifest in directory_lines(directory, below):
                    directories.append({**line, "manifest": session.put(manifest)})
            session.commit()
            problems = _replace(subject, [*wanted, *folded.lines, *directories])
        left_out.count(line for line in wanted if line["stored"])
        return problems
    except DiskFull:
        for line in wanted:
            line.update(stored=False, reason="space")
            line.pop("chunks", None)
            line.pop("chunk_list", None)
        return _replace(subject, lines)


def _replace(subject: Subject, lines: list[Line]) -> list[str]:
    return replace_artifacts(subject.live, "input", lines).problems


def _store(session: Session, lines: list[Line], worktree: bytes, limit_bytes: int) -> None:
    for line in sorted(lines, key=lambda line: (line["bytes"], line["path"])):
        if line["bytes"] > limit_bytes:
            line["reason"] = "limit"
            continue
        try:
            content = session.put_file(os.path.join(worktree, path_bytes(line["path"])))
        except DiskFull:
            raise
        except GitrunError:
            line["reason"] = "unreadable"  # gone, or no file any more
            continue
        limit_bytes -= content.bytes
        if content.sha256 != line["sha256"]:
            line.update(sha256=content.sha256, bytes=content.bytes, overwritten=True)
        line.update(stored=True, reason=None, **place(content.chunks, session.put))
