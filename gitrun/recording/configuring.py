"""Brings what a run's programs said about their configuration into its config.json, when the run has ended."""

from typing import TYPE_CHECKING, Any

from gitrun.capture.imports import worktree_of
from gitrun.capture.secrets import Redactor
from gitrun.model.canonical import MAX_BYTES, decode, encode, path_bytes
from gitrun.recording.live import LiveDirectory

if TYPE_CHECKING:
    from gitrun.capture.observed import Observed

_PART = "config.json"


def configure(live: LiveDirectory, draft: dict[str, Any], observed: "Observed", redactor: Redactor) -> Any:
    """Writes the part anew; returns what `coverage.config` says now, or None where no program said anything."""
    if not any(process.configs for process in observed.processes):
        return None
    from gitrun.capture.config_observed import merge_config
    from gitrun.capture.facts import structure

    path = live.part_paths().get(_PART)
    if path is None:
        config = structure(values={}, provenance={}, positional=[], files=[])
    else:
        with open(path, "rb") as file:
            config = decode(file.read(MAX_BYTES + 1))
    worktree = worktree_of(draft)
    command = [path_bytes(word) for word in draft["command"]]
    found = merge_config(config, observed, redactor, command=command, worktree=worktree)
    live.write_part(_PART, encode(found.value))
    known = draft["coverage"].get("config")
    problems = [*(known if isinstance(known, list) else []), *found.problems]
    return list(dict.fromkeys(problems)) or "complete"
