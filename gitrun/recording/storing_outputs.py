"""Bringing files of a run into the store, and their lines into its live directory: outputs, and what was handed over.

Content is durable before a line names it, and the line is there before the session's promise ends. A store that takes
nothing, on a full disk or because it may only be read, leaves lines that say so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gitrun.capture.keeping import DEFERRED, Budget, Output, floor_of, keep
from gitrun.errors import DiskFull, NotWritable
from gitrun.model.canonical import path_bytes
from gitrun.recording.artifacts import Line, read_artifacts, replace_artifacts
from gitrun.recording.context import limit
from gitrun.recording.gathering import AFTER_S

if TYPE_CHECKING:
    from gitrun.recording.observing import Subject


def store_entries(
    subject: Subject,
    outputs: list[Output],
    kind: str = "output",
    told: Callable[[list[Line]], list[Line]] = lambda lines: lines,
) -> list[str]:
    """Stores files of one kind within what others have left, and writes their lines, as `told` has them.

    What could not be done, in sentences. Raises DamagedStore, and DiskFull or NotWritable where not even the lines can
    be written.
    """
    if not outputs:
        return _list(subject, kind, told([]))
    store = subject.context.store()
    is_made = os.path.lexists(store.directory) or not store.path
    budget = _budget(subject, os.path.realpath(store.directory) if is_made else store.path)
    monitor = subject.context.monitor
    try:
        with store.session() as session:
            kept = keep(outputs, session, budget, kind, monitor)
            session.commit()
            return [*kept.problems, *_list(subject, kind, told(kept.lines))]
    except (DiskFull, NotWritable) as problem:
        refused = "space" if isinstance(problem, DiskFull) else "unwritable"
        with store.session() as session:
            kept = keep(outputs, session, budget._replace(refused=refused), kind, monitor)
        return [f"nothing is stored: {problem}", *kept.problems, *_list(subject, kind, told(kept.lines))]


def _list(subject: Subject, kind: str, lines: list[Line]) -> list[str]:
    listed = replace_artifacts(subject.live, kind, lines)
    subject.draft["live"]["outputs"] = _sums(listed.lines)
    return listed.problems


def _sums(lines: list[Line]) -> dict[str, int]:
    """What the last line of a recording says of outputs, and of what was handed over."""
    lines = [line for line in lines if line.get("kind") in ("output", "artifact")]
    stored = sum(line["bytes"] or 0 for line in lines if line["stored"])
    left_out = sum(line["bytes"] or 0 for line in lines if not line["stored"])
    return {"stored": stored, "left_out": left_out, "deferred": sum(line["reason"] == DEFERRED for line in lines)}


def _budget(subject: Subject, store_dir: str) -> Budget:
    latest = time.monotonic() + _limit(subject, "output_time")
    facts = subject.draft["live"]
    cwd, top = subject.draft.get("cwd"), b""
    if isinstance(cwd, str) and cwd != "." and not cwd.startswith("/"):
        top = path_bytes(cwd) + b"/"
    stored = (line for line in read_artifacts(subject.live) if line.get("kind") == "artifact" and line["stored"])
    return Budget(
        max(0, _limit(subject, "output_bytes") - sum(line["bytes"] for line in stored)),
        floor_of(store_dir, _limit(subject, "output_floor")),
        store_dir,
        lambda: min(latest, time.monotonic() + subject.context.left_s(float("inf"), AFTER_S)),
        (*(facts.get("keep") or ()), *_limit(subject, "keep")),
        (*(facts.get("no_keep") or ()), *_limit(subject, "no_keep")),
        top,
    )


def _limit(subject: Subject, name: str) -> Any:
    return limit(subject.draft, f"record.{name}")
