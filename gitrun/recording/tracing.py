"""A run that has just been sealed leaves its traces: the contents it made and read (see `archive.trace_files`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gitrun.archive.trace_files import TraceFiles, is_settled, traces_of
from gitrun.recording.context import Context

if TYPE_CHECKING:
    from gitrun.archive.entries import Entry


def leave_traces(context: Context, record: dict[str, Any], entries: Sequence[Entry]) -> None:
    """Adds a sealed run with these entries; never fails: whoever asks later reads its record."""
    if any(entry.type == "directory" for entry in entries) or not is_settled(entries):
        return  # what is below, and what is still to come, is read from the record
    is_replay = bool((record.get("links") or {}).get("replay_of"))
    TraceFiles(context.gitrun_dir).add({record["id"]: traces_of(entries, is_replay=is_replay)})
