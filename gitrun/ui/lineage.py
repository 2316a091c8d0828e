"""The lineage of a run as two trees for people: what it was made from, and what was made from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gitrun.archive.harmless import harmless
from gitrun.archive.lineage import File, Lineage, Step
from gitrun.model.listing import listed
from gitrun.ui.terminal import STATUS_STYLE, Screen

_FILES = 3  # of one step that are named
_ORIGINS = 5
_DEEPEST = 50


def print_lineage(screen: Screen, found: Lineage) -> None:
    """Print both trees; a run that was shown already is named, and not opened up again."""
    screen.line(screen.style(f"run {found.run}", "bold"))
    _print_side(screen, found, "made from", found.makers_of, lambda step: step.maker, origins=True)
    _print_side(screen, found, "used by", found.readers_of, lambda step: step.reader, origins=False)
    for gap in found.gaps:
        screen.line(f"not followed: {harmless(gap)}")


def lineage_json(found: Lineage) -> dict[str, Any]:
    """The lineage for programs: the runs, and the steps between them."""
    return {
        "run": found.run,
        "runs": [
            {
                "id": run_id,
                "status": one.status,
                "name": one.name or None,
                "command": one.command,
                "started_at": one.started,
            }
            for run_id, one in sorted(found.runs.items())
        ],
        "steps": [
            {"maker": step.maker, "reader": step.reader, "files": [file._asdict() for file in step.files]}
            for step in found.steps
        ],
        "origins": [{"run": run_id, "paths": paths} for run_id, paths in sorted(found.origins.items()) if paths],
        "gaps": found.gaps,
    }


def _print_side(
    screen: Screen,
    found: Lineage,
    title: str,
    next_steps: Callable[[str], list[Step]],
    end: Callable[[Step], str],
    *,
    origins: bool,
) -> None:
    shown: set[str] = set()

    def open_up(run_id: str, depth: int) -> None:
        indent = "  " * depth
        if run_id in shown or depth > _DEEPEST:
            return
        shown.add(run_id)
        for step in next_steps(run_id):
            other = end(step)
            again = " (as above)" if other in shown and next_steps(other) else ""
            screen.line(f"{indent}{_named(screen, found, other)}{again}")
            screen.line(f"{indent}    {harmless(_files(step.files))}")
            open_up(other, depth + 1)
        paths = found.origins.get(run_id, []) if origins else []
        if paths:
            screen.line(f"{indent}{harmless(listed(paths, _ORIGINS))}: no run here made it")

    if next_steps(found.run) or (origins and found.origins.get(found.run)):
        screen.line(screen.style(title, "bold"))
        open_up(found.run, 1)
    else:
        screen.line(f"{screen.style(title, 'bold')}  nothing that is known")


def _named(screen: Screen, found: Lineage, run_id: str) -> str:
    summary = found.runs.get(run_id)
    if summary is None:
        return f"{run_id}  not here"
    status = screen.style(summary.status, STATUS_STYLE.get(summary.status))
    return f"{run_id}  {status}  {harmless(summary.name or summary.command)}"


def _files(files: list[File]) -> str:
    named = [file.read if file.read == file.made else f"{file.made} as {file.read}" for file in files]
    return listed(named, _FILES)
