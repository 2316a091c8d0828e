"""`gitrun gc`: give back the space of what nothing needs any more."""

from __future__ import annotations

from typing import Annotated

import typer

from gitrun.archive.gc import gc as collect
from gitrun.cli.common import open_archive
from gitrun.model.listing import plural
from gitrun.replay.environments import collect as collect_environments
from gitrun.replay.environments import shelf_of
from gitrun.store.collect import end_session
from gitrun.ui.monitor import TerminalMonitor
from gitrun.ui.terminal import stderr, stdout
from gitrun.ui.words import size


def register(app: typer.Typer) -> None:
    """Add `gc` to the application."""
    app.command("gc")(gc)


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    session: Annotated[
        str | None,
        typer.Option("--end-session", metavar="ID", help="End a session first that nobody can prove dead."),
    ] = None,
) -> None:
    """Give back the space of what nothing needs any more.

    Lets go of removed runs whose grace is over, of stored content that no run, snapshot or recording names, and of
    environments built for replays that none has used for 30 days.
    It may run beside recordings, and stops with nothing collected at a record it cannot read. Git's own objects
    are left to `git gc`.
    """
    with open_archive() as archive:
        if session is not None:
            end_session(archive.store, session)
        swept = collect(archive, dry_run=dry_run, monitor=TerminalMonitor(stderr()))
        would = "would be " if dry_run else ""
        for run_id in swept.expired:
            stdout().line(run_id)
        if swept.done.waiting:
            stderr().line(
                f"gitrun: {len(swept.plan.dead)} packs are in the store's trash until the session "
                f"{swept.done.waiting[0]} ends, next: gitrun gc (--end-session {swept.done.waiting[0]} if it is dead)"
            )
        gone = collect_environments(shelf_of(archive), dry_run=dry_run)
        if gone.environments:
            what = f"{plural(gone.environments, 'built environment')} {would}let go of, {size(gone.freed)} {would}freed"
            stderr().line(f"gitrun: {what}")
        runs, freed = plural(len(swept.expired), "removed run"), size(swept.done.freed)
        next_step = ", next: git gc" if swept.released else ""
        stderr().line(f"gitrun: {runs} {would}let go of, {freed} {would}freed{next_step}")
