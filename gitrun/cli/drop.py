"""`gitrun drop`: let go of the content of a run's files."""

from __future__ import annotations

from typing import Annotated

import typer

from gitrun.archive.dropping import drop as let_go
from gitrun.archive.dropping import droppable
from gitrun.archive.harmless import harmless
from gitrun.archive.selectors import resolve
from gitrun.cli.common import RUN_HELP, open_archive
from gitrun.model.canonical import path_text
from gitrun.ui.terminal import stderr, stdout
from gitrun.ui.words import plural, size


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
    needs it as well. It does not come back but by a replay. A run with the tag `pin` is refused.
    """
    with open_archive() as archive:
        found = resolve(archive, run)
        chosen = droppable(found, patterns)
        if not dry_run:
            let_go(archive, found, chosen)
    for entry in chosen:
        stdout().line(harmless(path_text(entry.path)))
    total = size(sum(entry.size or 0 for entry in chosen))
    would, next_step = ("would be ", "") if dry_run else ("", ", next: gitrun gc")
    stderr().line(f"gitrun: {plural(len(chosen), 'file')} of {found.id} {would}dropped, {total}{next_step}")
