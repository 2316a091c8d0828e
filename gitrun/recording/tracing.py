"""A run that has just been sealed leaves its traces: the contents it made and read (see `archive.trace_files`)."""

from typing import Any

from gitrun.archive.trace_files import TraceFiles, is_settled, traces_of
from gitrun.errors import GitrunError
from gitrun.model.canonical import DecodeProblem
from gitrun.recording.artifacts import entries_there
from gitrun.recording.context import Context
from gitrun.recording.live import LiveDirectory


def leave_traces(context: Context, live: LiveDirectory, record: dict[str, Any]) -> None:
    """Adds a sealed run whose live directory is still there; never fails: whoever asks later reads its record."""
    try:
        entries = entries_there(live)
    except (OSError, GitrunError, DecodeProblem):
        return
    if any(entry.type == "directory" for entry in entries) or not is_settled(entries):
        return  # what is below, and what is still to come, is read from the record
    is_replay = bool((record.get("links") or {}).get("replay_of"))
    TraceFiles(context.gitrun_dir).add({record["id"]: traces_of(entries, is_replay=is_replay)})
