"""`gitrun drop`: let go of the content of a run's files."""

from __future__ import annotations

from typing import Annotated

import typer

from gitrun.archive.dropping import drop as let_go
from gitrun.archive.dropping import droppable_of
from gitrun.archive.harmless import harmless
from gitrun.archive.selectors import resolve_many
from gitrun.cli.common import RUN_HELP, open_archive
from gitrun.model.canonical import path_text
from gitrun.model.listing import plural
from gitrun.ui.terminal import stderr, stdout
from gitrun.ui.words import size


def register(app: typer.Typer) -> None:
    """Add `drop` to the application."""
    app.command("drop")(drop)


def drop(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    patterns: Annotated[
        list[str],
        typer.Option(
            "--paths", metavar="GLOB", help="Files of the run, as for `gitrun get`; may be given more than once."
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Let go of the content of a run's files, and keep the record of them.

    Prints their paths. Digests, sizes and lineage stay; the content goes at the next `gitrun gc`, unless another run
    needs it as well. It comes back from a remote that has it, or by a replay. A run with the tag `pin` is refused. Of
    several runs each path has the run's id and a tab before it, and one that is pinned refuses for all.
    """
    with open_archive() as archive:
        runs = resolve_many(archive, [run])
        chosen = droppable_of(runs, patterns)
        for found in runs if not dry_run else ():
            if found.id in chosen:
                let_go(archive, found, chosen[found.id])
    for run_id, entries in chosen.items():
        for entry in entries:
            before = f"{run_id}\t" if len(runs) > 1 else ""
            stdout().line(before + harmless(path_text(entry.path)))
    everything = [entry for entries in chosen.values() for entry in entries]
    total = size(sum(entry.size or 0 for entry in everything))
    would, next_step = ("would be ", "") if dry_run else ("", ", next: gitrun gc")
    whose = f"of {runs[0].id}" if len(runs) == 1 else f"of {plural(len(chosen), 'run')}"
    stderr().line(f"gitrun: {plural(len(everything), 'file')} {whose} {would}dropped, {total}{next_step}")
